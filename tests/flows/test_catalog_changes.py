"""From run to run: new, changed and gone rows of a product table, and nothing else, reach the catalog."""

from typing import Any

import pytest

from tests.flows.catalog_shop import PRODUCTS_SYNC, Shop, product

WITH_WHERE = PRODUCTS_SYNC.replace("{table: Products}", '{table: Products, where: "Stock > 0"}')


def test_new_changed_and_gone_rows_travel_and_nothing_else(shop: Shop) -> None:
    shop.open(10)
    report = shop.run()
    assert shop.items() == shop.expected()
    assert report.schema_changes == [
        "create catalog products (id string, title string, price number, stock number, about string)"
    ]
    described = shop.catalog().described()
    assert (described["name"], described["description"]) == ("products", "What the shop sells")
    assert [each["name"] for each in described["fields"]] == ["id", "title", "price", "stock", "about"]
    shop.add(product(11), product(12))
    shop.edit("p3", Price=0.8)
    shop.drop("p7")
    report = shop.run()
    assert shop.writes() == [("PUT", "products/items", ["p11", "p12", "p3"]), ("DELETE", "products/items", ["p7"])]
    assert (report.new, report.changed, report.deleted, report.unchanged) == (2, 1, 1, 8)
    assert shop.items() == shop.expected()
    assert shop.world.verdicts("products") == {"sent": 11, "deleted": 1}
    report = shop.run()
    assert (shop.writes(), report.requests, report.deleted) == ([], 0, 0)


def test_an_emptied_cell_empties_the_field(shop: Shop) -> None:
    shop.open([product(1, About="Blue"), product(2, About="Red")])
    shop.run()
    shop.edit("p1", About=None)
    shop.edit("p2", About="")
    shop.run()
    assert [set(each) for each in shop.items().values()] == [{"id", "title", "price", "stock"}] * 2


def test_a_row_that_goes_by_another_id_leaves_no_item_behind(shop: Shop) -> None:
    shop.open(10)
    shop.run()
    shop.edit("p4", Code="q4")
    report = shop.run()
    assert shop.writes() == [("PUT", "products/items", ["q4"]), ("DELETE", "products/items", ["p4"])]
    assert (report.deleted, shop.items()) == (1, shop.expected())
    assert shop.run().requests == 0


def test_a_row_renamed_and_then_gone_leaves_no_item_behind(shop: Shop) -> None:
    shop.open(10)
    shop.run()
    shop.edit("p4", Code="q4")
    shop.world.run("products", keys=("q4",))
    shop.drop("q4")
    shop.run(allow_deletes=True)
    assert shop.items() == shop.expected()


def test_two_rows_that_swap_ids_keep_both_items(shop: Shop) -> None:
    shop.open(6)
    shop.run()
    shop.edit("p1", Code="p0")
    shop.edit("p2", Code="p1")
    shop.edit("p0", Code="p2")
    report = shop.run()
    assert (report.deleted, shop.items()) == (0, shop.expected())
    assert shop.items()["p1"]["title"] == "Title 2"
    assert (shop.run().requests, shop.items()) == (0, shop.expected())


def test_a_table_filled_anew_deletes_no_item_and_misses_none(shop: Shop) -> None:
    shop.open(60)
    shop.run()
    shop.drop(*(f"p{number}" for number in range(1, 61)))
    shop.add(*(product(number) for number in range(1, 61)))
    report = shop.run()
    assert (report.deleted, shop.writes()) == (0, [])  # the ids are what Braze knows them by
    assert shop.items() == shop.expected()
    assert shop.run().requests == 0


def test_rows_of_one_id_one_after_the_other_are_one_item_to_delete(shop: Shop) -> None:
    """The second row took the id over in a partial run, and is gone by the time of the next whole one."""
    shop.open(10)
    shop.run()
    shop.drop("p4")
    shop.add(product(4))
    shop.world.run("products", keys=("p4",))
    shop.drop("p4")
    report = shop.run()
    assert shop.writes() == [("DELETE", "products/items", ["p4"])]
    assert (report.deleted, report.notes, shop.items()) == (1, [], shop.expected())
    assert shop.run().requests == 0


def test_rows_that_leave_by_the_condition_are_deleted(shop: Shop) -> None:
    shop.open(10, WITH_WHERE)
    shop.run()
    shop.edit("p5", Stock=0)
    assert shop.run().deleted == 1
    assert set(shop.items()) == {f"p{number}" for number in range(1, 11)} - {"p5"}
    shop.edit("p5", Stock=1)
    shop.run()
    assert shop.items() == shop.expected()


def test_another_condition_deletes_nothing_in_its_first_run_and_does_in_the_next(shop: Shop) -> None:
    shop.open([*(product(number) for number in range(1, 10)), product(10, Stock=0)])
    shop.run()
    shop.world.sync(WITH_WHERE, "products")
    assert (shop.run().deleted, len(shop.items())) == (0, 10)
    assert (shop.run().deleted, len(shop.items())) == (1, 9)
    assert "p10" not in shop.items()


@pytest.mark.parametrize("options", [{"limit": 3}, {"keys": ("p1",)}, {"release": ("quarantined",)}])
def test_a_run_of_a_part_deletes_nothing(shop: Shop, options: dict[str, Any]) -> None:
    shop.open(10)
    shop.run()
    shop.drop("p9")
    assert (shop.run(**options).deleted, len(shop.items())) == (0, 10)
    assert (shop.run().deleted, len(shop.items())) == (1, 9)


def test_what_is_to_be_kept_is_kept(shop: Shop) -> None:
    shop.open(10, PRODUCTS_SYNC + "on_missing: keep\n")
    shop.run()
    shop.drop("p9")
    shop.edit("p8", Code="q8")
    assert (shop.run().deleted, len(shop.items())) == (0, 11)
    shop.world.sync(PRODUCTS_SYNC, "products")
    assert (shop.run().deleted, shop.items()) == (2, shop.expected())


@pytest.mark.parametrize("gone", [3, 10])
def test_more_than_a_fifth_of_the_items_go_only_when_a_person_says_so(shop: Shop, gone: int) -> None:
    shop.open(10)
    shop.run()
    shop.edit("p10", Title="Another")
    shop.drop(*(f"p{number}" for number in range(1, gone + 1)))
    ended = shop.ended()
    assert (ended.code, ended.report.state) == (3, "blocked")
    assert f"{gone} of 10 items have no row in Caspio any more, more than 20%" in ended.message
    assert "--allow-deletes" in ended.message
    assert len(shop.items()) == 10
    assert shop.items()["p10"]["title"] == ("Another" if gone < 10 else "Title 10")
    assert shop.ended().code == 3
    ended = shop.ended(allow_deletes=True)
    assert (ended.code, ended.report.deleted, shop.items()) == (0, gone, shop.expected())
    assert shop.run().requests == 0


def test_a_word_for_the_deletes_reads_everything_where_there_is_a_cursor(shop: Shop) -> None:
    stamped = {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"}
    from tests.flows.catalog_shop import PRODUCTS

    shop.world.caspio.create_table("Products", [*PRODUCTS, stamped])
    shop.world.sync(PRODUCTS_SYNC.replace("Products}", "Products, cursor: ChangedAt}"), "products")
    shop.add(*(product(number) for number in range(1, 11)))
    shop.run()
    shop.drop("p1", "p2", "p3")
    assert (shop.run().mode, len(shop.items())) == ("incremental", 10)
    assert shop.ended(full=True).code == 3
    assert (shop.run(allow_deletes=True).deleted, shop.items()) == (3, shop.expected())


def test_half_a_shop_is_no_shop_even_where_any_number_may_be_deleted(shop: Shop) -> None:
    shop.open(10, PRODUCTS_SYNC + "gate: {max_deleted_share: 1}\n")
    shop.run()
    shop.drop(*(f"p{number}" for number in range(1, 7)))
    ended = shop.ended()
    assert (ended.code, len(shop.items())) == (3, 10)
    assert "the source has 4 rows, fewer than 50% (gate.min_share_of_last) of the 10" in ended.message
    shop.add(product(11))
    shop.drop("p7")
    ended = shop.ended()
    assert (ended.code, len(shop.items())) == (3, 10)
    assert "rows_of_last" in ended.message
    shop.add(product(12), product(13))
    assert (shop.run().deleted, shop.items()) == (7, shop.expected())


def test_a_baseline_and_then_a_change(shop: Shop) -> None:
    shop.open(6)
    ended = shop.ended(baseline=True)
    assert ended.code == 2
    assert "Braze has no catalog 'products'" in ended.message
    shop.rebuild(
        fields={"title": "string", "price": "number", "stock": "number", "about": "string"},
        items=list(shop.expected().values()),
    )
    assert (shop.run(baseline=True).baseline, shop.writes()) == (6, [])
    shop.edit("p2", Stock=99)
    shop.drop("p3")
    shop.run()
    assert shop.writes() == [("PUT", "products/items", ["p2"]), ("DELETE", "products/items", ["p3"])]
    assert shop.items() == shop.expected()


def test_a_resend_sends_every_item_again_and_deletes_what_is_gone(shop: Shop) -> None:
    shop.open(6)
    shop.run()
    shop.drop("p6")
    report = shop.run(resend=True)
    assert (report.sent, report.deleted, shop.items()) == (5, 1, shop.expected())


def test_one_whole_story_on_postgresql(shop: Shop, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", postgresql_ledger)
    shop.open(120)
    shop.run()
    shop.edit("p4", Code="q4")
    shop.edit("p5", Title="Another")
    shop.drop("p7", "p8")
    shop.add(product(121))
    assert shop.run().deleted == 3
    assert shop.items() == shop.expected()
    shop.drop(*(f"p{number}" for number in range(20, 80)))
    assert shop.ended().code == 3
    assert (shop.run(allow_deletes=True).deleted, shop.items()) == (60, shop.expected())
    shop.world.braze.catalogs.remove(shop.catalog())
    assert (shop.run().sent, shop.items()) == (len(shop.expected()), shop.expected())
    assert shop.run().requests == 0
