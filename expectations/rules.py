"""What the suites share: a rule of the mapping as one expectation, and a suite as a gate.

Formats are judged by the mapping, cell by cell, in polars (`<column>__ok`); a suite says which of them count, why they
exist, and what follows. One expectation a rule, not a field, keeps it at fifteen about rows at the most.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import ok
from expectations.fit import columns_of, fit, sample
from expectations.gate import Expectation, Gate, GateLimits, expectation_from

MAX_ROW_EXPECTATIONS = 15
# Rules with one reason behind them are one expectation: each costs the gate the same time, however few rows fail it.
# From the code of a check to the name and the reason of the expectation it is part of.
Joined = Mapping[str, tuple[str, str]]


def rule_column(rule: str) -> str:
    """Name of the boolean column that says whether a row keeps a rule in all its fields."""
    return ok(f"rule.{rule}")


def rules_of(mapping: RowMapping, joined: Joined) -> dict[str, tuple[str, list[str]]]:
    """Why each rule of the mapping exists, and the columns it judges, by its name."""
    rules: dict[str, tuple[str, list[str]]] = {}
    for check in mapping.checked:
        if check.skips:
            continue
        name, why = joined.get(check.code, (check.code, check.why))
        rules.setdefault(name, (why, []))[1].append(check.column)
    return rules


def rule_columns(mapping: RowMapping, joined: Joined) -> list[pl.Expr]:
    """One boolean column a rule of the mapping, as the suite names them."""
    return [
        pl.all_horizontal([ok(column) for column in columns]).alias(rule_column(rule))
        for rule, (_, columns) in rules_of(mapping, joined).items()
    ]


def row_expectations(mapping: RowMapping, joined: Joined, key_unique: str) -> list[Expectation]:
    """What every row must meet, whatever the kind: a key of its own, and the rules of the mapping.

    Args:
        mapping: the mapping.
        joined: as above.
        key_unique: why two rows must not have one key.
    """
    reasons = {rule: why for rule, (why, _) in rules_of(mapping, joined).items()}
    return [
        is_true("key_unique", ok("key_unique"), key_unique, "critical"),
        *(is_true(rule, rule_column(rule), why, "critical") for rule, why in reasons.items()),
    ]


def is_true(name: str, column: str, why: str, severity: str) -> Expectation:
    """An expectation that a boolean column is true in every row."""
    return expectation_from(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": [True]},
        severity=severity,
        meta={"name": name, "why": why},
    )


def gate_with(name: str, sync: Sync, mapping: RowMapping, suite: Sequence[Expectation]) -> Gate:
    """The gate of one sync: a suite, the sync file's own expectations, and its limits.

    Raises:
        ConfigurationError: an expectation of the sync file that Great Expectations does not know, or that cannot judge
            the attribute it names.
    """
    limits = GateLimits(
        max_quarantined_share=sync.gate.max_quarantined_share,
        min_rows=sync.gate.min_rows,
        max_quarantined_rows=sync.gate.max_quarantined_rows,
    )
    always = sync.gate.great_expectations == "always"
    return Gate(name, [*suite, *own_expectations(sync, mapping)], limits, always=always)


def own_expectations(sync: Sync, mapping: RowMapping) -> list[Expectation]:
    """The sync file's own expectations, in their order.

    Raises:
        ConfigurationError: as `gate_with`.
    """
    return [
        expectation_from(
            each.type,
            kwargs,
            severity=each.severity,
            # Reasons and totals go by the name: two expectations of one type would be told as one.
            meta={"name": " ".join([each.type, *columns_of(each.kwargs)]), **each.meta, "why": each.why},
            place=sync.where("gate", "expectations", place),
        )
        for place, (each, kwargs) in enumerate(zip(sync.gate.expectations, fit(sync, mapping), strict=True))
    ]


def try_expectations(sync: Sync, mapping: RowMapping) -> None:
    """Evaluate each of the sync file's own expectations once, on made-up rows of the right types.

    Raises:
        ConfigurationError: each one that Great Expectations cannot evaluate, with file and line; as `gate_with`.
    """
    rows, faults = sample(mapping), []
    for place, each in enumerate(own_expectations(sync, mapping)):
        try:
            Gate("trial", [each], GateLimits(), always=True).judge(rows)
        except ConfigurationError as fault:
            faults.append(f"{sync.where('gate', 'expectations', place)}: {each.type}: {fault}")
    if faults:
        raise ConfigurationError("\n".join(faults))
