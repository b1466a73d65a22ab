"""The gate of events and purchases: which rows it holds."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine.kind import mapping_of
from caspio_sync.kinds.events.assembly import JOINED
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from expectations.rules import MAX_ROW_EXPECTATIONS
from expectations.suites import gate_of, judged_frame, suite_of

TYPES = {
    "Who": "STRING", "Kind": "STRING", "At": "DATE/TIME", "Text": "TEXT", "Big": "TEXT", "Big2": "TEXT",
    "Code": "STRING", "Currency": "STRING", "Price": "NUMBER", "Pieces": "INTEGER", "Phone": "STRING",
}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]
NOW = 1_772_452_800_000_000  # 2026-03-02T12:00:00Z
DAY = 86_400_000_000
EVENTS = """\
kind: events
source: {table: T}
identity: {external_id: Who}
event: {from: Kind, map: {o: opened}, names: [closed]}
time: At
properties: {text: Text, inside: {object: {a: Big, b: Big2}}}
"""
PURCHASES = """\
kind: purchases
source: {table: T}
identity: {external_id: Who}
product_id: Code
currency: Currency
price: Price
quantity: {from: Pieces}
time: At
properties: {phone: {from: Phone, transform: phone}, country: {from: Text, transform: country}}
"""
SOUND = {
    "Who": "c1",
    "Kind": "O",
    "At": "2026-03-02T11:00:00",
    "Code": "p",
    "Currency": "GBP",
    "Price": 1.0,
    "Pieces": 2,
}


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def held(text: str, *rows: dict[str, Any], **columns: Any) -> list[str | None]:
    """Why each row is held; None where it passes."""
    sync: Sync = parse_sync(text, Path("syncs/t.yaml"))
    mapping = mapping_of(sync, FIELDS)
    schema: dict[str, Any] = {"source_pk": pl.Int64} | {each.name: SOURCE_DTYPES[each.type] for each in FIELDS}
    schema |= {"uncastable": pl.List(pl.String), **(JOINED if "lines:" in text else {})}
    whole = [dict.fromkeys(schema) | SOUND | {"source_pk": place} | row for place, row in enumerate(rows)]
    source = pl.DataFrame(whole, schema={**schema, "At": pl.String}).with_columns(pl.col("At").str.to_datetime())
    told = {"_now": NOW, "_oldest": NOW - 30 * DAY, "_edited": False, **columns}
    frame = mapping.apply(source).with_columns(
        key_unique__ok=pl.lit(value=True), **{k: pl.lit(v) for k, v in told.items()}
    )
    judged = gate_of("t", sync, mapping).judge(judged_frame(frame, sync, mapping))
    reasons = {row["source_pk"]: row["reason"].split(" | ")[0] for row in judged.held.iter_rows(named=True)}
    return [reasons.get(place) for place in range(len(rows))]


def test_names_are_those_of_the_taxonomy() -> None:
    rows: list[dict[str, Any]] = [{"Kind": "o"}, {"Kind": "closed"}, {"Kind": "opend"}, {"Kind": None}]
    assert held(EVENTS, *rows) == [None, None, "event_named", "event_named"]


def test_times_are_of_the_past_and_not_of_history() -> None:
    rows: list[dict[str, Any]] = [
        {"At": "2026-03-02T12:04:00"},
        {"At": "2026-03-02T12:06:00"},
        {"At": "2026-01-31T12:01:00"},
        {"At": "2026-01-31T11:59:00"},
        {"At": None},
    ]
    assert held(EVENTS, *rows) == [None, "waits_for_its_time", None, "time_not_too_old", "time_present"]
    assert held(EVENTS, rows[3], _oldest=None) == [None]  # a backfill


def test_a_person_is_named_and_edits_are_held_where_the_sync_says_so() -> None:
    assert held(EVENTS, {"Who": None}, {"Who": "x" * 988}) == ["key_bytes", "key_bytes"]
    assert held(EVENTS, {}, _edited=True) == [None]
    assert held(EVENTS + "on_update: hold\n", {}, _edited=True) == ["not_edited"]


def test_properties_are_of_a_size() -> None:
    half = "x" * 200
    assert held(EVENTS, {"Text": "x" * 255}, {"Text": "x" * 256}) == [None, "value_size"]
    assert held(EVENTS, {"Big": half, "Big2": half}) == [None]


def test_all_properties_together_are_of_a_size() -> None:
    many = ", ".join(f"p{number}: {{object: {{a: Text}}}}" for number in range(420))
    text = EVENTS.replace("{text: Text, inside: {object: {a: Big, b: Big2}}}", f"{{{many}}}")
    assert held(text, {"Text": "x" * 200}, {"Text": "x" * 255}) == [None, "properties_size"]


def test_money_is_money() -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"Currency": "GPB"},
        {"Currency": None},
        {"Price": -1.0},
        {"Price": None},
        {"Price": 0.0},
        {"Pieces": 0},
        {"Pieces": -1},
        {"Pieces": 101},
        {"Code": None},
    ]
    assert held(PURCHASES, *rows) == [
        None,
        "currency_known",
        "currency_known",
        "price_not_negative",
        "price_not_negative",
        None,
        "quantity_not_negative",
        "quantity_not_negative",
        "quantity_within",
        "product_present",
    ]


def test_what_the_sync_says_of_many_pieces_and_of_negative_lines() -> None:
    split = PURCHASES.replace("{from: Pieces}", "{from: Pieces, above_most: split}")
    assert held(split, {"Pieces": 7500}, {"Pieces": 7501}) == [None, "quantity_within"]
    assert held(split.replace("split", "property"), {"Pieces": 10**6}) == [None]
    returned = PURCHASES + "negative: {event: returned}\n"
    assert held(returned, {"Pieces": -3}, {"Price": -1.0}, {"Pieces": 0}) == [None, None, "quantity_not_negative"]


ORDERS = """\
kind: events
source: {table: T}
identity: {external_id: Who}
event: {from: Kind, map: {o: ecommerce.order_placed, r: ecommerce.order_refunded}}
time: At
properties:
  order_id: Code
  currency: Currency
  source: {constant: shop}
  total_discounts: Price
  metadata: {object: {text: Text, phone: {from: Phone, transform: phone}}}
lines:
  table: L
  key: Code
  complete: {count: Pieces}
  products: {product_id: C, product_name: N, variant_id: C, quantity: Q, price: P}
"""


def test_an_order_is_held_for_its_parts_and_for_its_lines() -> None:
    joined = {"_lines": 2, "_orders": 1, "_bought": "[{}]", "_amount": 5.0}
    one = {**joined, "Pieces": 2, "Price": 0.0}
    rows = [
        one,
        {**one, "_lines": 1},
        {**one, "_lines": 0, "Pieces": 0},
        {**one, "_lines": 3},
        {**one, "_orders": 2},
        {**one, "_unsound": "17"},
        {**one, "Currency": "XYZ"},
        {**one, "Code": ""},
        {**one, "Price": -1.0},
        {**one, "Kind": "x"},
    ]
    assert held(ORDERS, *rows) == [
        None,
        *["waits_for_its_lines"] * 3,
        "lines_complete",
        "lines_sound",
        *["parts_present"] * 3,
        "event_named",
    ]
    assert held(ORDERS, *rows[:5], _waited=True) == [None, *["lines_complete"] * 4]
    quiet = ORDERS.replace("{count: Pieces}", "{quiet: 60s}")
    assert held(quiet, one, {**one, "At": "2026-03-01T11:59:00"}) == ["waits_for_its_lines", None]
    assert held(quiet, one, _waited=True) == held(quiet, one, _oldest=None) == [None]


@pytest.mark.parametrize("text", [each + "on_update: hold\n" for each in (EVENTS, PURCHASES, ORDERS)])
def test_the_suite_stays_small(text: str) -> None:
    sync = parse_sync(text, Path("syncs/t.yaml"))
    about_rows = [
        each
        for each in suite_of(sync, mapping_of(sync, FIELDS))
        if each.meta["name"] not in {"one_person", "count_jump"}
    ]
    assert len(about_rows) <= MAX_ROW_EXPECTATIONS
