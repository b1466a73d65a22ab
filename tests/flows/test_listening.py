"""A resident run takes what webhooks announce as it arrives, and stands in nobody's way. Its clock is the machine's."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from caspio_sync.cli.bare import run as run_bare
from caspio_sync.clock import SystemClock
from caspio_sync.deployed.listening import ListeningReport, listen
from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import ConfigurationError
from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.webhooks import CaspioFeed
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.hooked import Hooked
from tests.flows.world import World

Script = Callable[[], Awaitable[None]]


class Live(Hooked):
    """Forty customers who were sent, a webhook, and its receiver, in real time."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        world.caspio.close()
        world.clock = SystemClock()  # type: ignore[assignment]  # nothing here moves it
        world.caspio = CaspioSandbox(clock=world.clock)
        world.braze = BrazeSandbox(clock=world.clock)
        CONNECT.set(world.connect())
        world.people(40)
        world.sync()
        self.hook("Customers", "customers")
        world.run()
        world.forget()

    def play(self, script: Script, *, seconds: float = 30.0, sweep_seconds: float | None = None) -> ListeningReport:
        """Listen while a script plays, and until it has ended."""
        from expectations.suites import Gates

        settings = current_settings("customers")

        async def session(options: RunOptions) -> RunReport:
            return await run_bare("customers", options, settings, Gates)

        async def both() -> ListeningReport:
            feeds = {sync: WebhookFeed(secrets=(secret,)) for sync, secret in self.secrets.items()}
            with Hints.open(settings.inbox_url) as hints, Inbox.open(settings.inbox_url) as inbox:
                feed = CaspioFeed(feeds, keep=hints.add, form=SignatureForm())
                app = Receiver(inbox, tokens=[], caspio=feed).app
                deliveries = self.world.caspio.deliveries
                deliveries.transport, deliveries.at_once = httpx.ASGITransport(app), True
                async with app.router.lifespan_context(app):
                    resident = listen(
                        "customers", session, settings=settings, seconds=seconds, sweep_seconds=sweep_seconds
                    )
                    listening = asyncio.create_task(resident)
                    await asyncio.sleep(0.5)
                    await script()
                    return await listening

        return asyncio.run(both())

    async def until(self, what: Callable[[], bool], seconds: float) -> float:
        """Wait for it; how long it took."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def first_name(self, key: str) -> Any:
        return self.world.profiles()[key]["first_name"]


@pytest.fixture
def live(world: World) -> Any:
    token = CONNECT.set(world.connect())
    yield Live(world)
    CONNECT.reset(token)


def test_what_a_person_changes_is_in_braze_within_5_seconds(live: Live) -> None:
    waits: list[float] = []

    async def script() -> None:
        for turn in range(6):
            live.world.caspio.datasheet.update("Customers", {"FirstName": f"turn {turn}"}, f"PK_ID={turn + 5}")
            waits.append(await live.until(lambda: live.first_name(f"c{turn + 5}") == f"turn {turn}", 5.0))  # noqa: B023
            await asyncio.sleep(0.3)

    report = live.play(script, seconds=12)
    assert max(waits) < 5.0
    assert (report.sessions, report.sent, report.hints) == (1, 6, 6)


def test_a_run_of_the_schedule_gets_the_lease_at_once_and_hints_go_on_after_it(live: Live) -> None:
    settings = current_settings("customers")

    async def script() -> None:
        from expectations.suites import Gates

        sheet = live.world.caspio.datasheet
        sheet.update("Customers", {"FirstName": "before"}, "PK_ID=1")
        await live.until(lambda: live.first_name("c1") == "before", 5.0)
        live.world.caspio.update_rows("Customers", {"FirstName": "import"}, "PK_ID=2")
        began = time.monotonic()
        swept = await run_bare("customers", RunOptions(full=True), settings, Gates)
        assert swept.sent == 1
        assert time.monotonic() - began < 5.0
        sheet.update("Customers", {"FirstName": "after"}, "PK_ID=3")
        await live.until(lambda: live.first_name("c3") == "after", 5.0)

    report = live.play(script, seconds=12)
    assert (report.sessions, report.failed, report.sent) == (2, 0, 2)


def test_what_nobody_announced_is_found_between_the_sessions(live: Live) -> None:
    async def script() -> None:
        sheet = live.world.caspio.datasheet
        for turn in range(3):
            sheet.update("Customers", {"FirstName": f"told {turn}"}, "PK_ID=1")
            live.world.caspio.update_rows("Customers", {"FirstName": f"untold {turn}"}, "PK_ID=2")
            await live.until(lambda: live.first_name("c1") == f"told {turn}", 5.0)  # noqa: B023
            await live.until(lambda: live.first_name("c2") == f"untold {turn}", 6.0)  # noqa: B023

    report = live.play(script, seconds=15, sweep_seconds=2.0)
    assert (report.sent, report.failed) == (6, 0)
    assert report.sweeps >= 3
    assert report.sessions >= 3


def test_a_second_resident_ends_at_once(live: Live) -> None:
    settings = current_settings("customers")

    async def never(_: RunOptions) -> RunReport:
        raise AssertionError

    async def script() -> None:
        with pytest.raises(LeaseHeldError):
            await listen("customers", never, settings=settings, seconds=60)

    report = live.play(script, seconds=2)
    assert report == ListeningReport(sync="customers")
    with live.world.ledger() as ledger:
        assert ledger.all_leases() == []


def test_a_webhook_that_somebody_paused_is_an_incident_until_it_is_on_again(live: Live) -> None:
    async def nothing() -> None:
        await asyncio.sleep(0)

    (hook,) = live.world.caspio.webhooks.made.values()
    for active, kinds in ((False, ["webhook"]), (True, [])):
        for event in hook.events.values():
            event.active = active
        live.play(nothing, seconds=1)
        with live.world.ledger() as ledger:
            assert [each.kind for each in ledger.open_incidents("customers")] == kinds


def test_a_key_that_is_refused_ends_it_and_its_hints_wait(live: Live) -> None:
    """Its schedule begins it again, and says so each time, until a person has set it right."""

    async def script() -> None:
        live.world.caspio.datasheet.update("Customers", {"FirstName": "late"}, "PK_ID=4")
        await asyncio.sleep(3)

    live.world.break_braze(Fault(kind="status", status=401))
    with pytest.raises(ConfigurationError, match="401"):
        live.play(script, seconds=8)
    assert live.waiting("customers") == 1
    live.world.break_braze()
    assert live.world.run(hints=True).sent == 1
