"""A small table of orders, its sync to deals, and the contacts who bought."""

from typing import Any

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from tests.flows.world import World

FIELDS: list[dict[str, Any]] = [
    {"Name": "OrderNo", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Total", "Type": "CURRENCY"},
    {"Name": "State", "Type": "STRING"},
    {"Name": "Result", "Type": "STRING"},
    {"Name": "Note", "Type": "STRING"},
    {"Name": "Due", "Type": "DATE/TIME"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SYNC = """\
kind: deals
destination: activecampaign
source: {table: Orders, cursor: ChangedAt}
deal: OrderNo
contact: Email
title: OrderNo
value: Total
currency: {constant: GBP}
pipeline: {constant: Shop}
stage: {from: State, map: {placed: Placed, shipped: Shipped}}
status: {from: Result, map: {paid: won, cancelled: lost}}
description: {from: Note, on_null: clear}
"""
LOOSE = "gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}\n"


def address(number: int) -> str:
    return f"b{number}@example.com"


def order(number: int, **more: Any) -> dict[str, Any]:
    """A sound order of buyer b<number>."""
    sound = {"OrderNo": f"o{number}", "Email": address(number), "Total": 4 * number, "State": "placed", **more}
    return {"Result": "", "Note": "", "Due": "2026-03-05T00:00:00", **sound}


def orders(world: World, rows: list[dict[str, Any]], text: str = SYNC + LOOSE) -> list[int]:
    """The table with these rows, and its sync; their PK_IDs."""
    world.sync(text, "deals")
    world.caspio.create_table("Orders", FIELDS)
    return world.caspio.insert_rows("Orders", rows)


def buyers(world: World, *numbers: int) -> None:
    """Contacts b1 to b<number>; of several numbers those alone."""
    for number in numbers if len(numbers) > 1 else range(1, numbers[0] + 1):
        world.activecampaign.store.make(address(number), 0.0)


def account(world: World, **behaviour: Any) -> None:
    """Another account, with nothing in it."""
    world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), world.clock)
    world.activecampaign.event_server = ("trackcmp.test", None)


def change(world: World, key: str, **values: Any) -> None:
    """Change an order."""
    world.caspio.update_rows("Orders", values, f"OrderNo='{key}'")


def parts(world: World) -> dict[str, dict[str, str]]:
    """The parts of the deals, by title; two of one title would be one here, so `count` them."""
    return {each.parts["title"]: each.parts for each in world.activecampaign.deals.present().values()}
