"""The table is emptied and filled again, or made anew: the same people under other PK_IDs, and nothing is sent again."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.schemas import SOURCE_PK
from tests.flows.catalog_shop import Shop
from tests.flows.returns import (  # noqa: F401 - fixtures
    RETURN,
    Told,
    customers,
    opened,
    told_by_braze,
)
from tests.flows.world import START, SYNC, World

WITHOUT_CURSOR = SYNC.replace("  cursor: ChangedAt\n", "")
PEOPLE = 8


def filled(world: World, sync: str = SYNC) -> World:
    """Eight people; c4 is held, c5 has said no and says nothing any more, c7 says no."""
    world.customers([world.person(number) for number in range(1, PEOPLE + 1)])
    world.sync(sync)
    change(world, "c4", Email="nobody")
    change(world, "c5", Newsletter="no")
    change(world, "c7", Newsletter="no")
    world.run()
    world.clock.advance(3600)
    change(world, "c5", Newsletter="")
    world.run()
    world.clock.advance(3600)
    world.forget()
    return world


def change(world: World, key: str, **values: Any) -> None:
    world.caspio.update_rows("Customers", values, where=f"CustomerNo='{key}'")


def refill(world: World, order: Sequence[int] | None = None, *, anew: bool = False) -> None:
    """Take every row out and put it in again, in this order of the rows; `anew`: with PK_IDs from 1."""
    fields = world.caspio.account.table("Customers").fields
    names = [field.name for field in fields if field.type != "TIMESTAMP" and field.name != "PK_ID"]
    rows = [{name: row[name] for name in names} for row in world.caspio.rows("Customers")]
    world.caspio.delete_rows("Customers", "PK_ID > 0")
    if anew:
        world.caspio.account.renumber(world.caspio.account.table("Customers"))
    world.caspio.insert_rows("Customers", [rows[place] for place in order or range(len(rows))])
    world.clock.advance(3600)


@pytest.mark.parametrize("sync", [SYNC, WITHOUT_CURSOR], ids=["changes", "sweep"])
class TestNewNumbers:
    def test_nothing_is_sent_again(self, world: World, sync: str) -> None:
        filled(world, sync)
        requests = world.braze.requests
        before = world.verdicts()
        refill(world)
        planned = world.plan()
        report = world.run()
        assert (planned.to_send, planned.report.opt_outs, planned.report.new) == (0, 0, 0)
        assert (report.sent, report.data_points, world.braze.requests) == (0, 0, requests)
        assert (report.unchanged, world.verdicts()) == (PEOPLE - 1, before)
        world.clock.advance(3600)
        assert (world.run().sent, world.braze.requests) == (0, requests)

    def test_only_what_changed_meanwhile_is_sent(self, world: World, sync: str) -> None:
        filled(world, sync)
        change(world, "c2", FirstName="Other")
        refill(world)
        assert world.run().data_points == 1
        assert [(each["external_id"], each.get("first_name")) for each in world.sent()] == [("c2", "Other")]

    def test_a_no_stands(self, world: World, sync: str) -> None:
        filled(world, sync)
        refill(world)
        world.run()
        change(world, "c5", Email="c5@new.example")  # Braze takes a new address for subscribed
        world.clock.advance(3600)
        world.run()
        sent = {each["external_id"]: each for each in world.sent()}
        assert sent["c5"]["email_subscribe"] == "unsubscribed"
        assert world.profiles()["c5"]["email_subscribe"] == "unsubscribed"
        assert world.profiles()["c7"]["email_subscribe"] == "unsubscribed"

    def test_why_tells_what_was_sent_before(self, world: World, sync: str) -> None:
        filled(world, sync)

        def numbers() -> list[int]:
            with world.ledger() as ledger:
                return [
                    story.source_pk for key in ("c1", "c5") if (story := ledger.story("customers", key)) is not None
                ]

        def outcomes() -> list[str]:
            told = orjson.loads(CliRunner().invoke(app, ["why", "customers", "c5", "--json"]).output)
            return [each["at"] for each in told["ledger"]["outcomes"]]

        before = outcomes()
        refill(world)
        world.run()
        assert before
        assert (outcomes(), numbers()) == (before, [PEOPLE + 1, PEOPLE + 5])

    def test_an_erased_person_is_forgotten_under_every_number(self, world: World, sync: str) -> None:
        filled(world, sync)
        refill(world)
        world.run()
        world.clock.advance(3600)
        CliRunner().invoke(app, ["erase", "customers", "c2", "--yes"])
        assert "c2" not in world.profiles()
        with world.ledger() as ledger, ledger.reading("look") as connection:
            from caspio_sync.ledger import history

            assert history.kept_under(connection, "customers", 2) == []
            assert history.kept_under(connection, "customers", 1) != []
        world.forget()
        refill(world)
        world.run()
        assert world.sent() == []


@pytest.mark.parametrize("seed", range(4))
def test_a_table_that_was_made_anew_gives_people_each_others_numbers(world: World, seed: int) -> None:
    filled(world, WITHOUT_CURSOR + "batch_size: 1000\n")
    requests = world.braze.requests
    for again in range(3):
        order = list(range(PEOPLE))
        random.Random(seed * 10 + again).shuffle(order)
        refill(world, order, anew=True)
        report = world.run()
        assert (report.sent, world.braze.requests, report.unchanged) == (0, requests, PEOPLE - 1)
    change(world, "c5", Email="c5@new.example")
    world.clock.advance(3600)
    world.run()
    assert world.profiles()["c5"]["email_subscribe"] == "unsubscribed"


def test_a_duplicate_is_held_as_long_as_its_owner_is_there(world: World) -> None:
    filled(world)
    world.caspio.insert_rows("Customers", [world.person(7, Newsletter="yes", FirstName="Twin")])
    world.clock.advance(3600)
    report = world.run()
    assert (report.sent, report.verdicts) == (0, {"quarantined": 1})
    assert "claims the key of PK_ID 7" in world.reasons()["c7"]


def test_a_duplicate_takes_over_when_its_owner_goes(world: World) -> None:
    """What was sent of the owner was sent of the same profile: its "no" stands, and only what differs is sent."""
    filled(world)
    world.caspio.insert_rows("Customers", [world.person(7, Newsletter="", FirstName="Twin")])
    world.clock.advance(3600)
    world.run()
    world.caspio.delete_rows("Customers", "PK_ID = 7")
    world.clock.advance(3600)
    world.forget()
    world.run()
    (sent,) = world.sent()
    assert {name for name in sent if not name.startswith("_")} == {"external_id", "first_name"}
    assert world.profiles()["c7"]["email_subscribe"] == "unsubscribed"
    assert "quarantined" not in world.verdicts() or world.verdicts()["quarantined"] == 1  # c4


def test_a_row_whose_key_changed_to_one_that_is_gone_takes_that_over(world: World) -> None:
    """PK_ID 1 becomes c7, whose own row goes; c1 comes back under a new number."""
    filled(world)
    world.caspio.delete_rows("Customers", "PK_ID = 7")
    row = world.person(7, Newsletter="no")
    change(world, "c1", **row)
    world.caspio.insert_rows("Customers", [world.person(1)])
    world.clock.advance(3600)
    assert (world.run().sent, world.sent()) == (0, [])


class TestCatalog:
    def test_nothing_is_written_or_deleted(self, world: World, shop: Shop) -> None:
        shop.open(6)
        shop.run()
        items, written = shop.items(), len(world.braze.catalog_log)
        rows = world.caspio.rows("Products")
        world.caspio.delete_rows("Products", "PK_ID > 0")
        shop.add(*[{name: row[name] for name in ("Code", "Title", "Price", "Stock", "About")} for row in rows])
        report = shop.run(full=True)
        assert (report.sent, report.deleted, len(world.braze.catalog_log)) == (0, 0, written)
        assert shop.items() == items == shop.expected()
        shop.edit("p2", Price=0.51)
        shop.drop("p3")
        report = shop.run(full=True, allow_deletes=True)
        assert (report.sent, report.deleted, shop.items()) == (1, 1, shop.expected())


class TestEngagement:
    NEWEST = RETURN.replace("double: opted_in}}", "double: opted_in}, conflict: newest}")

    @pytest.mark.parametrize("anew", [False, True])
    def test_what_was_agreed_stands(self, world: World, told: Told, anew: bool) -> None:
        """c1 said yes in Braze, and no in Caspio after that: the old yes is no news of the row's new number."""
        customers(world, 4)
        world.sync(self.NEWEST, "engagement")
        world.run("engagement")
        told.says("c1", "subscribed", at=START + timedelta(minutes=5))
        told.says("c2", "unsubscribed", at=START + timedelta(minutes=5))
        told.measures = {"c3": opened(START + timedelta(minutes=5), 2)}
        world.clock.advance(600)
        world.run("engagement")
        change(world, "c1", Newsletter="no")
        world.clock.advance(600)
        world.run("engagement")
        refill(world, [1, 3, 0, 2], anew=anew)
        plan = world.plan("engagement")
        assert plan.report.changed == 0
        report = world.run("engagement")
        assert (report.changed, report.sent) == (0, 0)
        states = {row["CustomerNo"]: row["Newsletter"] for row in world.caspio.rows("Customers")}
        assert states == {"c1": "no", "c2": "no", "c3": "yes", "c4": "yes"}
        with world.ledger() as ledger:
            agreed = ledger.agreed("engagement", 1, 100)
            assert sorted(agreed[SOURCE_PK]) == [row["PK_ID"] for row in world.caspio.rows("Customers")]
            assert agreed["news"].null_count() == 2
