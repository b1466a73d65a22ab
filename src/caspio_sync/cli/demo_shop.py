"""The end of the demo: an order is placed in Caspio, a webhook announces it, and Braze has it a moment later."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import orjson

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.webhooks import OutgoingWebhooks
from caspio_sync.cli.demo_mail import receiver
from caspio_sync.cli.shop_traffic import play
from caspio_sync.clock import SystemClock
from caspio_sync.deployed import webhook
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.settings import BrazeSettings
from caspio_sync.engine.connect import caspio_client
from caspio_sync.errors import TransientError
from caspio_sync.feeds import FEEDS_VARIABLE
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import destination_settings, load_settings

SYNC = "placed_orders"
_LISTENS_SECONDS = 60
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.05  # the exports of Braze take 40 calls a second


def place_orders(count: int) -> list[float]:
    """Place some of the shop's orders; how many seconds after it was placed Braze had each.

    Raises:
        TransientError: one did not arrive within half a minute.
    """
    port = _free_port()
    secret = asyncio.run(_hooked(port))
    os.environ[FEEDS_VARIABLE] = json.dumps({SYNC: {"table": "Orders", "secrets": [secret]}})
    try:
        with receiver(port), _listening():
            return asyncio.run(_placed(count))
    finally:
        del os.environ[FEEDS_VARIABLE]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _hooked(port: int) -> str:
    """The secret of a webhook that is made for the sync."""
    settings = load_settings()
    want = webhook.wanted(load_sync(settings.sync_file(SYNC)), [f"http://127.0.0.1:{port}"], throttling=None)
    async with caspio_client(settings, SystemClock()) as caspio:
        hooks = OutgoingWebhooks(caspio)
        made, secret = await webhook.make(hooks, want)
        await webhook.repair(hooks, want, webhook.Found(made))
    return secret.get_secret_value()


@contextlib.contextmanager
def _listening() -> Iterator[None]:
    """A run that reads what webhooks announce, as a process of its own, once it listens."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "caspio_sync", "run", SYNC, "--hints", "--listen", str(_LISTENS_SECONDS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        with Ledger.open(load_settings().ledger_url) as ledger:
            while not ledger.leases(SYNC):
                if process.poll() is not None or time.monotonic() > until:
                    raise TransientError(f"nobody listens; `caspio-sync run {SYNC} --hints` says why")
                time.sleep(_LOOK_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


async def _placed(count: int) -> list[float]:
    clock = SystemClock()
    async with caspio_client(load_settings(), clock) as caspio, _braze(clock) as braze:
        return [each async for each in _arrivals(caspio, braze, clock, count)]


@contextlib.asynccontextmanager
async def _braze(clock: SystemClock) -> AsyncIterator[BrazeClient]:
    settings = destination_settings("braze")
    assert isinstance(settings, BrazeSettings)
    client = BrazeClient(endpoint=settings.braze_endpoint, api_key=settings.braze_api_key, clock=clock, clients=1)
    try:
        yield client
    finally:
        await client.aclose()


async def _arrivals(caspio: CaspioClient, braze: BrazeClient, clock: SystemClock, count: int) -> AsyncIterator[float]:
    """Of each order, the seconds from its last row in Caspio to its event in Braze."""
    counts: dict[str, int] = {}
    async for order in play(caspio, clock, speed=600, most=count):
        began = clock.monotonic()
        wanted = counts.get(order.customer, 0) + 1
        while await _events(braze, order.customer) < wanted:
            if clock.monotonic() - began > _PATIENCE_SECONDS:
                raise TransientError(f"order {order.number} did not arrive within {_PATIENCE_SECONDS:.0f} seconds")
            await clock.sleep(_LOOK_SECONDS)
        counts[order.customer] = wanted
        yield clock.monotonic() - began


async def _events(braze: BrazeClient, customer: str) -> int:
    """How many events about orders Braze has of a person."""
    answer = await braze.export_users([customer], ["external_id", "custom_events"])
    told = orjson.loads(orjson.dumps(answer.users[0])) if answer.users else {}
    return sum(int(each["count"]) for each in told.get("custom_events") or ())
