"""Profile mapping: Caspio rows as user profiles."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Self

import polars as pl

from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.mapping.automations import AUTOMATION_PREFIX
from caspio_sync.mapping.cells import CONDITION, CellMaker
from caspio_sync.mapping.columns import Plan, Planner
from caspio_sync.mapping.conditions import Condition
from caspio_sync.mapping.consent import GROUP_PREFIX, LIST_PREFIX, SubscriptionGroup, is_consent
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.segments import SEGMENT_PREFIX
from caspio_sync.mapping.tags import FROM, TAG_PREFIX
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import CaspioField, MappedColumn, Role


class ProfileMapping(RowMapping):
    """A profile sync's mapping, fitted to the fields of its table.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        values: what the destination takes of a profile.
        absent: as for `RowMapping`.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(
        self, sync: ProfileSync, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> None:
        maker = CellMaker(sync, fields, values)
        identity = sync.identity
        key = maker.key(sync.key_place, identity.source_field, identity.kind, region=identity.region)
        digested = {
            "identity": identity.model_dump(mode="json", exclude={"on_new"}),
            "fields": sync.model_dump(mode="json", include={"fields", "consent"}),
            "time_zone": sync.source.time_zone,
        }
        # Not there where there are none: digests of files without stay what they were.
        later = {"lists", "tags", "automations"}
        digested |= {name: given for name, given in sync.model_dump(mode="json", include=later).items() if given}
        super().__init__(identity, maker, key, plan_columns(sync, maker), digested=digested, absent=absent)

    def keeping(self, stored: Iterable[str]) -> Self:
        """This mapping, with the consent of former mappings that it left out: columns without a value.

        A "no" that was acknowledged under them still stands, and is repeated with a new address (ledger/compare.py).

        Args:
            stored: the columns of every mapping the ledger knows.
        """
        present = {column.name for column in self.columns}
        left_out = sorted(name for name in set(stored) - present if is_consent(name))
        kept = copy(self)
        roles: Mapping[bool, Role] = {True: "subscription_group", False: "consent"}
        kept._kept = tuple(  # noqa: SLF001 - of its own class
            MappedColumn(name, pl.String, role=roles[name.startswith(GROUP_PREFIX)]) for name in left_out
        )
        kept.columns = (*self.columns, *kept._kept)  # noqa: SLF001 - as above
        if left_out:
            kept.digest = hashlib.sha256(f"{self.digest} {left_out}".encode()).hexdigest()[:32]
        return kept


def plan_columns(sync: ProfileSync, maker: CellMaker) -> tuple[Plan, ...]:
    """The plans of all columns that fit: attributes, what follows conditions, states."""
    standard = maker.values.standard

    def meaning(at: Location, _: FieldMapping) -> str | None:
        """The rule that an attribute's name alone decides; None for a custom attribute."""
        match at:
            case ("fields", str(name)):
                return standard.get(name)
            case ("fields", str(name), "object", str(key)) if standard.get(name) == "location":
                return key
        return None

    plans = Planner(maker, meaning).plans(sync.fields)
    attributes = (_whole(plan) if standard.get(plan.column.name) == "location" else plan for plan in plans)
    return (*attributes, *_tag_words(sync, maker), *_conditions(sync, maker), *_states(sync, maker))


def _whole(plan: Plan) -> Plan:
    """Half a location is none: it would be refused for the whole object (Braze, BAD_LOCATION_UPDATE)."""
    both = pl.all_horizontal(pl.lit(value=True), *(cell.value.is_not_null() for cell in plan.cells))
    return replace(plan, value=pl.when(both).then(plan.value))


def _tag_words(sync: ProfileSync, maker: CellMaker) -> Iterator[Plan]:
    for name, field in sync.tag_words.items():
        mapping = FieldMapping.model_validate({"from": field})
        if cell := maker.value(("tags", FROM), name, mapping, meaning="tag_words"):
            column = MappedColumn(name, cell.rule.dtype, on_null="withdraw")
            words = pl.when(cell.value.list.len() > 0).then(cell.value)
            yield Plan(column, words, (cell,), cell.rule.code, cell.rule.why)


def _conditions(sync: ProfileSync, maker: CellMaker) -> Iterator[Plan]:
    """Columns that are true while a condition is met, and else nothing."""
    asked: list[tuple[Location, str, Condition]] = [
        *((("tags", name, "when"), f"{TAG_PREFIX}{name}", rule.condition) for name, rule in sync.named_tags.items()),
        *(
            (("automations", name, "enrol_when"), f"{AUTOMATION_PREFIX}{name}", rule.condition)
            for name, rule in sync.automations.items()
        ),
        *(
            (("lists", column.removeprefix(SEGMENT_PREFIX), "when"), column, rule.condition)
            for column, rule in sync.segment_columns.items()
        ),
    ]
    for at, name, condition in asked:
        first = len(maker.cells)
        met = maker.condition(at, name, condition)
        if met is not None:
            column = MappedColumn(name, pl.Boolean, on_null="withdraw")
            yield Plan(
                column, pl.when(met).then(statement=True), tuple(maker.cells[first:]), CONDITION.code, CONDITION.why
            )


def _states(sync: ProfileSync, maker: CellMaker) -> Iterator[Plan]:
    states = {"email_subscribe": sync.consent.email_subscribe, "push_subscribe": sync.consent.push_subscribe}
    for name, mapping in states.items():
        cell = mapping and maker.consent(("consent", name), name, mapping)
        if cell:
            column = MappedColumn(name, pl.String, role="consent")
            yield Plan(column, cell.value, (cell,), cell.rule.code, cell.rule.why)
    for name, state in sync.list_columns.items():
        if cell := maker.consent(("lists", name.removeprefix(LIST_PREFIX)), name, state):
            column = MappedColumn(name, pl.String, role="consent")
            yield Plan(column, cell.value, (cell,), cell.rule.code, cell.rule.why)
    for number, group in enumerate(sync.consent.subscription_groups):
        if cell := maker.consent(("consent", "subscription_groups", number), group.column, group):
            yield Plan(_group_column(group), cell.value, (cell,), cell.rule.code, cell.rule.why)


def _group_column(group: SubscriptionGroup) -> MappedColumn:
    return MappedColumn(group.column, pl.String, role="subscription_group", channel=group.channel)
