"""Small tables of tickets and order lines, and their syncs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from caspio_sync.sandbox.braze.behaviour import ORDER_CAMPAIGN
from tests.flows.world import START, World

STAMP = {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"}
TICKETS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "Subject", "Type": "STRING"},
    {"Name": "Status", "Type": "STRING"},
    {"Name": "Priority", "Type": "INTEGER"},
    {"Name": "OpenedAt", "Type": "DATE/TIME"},
    STAMP,
]
LINES: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "Invoice", "Type": "STRING"},
    {"Name": "Code", "Type": "STRING"},
    {"Name": "Quantity", "Type": "INTEGER"},
    {"Name": "Price", "Type": "CURRENCY"},
    {"Name": "BoughtAt", "Type": "DATE/TIME"},
]
TICKETS_SYNC = """\
kind: events
source: {table: Tickets, cursor: ChangedAt}
identity: {external_id: CustomerNo}
event: support_ticket_opened
time: OpenedAt
properties: {subject: Subject, priority: Priority, status: Status}
"""
LINES_SYNC = """\
kind: purchases
source: {table: Lines}
identity: {external_id: CustomerNo}
product_id: Code
currency: {constant: GBP}
price: Price
quantity: Quantity
time: BoughtAt
properties: {invoice: Invoice}
"""
MESSAGES = f"""\
kind: triggers
source: {{table: Tickets, cursor: ChangedAt}}
identity: {{external_id: CustomerNo}}
campaign_id: {ORDER_CAMPAIGN}
time: OpenedAt
trigger_properties: {{subject: Subject, priority: Priority}}
"""
LOOSE = "gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}\n"


def ticket(number: int, **more: Any) -> dict[str, Any]:
    """A sound ticket of customer c<number>, opened that many minutes before the world began."""
    return {
        "CustomerNo": f"c{number}",
        "Subject": f"Ticket {number}",
        "Status": "open",
        "Priority": number % 3,
        "OpenedAt": minutes_ago(number),
        **more,
    }


def line(number: int, **more: Any) -> dict[str, Any]:
    """A sound order line."""
    return {
        "CustomerNo": f"c{number}",
        "Invoice": f"i{number}",
        "Code": f"p{number}",
        "Quantity": 1 + number % 5,
        "Price": 2.5 * number,
        "BoughtAt": minutes_ago(number),
        **more,
    }


def minutes_ago(minutes: int) -> str:
    return (START - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")


def tickets(
    world: World, rows: list[dict[str, Any]], text: str = TICKETS_SYNC + LOOSE, more: Sequence[dict[str, Any]] = ()
) -> list[int]:
    """The table with these rows, and its sync; their PK_IDs. `more`: fields."""
    world.sync(text, "tickets")
    world.caspio.create_table("Tickets", [*TICKETS, *more])
    return world.caspio.insert_rows("Tickets", rows)


def order_lines(world: World, rows: list[dict[str, Any]], text: str = LINES_SYNC + LOOSE) -> list[int]:
    """As `tickets`, of order lines."""
    world.sync(text, "orders")
    world.caspio.create_table("Lines", LINES)
    return world.caspio.insert_rows("Lines", rows)


def arrived(world: World, array: str = "events") -> list[dict[str, Any]]:
    """The objects of an array that Braze has taken, in the order they came."""
    return [each.object for each in world.braze.log if each.array == array]


def people(world: World, count: int) -> None:
    """Profiles c1, c2, … in Braze."""
    for number in range(1, count + 1):
        made = {"external_id": f"c{number}", "email": f"c{number}@example.com"}
        world.braze.store.apply_attributes(made, world.clock.now().timestamp())
