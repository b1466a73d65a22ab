"""eCommerce events that are made of orders and their lines."""

import pytest

from tests.flows.happenings import arrived
from tests.flows.orders import LOOSE, PLACED, line_of, order, shop
from tests.flows.world import World

AN_HOUR = 3600.0


def two_lines(*numbers: int) -> list[dict]:
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
