"""People in Caspio who are contacts in ActiveCampaign, the sync that sends them, and the one that brings back."""

import asyncio
import contextlib
from typing import Any

import httpx
from pydantic import SecretStr

from caspio_sync.engine.connect import open_inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.activecampaign.webhooks import Webhook
from caspio_sync.settings import current_settings
from tests.flows.world import World

HOUR = 3600.0
PEOPLE: list[dict[str, Any]] = [
    {"Name": "Email", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Offers", "Type": "YES/NO"},
    {"Name": "HardBounced", "Type": "YES/NO"},
    {"Name": "LastOpened", "Type": "DATE/TIME"},
    {"Name": "Opens", "Type": "INTEGER"},
    {"Name": "Clicks", "Type": "INTEGER"},
    {"Name": "LastCampaign", "Type": "STRING"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SEND = """\
kind: profiles
destination: activecampaign
source: {table: People, cursor: ChangedAt}
identity: {email: Email}
fields: {firstName: FirstName}
lists:
  Newsletter: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
  Offers: Offers
"""
RETURN = """\
kind: engagement
destination: activecampaign
source: {table: People, time_zone: Europe/London}
identity: {email: Email}
fields:
  HardBounced: {measure: hard_bounced_at, as: flag}
  LastOpened: email_last_open_at
  Opens: {measure: email_opens, as: exact}
  Clicks: {measure: email_clicks, as: exact}
  LastCampaign: last_campaign_name
consent:
  profiles: contacts
  lists:
    Newsletter: {column: Newsletter, map: {yes: subscribed, no: unsubscribed}}
    Offers: {column: Offers}
"""


class ToldContacts:
    """The People table, both syncs, and the account at the other end, which has everybody."""

    def __init__(self, world: World, rows: int = 4, text: str = RETURN, **behaviour: Any) -> None:
        self.world = world
        if behaviour:
            world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), world.clock)
        world.caspio.create_table("People", PEOPLE)
        world.caspio.insert_rows("People", [self.person(number) for number in range(1, rows + 1)])
        world.sync(SEND, "contacts")
        world.sync(text, "back")
        self.run("contacts")
        self.run("back")  # both sides are agreed on from here

    @staticmethod
    def person(number: int) -> dict[str, Any]:
        return {"Email": f" P{number}@Example.com", "FirstName": f"N{number}", "Newsletter": "yes", "Offers": True}

    @property
    def account(self) -> ActiveCampaignSandbox:
        return self.world.activecampaign

    def run(self, sync: str = "back", **options: Any) -> Any:
        self.world.clock.advance(HOUR)
        self.account.calls.clear()
        return self.world.ended(sync, **options)

    def row(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.world.caspio.rows("People")[number - 1]
        return found

    def leaves(self, number: int, name: str = "Newsletter") -> None:
        self.account.set_status(f"p{number}@example.com", name, "2")

    # Webhooks.

    SECRET = "n4-secret_of_the-path_0123456789"

    def hook(self) -> None:
        """The webhook that ActiveCampaign posts by, as `webhooks install` makes it."""
        events, sources = ("subscribe", "unsubscribe", "bounce", "sent", "open", "click"), ("public", "admin", "system")
        url = f"https://hooks.example.test/activecampaign/{self.SECRET}"
        self.account.webhooks.made["11"] = Webhook("11", "caspio-sync back", url, events, sources)

    def deliver(self) -> list[int]:
        """What waits to be posted arrives at a receiver; its answers."""
        with contextlib.closing(open_inbox(current_settings(), self.world.clock)) as inbox:
            app = Receiver(inbox, tokens=[], activecampaign=[SecretStr(self.SECRET)], clock=self.world.clock).app

            async def live() -> None:
                async with app.router.lifespan_context(app):
                    await self.account.webhooks.deliver(httpx.ASGITransport(app))

            asyncio.run(live())
        answers, self.account.webhooks.answers = self.account.webhooks.answers, []
        return answers
