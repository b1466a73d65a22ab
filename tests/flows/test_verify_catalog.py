"""A catalog against what was sent to it: read item by item or page by page, told, and repaired by the next run."""

import asyncio
import importlib
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.observe.verify_report import Estimate, VerifyReport
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings

verifying = importlib.import_module("caspio_sync.verification.verifying")
items_back = importlib.import_module("caspio_sync.destinations.braze.items_back")

World = Any  # of conftest.py, which no test can import

COLUMNS = (
    "Code STRING, Name STRING, Price NUMBER, Stock INTEGER, OnSale YES/NO, Added DATE/TIME, Lon NUMBER, Lat NUMBER"
)
PRODUCTS: list[dict[str, Any]] = [
    *(dict(zip(("Name", "Type"), column.split(" "), strict=True)) for column in COLUMNS.split(", ")),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
]
SYNC = """\
kind: catalog
source: {table: Products, cursor: ChangedAt, time_zone: Europe/London}
catalog: {name: products}
item_id: {from: Code, id_transform: slug}
fields:
  name: Name
  price: Price
  stock: Stock
  on_sale: OnSale
  added: Added
  place: {geo: {longitude: Lon, latitude: Lat}}
  tags: {array: [{from: Name}, {from: Code}]}
  more: {object: {name: Name, stock: Stock}}
gate: {max_deleted_share: 1}
"""


def product(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Code": f"P {number}",
        "Name": f"Product {number}",
        "Price": number + 0.5,
        "Stock": number,
        "OnSale": number % 2 == 0,
        "Added": "2026-07-01T10:00:00",
        "Lon": number % 180,
        "Lat": 47.5,
        **more,
    }


@pytest.fixture
def shop(world: World) -> World:
    world.sync(SYNC, "products")
    world.caspio.create_table("Products", PRODUCTS)
    return world


def stock(shop: World, count: int) -> World:
    """The table with so many products, sent."""
    shop.caspio.insert_rows("Products", [product(number) for number in range(1, count + 1)])
    assert shop.run("products").sent == count
    shop.clock.advance(600)
    return shop


def catalog(shop: World) -> Any:
    shop.clock.advance(600)
    shop.braze.catalogs.settle(shop.clock.now().timestamp())
    return shop.braze.catalogs["products"]


def items(shop: World) -> dict[str, dict[str, Any]]:
    return {key: dict(item) for key, item in catalog(shop).items.items()}


def remove(shop: World, *ids: str) -> None:
    for item_id in ids:
        shop.braze.catalogs.delete(shop.braze.catalogs["products"], {"id": item_id})


def add(shop: World, *ids: str) -> None:
    for item_id in ids:
        shop.braze.catalogs.create(shop.braze.catalogs["products"], {"id": item_id, "name": "somebody's"})


def verify(shop: World, sample: Any = None, **options: Any) -> VerifyReport:
    shop.clock.advance(600)  # what was just sent is not judged
    return asyncio.run(verifying.verify("products", settings=current_settings(), sample=sample, **options))


def rows_by_field(report: VerifyReport) -> dict[str, int]:
    return {each.field: each.rows for each in report.differences}


@pytest.mark.parametrize("empty", ["omitted", "null"])
def test_all_items_are_found_as_they_were_sent_by_pages(shop: World, empty: Any) -> None:
    shop.braze = BrazeSandbox(BrazeBehaviour(catalog_times="iso", catalog_empty_fields=empty), shop.clock)
    shop.caspio.insert_rows("Products", [product(0, Name="", Stock=None, Lon=None)])
    shop.caspio.insert_rows("Products", [product(number) for number in range(1, 121)])
    assert shop.run("products").sent == 121
    started, requests = shop.clock.monotonic() + 600, shop.braze.requests
    report = verify(shop)
    assert (report.accuracy, report.field_accuracy, report.compared, report.rows) == (1.0, 1.0, 121, 121)
    assert report.fields == 121 * 8
    assert (report.pages, report.requests, report.extra, report.differences, report.retyped) == (3, 3, 0, [], {})
    assert shop.braze.requests - requests == 1 + 3  # the catalogs, and the pages
    assert 2 < shop.clock.monotonic() - started < 10
    again = shop.run("products", full=True)
    assert (again.requests, again.unchanged) == (0, 121)


def test_a_sample_is_read_item_by_item_and_a_small_catalog_by_its_pages(shop: World) -> None:
    stock(shop, 300)
    told: list[Estimate] = []
    watching = verifying.Watching(announce=told.append)
    started = shop.clock.monotonic() + 600
    report = verify(shop, 5, watching=watching)
    assert (report.compared, report.accuracy, report.pages, report.requests) == (5, 1.0, 0, 5)
    assert 4 < shop.clock.monotonic() - started < 10  # 50 a minute
    report = verify(shop, "usual", watching=watching)  # 50 are asked for, and six pages hold all
    assert (report.sample, report.compared, report.accuracy, report.pages, report.requests) == (50, 300, 1.0, 6, 6)
    assert [(each.rows, each.pages, each.requests, each.resumed) for each in told] == [(5, 0, 5, 0), (300, 6, 6, 0)]
    assert [round(each.seconds, 1) for each in told] == [6.0, 7.2]


DRIFTS: dict[str, Any] = {
    "name": "Somebody's",
    "price": 17.25,
    "stock": 3,
    "on_sale": False,
    "added": "2026-07-01T10:00:00Z",  # the wall clock of London is an hour ahead
    "place": [2.5, 47.5],
    "tags": ["P 2", "Product 2"],  # another order
    "more": {"name": "Product 2", "stock": 3},
}


@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("sample", [1, None], ids=["item", "pages"])
def test_a_drift_of_each_kind_is_found_and_the_next_run_for_changes_repairs_it(
    shop: World, name: str, sample: int | None
) -> None:
    stock(shop, 2)
    shop.caspio.delete_rows("Products", "PK_ID=1")
    shop.run("products", full=True)
    sound = items(shop)
    assert sound.keys() == {"p-2"}
    catalog(shop).items["p-2"][name] = DRIFTS[name]
    report = verify(shop, sample)
    assert (report.equal, report.differing, report.cleared) == (0, 1, 1)
    assert rows_by_field(report) == {name: 1}
    assert report.differences[0].examples == ["p-2"]
    assert shop.verdicts("products") == {"deleted": 1, "drifted": 1}
    repair = shop.run("products")
    assert (repair.mode, repair.sent, repair.read) == ("incremental", 1, 1)
    assert items(shop) == sound
    assert verify(shop, sample).accuracy == 1.0


def test_an_item_whose_queued_write_was_lost_is_missing_and_sent_again(shop: World) -> None:
    shop.braze = BrazeSandbox(BrazeBehaviour(catalog_silent_failures=frozenset({"p-3", "p-120"})), shop.clock)
    stock(shop, 120)
    assert len(items(shop)) == 118
    report = verify(shop)
    assert (report.equal, report.missing, report.cleared, report.rows) == (118, 2, 2, 120)
    assert report.requests == 3 + 2 * 2  # the pages, and each of the two twice
    assert rows_by_field(report) == {"(item)": 2}
    shop.braze.behaviour.catalog_silent_failures = frozenset()
    repair = shop.run("products")
    assert (repair.mode, repair.sent, repair.new) == ("incremental", 2, 2)
    assert len(items(shop)) == 120
    assert verify(shop).accuracy == 1.0


def test_so_many_missing_items_that_one_by_one_takes_too_long_are_told_by_the_pages_alone(shop: World) -> None:
    stock(shop, 300)
    remove(shop, *(f"p-{number}" for number in range(1, 201)))
    report = verify(shop)
    assert (report.missing, report.cleared, report.equal, report.requests) == (200, 200, 100, 2)
    assert shop.run("products").sent == 200
    assert verify(shop).accuracy == 1.0


def test_items_of_others_are_counted_and_left_alone(shop: World) -> None:
    stock(shop, 60)
    add(shop, *(f"foreign{number}" for number in range(70)))
    catalog(shop).items["p-7"]["price"] = 1
    report = verify(shop)
    assert (report.extra, report.equal, report.differing, report.undeleted) == (70, 59, 1, 0)
    shop.run("products", full=True)
    assert len(items(shop)) == 130
    # With --all the whole catalog is read, however few of its items are ours.
    shop.caspio.delete_rows("Products", "PK_ID>0")
    shop.run("products", full=True, allow_deletes=True)
    report = verify(shop)
    assert (report.extra, report.rows, report.compared) == (70, 0, 0)


def test_a_deletion_that_came_to_nothing_is_found_and_deleted_again(shop: World) -> None:
    stock(shop, 10)
    shop.braze.behaviour.catalog_silent_failures = frozenset({"p-4"})
    shop.caspio.delete_rows("Products", "PK_ID=4")
    assert shop.run("products", full=True).deleted == 1
    assert "p-4" in items(shop)
    report = verify(shop)
    assert (report.undeleted, report.extra, report.equal) == (1, 0, 9)
    shop.braze.behaviour.catalog_silent_failures = frozenset()
    assert shop.run("products", full=True).deleted == 1
    assert "p-4" not in items(shop)
    assert verify(shop).undeleted == 0


def test_what_changed_since_is_pending_what_left_is_gone_and_what_was_just_sent_is_not_judged(shop: World) -> None:
    stock(shop, 10)
    shop.caspio.update_rows("Products", {"Price": 2}, "PK_ID=1")
    shop.caspio.delete_rows("Products", "PK_ID=2")
    catalog(shop).items["p-1"]["name"] = "Somebody's"
    report = verify(shop)
    assert (report.pending, report.gone, report.equal, report.differences) == (1, 1, 8, [])
    shop.run("products")
    shop.braze.catalogs.settle(shop.clock.now().timestamp() + 600)
    shop.braze.catalogs["products"].items["p-1"]["name"] = "Somebody's"
    report = asyncio.run(verifying.verify("products", settings=current_settings(), sample=None))
    assert (report.recent, report.gone, report.equal, report.differences) == (1, 1, 8, [])


def test_a_row_that_goes_by_another_id_is_found_under_it_and_its_former_item_is_known(shop: World) -> None:
    stock(shop, 10)
    shop.caspio.update_rows("Products", {"Code": "New 1"}, "PK_ID=1")
    report = verify(shop)
    assert (report.pending, report.equal, report.extra) == (1, 9, 0)
    shop.run("products")
    assert {"p-1", "new-1"} <= items(shop).keys()
    report = verify(shop)
    assert (report.equal, report.extra, report.missing) == (10, 0, 0)
    shop.run("products", full=True)
    assert "p-1" not in items(shop)
    assert verify(shop).equal == 10


def test_fields_of_others_survive_the_repair(shop: World) -> None:
    stock(shop, 3)
    catalog(shop).fields["rating"] = "number"
    for item in catalog(shop).items.values():
        item["rating"] = 5
    catalog(shop).items["p-2"]["price"] = 1
    assert rows_by_field(verify(shop)) == {"price": 1}
    shop.run("products")
    assert items(shop)["p-2"]["price"] == 2.5
    assert {item["rating"] for item in items(shop).values()} == {5}


class KilledError(Exception):
    pass


def killed_at(number: int, seen: list[int]) -> Any:
    def kill(report: VerifyReport) -> None:
        seen.append(report.looked_at)
        if len(seen) == number:
            raise KilledError

    return kill


def test_a_killed_verification_goes_on_with_the_next_page(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_back, "_PAGES", 1)
    stock(shop, 220)
    add(shop, "a1", "z1")
    remove(shop, "p-100", "p-55", "p-56")
    # Sorted as text: "p-1", "p-10", "p-100", …: the one is on an early page, the other on the last.
    catalog(shop).items["p-10"]["price"] = 1
    catalog(shop).items["p-99"]["price"] = 1
    told: list[Estimate] = []
    seen: list[int] = []
    watching = verifying.Watching(announce=told.append, observe=killed_at(2, seen))
    with pytest.raises(KilledError):
        verify(shop, watching=watching)
    assert seen == [49, 99]  # beside one that is not ours
    requests = shop.braze.requests
    with pytest.raises(KilledError):  # and again, after the last page, in the search for what was on none
        verify(shop, watching=verifying.Watching(announce=told.append, observe=killed_at(3, [])))
    assert shop.braze.requests - requests == 1 + 3 + 1  # the catalogs, three pages, p-99 again
    requests = shop.braze.requests
    report = verify(shop, watching=verifying.Watching(announce=told.append))
    assert shop.braze.requests - requests == 1 + 2 * 3
    assert [(each.rows, each.pages, each.resumed) for each in told] == [
        (220, 5, 0),
        (121, 3, 99),
        (3, 1, 217),
        (3, 0, 217),
    ]
    assert (report.equal, report.differing, report.missing, report.cleared) == (215, 2, 3, 5)
    assert (report.extra, report.pages, report.looked_at, report.rows) == (2, 5, 220, 220)
    assert shop.run("products").sent == 5
    assert verify(shop).accuracy == 1.0
    assert verify(shop, restart=True).rows == 220


def test_a_cursor_that_braze_does_not_know_any_more_begins_anew_past_what_was_seen(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items_back, "_PAGES", 1)
    stock(shop, 120)
    add(shop, "a1")
    with pytest.raises(KilledError):
        verify(shop, watching=verifying.Watching(observe=killed_at(2, [])))
    with shop.ledger() as ledger, ledger.writing("spoil the cursor") as connection:
        connection.exec_driver_sql("UPDATE verification SET page_cursor = 'nonsense'")
    report = verify(shop)
    assert (report.equal, report.rows, report.extra, report.missing) == (120, 120, 1, 0)


def test_trouble_for_a_moment_is_waited_out_and_lasting_trouble_ends_it_and_it_goes_on(shop: World) -> None:
    stock(shop, 60)
    shop.break_braze(Fault(kind="status", status=503, nth=(2, 3)))
    assert verify(shop).accuracy == 1.0
    shop.break_braze(Fault(kind="status", status=503))
    with pytest.raises(TransientError):
        verify(shop)
    shop.break_braze()
    assert verify(shop).accuracy == 1.0


def test_a_catalog_that_is_gone_is_told_and_no_row_is_taken_back(shop: World) -> None:
    stock(shop, 60)
    shop.braze.catalogs.remove(catalog(shop))
    with pytest.raises(ConfigurationError, match=r"no catalog 'products'.*`caspio-sync run products`"):
        verify(shop)
    assert shop.verdicts("products") == {"sent": 60}
    assert shop.run("products").sent == 60
    assert verify(shop).accuracy == 1.0
    del catalog(shop).fields["price"]
    with pytest.raises(ConfigurationError, match=r"lacks price"):
        verify(shop)
    assert shop.verdicts("products") == {"sent": 60}


def test_a_catalog_that_vanishes_meanwhile_is_told_and_no_row_is_taken_back(shop: World) -> None:
    stock(shop, 60)

    def delete(_: Estimate) -> None:
        shop.braze.catalogs.remove(shop.braze.catalogs["products"])

    for sample in (1, None):
        with pytest.raises(ConfigurationError, match=r"no catalog 'products'"):
            verify(shop, sample, watching=verifying.Watching(announce=delete))
        assert shop.verdicts("products") == {"sent": 60}
        shop.run("products")


def test_a_baseline_is_verified_against_the_catalog_that_is_there(shop: World) -> None:
    stock(shop, 60)
    catalog(shop).items["p-7"]["price"] = 1
    shop.ledger_file.unlink()
    report = shop.run("products", baseline=True, verify_sample=50)
    assert (report.baseline, report.requests) == (60, 0)
    assert (report.verification.equal, report.verification.differing, report.verification.pages) == (59, 1, 2)
    assert shop.run("products").sent == 1
    assert items(shop)["p-7"]["price"] == 7.5


def test_the_command_says_first_how_long_it_takes_and_speaks_of_items(shop: World) -> None:
    stock(shop, 120)
    add(shop, "foreign")
    remove(shop, "p-9")
    catalog(shop).items["p-8"]["name"] = "Planted"
    shown = CliRunner().invoke(app, ["verify", "products"])
    assert shown.exit_code == 0
    assert "120 rows, 3 requests to Braze: about 4 s at the 50 a minute that Braze gives, the catalog's 3 pages" in (
        shown.stderr
    )
    assert "no item" in shown.stdout
    assert "profile" not in shown.stdout
    assert "the catalog holds 1 items that no run of this sync sent" in shown.stdout
    assert not any(value in shown.output for value in ("Planted", "Product 8"))
    told = CliRunner().invoke(app, ["why", "products", "p-8"]).output
    assert "drifted (found by verify)" in told
    assert "differs in Braze: name" in told
    as_json = orjson.loads(CliRunner().invoke(app, ["verify", "products", "--sample", "1", "--json"]).stdout)
    assert (as_json["thing"], as_json["sample"]) == ("item", 1)
