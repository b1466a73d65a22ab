"""The People table, its sync to ActiveCampaign, and the account at the other end."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.settings import current_settings
from caspio_sync.verification.verifying import verify
from tests.flows.world import World

HOUR = 3600.0
PEOPLE: list[dict[str, Any]] = [
    {"Name": "Email", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Phone", "Type": "STRING"},
    {"Name": "Level", "Type": "STRING"},
    {"Name": "Interests", "Type": "LIST-STRING", "ListField": ["Yoga", "Pilates", "Running"]},
    {"Name": "Since", "Type": "DATE/TIME"},
    {"Name": "Spend", "Type": "NUMBER"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Erase", "Type": "STRING"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SYNC = """\
kind: profiles
destination: activecampaign
source: {table: People, cursor: ChangedAt}
identity: {email: Email}
fields:
  firstName: FirstName
  phone: {from: Phone, transform: {phone: {region: US}}}
  Member Level: {from: Level, type: dropdown, map: {g: Gold, s: Silver}, on_null: clear}
  Interests: Interests
  Since: {from: Since, type: datetime}
  Spend: Spend
lists:
  Newsletter: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
options: {create: true}
gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}
"""


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Email": f"p{number}@example.com",
        "FirstName": f"Name{number}",
        "Phone": "415 555 2671",
        "Level": "G",
        "Interests": [1, 3],
        "Since": "2024-05-06T07:08:09",
        "Spend": number * 2.5,
        "Newsletter": "yes",
        **more,
    }


Shop = Callable[..., "Contacts"]


class Contacts:
    """The People table, its sync, and the account at the other end."""

    def __init__(self, world: World, rows: int, text: str = SYNC, **behaviour: Any) -> None:
        self.world = world
        if behaviour:
            world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), world.clock)
        world.caspio.create_table("People", PEOPLE)
        world.caspio.insert_rows("People", [row(number) for number in range(1, rows + 1)])
        world.sync(text, "contacts")

    @property
    def account(self) -> ActiveCampaignSandbox:
        return self.world.activecampaign

    def run(self, **options: Any) -> Any:
        self.world.clock.advance(HOUR)
        self.account.calls.clear()
        return self.world.ended("contacts", **options)

    def change(self, number: int, **values: Any) -> None:
        self.world.caspio.update_rows("People", values, f"FirstName='Name{number}'")

    def there(self, number: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.account.contacts()[f"p{number}@example.com"]
        return found

    def held(self, verdict: str) -> dict[str, str]:
        with self.world.ledger() as ledger:
            frame = ledger.quarantine("contacts", [verdict], limit=1000)
        return {str(each["key"]): each["reason"] for each in frame.iter_rows(named=True)}


@pytest.fixture
def shop(world: World) -> Shop:
    return lambda rows=3, text=SYNC, **behaviour: Contacts(world, rows, text, **behaviour)


def verified(contacts: Contacts) -> Any:
    return asyncio.run(verify("contacts", settings=current_settings("contacts"), restart=True))
