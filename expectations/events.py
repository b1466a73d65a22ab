"""The gate of syncs of events: what must be true of something that is told once and cannot be taken back.

One boolean column a rule. The time is held against the present one, and against `gate.max_age` unless a person has
chosen the rows (a backfill, a release). Of purchases besides: product, currency, price and quantity; of events whose
schema the destination prescribes: its parts, and of those made of lines that the lines are all there and are products.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import polars as pl

from caspio_sync.deferred import pycountry
from caspio_sync.engine.destination import destination_of
from caspio_sync.kinds.events.assembly import LINES, ORDERS, UNSOUND
from caspio_sync.kinds.events.definition import (
    CURRENCY,
    EVENT_NAME,
    LINE_COUNT,
    PRICE,
    PRODUCT_ID,
    QUANTITY,
    TIME,
    Occurrences,
)
from caspio_sync.kinds.events.lines_definition import Lines
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.kinds.events.work import EDITED, JUMP, NOW, OLDEST, THERE, WAITED, WINDOW
from caspio_sync.ledger.held import WAITS, WAITS_FOR_LINES
from caspio_sync.schemas import KEY
from expectations.gate import Expectation, expectation_from
from expectations.rules import Joined, is_true, row_expectations, rule_column, rule_columns

_A_DAY = 86_400 * 1_000_000  # whose order is older, its lines are not still on their way
AHEAD_SECONDS = 300  # clocks differ; what is further ahead would be dated to its arrival (Braze, 3.5)

WAITS_FOR_ITS_TIME = f"{WAITS}for_its_time"
WAITS_FOR_ITS_PERSON = f"{WAITS}for_its_person"

RULES: Mapping[str, str] = MappingProxyType(
    {
        "event_named": "an event without a name, or with one that is not in the sync's taxonomy, is a typing error",
        "time_present": "an event without a time would be dated to its arrival",
        WAITS_FOR_ITS_TIME: "an event of the future would be dated to its arrival; it is sent when its time has come",
        WAITS_FOR_ITS_PERSON: "an event of somebody who is not known there is lost; it is sent when the person is",
        "time_not_too_old": "an event older than gate.max_age is history: `caspio-sync backfill` sends it on purpose",
        WAITS_FOR_LINES: "an order without all of its lines would be told of in part; they are waited for",
        "lines_complete": "the lines of an order were not all there in time, or another order bears its number",
        "lines_sound": "a line that is no product, or takes one back (lines.negative), would have its order dropped",
        "parts_present": "an event that lacks a part of its schema, or has a negative amount, is dropped",
        "not_edited": "the row was sent and has been edited since (on_update: hold)",
        "properties_size": "larger properties are refused, or dropped without a word",
        "product_present": "a purchase needs its product",
        "currency_known": "a price means nothing without a currency code of ISO 4217, such as GBP",
        "price_not_negative": "a negative price is no purchase; `negative:` in the sync file says what it becomes",
        "quantity_not_negative": "fewer than one piece is no purchase; `negative:` says what it becomes",
        "quantity_within": "more pieces than are taken at once; `quantity: {above_most: …}` says what becomes of them",
    }
)
_SHARE, _COUNT_JUMP = "one_person", "count_jump"
_VALUE = ("value_type", "a value that is none of its type means nothing in a campaign")
_SIZE = ("value_size", "larger values are refused, or dropped without a word")
_CODE = ("value_code", "a code or number that means nothing cannot be used in a campaign")
_JOINED: Joined = MappingProxyType(
    {
        **dict.fromkeys(("integer_range", "number_finite", "boolean_value", "date_value", "datetime_value"), _VALUE),
        **dict.fromkeys(("text_length", "array_size", "object_size", "event_name", "product_id"), _SIZE),
        **dict.fromkeys(("phone_format", "country_code", "language_code"), _CODE),
    }
)


def judged_frame(rows: pl.DataFrame, sync: Occurrences, mapping: EventMapping) -> pl.DataFrame:
    """The rows with one boolean column a rule.

    Args:
        rows: mapped rows. `_now`, `_oldest`, `_edited`, `_there` and `_waited` may be missing: then nothing is said of
            time, edits and people, and lines are waited for.
        sync: the definition.
        mapping: the mapping.
    """
    unknown = {
        JUMP: pl.Float64,
        WINDOW: pl.Int64,
        NOW: pl.Int64,
        OLDEST: pl.Int64,
        EDITED: pl.Boolean,
        THERE: pl.Boolean,
        WAITED: pl.Boolean,
    }
    rows = rows.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in unknown.items() if name not in rows.columns
    )
    own = (holds.fill_null(value=True).alias(rule_column(name)) for name, holds in _own_rules(sync, mapping))
    share = pl.when(pl.col(KEY).is_not_null()).then(pl.len().over(KEY) / pl.len()).otherwise(0.0)
    many = pl.when(pl.col(WINDOW) >= sync.gate.min_rows).then(JUMP).fill_null(0.0)
    batch = (share.alias(rule_column(_SHARE)), many.alias(rule_column(_COUNT_JUMP)))
    return rows.with_columns(*rule_columns(mapping, _JOINED), *own, *batch)


def suite(sync: Occurrences, mapping: EventMapping) -> Sequence[Expectation]:
    """The suite: about rows, and two about the batch."""
    rules = row_expectations(mapping, _JOINED, "each row is one event")
    own = [name for name, _ in _own_rules(sync, mapping)]
    batch = [*([_of_several_people(sync)] if sync.gate.max_person_share < 1 else []), _without_a_jump(sync)]
    return [*rules, *(is_true(name, rule_column(name), RULES[name], "critical") for name in own), *batch]


def _of_several_people(sync: Occurrences) -> Expectation:
    share = sync.gate.max_person_share
    why = f"more than {share:.0%} of the rows are of one person (gate.max_person_share): a placeholder, or a script"
    return expectation_from(
        "expect_column_max_to_be_between",
        {"column": rule_column(_SHARE), "max_value": share},
        severity="critical",
        meta={"name": _SHARE, "why": why},
    )


def _without_a_jump(sync: Occurrences) -> Expectation:
    """Of ten minutes and not of the batch alone: a webhook's batches hold a few rows each."""
    most = sync.gate.max_jump
    why = (
        f"with these, ten minutes have more than {most:g} times the events that any ten minutes of the last week had "
        "(gate.max_jump): a script, an import, or a table that was filled again; `backfill` sends them on purpose"
    )
    return expectation_from(
        "expect_column_max_to_be_between",
        {"column": rule_column(_COUNT_JUMP), "max_value": most},
        severity="critical",
        meta={"name": _COUNT_JUMP, "why": why, "at_any_size": True},
    )


def _own_rules(sync: Occurrences, mapping: EventMapping) -> Iterator[tuple[str, pl.Expr]]:
    """Name and condition of each rule that is about events; a null condition says nothing."""
    time = pl.col(TIME).str.to_datetime(time_unit="us", time_zone="UTC", strict=False).dt.epoch("us")
    if (lines := sync.order_lines) is not None:
        yield from _line_rules(lines, time)
    yield "time_present", pl.col(TIME).is_not_null()
    yield WAITS_FOR_ITS_TIME, time <= pl.col(NOW) + AHEAD_SECONDS * 1_000_000
    if destination_of(sync).sink(sync).awaits_people:
        yield WAITS_FOR_ITS_PERSON, pl.col(THERE)
    yield "time_not_too_old", time >= pl.col(OLDEST)
    if sync.on_update == "hold":
        yield "not_edited", ~pl.col(EDITED)
    yield "properties_size", _properties_bytes(mapping) <= destination_of(sync).sink(sync).properties_bytes
    own = sync.own_parts
    if EVENT_NAME in own:
        yield "event_named", pl.col(EVENT_NAME).is_in(list(sync.taxonomy)).fill_null(value=False)
    if PRICE in own:
        yield from _purchase_rules(sync)
    if mapping.schemas:
        yield "parts_present", _has_parts(mapping)


def _line_rules(lines: Lines, time: pl.Expr) -> Iterator[tuple[str, pl.Expr]]:
    waited, found = pl.col(WAITED).fill_null(value=False), pl.col(LINES)
    if lines.complete.count is not None:
        complete = found == pl.col(LINE_COUNT)
    elif lines.complete.quiet is not None:
        settled = (time < pl.col(NOW) - _A_DAY).fill_null(value=False) | pl.col(OLDEST).is_null()
        complete = waited | settled
    else:
        complete = pl.lit(value=True)
    complete = (complete & (found > 0)).fill_null(value=False)
    yield WAITS_FOR_LINES, complete | waited
    yield "lines_complete", (complete | ~waited) & (pl.col(ORDERS) <= 1).fill_null(value=True)
    yield "lines_sound", pl.col(UNSOUND).is_null()


def _has_parts(mapping: EventMapping) -> pl.Expr:
    """Whether every part that a schema requires is there, no number is below zero, and the currency is one."""
    columns = {column.name: column.dtype for column in mapping.properties}
    made = set() if mapping.assembly is None else {mapping.assembly.amount}  # there wherever there are products
    required = set().union(*(schema.required for schema in mapping.schemas)) - made
    numbers = {name for schema in mapping.schemas for name, meaning in schema.parts.items() if meaning == "number"}
    there = [
        pl.col(name).str.len_chars() > 0 if columns[name] == pl.String else pl.col(name).is_not_null()
        for name in sorted(required)
    ]
    positive = ((pl.col(name) >= 0).fill_null(name not in required) for name in sorted(numbers & columns.keys()))
    currency = [pl.col(CURRENCY).is_in(sorted(_currencies()))] if CURRENCY in columns else []
    return pl.all_horizontal(*there, *positive, *currency).fill_null(value=False)


def _purchase_rules(sync: Occurrences) -> Iterator[tuple[str, pl.Expr]]:
    price, pieces = pl.col(PRICE), pl.col(QUANTITY)
    yield "product_present", (pl.col(PRODUCT_ID).str.len_chars() > 0).fill_null(value=False)
    yield "currency_known", pl.col(CURRENCY).is_in(sorted(_currencies())).fill_null(value=False)
    if sync.returned_as is None:
        yield "price_not_negative", (price >= 0).fill_null(value=False)
        yield "quantity_not_negative", (pieces >= 1).fill_null(value=False)
    else:
        yield "price_not_negative", price.is_not_null()
        yield "quantity_not_negative", (pieces != 0).fill_null(value=False)
    yield "quantity_within", (pieces <= destination_of(sync).sink(sync).most_pieces).fill_null(value=False)


def _properties_bytes(mapping: EventMapping) -> pl.Expr:
    """How large the JSON text of the properties becomes, at the most: those without a value count as null."""
    plain = [column.name for column in mapping.properties if column.encoding == "value"]
    built = [column for column in mapping.properties if column.encoding == "json"]
    flat = pl.struct(plain).struct.json_encode().str.len_bytes() if plain else pl.lit(2, dtype=pl.UInt32)
    texts = (pl.col(each.name).str.len_bytes().fill_null(0) + len(each.name.encode()) + 4 for each in built)
    return pl.sum_horizontal(flat.cast(pl.Int64), *(each.cast(pl.Int64) for each in texts))


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies)
