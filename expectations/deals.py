"""The gate of syncs of deals: what must be true of a row before salespeople see it, and figures are made of it.

One boolean column a rule. A deal that is made wrong is corrected by the next run; one that is made twice, or for the
wrong money, is worked on by people before anybody looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import polars as pl

from caspio_sync.deferred import pycountry
from caspio_sync.kinds.deals.definition import (
    CONTACT,
    CURRENCY,
    OWNER,
    PIPELINE,
    STAGE,
    STATES,
    STATUS,
    TITLE,
    VALUE,
    DealSync,
)
from caspio_sync.kinds.deals.mapping import DealMapping
from expectations.gate import Expectation
from expectations.rules import Joined, is_true, row_expectations, rule_column, rule_columns

_MOST_VALUE = 1e12  # units of a currency; more is a typing error
_CENT = 1e-6  # of a unit: how far a number with two decimals may be from its cents

RULES: Mapping[str, str] = MappingProxyType(
    {
        "contact_present": "a deal of nobody is refused",
        "title_present": "a deal without a title is refused, and nobody knows what it is",
        "value_present": "a deal needs a value of nothing or more; less is a booking, or a mistake",
        "value_in_cents": "fractions of a cent would be rounded; `transform: {round: 2}` does so on purpose",
        "currency_known": "a value means nothing without a currency code of ISO 4217, such as GBP",
        "pipeline_present": "a deal without a pipeline is refused",
        "stage_present": "a deal without a stage would begin at the first one, whatever the row's state is",
        "owner_is_id": "an owner is told by the number of a user there",
        "status_known": f"a state is one of {', '.join(STATES)}; any other word is a typing error",
    }
)
_VALUE = ("value_type", "a value that is none of its type means nothing in a deal")
_SIZE = ("value_size", "larger values may be cut off without a word")
_CODE = ("value_code", "a code or number that means nothing is of no use to anybody")
_JOINED: Joined = MappingProxyType(
    {
        **dict.fromkeys(("integer_range", "number_finite", "boolean_value", "date_value", "datetime_value"), _VALUE),
        **dict.fromkeys(("text_length", "array_size", "object_size"), _SIZE),
        **dict.fromkeys(("phone_format", "country_code", "language_code"), _CODE),
    }
)


def judged_frame(rows: pl.DataFrame, sync: DealSync, mapping: DealMapping) -> pl.DataFrame:
    """The rows with one boolean column a rule.

    Args:
        rows: mapped rows.
        sync: the definition.
        mapping: the mapping.
    """
    own = (holds.fill_null(value=False).alias(rule_column(name)) for name, holds in _own_rules(sync))
    return rows.with_columns(*rule_columns(mapping, _JOINED), *own)


def suite(sync: DealSync, mapping: DealMapping) -> Sequence[Expectation]:
    """The suite: every expectation is about rows."""
    rules = row_expectations(mapping, _JOINED, "two rows with one key would change one deal in turn")
    return [*rules, *(is_true(name, rule_column(name), RULES[name], "critical") for name, _ in _own_rules(sync))]


def _own_rules(sync: DealSync) -> Iterator[tuple[str, pl.Expr]]:
    """Name and condition of each rule that is about deals; a null condition does not hold."""
    value = pl.col(VALUE).cast(pl.Float64, strict=False)
    yield "contact_present", pl.col(CONTACT).str.len_chars() > 0
    yield "title_present", pl.col(TITLE).cast(pl.String).str.len_chars() > 0
    yield "value_present", value.is_between(0, _MOST_VALUE)
    yield "value_in_cents", value.is_null() | (((value * 100).round() / 100 - value).abs() <= _CENT)
    yield "currency_known", pl.col(CURRENCY).cast(pl.String).str.to_uppercase().is_in(sorted(_currencies()))
    yield "pipeline_present", pl.col(PIPELINE).cast(pl.String).str.len_chars() > 0
    if sync.stage is not None:
        yield "stage_present", pl.col(STAGE).cast(pl.String).str.len_chars() > 0
    if sync.deal_owner is not None:
        yield "owner_is_id", pl.col(OWNER).is_null() | pl.col(OWNER).cast(pl.String).str.contains(r"^[1-9]\d{0,9}$")
    if sync.status is not None:
        yield "status_known", pl.col(STATUS).is_null() | pl.col(STATUS).is_in(STATES)


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies)
