"""Caspio's quota: every call counted, a run over the budget stretched, the limits of a window and a second kept.

Section 4.1 of the reference page on Caspio: every request counts, refused ones and token requests too.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.cli.main import app
from caspio_sync.engine.accounts import caspio_account
from caspio_sync.engine.quota import BLOCK, CaspioQuota
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import load_settings
from caspio_sync.spans import utc_day
from tests.flows.world import World
from tests.virtual_clock import VirtualClock

ACCOUNT = "caspio.test"
RECORDS = "/integrations/rest/v3/tables/Customers/records"
MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def many(world: World) -> World:
    world.people(30_000)
    world.sync()
    return world


def used(world: World, day: datetime | None = None) -> int:
    with world.ledger() as ledger:
        today = ledger.calls_used(ACCOUNT, day or utc_day(world.clock.now()))
        later = 0 if day is None else ledger.calls_used(ACCOUNT, day + timedelta(days=1))
    return int(today - later)


def budget(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setenv("CASPIO_CALLS_PER_DAY", str(calls))


def test_every_call_is_counted_tokens_refusals_and_failures_included(many: World) -> None:
    many.break_caspio(
        Fault(kind="refuse", path=RECORDS, every=4, header="absent"),
        Fault(kind="expired_token", path=RECORDS, nth=(7,)),
        Fault(kind="reset_after", path=RECORDS, nth=(9,)),
    )
    report = many.run()
    struck = sum(many.struck("caspio", kind) for kind in ("refuse", "expired_token"))
    assert struck >= 8
    assert report.caspio_calls == many.caspio.calls + struck == used(many)
    assert report.stretched is None


def test_a_run_that_cannot_be_opened_counts_its_calls(many: World) -> None:
    many.run()
    before, counted = many.caspio.calls, used(many)
    many.sync(many.SYNC.replace("first_name: FirstName", "first_name: Nonsense"))
    assert many.ended().code == 2
    assert used(many) - counted == many.caspio.calls - before == 2


def test_a_run_over_the_budget_is_spread_over_the_day_and_goes_on_tomorrow(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget(monkeypatch, 25)
    started = many.clock.now()
    ended = many.ended()
    assert (ended.code, ended.report.read, ended.report.sent) == (0, 30_000, 30_000)
    assert len(many.profiles()) == 30_000
    assert many.verdicts() == {"sent": 30_000}
    # The watermark is the start of the read, long as it took.
    assert many.watermark() - started < timedelta(minutes=1)
    today, tomorrow = used(many, utc_day(started)), used(many, MIDNIGHT)
    assert today <= 25
    assert today + tomorrow == many.caspio.calls == ended.report.caspio_calls
    assert many.clock.now() > MIDNIGHT
    assert "of today's 25 Caspio calls are used (CASPIO_CALLS_PER_DAY)" in ended.report.stretched
    assert "one every" in ended.report.stretched


def test_the_last_tenth_of_a_budget_is_spread_even_where_it_would_do(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.run()
    budget(monkeypatch, used(many) + 4)
    many.clock.advance(3600)
    before = many.clock.monotonic()
    report = many.run()
    assert report.stretched is not None
    assert used(many) <= used(many) + 4
    assert many.clock.monotonic() - before > 600


def test_with_nothing_left_a_run_waits_for_midnight(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many.run()
    budget(monkeypatch, used(many))
    many.clock.advance(3600)
    report = many.run()
    assert many.clock.now() >= MIDNIGHT
    assert "from midnight UTC on" in report.stretched
    assert report.state == "done"


def test_within_the_budget_nothing_waits(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(monkeypatch, 200)
    before = many.clock.monotonic()
    report = many.run()
    assert report.stretched is None
    assert many.clock.monotonic() - before < 5
    assert used(many) == many.caspio.calls


def test_a_kill_loses_at_most_a_block_on_the_safe_side(many: World) -> None:
    async def three_calls(*, killed: bool) -> None:
        ledger = LedgerThread(many.ledger())
        quota = CaspioQuota(account=ACCOUNT, calls_per_day=1000, ledger=ledger, clock=many.clock)
        for _ in range(3):
            await quota.admit()
        if not killed:
            await quota.close()
        ledger.close()

    asyncio.run(three_calls(killed=True))
    assert used(many) == BLOCK
    asyncio.run(three_calls(killed=False))
    assert used(many) == BLOCK + 3


def test_processes_on_one_ledger_share_the_budget_to_the_last_call(many: World) -> None:
    day = utc_day(many.clock.now())
    with many.ledger() as one, many.ledger() as other:
        granted = [ledger.take_calls(ACCOUNT, day, 7, limit=30) for ledger in (one, other) * 4]
        assert granted == [7, 7, 7, 7, 2, 0, 0, 0]
        other.give_calls_back(ACCOUNT, day, 3)
        assert one.take_calls(ACCOUNT, day, 7, limit=30) == 3
        assert one.take_calls("another.caspio.com", day, 7, limit=30) == 7


def test_plan_refuses_with_the_arithmetic_where_the_schedule_asks_for_too_much(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.sync(many.SYNC + 'schedule: "*/5 * * * *"\n')
    budget(monkeypatch, 1000)
    plan = many.plan()
    assert (plan.calls_a_run, plan.calls_per_day, plan.calls_a_month) == (4, 1000, 288 * 30 * 4)
    assert "288 runs a day x 4 calls = 1,152 > 1,000" in str(plan.refused)
    budget(monkeypatch, 1152)
    plan = many.plan()
    assert (plan.warnings, plan.refused) == ([], None)
    budget(monkeypatch, 20)
    assert any("this run needs about 33 calls" in each for each in many.plan().warnings)


def test_a_plan_of_a_sync_without_a_cursor_counts_all_pages(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many.sync(many.SYNC.replace("  cursor: ChangedAt\n", "") + 'schedule: "0 * * * *"\n')
    budget(monkeypatch, 500)
    plan = many.plan()
    assert plan.calls_a_run == 33
    assert "24 runs a day x 33 calls = 792 > 500" in str(plan.refused)


def test_a_schedule_that_asks_for_too_much_is_refused_by_plan_and_by_deploy(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second adds what plan cannot see: the nightly sweep, and the other syncs of the account."""
    many.sync(many.SYNC + 'schedule: "*/5 * * * *"\n')
    budget(monkeypatch, 1000)
    planned = CliRunner().invoke(app, ["plan", "customers"], catch_exceptions=True)
    assert isinstance(planned.exception, ConfigurationError)
    assert "288 runs a day x 4 calls = 1,152 > 1,000" in str(planned.exception)
    before = many.caspio.calls
    deployed = CliRunner().invoke(app, ["deploy"])
    assert isinstance(deployed.exception, ConfigurationError)
    assert "customers '*/5 * * * *': 288 runs a day x 4 calls = 1,152" in str(deployed.exception)
    assert "1 runs a day x 33 calls = 33" in str(deployed.exception)
    assert many.caspio.calls - before == 3
    budget(monkeypatch, 1152)
    assert CliRunner().invoke(app, ["plan", "customers"]).exit_code == 0
    assert "1,185 > 1,152 a day" in str(CliRunner().invoke(app, ["deploy", "--dry-run"]).exception)


@pytest.mark.parametrize("url", ["https://C0abc.caspio.com", "c0abc.caspio.com", "https://c0abc.caspio.com/"])
def test_an_account_is_its_host(url: str) -> None:
    assert caspio_account(url) == "c0abc.caspio.com"


@pytest.mark.parametrize(("text", "calls"), [("0", None), ("", None), ("16000", 16_000)])
def test_the_setting(world: World, monkeypatch: pytest.MonkeyPatch, text: str, calls: int | None) -> None:
    monkeypatch.setenv("CASPIO_CALLS_PER_DAY", text)
    assert load_settings().caspio_calls_per_day == calls


class Window(httpx.AsyncBaseTransport):
    """Caspio as far as calls go: when each arrived, after a random time on the way, and an answer of a random kind."""

    def __init__(self, clock: VirtualClock, delays: list[float], statuses: list[int]) -> None:
        self.arrivals: list[float] = []
        self._clock = clock
        self._delays = delays
        self._statuses = statuses
        self._asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number, self._asked = self._asked, self._asked + 1
        delay = self._delays[number % len(self._delays)]
        await self._clock.sleep(delay)
        self.arrivals.append(self._clock.monotonic())
        await self._clock.sleep(delay)
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3}, request=request)
        status = self._statuses[number % len(self._statuses)]
        body = {"Result": [{"n": 1}]} if status == 200 else {"Code": "api-calls-rate"}
        return httpx.Response(status, json=body, request=request)


@settings(max_examples=40, deadline=None)
@given(
    bursts=st.lists(st.tuples(st.integers(1, 12), st.floats(0, 20)), min_size=1, max_size=5),
    delays=st.lists(st.sampled_from([0.0, 0.05, 0.4, 2.0]), min_size=1, max_size=7),
    statuses=st.lists(st.sampled_from([200, 200, 200, 429, 500, 401]), min_size=1, max_size=9),
    a_second=st.integers(1, 6),
    a_window=st.integers(5, 20),
)
def test_no_window_and_no_second_ever_holds_more_calls_than_allowed(
    bursts: list[tuple[int, float]], delays: list[float], statuses: list[int], a_second: int, a_window: int
) -> None:
    """2,000 in 300 s and so many a second, in small: whatever is refused, repeated, renewed, or late on its way.

    What is certain of a call's way is what the quickest took, so the quickest come first: one that is quicker than all
    before it may come one too many, and is told by a refusal (`test_pacing.py`).
    """
    clock = VirtualClock()
    line = Window(clock, [*[min(delays)] * 5, *delays], statuses)
    client = CaspioClient(
        integration_url="https://caspio.test",
        client_id="id",
        client_secret=SecretStr("secret"),
        clock=clock,
        transport=line,
        calls_per_second=a_second,
        calls_per_window=a_window,
        window_seconds=30,
    )

    async def ask() -> None:
        with contextlib.suppress(CaspioSyncError):
            await client.aggregate(Source("T"), select="COUNT(PK_ID) AS n")

    async def play() -> None:
        for calls, pause in bursts:
            await asyncio.gather(*(ask() for _ in range(calls)))
            await clock.sleep(pause)
        await client.aclose()

    asyncio.run(play())
    assert client.calls == len(line.arrivals)
    for seconds, limit in ((1.0, a_second), (30.0, a_window)):
        for start in line.arrivals:
            assert sum(start <= at < start + seconds - 1e-6 for at in line.arrivals) <= limit
