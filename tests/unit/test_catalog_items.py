"""Items made by polars are the JSON that a dictionary would give."""

import json
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.item_objects import encode_item_changes, encode_item_ids, encode_items
from caspio_sync.schemas import CatalogType, MappedColumn

NAUGHTY: list[str] = json.loads(
    (Path(__file__).parents[1] / "data" / "naughty-strings" / "strings.json").read_text(encoding="utf-8")
)


def a_column(name: str, dtype: Any, type_: CatalogType) -> MappedColumn:
    encoding: Any = "json" if type_ in {"object", "geo"} else "value"
    return MappedColumn(name, dtype, encoding=encoding, on_null="clear", catalog_type=type_)


COLUMNS = (
    a_column("name", pl.String, "string"),
    a_column("price", pl.Float64, "number"),
    a_column("stock", pl.Int64, "number"),
    a_column("2nd-hand", pl.Boolean, "boolean"),
    a_column("since", pl.String, "time"),
    a_column("tags", pl.List(pl.String), "array"),
    a_column("size", pl.String, "object"),
    a_column("place", pl.String, "geo"),
)
Row = dict[str, Any]

texts = st.one_of(
    st.text(),
    st.text(alphabet='":null,\\{}[]idname\x00\x1f\x7f \ud7ff\ue000\u2028😀', max_size=40),
    st.sampled_from([',"name":null', '\\",\\"price\\":null', '"}', "}", "\\", '{"id":null', *NAUGHTY]),
)
numbers = st.floats(-(2.0**53) + 1, 2.0**53 - 1)
sizes = st.dictionaries(texts, st.one_of(texts, numbers, st.booleans(), st.none()), max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "price": numbers,
    "stock": st.integers(-(2**53), 2**53),
    "2nd-hand": st.booleans(),
    "since": st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"),
    "tags": st.lists(texts, min_size=1, max_size=4),
    "size": sizes.map(lambda value: orjson.dumps(value).decode()),
    "place": st.tuples(numbers, numbers).map(lambda value: orjson.dumps(value).decode()),
}
item_ids = st.from_regex(r"[A-Za-z0-9_-]{1,250}", fullmatch=True)
rows = st.fixed_dictionaries(
    {"key": item_ids}
    | {name: st.one_of(st.none(), each) for name, each in VALUES.items()}
    | {f"travels.{name}": st.booleans() for name in VALUES}
)


def travels(name: str) -> str:
    return f"travels.{name}"


def a_frame(given_rows: list[Row]) -> pl.DataFrame:
    schema: dict[str, Any] = {"key": pl.String} | {each.name: each.dtype for each in COLUMNS}
    schema |= {travels(each.name): pl.Boolean for each in COLUMNS}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in given_rows], schema=schema)


def plain(row: Row, column: MappedColumn) -> Any:
    value = row[column.name]
    return orjson.loads(value) if value is not None and column.encoding == "json" else value


def once(pairs: list[tuple[str, Any]]) -> Row:
    assert len({name for name, _ in pairs}) == len(pairs), "a key stands twice"
    return dict(pairs)


def read(texts_: pl.Series) -> list[Row]:
    return [json.loads(text) for text in texts_]


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_a_whole_item_is_its_id_and_what_has_a_value(given_rows: list[Row]) -> None:
    made = encode_items(a_frame(given_rows), COLUMNS)
    assert read(made) == [
        {"id": row["key"]} | {each.name: plain(row, each) for each in COLUMNS if row[each.name] is not None}
        for row in given_rows
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_a_changed_item_is_its_id_and_what_travels_with_null_for_what_was_emptied(given_rows: list[Row]) -> None:
    made = encode_item_changes(a_frame(given_rows), COLUMNS, travels)
    assert read(made) == [
        {"id": row["key"]} | {each.name: plain(row, each) for each in COLUMNS if row[travels(each.name)]}
        for row in given_rows
    ]
    for text in made:
        json.loads(text, object_pairs_hook=once)
        assert text.startswith('{"id":"')


@settings(max_examples=100, deadline=None)
@given(texts)
@example("\x00")
def test_any_text_arrives_as_it_is(text: str) -> None:
    row = dict.fromkeys(VALUES) | {"key": "a", "name": text, "tags": [text, text]}
    assert read(encode_items(a_frame([row]), COLUMNS)) == [{"id": "a", "name": text, "tags": [text, text]}]


def test_an_item_without_values_is_its_id() -> None:
    row = dict.fromkeys(VALUES) | {"key": "a"}
    assert encode_items(a_frame([row]), COLUMNS).to_list() == ['{"id":"a"}']
    assert encode_items(a_frame([row]), ()).to_list() == ['{"id":"a"}']
    assert encode_items(a_frame([]), COLUMNS).to_list() == []


def test_whole_numbers_travel_without_a_point() -> None:
    given_rows = [dict.fromkeys(VALUES) | {"key": "a", "price": price} for price in (2008.0, -0.0, 2.5, 1e-7)]
    texts_ = ['{"id":"a","price":2008}', '{"id":"a","price":0}', '{"id":"a","price":2.5}']
    assert encode_items(a_frame(given_rows), COLUMNS).to_list()[:3] == texts_
    assert [item["price"] for item in read(encode_items(a_frame(given_rows), COLUMNS))] == [2008, 0, 2.5, 1e-7]


@settings(max_examples=50, deadline=None)
@given(st.lists(item_ids))
def test_items_to_delete_are_their_ids(keys: list[str]) -> None:
    assert read(encode_item_ids(pl.Series(keys, dtype=pl.String))) == [{"id": key} for key in keys]
