"""The gate of profile syncs: what must be true of a row before it is sent."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import polars as pl

from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import ok
from expectations.gate import Expectation
from expectations.rules import Joined, is_true, row_expectations, rule_columns

REACHABLE = "reachable"
SKIPPED = "skipped"

WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        REACHABLE: "a profile with neither an address nor a number cannot be sent e-mail or SMS",
        "named": "messages that greet by name fall back where first_name is empty",
        SKIPPED: "an ill-formed value was left out (on_bad: skip), and {title} keeps what it has of it: {columns}",
    }
)


_VALUE = (
    "value_type",
    "a value that is no number, yes or no is dropped there, or kept as something else, without a word",
)
_DATE = ("date_value", "a date beyond the calendar is dropped there, or kept as something else, without a word")
_SIZE = ("value_size", "longer text and arrays are cut there, larger or ill-formed objects dropped, without a word")
_JOINED: Joined = MappingProxyType(
    {
        **dict.fromkeys(("integer_range", "number_finite", "boolean_value"), _VALUE),
        **dict.fromkeys(("longitude_range", "latitude_range"), _VALUE),
        **dict.fromkeys(("date_value", "datetime_value"), _DATE),
        **dict.fromkeys(("text_length", "url_length", "array_size", "object_size"), _SIZE),
    }
)


def judged_frame(rows: pl.DataFrame, _sync: Sync, mapping: RowMapping) -> pl.DataFrame:
    """The rows with one boolean column a rule, as the suite names them."""
    return rows.with_columns(*rule_columns(mapping, _JOINED), *_warning_columns(mapping))


def suite(sync: Sync, mapping: RowMapping) -> Sequence[Expectation]:
    """The suite: at most fifteen expectations about rows, each with severity, name and why."""
    skipping, title = ", ".join(_skipping(mapping)), rules_for(sync.kind, sync.destination).title
    warnings = {
        name: (ok(name), why.format(title=title, columns=skipping))
        for name, why in WARNINGS.items()
        if _warning_exists(name, mapping)
    }
    return [
        *row_expectations(mapping, _JOINED, "two rows with one key would overwrite each other's profile"),
        *(is_true(name, column, why, "warning") for name, (column, why) in warnings.items()),
    ]


def _warning_exists(name: str, mapping: RowMapping) -> bool:
    if name == REACHABLE:
        return bool(_reachable_by(mapping))
    if name == SKIPPED:
        return bool(_skipping(mapping))
    return any(column.name == "first_name" for column in mapping.columns)


def _reachable_by(mapping: RowMapping) -> list[str]:
    return [column.name for column in mapping.columns if column.name in {"email", "phone"}]


def _skipping(mapping: RowMapping) -> list[str]:
    return [check.column for check in mapping.checked if check.skips]


def _warning_columns(mapping: RowMapping) -> list[pl.Expr]:
    columns = []
    if _warning_exists(REACHABLE, mapping):
        addressed = pl.any_horizontal(pl.col(each).is_not_null() for each in _reachable_by(mapping))
        columns.append(addressed.alias(ok(REACHABLE)))
    if _warning_exists("named", mapping):
        columns.append(pl.col("first_name").is_not_null().alias(ok("named")))
    if _warning_exists(SKIPPED, mapping):
        columns.append(pl.all_horizontal([ok(name) for name in _skipping(mapping)]).alias(ok(SKIPPED)))
    return columns
