"""A world whose Caspio announces changes to a receiver, as it does for whoever installed a webhook."""

import asyncio
from itertools import product
from typing import Any

import httpx
from pydantic import SecretStr

from caspio_sync.deployed.webhook import name_of
from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.webhooks import CaspioFeed
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from caspio_sync.sealed import Sealer
from caspio_sync.settings import current_settings
from tests.contract.conftest import API, talk
from tests.flows.world import World

URL = "http://127.0.0.1:8780/caspio"
TYPES = ("table.recordInsert", "table.recordUpdate", "table.recordDelete")


class Hooked:
    """A world, its webhook, and the receiver it posts to."""

    def __init__(self, world: World, *, keys: SecretStr | None = None) -> None:
        """`keys`: that the receiver encrypts rows with; without them its feeds keep none."""
        self.world = world
        self._sealer = None if keys is None else Sealer(keys)
        self.secrets: dict[str, str] = {}
        self.tables: dict[str, tuple[str, tuple[str, ...]]] = {}

    def misbehave(self, **switches: Any) -> None:
        """Caspio's account anew, with these switches; before there are tables."""
        self.world.caspio.close()
        self.world.caspio = CaspioSandbox(CaspioBehaviour(**switches), clock=self.world.clock)

    def hook(self, table: str, sync: str, beside: tuple[str, ...] = ()) -> None:
        """A webhook for every change of a table by a person, and of tables beside it."""
        self.tables[sync] = (table, beside)

        async def conversation(client: httpx.AsyncClient) -> str:
            made = await client.post(
                f"{API}outgoingWebhooks", json={"Name": name_of(sync), "OutgoingUrls": [f"{URL}/{sync}"]}
            )
            for each, kind in product((table, *beside), TYPES):
                event = {"EventType": kind, "ObjectName": each}
                added = await client.post(f"{API}outgoingWebhooks/{made.json()['Id']}/events", json=event)
                assert added.status_code == 201, added.text
            return str(made.json()["Secret"])

        self.secrets[sync] = talk(self.world.caspio, conversation)

    def deliver(self) -> None:
        """What Caspio has to tell arrives."""
        feeds = {
            sync: WebhookFeed(
                table=self.tables.get(sync, (None, ()))[0],
                beside=self.tables.get(sync, (None, ()))[1],
                secrets=(secret,),
                payload=self._sealer is not None,
            )
            for sync, secret in self.secrets.items()
        }
        url = current_settings().inbox_url
        with Hints.open(url, clock=self.world.clock) as hints, Inbox.open(url, clock=self.world.clock) as inbox:
            feed = CaspioFeed(feeds, keep=hints.add, form=SignatureForm(), sealer=self._sealer, clock=self.world.clock)
            app = Receiver(inbox, tokens=[], caspio=feed).app

            async def live() -> None:
                async with app.router.lifespan_context(app):
                    self.world.caspio.deliveries.transport = httpx.ASGITransport(app)
                    await self.world.caspio.deliveries.deliver()

            asyncio.run(live())

    def retell(self, sync: str, template: str) -> None:
        """From now on the webhook tells what is added by this template."""

        async def conversation(client: httpx.AsyncClient) -> None:
            hooks = (await client.get(f"{API}outgoingWebhooks")).json()
            hook = next(each["Id"] for each in hooks if each["Name"] == name_of(sync))
            events = (await client.get(f"{API}outgoingWebhooks/{hook}/events")).json()
            event = next(each for each in events if each["Type"] == TYPES[0])
            changed = {"EventType": TYPES[0], "ObjectName": event["ObjectName"], "CustomPayloadTemplate": template}
            answer = await client.put(f"{API}outgoingWebhooks/{hook}/events/{event['Id']}", json=changed)
            assert answer.status_code == 200, answer.text

        talk(self.world.caspio, conversation)

    def kept(self) -> int:
        """How many rows of messages are kept."""
        with (
            Hints.open(current_settings().inbox_url, clock=self.world.clock) as hints,
            hints.reading("look") as connection,
        ):
            return int(connection.exec_driver_sql("SELECT COUNT(*) FROM inbox_payload").scalar())

    def waiting(self, sync: str) -> int:
        with Hints.open(current_settings().inbox_url, clock=self.world.clock) as hints:
            return hints.count_waiting(sync)[0]
