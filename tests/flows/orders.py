"""A small table of orders, one of their lines, and the sync of eCommerce events that is made of both."""

from typing import Any

from tests.flows.happenings import STAMP, minutes_ago
from tests.flows.world import World

ORDERS: list[dict[str, Any]] = [
    {"Name": "OrderNo", "Type": "STRING"},
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "PlacedAt", "Type": "DATE/TIME"},
    {"Name": "LineCount", "Type": "INTEGER"},
    {"Name": "Status", "Type": "STRING"},
    STAMP,
]
ORDER_LINES: list[dict[str, Any]] = [
    {"Name": "OrderNo", "Type": "STRING"},
    {"Name": "Code", "Type": "STRING"},
    {"Name": "Title", "Type": "TEXT"},
    {"Name": "Quantity", "Type": "INTEGER"},
    {"Name": "Price", "Type": "CURRENCY"},
]
PLACED = """\
kind: events
source: {table: Orders, cursor: ChangedAt}
identity: {external_id: CustomerNo}
event: ecommerce.order_placed
time: PlacedAt
properties: {order_id: OrderNo, currency: {constant: GBP}, source: {constant: shop}}
lines:
  table: OrderLines
  key: OrderNo
  complete: {count: LineCount}
  products: {product_id: Code, product_name: Title, variant_id: Code, quantity: Quantity, price: Price}
"""
LOOSE = "gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}\n"


def order(number: int, **more: Any) -> dict[str, Any]:
    """An order of customer c<number> with two lines."""
    return {
        "OrderNo": f"o{number}",
        "CustomerNo": f"c{number}",
        "PlacedAt": minutes_ago(number),
        "LineCount": 2,
        "Status": "placed",
        **more,
    }


def line_of(number: int, place: int, **more: Any) -> dict[str, Any]:
    """A line of an order."""
    return {
        "OrderNo": f"o{number}",
        "Code": f"p{place}",
        "Title": f'Cup "{place}"',
        "Quantity": place,
        "Price": 2.5,
        **more,
    }


def shop(
    world: World, orders: list[dict[str, Any]], lines: list[dict[str, Any]], text: str = PLACED + LOOSE
) -> list[int]:
    """Both tables with these rows, and the sync `placed`; the orders' PK_IDs."""
    world.sync(text, "placed")
    world.caspio.create_table("Orders", ORDERS)
    world.caspio.create_table("OrderLines", ORDER_LINES)
    world.caspio.insert_rows("OrderLines", lines)
    return world.caspio.insert_rows("Orders", orders)
