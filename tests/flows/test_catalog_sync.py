"""Catalog sync end to end: the shipped syncs on the real products, and what changes from run to run."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from caspio_sync.sandbox.products import load_products

_SPEC = importlib.util.spec_from_file_location(
    "shipped_catalog_rules", Path(__file__).with_name("shipped_catalog_rules.py")
)
assert _SPEC
assert _SPEC.loader
rules = sys.modules.setdefault("shipped_catalog_rules", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(rules)


def items(world: Any, catalog: str = "products") -> dict[str, dict[str, Any]]:
    """What Braze's catalog holds once everything queued was applied."""
    world.clock.advance(600)
    return {key: dict(item) for key, item in world.braze.catalogs[catalog].items.items()}


def test_the_shipped_products_arrive_as_computed_and_a_second_run_sends_nothing(world: Any) -> None:
    load_products(world.caspio)
    world.shipped("products")
    report = world.run("products")
    expected = rules.expected_products(world.caspio.rows("Products"))
    assert items(world) == expected.items
    assert report.verdicts == {"sent": len(expected.items), "quarantined": len(expected.held)}
    assert report.requests == -(-len(expected.items) // 50)
    assert report.data_points == 0
    again = world.run("products", full=True)
    assert (again.requests, again.unchanged, again.deleted) == (0, len(expected.items), 0)
