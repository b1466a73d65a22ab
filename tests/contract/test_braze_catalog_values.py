"""Values and storage of catalog items in the Braze emulator, against sections 9.1 and 9.3 of the reference."""

from typing import Any

import orjson
import pytest

from tests.contract.conftest import CatalogWorkspace, refusals

WITH_VALUES = ["POST", "PUT", "PATCH"]


# 9.1: values.


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("name", "", ""),
        ("name", "ü" * 5000, "ü" * 5000),
        ("name", 12.5, "12.5"),
        ("name", True, "true"),
        ("price", "12.50", 12.5),
        ("price", -1, -1),
        ("active", "true", True),
        ("active", "F", False),
        ("active", 0, False),
        ("since", "2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
        ("since", "2026-02-03 04:05", "2026-02-03 04:05"),
        ("since", 1_770_000_000, 1_770_000_000),
        ("details", {"a": {"b": [1, None, {"c": "d"}]}}, {"a": {"b": [1, None, {"c": "d"}]}}),
        ("tags", [], []),
        ("tags", ["x", 1], ["x", "1"]),
        ("tags", ["x"] * 100, ["x"] * 100),
        ("place", [-0.1, 51.5], [-0.1, 51.5]),
    ],
)
def test_values_that_are_taken_and_converted(field: str, value: Any, stored: Any) -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", field: value})
    assert shop.items["a"][field] == stored


def deep(levels: int) -> Any:
    value: Any = {"end": 1}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize("method", WITH_VALUES)
@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("name", "x" * 5001, "items-too-large"),
        ("name", {"a": 1}, "unable-to-coerce-value"),
        ("name", ["a"], "unable-to-coerce-value"),
        ("price", "dear", "unable-to-coerce-value"),
        ("price", "", "unable-to-coerce-value"),
        ("price", "NaN", "unable-to-coerce-value"),
        ("price", True, "unable-to-coerce-value"),
        ("active", "perhaps", "unable-to-coerce-value"),
        ("active", 2, "unable-to-coerce-value"),
        ("since", "yesterday", "unable-to-coerce-value"),
        ("since", "31/12/2026", "unable-to-coerce-value"),
        ("since", True, "unable-to-coerce-value"),
        ("since", 1e30, "unable-to-coerce-value"),
        ("details", "{}", "unable-to-coerce-value"),
        ("details", [], "unable-to-coerce-value"),
        ("details", {"a.b": 1}, "invalid-keys-in-value-object"),
        ("details", {"a": [{"$b": 1}]}, "invalid-keys-in-value-object"),
        ("details", deep(51), "too-deep-nesting-in-value-object"),
        ("details", {"a": "x" * 4995}, "items-too-large"),
        ("tags", "x", "unable-to-coerce-value"),
        ("tags", [{"a": 1}], "unable-to-coerce-value"),
        ("tags", [None], "unable-to-coerce-value"),
        ("tags", ["x"] * 101, "items-too-large"),
        ("place", [1], "unable-to-coerce-value"),
        ("place", [181, 0], "unable-to-coerce-value"),
        ("place", [0, 91], "unable-to-coerce-value"),
        ("place", ["0", "0"], "unable-to-coerce-value"),
        ("colour", "red", "invalid-fields"),
    ],
)
def test_values_that_are_refused(method: str, field: str, value: Any, error: str) -> None:
    assert CatalogWorkspace().refused(method, {"id": "ok"}, {"id": "a", field: value}) == [(error, ["a"])]


def test_fifty_levels_are_taken() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "details": deep(50)})
    assert shop.items["a"]["details"] == deep(50)


def test_values_can_be_set_to_need_their_own_type() -> None:
    shop = CatalogWorkspace(catalog_coercion="strict")
    for field, value in {"name": 1, "price": "1", "active": "true", "tags": [1]}.items():
        assert shop.refused("PUT", {"id": "a", field: value}) == [("unable-to-coerce-value", ["a"])]
    shop.put({"id": "a", "name": "1", "price": 1, "active": True, "tags": ["1"]})


def test_the_limit_can_be_set_to_count_each_string_of_an_object() -> None:
    shop = CatalogWorkspace(catalog_object_chars="strings")
    shop.put({"id": "a", "details": {"a": "x" * 5000, "b": ["y" * 5000]}, "tags": ["z" * 5000] * 2})
    assert shop.refused("PUT", {"id": "a", "details": {"a": ["x" * 5001]}}) == [("items-too-large", ["a"])]


def test_times_can_be_set_to_be_read_as_iso_in_the_dashboards_zone() -> None:
    shop = CatalogWorkspace(catalog_times="iso", catalog_zone="Europe/Berlin")
    shop.put({"id": "a", "since": "2026-07-01T12:00:00"}, {"id": "b", "since": 0})
    assert [item["since"] for item in shop.items.values()] == ["2026-07-01T10:00:00.000Z", "1970-01-01T00:00:00.000Z"]


# 9.1 and 9.3: storage of the company.


def test_put_is_refused_once_the_storage_is_used_up() -> None:
    shop = CatalogWorkspace(catalog_storage=1000)
    shop.put({"id": "a", "name": "x" * 900})
    surge = shop.write("PUT", {"id": "b", "name": "x" * 100})
    assert refusals(surge) == [("company-size-limit-surge", [])]
    size = len(orjson.dumps({"id": "b", "name": ""}))
    shop.put({"id": "b", "name": "x" * (1000 - shop.sandbox.catalogs.storage_used - size)})
    assert shop.sandbox.catalogs.storage_used == 1000
    assert shop.refused("PUT", {"id": "c"}) == [("company-size-limit-already-reached", [])]
    assert refusals(shop.call("PUT", "/catalogs/products/items/c", json={"items": [{"price": 1}]})) == [
        ("company-size-limit-already-reached", [])
    ]
    fields = {"fields": [{"name": "colour", "type": "string"}]}
    answer = shop.call("POST", "/catalogs/products/fields", json=fields)
    assert refusals(answer) == [("company-size-limit-already-reached", [])]


def test_what_was_accepted_before_the_storage_was_full_fails_in_silence() -> None:
    shop = CatalogWorkspace(catalog_storage=1000)
    for item_id in "abc":
        assert shop.write("PUT", {"id": item_id, "name": "x" * 400}).status_code == 202
    assert set(shop.items) == {"a", "b"}
    assert shop.write("PATCH", {"id": "a", "name": "x" * 800}).status_code == 202
    assert len(shop.items["a"]["name"]) == 400


def test_what_is_taken_away_makes_room() -> None:
    shop = CatalogWorkspace(catalog_storage=1000)
    shop.create("other", {"id": "string", "name": "string"})
    shop.write("PUT", {"id": "a", "name": "x" * 400}, catalog="other")
    shop.put({"id": "a", "name": "x" * 400})
    assert shop.refused("PUT", {"id": "b", "name": "x" * 400}) == [("company-size-limit-surge", [])]
    shop.call("DELETE", "/catalogs/other")
    shop.put({"id": "b", "name": "x" * 400})
    shop.write("DELETE", {"id": "a"})
    shop.put({"id": "b", "name": "x"})
    shop.call("DELETE", "/catalogs/products/fields/name")
    assert (shop.items, shop.sandbox.catalogs.storage_used) == ({"b": {"id": "b"}}, len(b'{"id":"b"}'))
