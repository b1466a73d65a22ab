"""A workspace whose lists, states and aggregates a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
from pydantic import SecretStr

from caspio_sync.destinations.braze.engagement_client import BrazeEngagementClient
from caspio_sync.destinations.braze.polls import KNOWN_STATES, Polls
from caspio_sync.engagement.events import Post, read_events
from caspio_sync.sandbox.braze.behaviour import SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 10, 12, tzinfo=UTC)


NOTHING_KNOWN = pl.DataFrame(schema=KNOWN_STATES)


def client_of(transport: httpx.AsyncBaseTransport, clock: VirtualClock) -> BrazeEngagementClient:
    return BrazeEngagementClient(
        endpoint="http://braze", api_key=SecretStr(SANDBOX_KEY), clock=clock, transport=transport, clients=1
    )


class Workspace:
    """The emulator with c-0, c-1, … and polls of it, all by one virtual clock."""

    def __init__(self, people: int = 3, **behaviour: Any) -> None:
        self.clock = VirtualClock(START)
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)
        self.messaging = self.sandbox.messaging
        self.messaging.add_campaign("cmp-1", "Autumn", edited=START)
        self.messaging.add_canvas("cnv-1", "Welcome", edited=START)
        for number in range(people):
            attributes = {"external_id": f"c-{number}", "email": f"C{number}@example.com"}
            self.sandbox.store.apply_attributes(attributes, START.timestamp())

    def ask(self, poll: Callable[[Polls], AsyncIterator[Post]]) -> pl.DataFrame:
        async def all_posts() -> list[Post]:
            async with client_of(httpx.ASGITransport(self.sandbox.app), self.clock) as client:
                return [post async for post in poll(Polls(client, self.clock))]

        posts = asyncio.run(all_posts())
        assert all(post.count == post.lines.count(b"\n") for post in posts)
        return read_events([(number, post.lines) for number, post in enumerate(posts)])

    def days(self, days: int) -> pl.DataFrame:
        async def read() -> pl.DataFrame:
            async with client_of(httpx.ASGITransport(self.sandbox.app), self.clock) as client:
                return await Polls(client, self.clock).campaign_days(days=days)

        return asyncio.run(read())
