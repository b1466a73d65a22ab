# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""Rows as catalog items: ids by an explicit rule, values within Braze's limits, and nothing else sent."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.items import ITEM_VALUES
from caspio_sync.engine.drift import Drift, FieldsThen, find_drift
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.mapping import CatalogMapping, slug
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField

NAUGHTY: list[str] = json.loads(
    (Path(__file__).parents[1] / "data" / "naughty-strings" / "strings.json").read_text(encoding="utf-8")
)
TYPES = {
    "Code": "STRING", "Number": "INTEGER", "Name": "TEXT", "Price": "NUMBER", "Stock": "INTEGER", "Live": "YES/NO",
    "Since": "DATE/TIME", "Tags": "LIST-STRING", "Lon": "NUMBER", "Lat": "NUMBER", "Sizes": "LIST-NUMBER",
}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]
WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{1,250}")


def a_sync(fields: str = "{name: Name}", *, item_id: str = "Code", more: str = "") -> Any:
    text = (
        "kind: catalog\nsource: {table: Products, time_zone: Europe/London}\ncatalog: {name: products}\n"
        f"item_id: {item_id}\nfields: {fields}\n{more}"
    )
    return parse_sync(text, Path("syncs/products.yaml"))


def a_mapping(fields: str = "{name: Name}", *, item_id: str = "Code", more: str = "") -> CatalogMapping:
    return CatalogMapping(a_sync(fields, item_id=item_id, more=more), FIELDS, ITEM_VALUES)


def mapped(mapping: CatalogMapping, *given_rows: dict[str, Any]) -> list[dict[str, Any]]:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items()}
    rows = [{"source_pk": number, "Code": f"c{number}"} | row for number, row in enumerate(given_rows)]
    source = pl.DataFrame(rows, schema=schema)
    frame = mapping.apply(source)
    assert mapping.keys(source).equals(frame.select("source_pk", "key"))
    return frame.to_dicts()


def value(field: str, **cells: Any) -> tuple[Any, bool]:
    """Value and verdict of the field `a`, mapped as `field`."""
    row = mapped(a_mapping(f"{{a: {field}}}"), cells)[0]
    return row["a"], row.get("a__ok", True)


def ids(item_id: str, *codes: str | None) -> list[tuple[str | None, bool]]:
    rows = mapped(a_mapping(item_id=item_id), *({"Code": code} for code in codes))
    return [(row["key"], row["key__ok"]) for row in rows]


SLUG = "{from: Code, id_transform: slug}"


def test_a_strict_id_is_taken_as_it_is_or_held() -> None:
    long = "a" * 250
    assert ids("Code", " 85123A ", "a_b-C", long) == [("85123A", True), ("a_b-C", True), (long, True)]
    wrong = ["BANK CHARGES", "a/b", "Ümläut", "a" * 300, "a.b", "a\nb", "é"]
    assert ids("Code", *wrong) == [(code, False) for code in wrong]


def test_a_slug_makes_an_id_that_braze_takes() -> None:
    given_ids = ["BANK CHARGES", "a/b", "Ümläut", "Ünï_x--y", " ﬁsh №5 ", "85123A", "85123a", "straße", "a" * 300]
    made = ["bank-charges", "a-b", "umlaut", "uni_x-y", "fish-no5", "85123a", "85123a", "stra-e", "a" * 300]
    assert ids(SLUG, *given_ids) == [(key, len(key) <= 250) for key in made]


def test_an_id_of_which_nothing_is_left_is_empty() -> None:
    rows = mapped(a_mapping(item_id=SLUG), *({"Code": code} for code in ("???", "", None, "\u0301", "--")))
    assert [(row["key"], row["key__ok"], row["problems"]) for row in rows] == [(None, False, "key: is empty")] * 5


def test_whole_numbers_are_ids_too() -> None:
    for item_id in ("Number", "{from: Number, id_transform: slug}"):
        (row,) = mapped(a_mapping(item_id=item_id), {"Number": 12})
        assert (row["key"], row["key__ok"]) == ("12", True)


def test_a_bad_id_is_told_without_its_letters() -> None:
    (row,) = mapped(a_mapping(), {"Code": "BANK CHARGES 7"})
    assert row["problems"] == (
        "key: is no item id: Braze takes at most 250 letters from A to Z, digits, - and _ (xxxx xxxxxxx 9)"
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=20))
@example(NAUGHTY)
@example(["İ", "ß", "K", "ǅ", "①", "½", "ﷺ", "e\u0301", "ⅷ", "-_-"])
def test_a_slug_is_well_formed_or_null_and_stays_as_it_is(given_ids: list[str]) -> None:
    frame = pl.DataFrame({"text": pl.Series(given_ids, dtype=pl.String)})
    made = frame.select(slug(pl.col("text"))).to_series()
    for text in made.drop_nulls():
        assert re.fullmatch(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", text)
    assert made.to_frame("text").select(slug(pl.col("text"))).to_series().to_list() == made.to_list()


@pytest.mark.parametrize("item_id", ["Code", SLUG])
def test_naughty_ids_are_well_formed_or_held(item_id: str) -> None:
    for key, holds in ids(item_id, *NAUGHTY):
        assert holds == bool(key and WELL_FORMED.fullmatch(key))


@pytest.mark.parametrize(
    ("field", "cells", "expected"),
    [
        ("Name", {"Name": "x" * 5_000}, ("x" * 5_000, True)),
        ("Name", {"Name": "x" * 6_000}, ("x" * 6_000, False)),
        ("{from: Name, transform: {truncate: 5000}}", {"Name": "x" * 6_000}, ("x" * 5_000, True)),
        ("Price", {"Price": 1.25}, (1.25, True)),
        ("Price", {"Price": float("inf")}, (None, False)),
        ("Price", {"Price": float("nan")}, (None, False)),
        ("Price", {"Price": 2.0**53}, (None, False)),
        ("{from: Name, type: number}", {"Name": " 12.5 "}, (12.5, True)),
        ("{from: Name, type: number}", {"Name": "12,5"}, (None, False)),
        ("{from: Name, type: number}", {"Name": "9007199254740993"}, (None, False)),
        ("{from: Price, transform: {round: 2}}", {"Price": 2.675}, (2.68, True)),
        ("{from: Stock, type: number}", {"Stock": 5}, (5, True)),
        ("Stock", {"Stock": 2**53 + 1}, (None, False)),
        ("{from: Stock, type: string}", {"Stock": 5}, ("5", True)),
        ("{from: Stock, map: {1: one}}", {"Stock": 1}, ("one", True)),
        ("Live", {"Live": False}, (False, True)),
        ("{from: Name, type: boolean}", {"Name": "perhaps"}, (None, False)),
        ("Since", {"Since": datetime(2024, 7, 1, 12)}, ("2024-07-01T11:00:00Z", True)),
        ("{from: Name, type: time}", {"Name": "2024-01-01"}, ("2024-01-01T00:00:00Z", True)),
        ("{from: Name, type: time}", {"Name": "soon"}, ("soon", False)),
        ("Tags", {"Tags": ["b", " ", "a", "b"]}, (["b", "a"], True)),
        ("Tags", {"Tags": []}, (None, True)),
        ("Tags", {"Tags": [str(number) for number in range(101)]}, ([str(number) for number in range(101)], False)),
        ("Tags", {"Tags": ["x" * 5_001]}, (["x" * 5_001], False)),
        ("Sizes", {"Sizes": ["36", "37.5"]}, (["36", "37.5"], True)),
        ("{array: [Name, Stock]}", {"Name": "x", "Stock": 5}, (["x", "5"], True)),
        ("{array: Tags}", {"Tags": ["x"]}, (["x"], True)),
        ("{geo: {longitude: Lon, latitude: Lat}}", {"Lon": -0.1, "Lat": 51.0}, ("[-0.1,51.0]", True)),
        ("{geo: {longitude: Lon, latitude: Lat}}", {"Lon": 1e-7, "Lat": 0.0}, ("[1e-7,0.0]", True)),
        ("{geo: {longitude: Lon, latitude: Lat}}", {"Lon": -0.1}, (None, True)),
        ("{geo: {longitude: Lon, latitude: Lat}}", {"Lon": 181.0, "Lat": 51.0}, (None, False)),
        ("{geo: {longitude: Lon, latitude: Lat}}", {"Lon": 51.0, "Lat": float("nan")}, (None, False)),
        ("{object: {at: Since, n: Stock, in: {object: {t: Tags}}}}", {"Since": datetime(2024, 1, 1), "Tags": ["x"]}, ('{"at":"2024-01-01T00:00:00Z","in":{"t":["x"]}}', True)),
        ("{object: {n: Name}}", {"Name": "x" * 5_000}, ('{"n":"' + "x" * 5_000 + '"}', False)),
        ("{constant: shop}", {}, ("shop", True)),
    ],
)  # fmt: skip
def test_values_are_those_that_braze_takes(field: str, cells: dict[str, Any], expected: tuple[Any, bool]) -> None:
    assert value(field, **cells) == expected


def test_the_schema_says_the_type_of_each_field_with_the_id_first() -> None:
    mapping = a_mapping(
        "{name: Name, price: Price, stock: Stock, live: Live, since: Since, tags: Tags, both: {array: [Name]}, "
        "place: {geo: {longitude: Lon, latitude: Lat}}, size: {object: {x: Price}}, kind: {constant: 1}, "
        "since_text: {from: Since, type: string}}"
    )
    assert mapping.schema == (
        ("id", "string"), ("name", "string"), ("price", "number"), ("stock", "number"), ("live", "boolean"),
        ("since", "time"), ("tags", "array"), ("both", "array"), ("place", "geo"), ("size", "object"),
        ("kind", "number"), ("since_text", "string"),
    )  # fmt: skip
    assert {(column.on_null, column.role) for column in mapping.columns} == {("clear", "attribute")}


def test_a_catalog_knows_no_consent() -> None:
    mapping = a_mapping("{email: Name, phone: Code, email_subscribe: Live}")
    assert {column.role for column in mapping.columns} == {"attribute"}
    assert mapping.keeping(["email_subscribe", "subscription_groups.x", "left"]) is mapping


def test_the_digest_follows_the_catalog_and_its_ids() -> None:
    text = "kind: catalog\nsource: {table: T}\ncatalog: {name: NAME}\nitem_id: Code\nfields: {name: Name}\n"
    syncs = [parse_sync(text.replace("NAME", name), Path("x.yaml")) for name in ("a", "a", "b")]
    one, same, other = (CatalogMapping(sync, FIELDS, ITEM_VALUES).digest for sync in syncs)  # type: ignore[arg-type]
    assert one == same != other
    assert a_mapping(item_id=SLUG).digest != a_mapping().digest


@pytest.mark.parametrize(
    ("fields", "more", "said"),
    [
        ("{price: Price, cost: Name}", "gate: {price: cost}\n", "gate.price: 'cost' is of type string; the price is a number, add `type: number`"),
        ("{coin: Price}", "gate: {currency: coin}\n", "gate.currency: 'coin' is of type number; the currency is a string, add `type: string`"),
        ("{a: Nmae}", "", "fields.a: 'Products' has no field 'Nmae' (did you mean 'Name'?)"),
        ("{a: {geo: {longitude: Lon, latitude: Live}}}", "", "fields.a.geo.latitude: 'Live' is of type YES/NO, which cannot become latitude"),
        ("{a: {from: Name, type: geo}}", "", "type 'geo' is built with `geo:`, not with `from`"),
        ("{a: {from: Name, type: array}}", "", "'Name' is of type TEXT, which cannot become array; it takes a list field"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_table_is_told(fields: str, more: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        a_mapping(fields, more=more)
    assert said in str(caught.value)
    assert str(caught.value).startswith("syncs/products.yaml:")


def test_an_id_from_a_date_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"item_id: 'Since' is of type DATE/TIME, which cannot become item_id"):
        a_mapping(item_id="Since")


# Drift ----------------------------------------------------------------------------------------------------------------

SYNC_FIELDS = "{name: Name, price: Price, tags: Tags}"


def drift(sync: Any, **now: str | None) -> Drift:
    then = FieldsThen("table Products", {each.name: each for each in FIELDS})
    known = {name: CaspioField(name, type_) for name, type_ in (TYPES | now).items() if type_ is not None}
    return find_drift(sync, known, then)


def test_a_field_that_is_gone_or_of_another_type_stops_alone() -> None:
    gone = drift(a_sync(SYNC_FIELDS), Tags=None)
    assert gone.stopped == ("Tags",)
    assert "STOPPED tags: Tags (LIST-STRING) is gone. Braze keeps what it has" in gone.lines[0]
    mapping = CatalogMapping(a_sync(SYNC_FIELDS), FIELDS, ITEM_VALUES, absent=gone.stopped)
    assert mapping.stopped == ("tags",)
    assert drift(a_sync(SYNC_FIELDS), Name="NUMBER").stopped == ("Name",)
    assert drift(a_sync(SYNC_FIELDS), Name="STRING").stopped == ()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"Code": None}, "Code (STRING) is gone; it is the key (item_id)"),
        ({"Code": "NUMBER"}, "Code was STRING and is NUMBER; it is the key (item_id)"),
        ({"Price": None}, "Price (NUMBER) is gone; it is judged by gate.price (price)"),
    ],
)
def test_without_its_id_or_its_price_a_catalog_stops(now: dict[str, str | None], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        drift(a_sync(SYNC_FIELDS), **now)
    assert said in str(caught.value)
