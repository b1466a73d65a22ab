"""The shipped syncs products and books on the sandbox's real rows, from Caspio's rows to Braze's catalogs."""

from typing import Any

import pytest

from caspio_sync.sandbox.products import load_books, load_products
from tests.flows import shipped_catalog_rules as rules
from tests.flows.world import World

AN_HOUR = 3600.0
# The names under which the gate holds a row for each of the reasons that the expectation gives.
HELD_AS = {
    "id_taken": "key_unique",
    "price_missing": "price_present",
    "price_negative": "price_not_negative",
    "price_zero": "price_above_zero",
    "name_missing": "named",
}


def catalog(world: World, name: str) -> dict[str, dict[str, Any]]:
    """What Braze holds, by id; a field without a value is no field of the item."""
    items = world.braze.catalogs[name].items.values()
    return {item["id"]: {field: value for field, value in item.items() if value is not None} for item in items}


def assert_catalog(world: World, name: str, wanted: dict[str, dict[str, Any]]) -> None:
    held = catalog(world, name)
    assert set(held) == set(wanted)
    assert {key: (held[key], wanted[key]) for key in wanted if held[key] != wanted[key]} == {}


def reasons(world: World) -> dict[int, str]:
    """Why each row is held, by PK_ID."""
    with world.ledger() as ledger:
        held = ledger.quarantine("products", ("quarantined",), limit=5000)
    return dict(held.select("source_pk", "reason").iter_rows())


@pytest.mark.long
def test_the_catalog_of_products_equals_the_expectation_and_a_second_run_sends_nothing(world: World) -> None:
    load_products(world.caspio)
    world.shipped("products")
    world.clock.advance(AN_HOUR)
    report = world.run("products")
    expected = rules.expected_products(world.caspio.rows("Products"))
    assert_catalog(world, "products", expected.items)
    assert report.verdicts == {"sent": len(expected.items), "quarantined": len(expected.held)}
    assert report.requests == -(-len(expected.items) // 50)
    told = reasons(world)
    assert told.keys() == expected.held.keys()
    for row, why in expected.held.items():
        assert all(HELD_AS[reason] in told[row] for reason in why), (row, told[row], why)
    world.clock.advance(AN_HOUR)
    writes = len(world.braze.catalog_log)
    again = world.run("products", full=True)
    assert (again.read, again.unchanged, again.requests) == (4070, len(expected.items), 0)
    assert len(world.braze.catalog_log) == writes
    assert_catalog(world, "products", expected.items)


@pytest.mark.long
def test_the_catalog_of_books_equals_the_expectation(world: World) -> None:
    load_books(world.caspio)
    world.shipped("books")
    report = world.run("books")
    expected = rules.expected_books(world.caspio.rows("Books"))
    assert report.verdicts == {"sent": 10_000}
    assert_catalog(world, "books", expected.items)
    assert {item["id"] for item in catalog(world, "books").values() if "image_url" not in item} == {
        str(row["BookNo"]) for row in world.caspio.rows("Books") if "nophoto" in row["ImageUrl"]
    }
