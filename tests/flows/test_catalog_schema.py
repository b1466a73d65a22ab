"""The catalog as code: made, widened, guarded; and what somebody else does to it meanwhile."""

from typing import Any

import pytest

from caspio_sync.errors import CaspioSyncError
from caspio_sync.sandbox.caspio.fields import read_field
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import PRODUCTS_SYNC, Shop, product
from tests.flows.crashes import around

FIELDS = {"title": "string", "price": "number", "stock": "number", "about": "string"}
DELETES_EXTRA = PRODUCTS_SYNC.replace("name: products,", "name: products, on_extra_field: delete,")


def more_fields(count: int) -> str:
    return PRODUCTS_SYNC + "".join(f"  extra_{number}: Title\n" for number in range(count))


def somebody_deletes_field(shop: Shop, name: str) -> None:
    catalog = shop.catalog()
    shop.world.braze.catalogs.delete_field(catalog, name, 0.0)


def somebody_deletes_catalog(shop: Shop) -> None:
    shop.world.braze.catalogs.remove(shop.catalog())


def test_missing_fields_are_added_fifty_a_request_and_items_wait_for_them(shop: Shop) -> None:
    shop.open(3)
    shop.empty_braze(catalog_delay_seconds=20)
    shop.run()
    shop.world.sync(more_fields(120), "products")
    report = shop.run()
    assert len(report.schema_changes) == 120
    assert [write[:2] for write in shop.writes()] == [("POST", "products/fields")] * 3 + [("PUT", "products/items")]
    assert all(each["extra_119"] == each["title"] for each in shop.items().values())


def test_fields_that_never_show_end_the_run_before_any_item(shop: Shop) -> None:
    shop.open(3)
    shop.empty_braze(catalog_delay_seconds=2000)  # longer than all tries together
    shop.run()
    shop.world.sync(more_fields(1), "products")
    ended = shop.ended()
    assert ended.code == 4
    assert "does not show its fields after 300 s" in ended.message
    assert {write[1] for write in shop.writes()} == {"products/fields"}


def test_another_type_is_refused_before_any_request_with_its_line(shop: Shop) -> None:
    shop.open(3)
    shop.rebuild(fields=FIELDS | {"stock": "string", "price": "string"})
    ended = shop.ended()
    assert (ended.code, shop.writes()) == (2, [])
    assert "products.yaml:8: fields.stock: is of type number here and string in Braze" in ended.message
    assert "products.yaml:7: fields.price" in ended.message


def test_foreign_fields_and_their_values_survive_changes_of_their_items(shop: Shop) -> None:
    shop.open([product(1, About="Blue"), product(2), product(3)])
    theirs = [each | {"badge": f"of {key}"} for key, each in shop.expected().items()]
    shop.rebuild(fields=FIELDS | {"badge": "string"}, items=theirs)
    report = shop.run(baseline=True)
    assert any("badge" in note and "kept" in note for note in report.notes)
    shop.edit("p1", About=None, Stock=7)
    shop.add(product(4))
    shop.run()
    assert shop.writes() == [("PUT", "products/items", ["p4"]), ("PATCH", "products/items", ["p1"])]
    wanted = shop.expected()
    for number in (1, 2, 3):
        wanted[f"p{number}"]["badge"] = f"of p{number}"
    assert shop.items() == wanted


def test_foreign_values_survive_a_table_filled_anew_and_ids_that_are_swapped(shop: Shop) -> None:
    shop.open([product(1, About="Blue"), product(2), product(3)])
    theirs = [each | {"badge": f"of {key}"} for key, each in shop.expected().items()]
    shop.rebuild(fields=FIELDS | {"badge": "string"}, items=theirs)
    shop.run(baseline=True)
    shop.drop("p1", "p2", "p3")
    shop.add(product(1), product(2, Title="Another"), product(3))
    shop.run()
    wanted = {key: each | {"badge": f"of {key}"} for key, each in shop.expected().items()}
    assert shop.items() == wanted
    shop.edit("p1", Code="p0")
    shop.edit("p2", Code="p1")
    shop.edit("p0", Code="p2")
    shop.run()
    wanted = {key: each | {"badge": f"of {key}"} for key, each in shop.expected().items()}
    assert shop.items() == wanted
    assert shop.run().requests == 0


def test_extra_fields_are_deleted_where_the_file_says_so(shop: Shop) -> None:
    shop.open(2, DELETES_EXTRA)
    shop.rebuild(fields=FIELDS | {"badge": "string", "rank": "number"})
    report = shop.run()
    assert report.schema_changes == [
        "delete field badge and its values (on_extra_field: delete)",
        "delete field rank and its values (on_extra_field: delete)",
    ]
    assert (list(shop.catalog().fields), shop.items()) == (["id", *FIELDS], shop.expected())


def test_a_field_that_braze_will_not_delete_is_kept_with_its_values_and_said(shop: Shop) -> None:
    shop.open(2)
    theirs = [each | {"badge": "new"} for each in shop.expected().values()]
    shop.rebuild(fields=FIELDS | {"badge": "string", "rank": "number"}, items=theirs)
    shop.run(baseline=True)
    shop.catalog().selections["new"] = {"filters": [{"field": "badge", "operator": "equals", "value": "new"}]}
    shop.world.sync(DELETES_EXTRA, "products")
    shop.edit("p1", Stock=5)
    report = shop.run()
    assert report.schema_changes[0] == "delete field rank and its values (on_extra_field: delete)"
    assert "field badge could not be deleted, and is kept: field-referenced-by-selection" in report.schema_changes[1]
    assert {key: each.get("badge") for key, each in shop.items().items()} == {"p1": "new", "p2": "new"}
    assert shop.items()["p1"]["stock"] == 5


def test_a_deletion_whose_answer_is_lost_is_a_deletion(shop: Shop) -> None:
    shop.open(2, DELETES_EXTRA)
    shop.empty_braze(catalog_delay_seconds=0)
    shop.rebuild(fields=FIELDS | {"badge": "string"})
    shop.world.break_braze(Fault(kind="reset_after", path="/catalogs/products/fields", nth=(1,)))
    assert shop.run().schema_changes == ["delete field badge and its values (on_extra_field: delete)"]


def test_a_field_that_somebody_deleted_is_added_and_every_item_sent_again(shop: Shop) -> None:
    shop.open([product(1, About="Blue"), product(2, About="Red"), product(3)])
    shop.run()
    somebody_deletes_field(shop, "about")
    assert shop.items()["p1"] == {"id": "p1", "title": "Title 1", "price": 0.25, "stock": 1}
    report = shop.run()
    assert (report.schema_changes, report.sent) == (["add field about (string)"], 3)
    assert shop.items() == shop.expected()
    assert shop.run().requests == 0


def test_a_catalog_that_somebody_deleted_is_made_anew_and_filled(shop: Shop) -> None:
    shop.open(4)
    shop.run()
    somebody_deletes_catalog(shop)
    shop.drop("p4")
    shop.edit("p3", Code="q3")
    assert len(shop.run().schema_changes) == 1
    assert shop.items() == shop.expected()
    assert (shop.run().requests, shop.items()) == (0, shop.expected())


def test_a_run_that_dies_after_making_the_catalog_anew_leaves_nothing_out(shop: Shop) -> None:
    shop.open(4)
    shop.run()
    somebody_deletes_catalog(shop)
    shop.world.break_braze(Fault(kind="status", method="PUT", path="/catalogs/products/items", status=503))
    assert shop.ended().code == 4
    shop.world.break_braze()
    shop.run()
    assert shop.items() == shop.expected()


@pytest.mark.parametrize("what", ["catalog", "field"])
def test_deleted_while_the_run_is_under_way_is_a_clear_error_and_mended_by_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    shop.open(60)
    shop.run()
    shop.world.caspio.update_rows("Products", {"About": "Changed"}, "Stock > 0")

    def then_somebody_comes(gate: Any) -> Any:
        async def judge(*args: Any) -> None:
            await gate(*args)
            somebody_deletes_catalog(shop) if what == "catalog" else somebody_deletes_field(shop, "about")

        return judge

    with monkeypatch.context() as patch:
        around(patch, "gate", then_somebody_comes)
        ended = shop.ended()
    assert ended.code == 2
    said = "is gone from Braze" if what == "catalog" else "Braze refuses all objects of 2 requests"
    assert said in ended.message
    shop.run()
    assert shop.items() == shop.expected()
    assert shop.run().requests == 0


@pytest.mark.parametrize("what", ["catalog", "field"])
def test_deleted_while_the_run_is_being_opened_is_not_taken_for_filled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    shop.open([product(1, About="Blue"), product(2, About="Red")])
    shop.run()
    shop.world.sync(more_fields(1), "products")

    def after_somebody(keep: Any) -> Any:
        async def keep_schema(run: Any) -> None:
            somebody_deletes_catalog(shop) if what == "catalog" else somebody_deletes_field(shop, "about")
            await keep(run)

        return keep_schema

    with monkeypatch.context() as patch:
        around(patch, "keep schema", after_somebody)
        ended = shop.ended()
    assert ended.code == 4
    assert "run again" in ended.message
    shop.run()
    assert shop.items() == {key: each | {"extra_0": each["title"]} for key, each in shop.expected().items()}


def test_a_catalog_renamed_in_the_file_is_filled_and_the_former_one_left(shop: Shop) -> None:
    shop.open(3)
    shop.run()
    before = shop.items()
    shop.world.sync(PRODUCTS_SYNC.replace("name: products", "name: wares"), "products")
    shop.drop("p3")
    report = shop.run()
    assert any("'products' before, which stays as it is" in note for note in report.notes)
    assert (shop.items("wares"), shop.items()) == (shop.expected(), before)
    assert shop.run().requests == 0


def test_a_field_whose_type_changes_at_the_source_stops_alone_and_keeps_its_value(shop: Shop) -> None:
    shop.open([product(1, About="Blue"), product(2, About="Red"), product(3)])
    shop.run()
    _retype(shop, "Stock", "STRING")
    shop.edit("p1", Title="Another")
    report = shop.run()
    assert any(line.startswith("STOPPED stock") for line in report.drift)
    assert shop.writes() == [("PATCH", "products/items", ["p1"])]
    assert (shop.items()["p1"]["title"], shop.items()["p1"]["stock"]) == ("Another", 1)


def _retype(shop: Shop, name: str, kind: str) -> None:
    account = shop.world.caspio.account
    table = account.table("Products")
    fields = [
        read_field({"Name": name, "Type": kind}, order) if field.name == name else field
        for order, field in enumerate(table.fields, start=1)
    ]
    account.change_fields(table, fields, {field.name: field.name for field in fields if field.name != name})
    shop.world.caspio.update_rows("Products", {name: "7"}, "PK_ID > 0")


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "truncate", "refuse", "status", "slow"])
@pytest.mark.parametrize("path", ["/catalogs", "/catalogs/products/fields"])
def test_schema_calls_outlast_trouble(shop: Shop, kind: Any, path: str) -> None:
    shop.open(2)
    shop.empty_braze(catalog_delay_seconds=0)
    shop.world.break_braze(Fault(kind=kind, path="/catalogs", method="POST", nth=(1, 2), seconds=40.0))
    if path == "/catalogs/products/fields":
        shop.rebuild(fields={"title": "string"})
    report = shop.run()
    assert shop.struck(kind) >= 1
    wanted = 1 if path == "/catalogs" else 3
    assert len(report.schema_changes) == wanted
    assert shop.items() == shop.expected()


def test_schema_calls_that_never_get_an_answer_end_the_run_and_the_next_completes(shop: Shop) -> None:
    shop.open(2)
    shop.world.break_braze(Fault(kind="status", path="/catalogs", method="POST", status=500))
    assert shop.ended().code == 4
    shop.world.break_braze()
    shop.run()
    assert shop.items() == shop.expected()


def test_a_catalog_that_braze_refuses_is_a_clear_error(shop: Shop) -> None:
    shop.open(2)
    body = '{"message":"Invalid Request","errors":[{"id":"invalid-field-names","message":"no"}]}'
    shop.world.break_braze(Fault(kind="status", path="/catalogs", method="POST", status=400, body=body))
    ended = shop.ended()
    assert ended.code == 2
    assert "Braze refuses the catalog 'products': invalid-field-names: no" in ended.message


def test_a_second_run_beside_the_first_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from caspio_sync.engine.opening import open_run
    from caspio_sync.ledger.leases import LeaseHeldError
    from caspio_sync.observe.report import RunOptions
    from caspio_sync.settings import current_settings

    shop.open(3)
    seen: list[type[BaseException]] = []

    def meanwhile(keep: Any) -> Any:
        async def keep_schema(run: Any) -> None:
            try:
                async with open_run("products", RunOptions(), settings=current_settings()):
                    raise AssertionError("two runs at once")
            except CaspioSyncError as error:
                seen.append(type(error))
            await keep(run)

        return keep_schema

    around(monkeypatch, "keep schema", meanwhile)
    shop.run()
    assert (seen, shop.items()) == ([LeaseHeldError], shop.expected())
