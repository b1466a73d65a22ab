"""From source frame to mapped frame, whatever the kind of sync. A pure function of frame, definition and day.

What differs between the kinds is handed in: the key's cell, the plans of the columns, and what the digest is of.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.cells import Cell, CellMaker
from caspio_sync.mapping.cleaning import masked, without_controls
from caspio_sync.mapping.columns import Plan
from caspio_sync.mapping.definition import Named
from caspio_sync.mapping.lookups import Lookup, PhoneLookup
from caspio_sync.mapping.values import source_kind
from caspio_sync.schemas import FORMER_KEY, KEY, PROBLEMS, SOURCE_DTYPES, SOURCE_PK, UNCASTABLE, MappedColumn, ok
from caspio_sync.text_columns import is_ascii, trimmed_values

# Part of every digest: raised when a rule changes what the same definition makes of the same cells.
RULES_VERSION = 2
_LEFT_OUT = ", so that it is left out"


@dataclass(frozen=True, slots=True)
class Check:
    """What a boolean column `ok(column)` of the mapped frame asserts.

    Args:
        column: a mapped column, or `key`.
        code: stable name of the rule, such as email_format.
        why: what is wrong with a value that fails, as a phrase after the column's name.
        skips: whether such a value is left out, and the row goes on without it.
    """

    column: str
    code: str
    why: str
    skips: bool = False


class RowMapping:
    """A sync's mapping, fitted to the fields of its table.

    Args:
        identity: what names the rows there.
        maker: made the cells, and knows what does not fit.
        key: the cell of the key; None where it does not fit.
        plans: of the columns, in their order.
        digested: what the definition says that changes the mapped rows, as JSON data.
        absent: names of the fields that cannot be read for now: declared as they were, and null in every row. The
            columns that read them are `stopped`: they must not travel.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(
        self,
        identity: Named,
        maker: CellMaker,
        key: Cell | None,
        plans: Sequence[Plan],
        *,
        digested: Mapping[str, Any],
        absent: Collection[str],
    ) -> None:
        if maker.findings or key is None:
            raise ConfigurationError("\n".join(maker.findings))
        self._plans = tuple(plans)
        # Paths of the cells whose ill-formed values hold no row.
        self._left_out = {cell.path for plan in self._plans if plan.column.on_bad == "skip" for cell in plan.cells}
        self._values = maker.values
        self._key = key
        self._cells = tuple(maker.cells)
        self._ways = tuple({cell.number: cell for cell in (*maker.regions, *maker.cells)}.values())
        self._lookups = {cell.number: Lookup(cell.rule.lookup) for cell in self._ways if callable(cell.rule.lookup)}
        self._phones = PhoneLookup()
        self._texts = [field.name for field in maker.used.values() if source_kind(field.type) in {"text", "list"}]
        self.identity = identity
        self.columns: tuple[MappedColumn, ...] = tuple(plan.column for plan in self._plans)
        self._kept: tuple[MappedColumn, ...] = ()
        self.source_fields: tuple[str, ...] = tuple(sorted(maker.used.keys() - set(absent)))
        self._absent = [maker.used[name] for name in sorted(maker.used.keys() & set(absent))]
        self.stopped: tuple[str, ...] = self.columns_reading(absent)
        self.checked: tuple[Check, ...] = (
            Check(KEY, key.rule.code, key.rule.why),
            *(
                Check(plan.column.name, plan.code, plan.why, plan.column.on_bad == "skip")
                for plan in self._plans
                if plan.can_fail
            ),
        )
        content = {
            "rules": RULES_VERSION,
            "columns": [column.name for column in self.columns],
            "types": {name: [field.type, field.time_zone] for name, field in sorted(maker.used.items())},
            **digested,
        }
        # What the mapping does, as 32 hex digits.
        self.digest: str = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def keeping(self, stored: Iterable[str]) -> Self:  # noqa: ARG002 - for profiles
        """This mapping, with what former ones left out and must not be forgotten: nothing, unless the kind says so.

        Args:
            stored: the columns of every mapping the ledger knows.
        """
        return self

    @property
    def layout(self) -> tuple[str, ...]:
        """What the ledger's packed fingerprints of a row are of, in their order."""
        return tuple(column.name for column in self.columns)

    def columns_reading(self, fields: Collection[str]) -> tuple[str, ...]:
        """Names of the columns that are made of one of these Caspio fields, in the mapping's order."""
        return tuple(plan.column.name for plan in self._plans if _reads(plan) & set(fields))

    def shape(self, name: str) -> tuple[str, ...]:
        """What kind of value a column gives: fields of other types that give the same are as good."""
        plan = next(each for each in self._plans if each.column.name == name)
        return (str(plan.column.dtype), *(f"{cell.rule.dtype} {cell.rule.code}" for cell in plan.cells))

    def apply(self, source: pl.DataFrame, *, today: date | None = None) -> pl.DataFrame:
        """The mapped frame, row by row and in the order of the source.

        Args:
            source: a source frame (see schemas.py) with at least `source_pk`, `uncastable` and `source_fields`.
            today: the last day a person can be born on; by default the present day in UTC.

        Returns:
            source_pk, key, every mapped column, `<column>__ok` for those in `checked`, _former_key and problems.
        """
        source = source.with_columns(pl.lit(None, SOURCE_DTYPES[each.type]).alias(each.name) for each in self._absent)
        frame = self._read(source, self._ways, today or datetime.now(UTC).date())
        mapped = (
            frame.lazy()
            .select(
                SOURCE_PK,
                self._key.value.alias(KEY),
                *(_kept_value(plan).alias(plan.column.name) for plan in self._plans),
                (pl.col(f"k{self._key.number}") & pl.col(f"p{self._key.number}").is_not_null()).alias(ok(KEY)),
                *(plan.holds.alias(ok(plan.column.name)) for plan in self._plans if plan.can_fail),
                FORMER_KEY,
            )
            .collect()
        )
        mapped = mapped.with_columns(self._within_size(plan) for plan in self._plans if plan.column.encoding == "json")
        empty = (pl.lit(None, dtype=pl.String).alias(column.name) for column in self._kept)
        return mapped.with_columns(self._problems(source, frame, mapped), *empty)

    def keys(self, source: pl.DataFrame) -> pl.DataFrame:
        """`source_pk` and `key` of the mapped frame, and nothing else of it."""
        numbers = {cell.number for cell in (self._key.region, self._key) if cell is not None}
        ways = [cell for cell in self._ways if cell.number in numbers]
        frame = self._read(source, ways, datetime.now(UTC).date())
        return frame.select(SOURCE_PK, self._key.value.alias(KEY))

    def _read(self, source: pl.DataFrame, ways: Sequence[Cell], today: date) -> pl.DataFrame:
        """The working frame of these cells (see cells.py)."""
        any_uncastable = source.get_column(UNCASTABLE).null_count() < source.height
        fields = {cell.field.name for cell in ways}
        # Lazy, so that what several cells need, and both branches of a condition, is computed once.
        frame = (
            without_controls(source, [name for name in self._texts if name in fields])
            .lazy()
            .select(
                SOURCE_PK,
                UNCASTABLE,
                self._former_key.alias(FORMER_KEY),
                *(cell.prepared.alias(f"p{cell.number}") for cell in ways),
            )
            .collect()
        )
        frame = frame.with_columns(
            *(self._looked_up(cell, frame) for cell in ways if callable(cell.rule.lookup)),
            *(cell.read.alias(f"r{cell.number}") for cell in ways if cell.rule.lookup is None),
        )
        frame = frame.with_columns(self._numbers(cell, frame) for cell in ways if cell.rule.lookup == "phone")
        return frame.with_columns(
            cell.holds(today, any_uncastable=any_uncastable).alias(f"k{cell.number}") for cell in ways
        )

    @property
    def _former_key(self) -> pl.Expr:
        """What the key was to versions that knew fewer blanks; of other identities none was well-formed with them."""
        if self._key.kind != "text" or self._key.rule.code != "key_bytes":
            return pl.lit(None, dtype=pl.String)
        return pl.col(self._key.field.name).map_batches(_former_keys, return_dtype=pl.String, is_elementwise=True)

    def _within_size(self, plan: Plan) -> pl.Expr:
        fits = self._values.json_fits(pl.col(plan.column.name)).fill_null(value=True)
        return pl.col(ok(plan.column.name)) & fits

    def _size_problem(self, plan: Plan) -> pl.Expr:
        too_large = plan.holds & ~pl.col(ok(plan.column.name))
        ending = _LEFT_OUT if plan.column.on_bad == "skip" else ""
        return pl.when(too_large).then(pl.lit(f"{plan.column.name}: is over {self._values.json_size}{ending}"))

    def _looked_up(self, cell: Cell, frame: pl.DataFrame) -> pl.Series:
        return self._lookups[cell.number](frame.get_column(f"p{cell.number}")).alias(f"r{cell.number}")

    def _numbers(self, cell: Cell, frame: pl.DataFrame) -> pl.Series:
        regions = pl.repeat(cell.default_region, frame.height, dtype=pl.String, eager=True)
        if cell.region is not None:
            # A country that is told and not known is no reason to read the number as one of another country.
            told = frame.get_column(f"p{cell.region.number}").is_not_null()
            regions = frame.get_column(f"r{cell.region.number}").zip_with(told, regions)
        numbers = frame.select(cell.read).to_series()
        return self._phones(numbers, regions).alias(f"r{cell.number}")

    def _problems(self, source: pl.DataFrame, frame: pl.DataFrame, mapped: pl.DataFrame) -> pl.Series:
        """What is wrong with each row, values masked; null for a row without fault."""
        blank = pl.repeat(None, mapped.height, dtype=pl.String, eager=True).alias(PROBLEMS)
        rows = mapped.select(pl.arg_where(~pl.all_horizontal(ok(check.column) for check in self.checked))).to_series()
        if rows.is_empty():
            return blank
        bad = frame[rows]
        failing = [cell for cell in self._cells if cell.can_fail and not bad.get_column(f"k{cell.number}").all()]
        regions = [cell.region for cell in failing if cell.region is not None]
        shown = {cell.number: cell for cell in (*failing, *regions, self._key)}.values()
        names = dict.fromkeys(cell.field.name for cell in shown)
        originals = source[rows].select(_shown(source, name).alias(f"s:{name}") for name in names)
        doubts = [
            Lookup(cell.rule.doubtful)(bad.get_column(f"p{cell.number}")).alias(f"d{cell.number}")
            for cell in shown
            if cell.rule.doubtful is not None
        ]
        bad = pl.concat([bad.with_columns(doubts), originals, mapped[rows].select("^.*__ok$")], how="horizontal")
        texts = bad.select(
            pl.concat_str(
                self._key_problem(),
                *(_cell_problem(cell, self._left_out) for cell in failing if cell is not self._key),
                *(self._size_problem(plan) for plan in self._plans if plan.column.encoding == "json"),
                separator="; ",
                ignore_nulls=True,
            )
        ).to_series()
        return blank.scatter(rows, texts)

    def _key_problem(self) -> pl.Expr:
        empty = pl.when(pl.col(f"p{self._key.number}").is_null()).then(pl.lit(f"{KEY}: is empty"))
        return pl.coalesce(empty, _cell_problem(self._key))


def _former_keys(cells: pl.Series) -> pl.Series:
    if is_ascii(cells):
        return pl.Series(cells.name, [None], dtype=pl.String).new_from_index(0, len(cells))
    key = pl.col(cells.name).str.strip_chars()
    longer = key.str.len_bytes() > trimmed_values(key).str.len_bytes()
    return cells.to_frame().select(pl.when(longer).then(key)).to_series()


def _kept_value(plan: Plan) -> pl.Expr:
    """The value; one that is left out is nothing to whoever reads the row."""
    return pl.when(plan.holds).then(plan.value) if plan.column.on_bad == "skip" and plan.can_fail else plan.value


def _reads(plan: Plan) -> set[str]:
    regions = (cell.region for cell in plan.cells if cell.region is not None)
    return {cell.field.name for cell in (*plan.cells, *regions)}


def _cell_problem(cell: Cell, left_out: Collection[str] = ()) -> pl.Expr:
    fails = ~pl.col(f"k{cell.number}")
    uncastable = pl.col(UNCASTABLE).list.contains(cell.field.name).fill_null(value=False)
    why = (
        pl.when(uncastable)
        .then(pl.lit(f"{cell.path}: is no value of Caspio's type {cell.field.type}"))
        .otherwise(pl.concat_str(pl.lit(f"{cell.path}: "), pl.coalesce(_region_fault(cell), _fault(cell))))
    )
    return pl.when(fails).then(why + _LEFT_OUT if cell.path in left_out else why)


def _fault(cell: Cell) -> pl.Expr:
    """What is wrong with a cell's value, and its shape."""
    unread = pl.col(f"r{cell.number}").is_null()
    why = pl.when(unread).then(pl.lit(cell.rule.unread or cell.rule.why)).otherwise(pl.lit(cell.rule.why))
    if cell.rule.doubtful is not None:
        why = pl.coalesce(f"d{cell.number}", why)
    original = pl.col(f"s:{cell.field.name}")
    shape = pl.concat_str(pl.lit(" ("), masked(original), pl.lit(")")).fill_null("")
    return pl.concat_str(why, shape)


def _region_fault(cell: Cell) -> pl.Expr:
    """Of a number that lacks a country code: the country beside it, where that is told and not known."""
    region = cell.region
    if region is None:
        return pl.lit(None, dtype=pl.String)
    unknown = pl.col(f"p{region.number}").is_not_null() & pl.col(f"r{region.number}").is_null()
    says = pl.concat_str(pl.lit(f"has no country code of its own, and '{region.field.name}' "), _fault(region))
    return pl.when(unknown).then(says)


def _shown(source: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    return (
        column.list.join(", ", ignore_nulls=True)
        if isinstance(source.schema[name], pl.List)
        else column.cast(pl.String)
    )
