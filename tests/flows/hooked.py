"""A world whose Caspio announces changes to a receiver, as it does for whoever installed a webhook."""

import asyncio
from typing import Any

import httpx

from caspio_sync.deployed.webhook import name_of
from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.webhooks import CaspioFeed
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from caspio_sync.settings import current_settings
from tests.contract.conftest import API, talk
from tests.flows.world import World

URL = "http://127.0.0.1:8780/caspio"
TYPES = ("table.recordInsert", "table.recordUpdate", "table.recordDelete")


class Hooked:
    """A world, its webhook, and the receiver it posts to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secrets: dict[str, str] = {}

    def misbehave(self, **switches: Any) -> None:
        """Caspio's account anew, with these switches; before there are tables."""
        self.world.caspio.close()
        self.world.caspio = CaspioSandbox(CaspioBehaviour(**switches), clock=self.world.clock)

    def hook(self, table: str, sync: str) -> None:
        """A webhook for every change of a table by a person."""

        async def conversation(client: httpx.AsyncClient) -> str:
            made = await client.post(
                f"{API}outgoingWebhooks", json={"Name": name_of(sync), "OutgoingUrls": [f"{URL}/{sync}"]}
            )
            for kind in TYPES:
                event = {"EventType": kind, "ObjectName": table}
                added = await client.post(f"{API}outgoingWebhooks/{made.json()['Id']}/events", json=event)
                assert added.status_code == 201, added.text
            return str(made.json()["Secret"])

        self.secrets[sync] = talk(self.world.caspio, conversation)

    def deliver(self) -> None:
        """What Caspio has to tell arrives."""
        feeds = {sync: WebhookFeed(secrets=(secret,)) for sync, secret in self.secrets.items()}
        url = current_settings().inbox_url
        with Hints.open(url, clock=self.world.clock) as hints, Inbox.open(url, clock=self.world.clock) as inbox:
            feed = CaspioFeed(feeds, keep=hints.add, form=SignatureForm(), clock=self.world.clock)
            app = Receiver(inbox, tokens=[], caspio=feed).app

            async def live() -> None:
                async with app.router.lifespan_context(app):
                    self.world.caspio.deliveries.transport = httpx.ASGITransport(app)
                    await self.world.caspio.deliveries.deliver()

            asyncio.run(live())

    def waiting(self, sync: str) -> int:
        with Hints.open(current_settings().inbox_url, clock=self.world.clock) as hints:
            return hints.count_waiting(sync)[0]
