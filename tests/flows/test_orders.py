"""eCommerce events that are made of orders and their lines."""

import asyncio
from typing import Any, cast

import polars as pl
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.cli.shop_traffic import Placed, play
from caspio_sync.sandbox.orders import load_order_lines, load_orders, read_order_lines
from caspio_sync.settings import current_settings
from tests.flows.happenings import arrived
from tests.flows.hooked import Hooked
from tests.flows.orders import LOOSE, PLACED, line_of, order, shop
from tests.flows.world import World

AN_HOUR = 3600.0


def two_lines(*numbers: int) -> list[dict[str, Any]]:
    return [line_of(number, place) for number in numbers for place in (1, 2)]


def test_an_order_and_its_lines_are_one_event_and_cost_nothing(world: World) -> None:
    shop(world, [order(1), order(2)], two_lines(2, 1))
    report = world.run("placed")
    assert (report.verdicts, report.data_points) == ({"sent": 2}, 0)
    one = next(each for each in arrived(world) if each["external_id"] == "c1")
    assert one["name"] == "ecommerce.order_placed"
    assert one["properties"] == {
        "order_id": "o1",
        "currency": "GBP",
        "source": "shop",
        "total_value": 7.5,
        "products": [
            {"product_id": f"p{n}", "product_name": f'Cup "{n}"', "variant_id": f"p{n}", "quantity": n, "price": 2.5}
            for n in (1, 2)
        ],
    }
    for options in ({}, {"full": True}, {"pk_range": (1, 100)}):
        world.clock.advance(AN_HOUR)
        assert world.run("placed", **options).verdicts == {}
    assert len(arrived(world)) == 2


def test_lines_that_come_later_are_waited_for(world: World) -> None:
    shop(world, [order(1)], [line_of(1, 1)])
    assert world.run("placed").verdicts == {"quarantined": 1}
    world.clock.advance(60)
    assert world.run("placed").held == {"quarantined": 1}
    world.caspio.insert_rows("OrderLines", [line_of(1, 2)])
    world.clock.advance(60)
    assert world.run("placed").verdicts == {"sent": 1}
    assert len(arrived(world)[0]["properties"]["products"]) == 2


def test_an_order_whose_lines_never_come_is_held_after_ten_minutes_and_named(world: World) -> None:
    shop(world, [order(1), order(2)], [line_of(1, 1), *two_lines(2)])
    assert world.run("placed").verdicts == {"sent": 1, "quarantined": 1}
    world.clock.advance(300)
    assert world.run("placed").verdicts == {}
    world.clock.advance(301)
    assert world.run("placed").verdicts == {"quarantined": 1}
    with world.ledger() as ledger:
        frame = ledger.quarantine("placed", ["quarantined"], limit=10)
    assert frame["reason"].to_list() == ["lines_complete | lines: 1 are there, 2 are to be"]
    world.clock.advance(60)
    report = world.run("placed")
    assert (report.verdicts, report.read) == ({}, 0)  # nobody asks for it again
    world.caspio.insert_rows("OrderLines", [line_of(1, 2)])
    world.clock.advance(60)
    assert world.run("placed", full=True).verdicts == {"sent": 1}


def test_more_lines_than_the_order_tells_are_not_all_of_it_either(world: World) -> None:
    shop(world, [order(1, LineCount=1)], two_lines(1))
    assert world.run("placed").verdicts == {"quarantined": 1}


@pytest.mark.parametrize("orders", [[order(1, LineCount=0)], [order(1, LineCount=None)]])
def test_no_lines_are_no_order(world: World, orders: list[dict[str, Any]]) -> None:
    shop(world, orders, [])
    assert world.run("placed").verdicts == {"quarantined": 1}
    world.clock.advance(AN_HOUR)
    assert world.run("placed").verdicts == {"quarantined": 1}
    assert arrived(world) == []


def test_lines_are_all_there_once_nothing_came_for_a_while(world: World) -> None:
    text = PLACED.replace("{count: LineCount}", "{quiet: 60s}") + LOOSE
    shop(world, [order(1)], [line_of(1, 1)], text)
    assert world.run("placed").verdicts == {"quarantined": 1}
    world.clock.advance(50)
    world.caspio.insert_rows("OrderLines", [line_of(1, 2)])
    assert world.run("placed").verdicts == {"quarantined": 1}  # another line: its rest begins anew
    world.clock.advance(50)
    assert world.run("placed").verdicts == {}
    world.clock.advance(11)
    assert world.run("placed").verdicts == {"sent": 1}
    assert len(arrived(world)[0]["properties"]["products"]) == 2


def test_an_order_is_one_once_its_row_says_so(world: World) -> None:
    text = PLACED.replace("{count: LineCount}", "{when: \"Status = 'placed'\"}") + LOOSE
    (pk,) = shop(world, [order(1, Status="cart")], two_lines(1), text)
    assert world.run("placed").read == 0
    world.clock.advance(60)
    world.caspio.update_rows("Orders", {"Status": "placed"}, f"PK_ID = {pk}")
    assert world.run("placed").verdicts == {"sent": 1}


def test_lines_of_less_than_nothing_hold_their_order(world: World) -> None:
    shop(world, [order(1)], [line_of(1, 1), line_of(1, 2, Quantity=-1)])
    assert world.run("placed").verdicts == {"quarantined": 1}


@pytest.mark.parametrize("name", ["ecommerce.order_refunded", "order_lines_returned"])
def test_lines_of_less_than_nothing_become_an_event_of_their_own(world: World, name: str) -> None:
    text = PLACED + f"  negative: {{event: {name}}}\n" + LOOSE
    lines = [line_of(1, 1), line_of(1, 2, Quantity=-3), line_of(2, 1, Quantity=-1), line_of(2, 2, Quantity=-2)]
    shop(world, [order(1), order(2)], lines, text)
    report = world.run("placed")
    assert report.verdicts == {"sent": 2}
    assert report.data_points == world.braze.data_points == (0 if name.startswith("ecommerce.") else 2)
    of = {who: [each for each in arrived(world) if each["external_id"] == who] for who in ("c1", "c2")}
    assert [each["name"] for each in of["c1"]] == ["ecommerce.order_placed", name]
    bought, returned = (each["properties"] for each in of["c1"])
    assert (bought["total_value"], [each["quantity"] for each in bought["products"]]) == (2.5, [1])
    assert (returned["total_value"], [each["quantity"] for each in returned["products"]]) == (7.5, [3])
    assert [each["name"] for each in of["c2"]] == [name]
    assert of["c2"][0]["properties"]["total_value"] == 7.5


@pytest.mark.parametrize(("on_update", "events"), [("ignore", 1), ("hold", 1), ("new_event", 2)])
def test_lines_that_change_afterwards_are_what_on_update_says(world: World, on_update: str, events: int) -> None:
    shop(world, [order(1)], two_lines(1), PLACED + f"on_update: {on_update}\n" + LOOSE)
    world.run("placed")
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("OrderLines", {"Quantity": 9}, "Code = 'p2'")
    report = world.run("placed", full=True)
    assert report.verdicts == {"ignore": {}, "hold": {"quarantined": 1}, "new_event": {"sent": 1}}[on_update]
    assert len(arrived(world)) == events


def test_another_mapping_of_lines_is_no_other_version(world: World) -> None:
    shop(world, [order(1)], two_lines(1), PLACED + "on_update: new_event\n" + LOOSE)
    world.run("placed")
    upper = PLACED.replace("product_name: Title", "product_name: {from: Title, transform: upper}")
    fewer = PLACED.replace("product_name: Title", "product_name: Code")
    for text in (upper, fewer, PLACED):
        world.clock.advance(AN_HOUR)
        world.sync(text + "on_update: new_event\n" + LOOSE, "placed")
        assert world.run("placed", full=True).verdicts == {}


@pytest.mark.parametrize(
    "broken",
    [{"Code": ""}, {"Title": None}, {"Quantity": 0}, {"Quantity": None}, {"Price": -1}, {"Title": "x" * 256}],
)
def test_a_line_that_is_no_product_holds_its_order_and_is_named(world: World, broken: dict[str, Any]) -> None:
    shop(world, [order(1), order(2)], [line_of(1, 1), line_of(1, 2, **broken), *two_lines(2)])
    assert world.run("placed").verdicts == {"sent": 1, "quarantined": 1}
    with world.ledger() as ledger:
        (reason,) = ledger.quarantine("placed", ["quarantined"], limit=10)["reason"]
    assert "lines_sound" in reason
    assert "PK_ID 2" in reason


def test_two_orders_of_one_number_would_tell_the_same_lines_twice(world: World) -> None:
    shop(world, [order(1), order(2, OrderNo="O1 ")], two_lines(1))
    assert world.run("placed").verdicts == {"quarantined": 2}
    assert arrived(world) == []


def test_numbers_are_compared_as_caspio_compares_them(world: World) -> None:
    shop(world, [order(1, OrderNo="O1")], [line_of(1, 1), line_of(1, 2, OrderNo="o1 ")])
    assert world.run("placed").verdicts == {"sent": 1}


def test_an_order_of_over_100_kb_is_held_and_named(world: World) -> None:
    lines = [line_of(1, 1, Title="x" * 250, Code=f"code-{place}") for place in range(400)]
    shop(world, [order(1, LineCount=400)], lines)
    assert world.run("placed").verdicts == {"quarantined": 1}
    with world.ledger() as ledger:
        (reason,) = ledger.quarantine("placed", ["quarantined"], limit=10)["reason"]
    assert reason.startswith("properties_size")


def test_lines_of_no_order_are_told(world: World) -> None:
    shop(world, [order(1)], [*two_lines(1), *two_lines(7)])
    report = world.run("placed", full=True)
    assert any(note.startswith("2 lines of OrderLines belong to no order") for note in report.notes)


def test_lines_of_many_orders_take_few_calls(world: World) -> None:
    orders = [order(number) for number in range(1, 1501)]
    shop(world, orders, two_lines(*range(1, 1501)))
    report = world.run("placed")
    assert report.verdicts == {"sent": 1500}
    assert report.caspio_calls < 15


def test_a_plan_tells_what_would_go(world: World) -> None:
    shop(world, [order(1), order(2)], two_lines(1, 2))
    plan = world.plan("placed", show=1)
    assert (plan.to_send, plan.report.data_points, plan.events.objects) == (2, 0, 2)
    assert cast("Any", plan.samples[0])["properties"]["total_value"] == 7.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("product_name: Title", "product_name: Titel", "'OrderLines' has no field 'Titel' (did you mean 'title'?)"),
        ("table: OrderLines", "table: Lines", "Lines"),
        ("key: OrderNo", "key: {order: OrderNo, line: Number}", "has no field 'Number'"),
        ("{count: LineCount}", "{count: Lines}", "has no field 'Lines'"),
    ],
)
def test_what_is_not_there_is_refused(world: World, old: str, new: str, said: str) -> None:
    shop(world, [order(1)], two_lines(1), PLACED.replace(old, new))
    ended = world.ended("placed")
    assert ended.code == 2
    assert said.lower() in ended.message.lower()
    assert arrived(world) == []


def test_the_shipped_orders_are_taken_as_they_are(world: World) -> None:
    world.shipped("placed_orders")
    load_orders(world.caspio)
    load_order_lines(world.caspio)
    report = world.run("placed_orders")
    assert sum(report.verdicts.values()) == report.read
    assert report.verdicts == {"sent": 567}
    events = arrived(world)
    assert {each["name"] for each in events} == {"ecommerce.order_placed", "ecommerce.order_refunded"}
    lines = read_order_lines().filter(pl.col("CustomerNo") != "")
    bought = sum(each["properties"]["total_value"] for each in events if each["name"].endswith("placed"))
    assert bought == pytest.approx(
        lines.filter(pl.col("Quantity") > 0).select(pl.col("Quantity").dot("UnitPrice")).item()
    )
    assert report.data_points == world.braze.data_points == 0


def test_why_tells_what_a_run_would_make_of_an_order(world: World) -> None:
    shop(world, [order(1)], two_lines(1))
    told = CliRunner().invoke(app, ["why", "placed", "c1"])
    assert told.exit_code == 0, told.output
    assert "products" in told.output


def test_check_looks_at_the_lines(world: World) -> None:
    shop(world, [order(1)], two_lines(1))
    told = CliRunner().invoke(app, ["check", "placed"])
    assert "the lines of orders are those of OrderLines" in " ".join(told.output.split())
    world.sync(PLACED.replace("product_name: Title", "product_name: Titel"), "placed")
    told = CliRunner().invoke(app, ["check", "placed"])
    assert told.exit_code == 2
    assert "has no field 'Titel'" in " ".join(told.output.split())


@pytest.mark.parametrize("complete", ["{quiet: 60s}", "{count: LineCount}"])
def test_many_orders_that_wait_block_nothing(world: World, complete: str) -> None:
    """At the usual limits of the gate: every new order waits at first."""
    numbers = range(1, 301)
    first = [line_of(number, 1) for number in numbers]
    shop(world, [order(number) for number in numbers], first, PLACED.replace("{count: LineCount}", complete))
    assert world.run("placed").verdicts == {"quarantined": 300}
    world.clock.advance(30)
    world.caspio.insert_rows("OrderLines", [line_of(number, 2) for number in numbers])
    for _ in range(4):  # two hundred waiting ones a run
        world.clock.advance(61)
        world.run("placed")
    assert world.verdicts("placed") == {"sent": 300}
    assert all(len(each["properties"]["products"]) == 2 for each in arrived(world))


def test_an_order_that_a_webhook_announces_is_read_with_its_lines(world: World) -> None:
    hooked = Hooked(world)
    shop(world, [order(1)], two_lines(1))
    hooked.hook("Orders", "placed")
    world.run("placed")
    world.caspio.datasheet.insert("Orders", order(2))
    world.caspio.insert_rows("OrderLines", two_lines(2))
    hooked.deliver()
    assert hooked.waiting("placed") == 1
    assert world.run("placed", hints=True).verdicts == {"sent": 1}
    assert arrived(world)[-1]["properties"]["order_id"] == "o2"


def test_the_shop_s_traffic_is_orders_that_were_never_placed_before(world: World) -> None:
    world.shipped("placed_orders")
    load_orders(world.caspio)
    load_order_lines(world.caspio)
    world.run("placed_orders", baseline=True)

    async def traffic() -> list[Placed]:
        async with world.connect().caspio(current_settings(), world.clock) as caspio:
            return [each async for each in play(caspio, world.clock, speed=600, most=3)]

    began = world.clock.monotonic()
    placed = asyncio.run(traffic())
    assert 0 < world.clock.monotonic() - began < 60  # at the pace of the shop, as often as was asked
    world.clock.advance(60)
    assert world.run("placed_orders").verdicts == {"sent": 3}
    told = {each["properties"]["order_id"]: len(each["properties"]["products"]) for each in arrived(world)}
    assert told == {each.number: each.lines for each in placed}


@pytest.mark.parametrize("together", [True, False])
def test_two_orders_of_one_number_in_two_batches_are_both_held(world: World, together: bool) -> None:
    """In one run, and where the second comes a day after the first was told."""
    shop(world, [order(1)], [*two_lines(1), *two_lines(2)], PLACED + LOOSE + "batch_size: 1000\n")
    first = {} if together else world.run("placed").verdicts
    many = [order(number) for number in range(3, 1603)] if together else [order(2)]
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Orders", [*many, order(1, OrderNo="O1 ")])
    world.run("placed")
    told = [each["properties"]["order_id"] for each in arrived(world)]
    assert told == (["o1", "o2"] if first else [])
    with world.ledger() as ledger:
        held = ledger.quarantine("placed", ["quarantined"], limit=5000)
    assert sum("2 orders bear its number" in reason for reason in held["reason"]) == (2 if together else 1)


def test_numbers_that_stand_once_cost_a_call(world: World) -> None:
    shop(world, [order(1), order(2)], two_lines(1, 2))
    before = world.run("placed").caspio_calls
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Orders", [order(3)])
    world.caspio.insert_rows("OrderLines", two_lines(3))
    assert world.run("placed").caspio_calls <= before
    assert len(arrived(world)) == 3
