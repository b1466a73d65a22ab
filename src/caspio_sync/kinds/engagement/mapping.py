"""Engagement mapping: Caspio rows as people who may be known there, and what their columns hold now."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import polars as pl

from caspio_sync.kinds.engagement.definition import (
    MEASURES,
    ConsentColumn,
    EngagementSync,
    Form,
    GroupColumn,
    ListColumn,
    MeasureKind,
    WrittenField,
)
from caspio_sync.mapping.cells import CellMaker
from caspio_sync.mapping.columns import Plan
from caspio_sync.mapping.consent import ConsentMapping, GlobalState
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField, MappedColumn

# Of the changes of an engagement return, for its gate: the share of all customers whose consent the run changes.
CONSENT_SHARE = "_consent_share"
NOW = "_now"  # of the same: the present moment, UTC: what is later has not happened
NEWS_AT = "_news_at"  # of the same: when the destination learned the newest state that is to be written

EMAIL = "email"
ALIAS_NAME = "alias_name"
_TEXTS = ("STRING", "TEXT")
_NUMBERS = ("INTEGER", "NUMBER")
# Caspio's types that take a form; Timestamps are Caspio's own to write (Caspio, 2.3).
TAKES: Mapping[tuple[MeasureKind, Form], tuple[str, ...]] = MappingProxyType(
    {
        ("count", "bucket"): (*_TEXTS, *_NUMBERS),
        ("count", "exact"): _NUMBERS,
        ("count", "flag"): ("YES/NO",),
        ("time", "date"): ("DATE/TIME",),
        ("time", "exact"): ("DATE/TIME",),
        ("time", "flag"): ("YES/NO",),
        ("text", "text"): _TEXTS,
        ("flag", "flag"): ("YES/NO",),
    }
)
_YES = frozenset({"yes", "true", "1", "y", "t", "on"})
_CHARS = MappingProxyType({"STRING": 255, "TEXT": 64_000})


def present(column: str) -> str:
    """Name of the mapped frame's column with what a Caspio column holds now."""
    return f"present.{column}"


def state(scope: str) -> str:
    """Name of the mapped frame's column with the subscription state that Caspio holds."""
    return f"state.{scope}"


def stamp(scope: str) -> str:
    """Name of the mapped frame's column with the wall clock at which Caspio's state changed."""
    return f"changed_at.{scope}"


@dataclass(frozen=True, slots=True)
class WrittenColumn:
    """A column that is made of a measure.

    Args:
        name: the Caspio field.
        measure: what it holds.
        form: in which form.
        type: Caspio's type of it.
    """

    name: str
    measure: str
    form: Form
    type: str

    @property
    def chars(self) -> int | None:
        """Characters it takes; None where it is no text."""
        return _CHARS.get(self.type)


@dataclass(frozen=True, slots=True)
class StateColumn:
    """A column with a subscription state.

    Args:
        scope: email, push, the id of a subscription group, or `lists.` and the name of a list.
        name: the Caspio field.
        type: Caspio's type of it.
        words: what is written for a state; one without a word of its own has that of the nearest: opted_in and
            subscribed stand for each other.
        definition: the sync file's section.
    """

    scope: str
    name: str
    type: str
    words: Mapping[str, str]
    definition: ConsentColumn

    @property
    def held(self) -> Mapping[str, str]:
        """The state that the column holds once a state is written: the one that its word stands for."""
        own = {word: meant for meant, word in reversed(list(self.words.items()))}
        if self.definition.map is not None:
            own = {word: meant for word, meant in self.definition.map.items() if meant is not None}
        return {meant: own[word] for meant, word in self.words.items()}

    @property
    def values(self) -> Mapping[str, str | bool]:
        """What is written for a state, as JSON has it."""
        if self.type != "YES/NO":
            return self.words
        return {meant: word.lower() in _YES for meant, word in self.words.items()}


class EngagementMapping(RowMapping):
    """An engagement return, fitted to the fields of its table.

    Args:
        sync: the definition.
        fields: the table's fields, as Caspio declares them.
        values: what the destination takes as an identifier.
        absent: as for `RowMapping`: these columns are neither read nor written.

    Raises:
        ConfigurationError: a field is missing, read-only, or cannot hold what is to be written; all findings at once.
    """

    def __init__(
        self, sync: EngagementSync, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> None:
        maker = CellMaker(sync, fields, values)
        by_name = {field.name: field for field in fields}
        identity = sync.identity
        key = maker.key(sync.key_place, identity.source_field, identity.kind)
        written = tuple(_written(sync, maker, by_name))
        plans = [*_people(sync, maker), *_states(sync, maker, by_name)]
        self.states = tuple(
            StateColumn(scope, each.column, by_name[each.column].type, _words(each, by_name[each.column].type), each)
            for scope, each in sync.returned.states.items()
            if each.column in by_name
        )
        for each in written:
            maker.used[each.name] = by_name[each.name]
        digested = {
            "identity": identity.model_dump(mode="json"),
            "fields": _digested(sync),
            "time_zone": sync.source.time_zone,
        }
        super().__init__(identity, maker, key, plans, digested=digested, absent=absent)
        self.written = tuple(each for each in written if each.name not in absent)
        self._all_written = {each.name: each for each in written}
        dtypes = {name: SOURCE_DTYPES[by_name[name].type] for name in sync.columns}
        self.columns = tuple(MappedColumn(name, dtypes[name]) for name in sync.columns)
        self.stopped = tuple(name for name in sync.columns if name in absent)
        scopes = {state(each.scope) for each in self.states}
        self.checked = tuple(check for check in self.checked if check.column in scopes)
        self._stamps = [
            (stamp(each.scope), each.definition.changed_at) for each in self.states if each.definition.changed_at
        ]

    def columns_reading(self, fields: Collection[str]) -> tuple[str, ...]:
        """Names of the written columns among these fields."""
        return tuple(column.name for column in self.columns if column.name in fields)

    def shape(self, name: str) -> tuple[str, ...]:
        """What kind of value a column takes."""
        return (self._all_written[name].type, self._all_written[name].form)

    def apply(self, source: pl.DataFrame, *, today: date | None = None) -> pl.DataFrame:
        """The mapped frame, row by row and in the order of the source.

        Returns:
            source_pk, key, email, alias_name, `state.<scope>`, `changed_at.<scope>` where the file names such a field,
            `present.<column>` for every column made of a measure, `state.<scope>__ok`, problems, and every written
            column as it is: what it should hold is the next step's word (kinds/engagement/wanted_rows.py).
        """
        mapped = super().apply(source, today=today)
        absent = (pl.lit(None, dtype=pl.String).alias(name) for name in (EMAIL, ALIAS_NAME) if name not in mapped)
        return mapped.with_columns(
            *(source[each.name].alias(present(each.name)) for each in self.written),
            *(source[each.name] for each in self.columns if each.name not in self.stopped),
            *(pl.lit(None, each.dtype).alias(each.name) for each in self.columns if each.name in self.stopped),
            *(source[field].alias(name) for name, field in self._stamps),
            *absent,
        )


def _digested(sync: EngagementSync) -> dict[str, Any]:
    """What the mapping's version is made of; that of a file without lists stays what it was before there were any."""
    made = sync.model_dump(mode="json", include={"fields", "returned"})
    if not sync.returned.lists:
        del made["returned"]["lists"]
    return made


def _people(sync: EngagementSync, maker: CellMaker) -> Iterator[Plan]:
    """The address and the alias by which people are found besides the key; an ill-formed one finds nobody."""
    alias = sync.identity.user_alias
    for name, kind, field in (
        (EMAIL, "email", sync.identity.email),
        (ALIAS_NAME, "user_alias", alias.name if alias else None),
    ):
        cell = maker.key(("identity", kind), field, kind) if field is not None else None
        if cell is not None:
            yield Plan(MappedColumn(name, pl.String), cell.value, (cell,), cell.rule.code, cell.rule.why)


def _states(sync: EngagementSync, maker: CellMaker, fields: Mapping[str, CaspioField]) -> Iterator[Plan]:
    for scope, each in sync.returned.states.items():
        at = sync.returned.place(scope)
        if not _check_writable(maker, (*at, "column"), each.column, fields):
            continue
        if (type_ := fields[each.column].type) not in {*_TEXTS, "YES/NO"}:
            maker.fault((*at, "column"), f"'{each.column}' is of type {type_}; a state needs a Yes/No or text field")
            continue
        mapping = ConsentMapping.model_validate({"from": each.column, "map": each.map})
        cell = maker.consent((*at, "column"), state(scope), mapping)
        if cell is not None:
            yield Plan(MappedColumn(state(scope), pl.String), cell.value, (cell,), cell.rule.code, cell.rule.why)
        if each.changed_at is not None:
            field = fields.get(each.changed_at)
            if field is None or field.type not in {"DATE/TIME", "TIMESTAMP"}:
                what = "is not there" if field is None else f"is of type {field.type}"
                maker.fault((*at, "changed_at"), f"'{each.changed_at}' {what}; name a Date/Time or Timestamp field")
            else:
                maker.used[field.name] = field


def _written(sync: EngagementSync, maker: CellMaker, fields: Mapping[str, CaspioField]) -> Iterator[WrittenColumn]:
    for name, each in sync.fields.items():
        at: Location = ("fields", name)
        if not _check_writable(maker, at, name, fields):
            continue
        type_ = fields[name].type
        takes = TAKES[MEASURES[each.measure], each.written_as]
        if type_ not in takes:
            maker.fault(at, _misfit(each, type_, takes))
            continue
        yield WrittenColumn(name, each.measure, each.written_as, type_)


def _misfit(field: WrittenField, type_: str, takes: tuple[str, ...]) -> str:
    return (
        f"is of type {type_}, and {field.measure} as {field.written_as} needs {' or '.join(takes)}; "
        "name another column, or write it in another form (`as:`)"
    )


def _check_writable(maker: CellMaker, at: Location, name: str, fields: Mapping[str, CaspioField]) -> bool:
    field = fields.get(name)
    if field is None:
        maker.fault(at, f"the table has no field '{name}'; add it in Caspio, or correct its spelling")
    elif not field.editable or field.is_formula:
        maker.fault(at, f"'{name}' is read-only in Caspio ({field.type}); name a column that may be written")
    elif field.unique:
        # Many people get the same date or state; Caspio would refuse all rows of the call but one.
        maker.fault(at, f"'{name}' is unique in Caspio, and many rows get the same value; name another column")
    else:
        return True
    return False


def _words(column: ConsentColumn, type_: str) -> Mapping[str, str]:
    """The word that is written for each state."""
    if column.map is None and type_ == "YES/NO":
        given: dict[str, GlobalState | None] = {"yes": "subscribed", "no": "unsubscribed"}
    elif column.map is None:
        given = {"subscribed": "subscribed", "unsubscribed": "unsubscribed"}
        if not isinstance(column, GroupColumn | ListColumn):
            given["opted_in"] = "opted_in"
    else:
        given = dict(column.map)
    words: dict[str, str] = {}
    for word, meant in given.items():
        if meant is not None:
            words.setdefault(meant, word)
    for one, other in (("opted_in", "subscribed"), ("subscribed", "opted_in")):
        if one not in words and other in words:
            words[one] = words[other]
    return MappingProxyType(words)
