"""The JSON made by polars is the JSON a dictionary would give."""

import json
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.objects import data_points, encode_objects, identifier_expression
from caspio_sync.sandbox.braze.billing import attributes_points
from caspio_sync.schemas import MappedColumn

GROUPS = ("6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11", "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22")
COLUMNS = (
    MappedColumn("first_name", pl.String),
    MappedColumn("größe in cm", pl.Int64),
    MappedColumn("spend", pl.Float64, on_null="clear"),
    MappedColumn("wholesale", pl.Boolean),
    MappedColumn("interests", pl.List(pl.String), on_null="clear"),
    MappedColumn("shopping", pl.String, encoding="json", on_null="clear"),
    MappedColumn("milestones", pl.String, encoding="json"),
    MappedColumn("notes", pl.String, on_null="clear"),
    MappedColumn("email_subscribe", pl.String, role="consent"),
    *(MappedColumn(f"subscription_groups.{group}", pl.String, role="subscription_group") for group in GROUPS),
)
Row = dict[str, Any]

texts = st.one_of(
    st.text(),
    st.text(alphabet='":null,\\{}[]first_namenotes\x00\x1f\x7f \ud7ff\ue000\u2028😀', max_size=40),
    st.sampled_from(['":null,', '"first_name":null,', '\\"notes":null,', ',"notes":null', "\\", '"', '{"', '","interests":null,"x":"']),
)  # fmt: skip
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
states = st.sampled_from(["subscribed", "unsubscribed"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "first_name": texts,
    "größe in cm": st.integers(-(2**53), 2**53),
    "spend": st.floats(-(2.0**53) + 1, 2.0**53 - 1),
    "wholesale": st.booleans(),
    "interests": st.lists(texts, max_size=4),
    "shopping": st.dictionaries(texts, json_values, max_size=3).map(lambda value: orjson.dumps(value).decode()),
    "milestones": st.lists(st.dictionaries(texts, json_values, max_size=2), max_size=3).map(lambda value: orjson.dumps(value).decode()),
    "notes": texts,
    "email_subscribe": st.sampled_from(["opted_in", "subscribed", "unsubscribed"]),
    **{f"subscription_groups.{group}": states for group in GROUPS},
}  # fmt: skip
rows = st.fixed_dictionaries(
    {"key": texts}
    | {name: st.one_of(st.none(), value) for name, value in VALUES.items()}
    | {f"travels.{name}": st.booleans() for name in VALUES}
)


def travels(name: str) -> str:
    return f"travels.{name}"


def a_frame(*given_rows: Row, columns: tuple[MappedColumn, ...] = COLUMNS) -> pl.DataFrame:
    schema = (
        {"key": pl.String}
        | {each.name: each.dtype for each in columns}
        | {travels(each.name): pl.Boolean for each in columns}
    )
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in given_rows], schema=schema)


def encoded(
    *given_rows: Row,
    columns: tuple[MappedColumn, ...] = COLUMNS,
    kind: str = "external_id",
    label: str | None = None,
    update_only: bool = False,
) -> list[str]:
    frame = a_frame(*given_rows, columns=columns)
    identifier = identifier_expression(kind, label)
    return encode_objects(frame, columns, identifier=identifier, travels=travels, update_only=update_only).to_list()


def expected(row: Row, columns: tuple[MappedColumn, ...], update_only: bool) -> Row:
    """The object made the slow way: what travels and has a value, and null where the column clears."""
    found: Row = {"external_id": row["key"], "_update_existing_only": update_only}
    groups = []
    for column in columns:
        value = row[column.name]
        if not row[travels(column.name)] or (value is None and column.on_null == "skip"):
            continue
        if column.role == "subscription_group":
            groups.append({"subscription_group_id": column.group_id, "subscription_state": value})
        else:
            found[column.name] = orjson.loads(value) if value is not None and column.encoding == "json" else value
    return found | ({"subscription_groups": groups} if groups else {})


def without_repeats(pairs: list[tuple[str, Any]]) -> Row:
    assert len({name for name, _ in pairs}) == len(pairs), "a key stands twice"
    return dict(pairs)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), st.booleans())
def test_objects_are_those_of_a_dictionary(given_rows: list[Row], update_only: bool) -> None:
    made = encoded(*given_rows, update_only=update_only)
    assert [orjson.loads(text) for text in made] == [
        orjson.loads(orjson.dumps(expected(row, COLUMNS, update_only))) for row in given_rows
    ]
    for text in made:
        json.loads(text, object_pairs_hook=without_repeats)


@settings(max_examples=60, deadline=None)
@given(rows, st.sets(st.sampled_from([each.name for each in COLUMNS])))
def test_any_selection_of_columns_gives_an_object(row: Row, names: set[str]) -> None:
    columns = tuple(each for each in COLUMNS if each.name in names)
    (made,) = encoded(row, columns=columns)
    assert orjson.loads(made) == orjson.loads(orjson.dumps(expected(row, columns, update_only=False)))


@settings(max_examples=60, deadline=None)
@given(texts)
@example("\x00")
def test_any_text_arrives_as_it_is(text: str) -> None:
    columns = (MappedColumn("first_name", pl.String), MappedColumn("notes", pl.String))
    (made,) = encoded(
        {"key": text, "first_name": text, travels("first_name"): True, travels("notes"): True}, columns=columns
    )
    assert orjson.loads(made) == {"external_id": text, "first_name": text, "_update_existing_only": False}


@pytest.mark.parametrize("name", ["a b", "größe", "日本", "a/b", "it's", "a.b", "x:null,", "emoji 😀", "a\u00a0b"])
def test_absent_values_are_taken_out_whatever_the_name(name: str) -> None:
    columns = (MappedColumn(name, pl.String), MappedColumn("last", pl.String, on_null="clear"))
    (made,) = encoded({"key": "k", travels(name): True, "last": None, travels("last"): True}, columns=columns)
    assert orjson.loads(made) == {"external_id": "k", "last": None, "_update_existing_only": False}


def test_what_does_not_travel_is_absent_though_it_has_a_value() -> None:
    columns = COLUMNS[:1]
    (made,) = encoded(
        {"key": "k", "first_name": "Ann", travels("first_name"): False}, columns=columns, update_only=True
    )
    assert made == '{"external_id":"k","_update_existing_only":true}'


def test_an_alias_is_an_object_of_name_and_label() -> None:
    row = {"key": 'n"1', "first_name": "Ann", travels("first_name"): True}
    (made,) = encoded(row, columns=COLUMNS[:1], kind="user_alias", label='l"x')
    assert orjson.loads(made)["user_alias"] == {"alias_name": 'n"1', "alias_label": 'l"x'}


@pytest.mark.parametrize("kind", ["external_id", "email", "phone"])
def test_the_key_stands_under_the_name_of_its_identifier(kind: str) -> None:
    (made,) = encoded({"key": "k"}, columns=(), kind=kind)
    assert orjson.loads(made) == {kind: "k", "_update_existing_only": False}


def test_no_rows_give_no_objects() -> None:
    assert encoded() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=3))
def test_a_row_gives_the_same_object_whatever_stands_beside_it(given_rows: list[Row]) -> None:
    assert encoded(*given_rows) == [encoded(row)[0] for row in given_rows]


BILLED = (
    MappedColumn("first_name", pl.String),
    MappedColumn("interests", pl.List(pl.String), on_null="clear"),
    MappedColumn("shopping", pl.String, encoding="json"),
    MappedColumn("milestones", pl.String, encoding="json"),
    MappedColumn("email_subscribe", pl.String, role="consent"),
)


@pytest.mark.parametrize(
    "values",
    [
        {"first_name": "Ann"},
        {"interests": ["a", "b"]},
        {"interests": None},
        {"email_subscribe": "subscribed"},
        {"shopping": {"total": 1.5, "orders": 2, "favourite": 'a "quoted": thing'}},
        {"shopping": {"since": {"$time": "2026-01-01"}, "total": 1}},
        {"milestones": [{"kind": "first", "at": {"$time": "2026-01-01T00:00:00Z"}}, {"kind": "last"}]},
        {"first_name": "Ann", "interests": [], "shopping": {"a": 1}, "email_subscribe": "unsubscribed"},
    ],
)
def test_data_points_are_what_the_emulated_braze_bills(values: Row) -> None:
    texts = {
        name: orjson.dumps(value).decode() if name in {"shopping", "milestones"} else value
        for name, value in values.items()
    }
    row = {"key": "k"} | texts | {travels(each.name): each.name in values for each in BILLED}
    frame = a_frame(row, columns=BILLED)
    points = frame.select(data_points(frame, BILLED, travels=travels)).item()
    assert points == attributes_points(orjson.loads(encoded(row, columns=BILLED)[0]))


def test_without_a_diff_every_value_present_is_billed() -> None:
    frame = a_frame({"key": "k", "first_name": "Ann", "shopping": '{"a":1,"b":2}'}, columns=BILLED)
    assert frame.select(data_points(frame, BILLED, travels=None)).item() == 3
