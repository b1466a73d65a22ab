"""The gate of profile syncs: what must be true of a row before it is sent to Braze.

Formats are judged by the mapping, cell by cell, in polars (`<column>__ok`); the suite says which of them count, why
they exist, and what follows. One expectation a rule, not a field, keeps it at fifteen about rows at the most.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.schemas import ok
from expectations.gate import Gate, GateLimits, expectation_from

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

MAX_ROW_EXPECTATIONS = 15

REACHABLE = "reachable"

WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        REACHABLE: "a profile with neither an address nor a number cannot be sent e-mail or SMS",
        "named": "messages that greet by name fall back where first_name is empty",
    }
)


# Rules with one reason behind them are one expectation: each costs the gate the same time, however few rows fail it.
_VALUE = ("value_type", "a value that is no number, yes or no is dropped by Braze without a word")
_DATE = ("date_value", "a date beyond the calendar is dropped by Braze without a word")
_SIZE = ("value_size", "Braze cuts longer text and arrays, and drops larger or ill-formed objects without a word")
_JOINED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("integer_range", "number_finite", "boolean_value"), _VALUE),
        **dict.fromkeys(("longitude_range", "latitude_range"), _VALUE),
        **dict.fromkeys(("date_value", "datetime_value"), _DATE),
        **dict.fromkeys(("text_length", "url_length", "array_size", "object_size"), _SIZE),
    }
)


def rule_column(rule: str) -> str:
    """Name of the boolean column that says whether a row keeps a rule in all its fields."""
    return ok(f"rule.{rule}")


def rules_of(mapping: ProfileMapping) -> dict[str, tuple[str, list[str]]]:
    """Why each rule exists, and the columns it judges, by its name."""
    rules: dict[str, tuple[str, list[str]]] = {}
    for check in mapping.checked:
        name, why = _JOINED.get(check.code, (check.code, check.why))
        rules.setdefault(name, (why, []))[1].append(check.column)
    return rules


def judged_frame(rows: pl.DataFrame, mapping: ProfileMapping) -> pl.DataFrame:
    """The rows with one boolean column a rule, as the suite names them."""
    rules = [
        pl.all_horizontal([ok(column) for column in columns]).alias(rule_column(rule))
        for rule, (_, columns) in rules_of(mapping).items()
    ]
    return rows.with_columns(*rules, *_warning_columns(mapping))


def profile_gate(name: str, sync: ProfileSync, mapping: ProfileMapping) -> Gate:
    """The gate of one profile sync: the suite below, the sync file's own expectations, and its limits.

    Raises:
        ConfigurationError: an expectation of the sync file that Great Expectations does not know.
    """
    own = [
        expectation_from(each.type, dict(each.kwargs), severity=each.severity, meta=dict(each.meta))
        for each in sync.gate.expectations
    ]
    limits = GateLimits(
        max_quarantined_share=sync.gate.max_quarantined_share,
        min_rows=sync.gate.min_rows,
        max_quarantined_rows=sync.gate.max_quarantined_rows,
    )
    return Gate(name, [*profile_suite(mapping), *own], limits)


def profile_suite(mapping: ProfileMapping) -> "Sequence[Expectation]":
    """The suite: at most fifteen expectations about rows, each with severity, name and why."""
    critical = {
        "key_unique": (ok("key_unique"), "two rows with one key would overwrite each other's profile"),
        **{rule: (rule_column(rule), why) for rule, (why, _) in rules_of(mapping).items()},
    }
    warnings = {name: (ok(name), why) for name, why in WARNINGS.items() if _warning_exists(name, mapping)}
    return [
        *(_is_true(name, column, why, "critical") for name, (column, why) in critical.items()),
        *(_is_true(name, column, why, "warning") for name, (column, why) in warnings.items()),
    ]


def _is_true(name: str, column: str, why: str, severity: str) -> "Expectation":
    return expectation_from(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": [True]},
        severity=severity,
        meta={"name": name, "why": why},
    )


def _warning_exists(name: str, mapping: ProfileMapping) -> bool:
    if name == REACHABLE:
        return bool(_reachable_by(mapping))
    return any(column.name == "first_name" for column in mapping.columns)


def _reachable_by(mapping: ProfileMapping) -> list[str]:
    return [column for column in (mapping.email_column, mapping.phone_column) if column]


def _warning_columns(mapping: ProfileMapping) -> list[pl.Expr]:
    columns = []
    if _warning_exists(REACHABLE, mapping):
        addressed = pl.any_horizontal(pl.col(each).is_not_null() for each in _reachable_by(mapping))
        columns.append(addressed.alias(ok(REACHABLE)))
    if _warning_exists("named", mapping):
        columns.append(pl.col("first_name").is_not_null().alias(ok("named")))
    return columns
