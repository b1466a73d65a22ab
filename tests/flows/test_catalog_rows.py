"""Rows of a hostile world as items of a catalog: ids, texts, numbers, prices; what is refused, alone and in company."""

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.characters import trimmed
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import PRODUCTS_SYNC, Shop, product
from tests.flows.crashes import crash_at
from tests.flows.killing import killed_after

SANDBOX = Path(__file__).parents[2] / "src" / "caspio_sync" / "sandbox" / "data"
SLUG = PRODUCTS_SYNC.replace("item_id: Code", "item_id: {from: Code, id_transform: slug}")
MANY_HELD = "gate: {max_quarantined_rows: 1000, max_quarantined_share: 1}\n"
ITEMS = "/catalogs/products/items"
# What becomes of each id: under strict, and under slug; None is held.
IDS: list[tuple[str, str | None, str | None]] = [
    ("plain-1_A", "plain-1_A", "plain-1_a"),
    ("two words", None, "two-words"),
    ("a/b", None, "a-b"),
    ("a%2Fc", None, "a-2fc"),
    ("Äpfel & Öl", None, "apfel-ol"),
    ("..", None, None),
    ("🎁", None, None),
    ("gift 🎁 card", None, "gift-card"),
    ("x" * 250, "x" * 250, "x" * 250),
    ("y" * 251, None, None),
    ("ABC", "ABC", "abc"),
    ("abc", None, None),
    ("two---words", "two---words", None),
    ("id", "id", "id"),
]


def cleaned(text: str | None) -> str | None:
    """Text after the documented cleaning: no control characters but tab and line ends; blank text is no value."""
    kept = "".join(char for char in text or "" if char in "\t\n\r" or unicodedata.category(char) != "Cc")
    return kept if trimmed(kept) else None


def held(shop: Shop) -> dict[str, str]:
    """Reasons of held rows by PK_ID and key."""
    with shop.world.ledger() as ledger:
        rows = ledger.quarantine("products", ("quarantined", "rejected"), limit=1000)
    return {str(key): reason for key, reason in rows.select("key", "reason").iter_rows()}


@pytest.mark.parametrize("transform", ["strict", "slug"])
def test_ids_of_every_kind(shop: Shop, transform: str) -> None:
    shop.open(
        [product(place, Code=code) for place, (code, *_) in enumerate(IDS)],
        (SLUG if transform == "slug" else PRODUCTS_SYNC) + MANY_HELD,
    )
    wanted = {made for _, *both in IDS if (made := both[transform == "slug"]) is not None}
    report = shop.run()
    assert set(shop.items()) == wanted
    assert report.verdicts == {"sent": len(wanted), "quarantined": len(IDS) - len(wanted)}
    assert shop.run().requests == 0


@pytest.mark.parametrize("transform", ["strict", "slug"])
def test_two_rows_with_one_id_are_one_item_and_the_later_one_is_held_naming_both(shop: Shop, transform: str) -> None:
    codes = ("a-b", "a-b") if transform == "strict" else ("a b", "A/B")
    first, second = shop.open(
        [product(place, Code=code) for place, code in enumerate(codes, start=1)],
        SLUG if transform == "slug" else PRODUCTS_SYNC,
    )
    shop.run()
    assert shop.items()["a-b"]["title"] == "Title 1"
    assert f"PK_ID {second} claims the key of PK_ID {first}" in held(shop)["a-b"]
    shop.drop(codes[0]) if transform == "slug" else shop.world.caspio.delete_rows("Products", f"PK_ID = {first}")
    report = shop.run()
    assert (report.deleted, shop.items()["a-b"]["title"], held(shop)) == (0, "Title 2", {})


def test_texts_of_every_kind_arrive_as_they_are(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    naughty = json.loads((SANDBOX / "naughty-strings" / "blns.json").read_text(encoding="utf-8"))
    shop.open([product(number, About=text) for number, text in enumerate(naughty)], PRODUCTS_SYNC + MANY_HELD)
    with caplog.at_level(logging.DEBUG):
        shop.run()
    kept = {str(row["Code"]): cleaned(row["About"]) for row in shop.world.caspio.rows("Products")}
    arrived = {key: each.get("about") for key, each in shop.items().items()}
    assert kept == arrived
    assert shop.run().requests == 0


def test_a_description_of_6000_characters_is_held_and_its_neighbours_go(shop: Shop) -> None:
    shop.open([product(1, About="x" * 6000), product(2, About="ü" * 5000), product(3, About="🎁" * 5000)])
    report = shop.run()
    assert report.verdicts == {"sent": 2, "quarantined": 1}
    assert {key: len(each["about"]) for key, each in shop.items().items()} == {"p2": 5000, "p3": 5000}
    assert "value_size" in held(shop)["p1"]
    shop.edit("p1", About="short")
    shop.run()
    assert shop.items() == shop.expected()


def test_numbers_at_the_edges(shop: Shop) -> None:
    edges = {
        "p1": 0.1, "p2": 1e-9, "p3": 2.0**53 - 1, "p4": 2.0**53, "p5": -0.0, "p6": 1e300, "p7": 0.30000000000000004,
    }  # fmt: skip
    sync = PRODUCTS_SYNC.replace("  price: Price\n", "  weight: Price\n")
    shop.open([product(number, Code=code, Price=value) for number, (code, value) in enumerate(edges.items())], sync)
    shop.run()
    arrived = {key: each["weight"] for key, each in shop.items().items()}
    assert arrived == {key: value for key, value in edges.items() if key not in {"p4", "p6"}}
    assert set(held(shop)) == {"p4", "p6"}


def test_a_price_that_leaps_is_held_and_goes_once_it_is_released(shop: Shop) -> None:
    shop.open(5)
    shop.run()
    shop.edit("p4", Price=100)
    shop.edit("p2", Price=0.6)
    assert shop.run().verdicts == {"sent": 1, "quarantined": 1}
    assert "price_change" in held(shop)["p4"]
    assert shop.items()["p4"]["price"] == 1
    assert shop.run().requests == 0
    shop.edit("p3", Price=None)
    shop.run()
    report = shop.run(release=("quarantined",))
    assert report.verdicts == {"sent": 1, "quarantined": 1}
    assert (shop.items()["p4"]["price"], set(held(shop))) == (100, {"p3"})
    shop.edit("p4", Price=1)
    shop.run()
    assert shop.items()["p4"]["price"] == 100


def test_a_price_is_held_against_the_last_one_though_the_run_that_sent_it_died(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.open(5)
    with monkeypatch.context() as patch:
        crash_at(patch, ("record", "before", 1))
        assert shop.ended().code != 0
    shop.run()
    shop.edit("p4", Price=100)
    shop.run()
    assert set(held(shop)) == {"p4"}


# What Braze alone knows to refuse: the emulator refuses it by a field that is not what it was.


@pytest.mark.parametrize("errors", ["each", "first", "unnamed"])
@pytest.mark.parametrize("bad", [1, 3])
def test_bad_items_among_fifty_are_refused_alone(shop: Shop, errors: str, bad: int) -> None:
    shop.open(120)
    codes = [f"p{number}" for number in range(20, 20 + bad)]
    shop.empty_braze(catalog_errors=errors, catalog_large_items=frozenset(codes))
    report = shop.run()
    assert report.verdicts == {"sent": 120 - bad, "rejected": bad}
    assert set(held(shop)) == set(codes)
    assert set(shop.items()) == set(shop.expected()) - set(codes)
    assert report.requests == 3


def test_a_refusal_that_is_no_json_is_halved_too(shop: Shop) -> None:
    shop.open(50)
    shop.world.break_braze(Fault(kind="status", path=ITEMS, status=400, nth=(1, 2, 4), body="<html>"))
    report = shop.run()
    assert report.verdicts["sent"] + report.verdicts.get("rejected", 0) == 50
    assert report.verdicts["sent"] == len(shop.items()) > 40


def test_storage_that_runs_full_is_a_clear_error_and_the_next_run_goes_on(shop: Shop) -> None:
    shop.open(400)
    shop.empty_braze(catalog_storage=9_000, catalog_delay_seconds=0)
    ended = shop.ended()
    assert ended.code == 2
    assert "storage for catalogs is full (company-size-limit" in ended.message
    taken = len(shop.items())
    assert 0 < taken < 400
    assert shop.world.verdicts("products") == {"sent": taken}
    shop.world.braze.behaviour.catalog_storage = 1_000_000
    assert shop.run().sent == 400 - taken
    assert shop.items() == shop.expected()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="refuse", path=ITEMS, nth=(1, 2, 5), seconds=20),
        Fault(kind="status", path=ITEMS, status=502, nth=(1, 2, 3)),
        Fault(kind="status", path=ITEMS, status=500, for_seconds=30),
        Fault(kind="reset_before", path=ITEMS, nth=(1, 3)),
        Fault(kind="reset_after", path=ITEMS, nth=(1, 3)),
        Fault(kind="truncate", path=ITEMS, nth=(1, 2)),
        Fault(kind="slow", path=ITEMS, nth=(1,), seconds=40),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.nth}",
)
def test_items_and_deletions_outlast_trouble(shop: Shop, fault: Fault) -> None:
    shop.open(300)
    shop.world.break_braze(fault)
    assert shop.run().verdicts == {"sent": 300}
    assert shop.struck(fault.kind) >= 1
    shop.drop(*(f"p{number}" for number in range(1, 31)))
    report = shop.run()
    assert (report.deleted, shop.items()) == (30, shop.expected())
    assert shop.struck(fault.kind) >= 1
    shop.world.break_braze()
    assert (shop.run().requests, shop.world.verdicts("products")) == (0, {"sent": 270, "deleted": 30})


@pytest.mark.parametrize("kind", ["reset_after", "status"])
def test_an_item_whose_answer_was_lost_goes_with_its_row(shop: Shop, kind: Any) -> None:
    """Braze took the new items, the run never learned it, and their rows went before the next one."""
    shop.open(20)
    shop.run()
    shop.add(product(21), product(22))
    shop.world.break_braze(Fault(kind=kind, path=ITEMS, method="PUT"))
    assert shop.ended().code == 4
    assert len(shop.items()) == (22 if kind == "reset_after" else 20)
    shop.world.break_braze()
    shop.drop("p21", "p22")
    shop.run()
    assert shop.items() == shop.expected()
    assert shop.run().requests == 0


def test_a_deletion_that_fails_is_made_up_for_by_the_next_run(shop: Shop) -> None:
    shop.open(20)
    shop.run()
    shop.drop("p20")
    shop.add(product(21))
    shop.world.break_braze(Fault(kind="status", path=ITEMS, method="DELETE", status=503))
    ended = shop.ended()
    assert (ended.code, set(shop.items())) == (4, {f"p{number}" for number in range(1, 22)})
    shop.world.break_braze()
    report = shop.run()
    assert (report.deleted, report.sent, shop.items()) == (1, 0, shop.expected())


def test_a_read_that_breaks_off_and_the_one_that_goes_on_delete_nothing(shop: Shop) -> None:
    shop.open(1700, PRODUCTS_SYNC + "batch_size: 1000\n")
    shop.run()
    shop.drop("p2", "p1690")
    shop.world.caspio.update_rows("Products", {"About": "Changed"}, "Stock > 0")
    with killed_after(1, silently=False):
        shop.run()
    assert len(shop.items()) == 1700
    report = shop.world.run("products")
    assert (report.notes[0].startswith("goes on after PK_ID"), report.deleted, len(shop.items())) == (True, 0, 1700)
    assert (shop.run().deleted, shop.items()) == (2, shop.expected())
