"""Messages of the lines' table alone: the order of each line is read again, with its lines."""

from typing import Any

import pytest

from tests.flows.happenings import arrived
from tests.flows.hooked import Hooked
from tests.flows.orders import LOOSE, PLACED, line_of, order, shop
from tests.flows.world import World

AN_HOUR = 3600.0


def hooked_shop(world: World, text: str = PLACED + LOOSE, payload: Any = None) -> Hooked:
    """A first order that was told, and a webhook that hears of both tables."""
    hooked = Hooked(world, keys=payload)
    shop(world, [order(1)], [line_of(1, 1), line_of(1, 2)], text)
    hooked.hook("Orders", "placed", ("OrderLines",))
    assert world.run("placed").verdicts == {"sent": 1}
    return hooked


def test_an_order_is_told_when_its_last_line_is_announced(world: World) -> None:
    hooked, sheet = hooked_shop(world), world.caspio.datasheet
    sheet.insert("OrderLines", line_of(2, 1))
    sheet.insert("Orders", order(2))
    hooked.deliver()
    assert world.run("placed", hints=True).verdicts == {"quarantined": 1}  # a line is missing
    sheet.insert("OrderLines", line_of(2, 2))
    hooked.deliver()
    assert hooked.waiting("placed") == 1
    assert world.run("placed", hints=True).verdicts == {"sent": 1}
    assert len(arrived(world)[-1]["properties"]["products"]) == 2
    assert hooked.waiting("placed") == 0


def test_lines_before_their_order_tell_nothing_and_are_done_with(world: World) -> None:
    hooked = hooked_shop(world)
    world.caspio.datasheet.insert("OrderLines", line_of(7, 1))
    hooked.deliver()
    report = world.run("placed", hints=True)
    assert (report.read, report.verdicts, report.notes) == (0, {}, [])
    assert hooked.waiting("placed") == 0


@pytest.mark.parametrize(("on_update", "events"), [("ignore", 1), ("new_event", 2)])
def test_a_line_that_changes_is_what_on_update_says(world: World, on_update: str, events: int) -> None:
    hooked = hooked_shop(world, f"{PLACED}on_update: {on_update}\n{LOOSE}")
    world.caspio.datasheet.update("OrderLines", {"Quantity": 5}, "PK_ID=1")
    hooked.deliver()
    world.clock.advance(AN_HOUR)
    world.run("placed", hints=True)
    assert len(arrived(world)) == events


def test_a_line_that_is_gone_and_one_of_the_orders_number_read_no_other_row(world: World) -> None:
    """PK_IDs of both tables are the same numbers."""
    hooked, sheet = hooked_shop(world), world.caspio.datasheet
    world.caspio.insert_rows("Orders", [order(2)])  # of which no webhook tells; its PK_ID is that of a line
    world.caspio.insert_rows("OrderLines", [line_of(2, 1), line_of(2, 2)])
    sheet.delete("OrderLines", "PK_ID=2")
    hooked.deliver()
    report = world.run("placed", hints=True)
    assert (report.read, len(arrived(world))) == (0, 1)
    assert hooked.waiting("placed") == 0
