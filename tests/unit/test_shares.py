"""Several processes on one ledger share the vendors' limits: never more than the whole together, and alone all of it."""

import asyncio
import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.delivery.pacing import Pacer
from caspio_sync.engine.quota import CaspioQuota
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.wire.pacing import Pace, RollingWindow
from tests.virtual_clock import VirtualClock

LIMIT, WINDOW = 300, 3.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: VirtualClock) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)


def test_a_run_alone_has_the_whole_and_gives_way_before_another_gets_any(ledger: Ledger, clock: VirtualClock) -> None:
    with ledger:
        first = ledger.acquire_lease("a", "one")
        assert ledger.take_share(first) == 1.0
        second = ledger.acquire_lease("b", "two")
        assert ledger.take_share(second) == 0.0
        assert ledger.even_share(first) == 0.5
        assert ledger.take_share(first) == 0.5
        assert ledger.take_share(second) == 0.5
        third = ledger.acquire_lease("c", "three")
        assert ledger.take_share(third) == 0.0
        assert ledger.take_share(second) == pytest.approx(1 / 3)
        assert ledger.take_share(third) == pytest.approx(1 / 6)  # what the first has not given up yet is not there
        ledger.release_lease(first)
        assert ledger.take_share(third) == 0.5
        clock.advance(61)  # nobody renewed: the dead take no part
        fourth = ledger.acquire_lease("d", "four")
        assert ledger.take_share(fourth) == 1.0


def test_what_takes_no_part_takes_nothing(ledger: Ledger) -> None:
    with ledger:
        ledger.acquire_lease("a", "verification")
        run = ledger.acquire_lease("b", "run")
        assert ledger.take_share(run) == 1.0


def most_in_a_window(times: list[float], seconds: float) -> int:
    most, window = 0, deque[float]()
    for time in sorted(times):
        window.append(time)
        while window[0] <= time - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def test_two_senders_together_keep_brazes_limit_and_one_alone_uses_it(clock: VirtualClock) -> None:
    sent: list[float] = []

    async def send(pacer: Pacer, until: float) -> None:
        while clock.monotonic() < until:
            await pacer.admit()
            sent.append(clock.monotonic())

    async def both() -> None:
        one, other = (Pacer(requests=LIMIT, window_seconds=WINDOW, clock=clock) for _ in range(2))
        other.take_share(0.0)
        sending = [asyncio.create_task(send(each, 30.0)) for each in (one, other)]
        await clock.sleep(10.0)
        one.take_share(0.5)  # gives way at once; the other begins a window later
        await clock.sleep(WINDOW)
        other.take_share(0.5)
        await asyncio.gather(*sending)

    asyncio.run(both())
    assert most_in_a_window(sent, WINDOW) <= LIMIT
    assert len([time for time in sent if time < 10]) >= 0.95 * 10 * LIMIT / WINDOW
    assert len([time for time in sent if 15 < time <= 30]) >= 0.95 * 15 * LIMIT / WINDOW


def test_a_share_of_caspios_burst_is_kept_and_nothing_leaves_without_one(clock: VirtualClock) -> None:
    made: list[float] = []

    async def calls() -> None:
        pace = Pace([RollingWindow.per_second(20)], clock)
        pace.take_share(0.0)
        asking = asyncio.create_task(ask(pace))
        await clock.sleep(5.0)
        assert made == []
        pace.take_share(0.25)
        await clock.sleep(10.0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def ask(pace: Pace) -> None:
        while True:
            made.append(await pace.admit())
            pace.failed()

    asyncio.run(calls())
    assert most_in_a_window(made, 1.0) == 5
    assert 45 <= len(made) <= 55


def test_a_share_below_one_call_makes_the_window_longer() -> None:
    window = RollingWindow(4, 1.0)
    window.take_share(0.125)
    window.take()
    window.release(0.0)
    assert window.wait(0.0) == pytest.approx(2.0)


@settings(max_examples=30, deadline=None)
@given(
    starts=st.lists(st.integers(0, 900), min_size=2, max_size=5),
    calls=st.lists(st.integers(1, 400), min_size=5, max_size=5),
    rate=st.sampled_from([0.0, 0.05, 1.5]),
)
def test_runs_at_once_and_after_each_other_keep_caspios_window_together(
    starts: list[int], calls: list[int], rate: float
) -> None:
    """Each run is a process of its own: what the others asked for, only the ledger tells."""
    limit, clock = 100, VirtualClock()
    left: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"

        async def run(start: int, wanted: int) -> None:
            await clock.sleep(start)
            ledger = LedgerThread(Ledger.open(url, clock=clock))
            quota = CaspioQuota(account="a", calls_per_day=None, calls_per_window=limit, ledger=ledger, clock=clock)
            for _ in range(wanted):
                await quota.admit()
                left.append(clock.monotonic())
                await clock.sleep(rate)
            await quota.close()
            ledger.close()

        async def every() -> None:
            await asyncio.gather(*(run(start, wanted) for start, wanted in zip(starts, calls, strict=False)))

        asyncio.run(every())
        with Ledger.open(url, clock=clock) as ledger:
            # What was leased and not used was given back: nobody waits for calls that nobody made.
            recent = sum(1 for at in left if at > clock.monotonic() - 300)
            older = len(left) - recent
            free, _, _ = ledger.take_window_calls("a 300s", 10 * limit, seconds=304.0, limit=limit)
            assert limit - recent - older <= free <= limit - recent
    assert most_in_a_window(left, 300.0) <= limit
    assert len(left) == sum(calls[: len(starts)])
