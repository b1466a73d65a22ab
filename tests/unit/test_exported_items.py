"""Items as Braze gives them back: another spelling of a value is no difference, another value is."""

from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.exported import agrees, item_values
from caspio_sync.schemas import CatalogType, MappedColumn

TYPES: dict[CatalogType, MappedColumn] = {
    "string": MappedColumn("email", pl.String, on_null="clear", catalog_type="string"),  # no profile's rule applies
    "number": MappedColumn("price", pl.Float64, on_null="clear", catalog_type="number"),
    "boolean": MappedColumn("live", pl.Boolean, on_null="clear", catalog_type="boolean"),
    "time": MappedColumn("since", pl.String, on_null="clear", catalog_type="time"),
    "array": MappedColumn("tags", pl.List(pl.String), on_null="clear", catalog_type="array"),
    "object": MappedColumn("size", pl.String, encoding="json", on_null="clear", catalog_type="object"),
    "geo": MappedColumn("place", pl.String, encoding="json", on_null="clear", catalog_type="geo"),
}
WHOLE = MappedColumn("stock", pl.Int64, on_null="clear", catalog_type="number")


def equal(column: MappedColumn, wanted: Any, held: Any) -> bool:
    given = {"id": "a"} if held is KeyError else {"id": "a", column.name: held}
    series = pl.Series([wanted], dtype=column.dtype)
    return bool(agrees(column, series, item_values([given], column))["equal"].item())


@pytest.mark.parametrize(
    ("type_", "wanted", "held"),
    [
        ("string", "a", "a"),
        ("number", 5.0, 5),
        ("number", 0.1, 0.1),
        ("number", -0.0, 0),
        ("boolean", False, False),
        ("time", "2024-07-01T11:00:00Z", "2024-07-01T11:00:00.000Z"),
        ("time", "2024-07-01T11:00:00Z", "2024-07-01T12:00:00+01:00"),
        ("time", "2024-07-01T11:00:00Z", "2024-07-01 11:00:00 UTC"),
        ("time", "2024-07-01T11:00:00Z", 1719831600),
        ("array", ["b", "a"], ["b", "a"]),
        ("object", '{"b":{"c":1.0},"a":"x"}', {"a": "x", "b": {"c": 1}}),
        ("object", '{"at":"2024-07-01T11:00:00Z"}', {"at": "2024-07-01T11:00:00+00:00"}),
        ("geo", "[1.0,-2e-7]", [1, -0.0000002]),
        *((type_, None, held) for type_ in TYPES for held in (None, KeyError)),
        ("string", None, ""),
        ("array", None, []),
        ("object", None, {}),
    ],
)
def test_the_same_value_in_another_spelling_is_no_difference(type_: CatalogType, wanted: Any, held: Any) -> None:
    assert equal(TYPES[type_], wanted, held)


@pytest.mark.parametrize(
    ("type_", "wanted", "held"),
    [
        ("string", "a", "A"),
        ("string", "2024-07-01", "2024-07-01T00:00:00Z"),
        ("string", "1", True),
        ("number", 5.0, 5.01),
        ("number", 0.0, None),
        ("boolean", False, None),
        ("boolean", True, False),
        ("time", "2024-07-01T11:00:00Z", "2024-07-01T11:00:01Z"),
        ("time", "2024-07-01T11:00:00Z", "2024-07-01T11:00:00-01:00"),
        ("array", ["a", "b"], ["b", "a"]),
        ("array", ["a"], ["a", "a"]),
        ("object", '{"a":1}', {"a": 1, "b": None}),
        ("geo", "[1.0,2.0]", [2, 1]),
        *(
            (type_, None, held)
            for type_, held in (("string", "x"), ("number", 0), ("boolean", False), ("array", ["x"]))
        ),
        *((type_, wanted, KeyError) for type_, wanted in (("string", "x"), ("number", 0.0), ("array", ["x"]))),
    ],
)
def test_another_value_is_a_difference(type_: CatalogType, wanted: Any, held: Any) -> None:
    assert not equal(TYPES[type_], wanted, held)


def test_whole_numbers_are_held_against_numbers_of_either_kind() -> None:
    assert equal(WHOLE, 5, 5.0)
    assert not equal(WHOLE, 2**53, 2**53 - 1)


def test_a_value_of_another_type_is_told() -> None:
    column = TYPES["number"]
    told = agrees(column, pl.Series([5.0, 5.0]), item_values([{"price": "5"}, {"price": 5}], column))
    assert told["equal"].to_list() == [True, True]
    assert told["retyped"].to_list() == [True, False]
