"""Calls keep a limit by the other side's clock, and use nearly all of it."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.wire.pacing import Pace, RollingWindow
from tests.virtual_clock import VirtualClock


def admitted(calls: int, *windows: RollingWindow, pauses: tuple[float, ...] = ()) -> list[float]:
    """When each of so many calls was admitted, some of them asking only after a pause."""
    clock = VirtualClock()
    pace = Pace(windows, clock)
    times: list[float] = []

    async def run() -> None:
        for number in range(calls):
            clock.advance(pauses[number] if number < len(pauses) else 0)
            times.append(await pace.admit())
            pace.failed()

    asyncio.run(run())
    return times


def test_calls_leave_at_once_while_the_window_has_room() -> None:
    assert admitted(20, RollingWindow(20, 1)) == [0] * 20


def test_the_next_call_waits_for_the_oldest_to_leave_the_window() -> None:
    assert admitted(5, RollingWindow(2, 10)) == [0, 0, 10, 10, 20]


def test_the_window_rolls() -> None:
    assert admitted(4, RollingWindow(2, 10), pauses=(0, 6, 0, 0)) == [0, 6, 10, 16]


def test_every_window_is_kept() -> None:
    assert admitted(5, RollingWindow(2, 1), RollingWindow(3, 100)) == [0, 0, 1, 100, 100]


def test_without_windows_nothing_waits() -> None:
    assert admitted(1000) == [0] * 1000


@pytest.mark.parametrize(("rate", "third"), [(0.5, 4), (1, 2), (2, 1), (2.5, 0.8), (20, 0)])
def test_a_rate_can_be_any_number(rate: float, third: float) -> None:
    assert admitted(3, RollingWindow.per_second(rate))[-1] == pytest.approx(third)


def test_calls_asking_at_the_same_time_are_admitted_in_their_order() -> None:
    order: list[int] = []

    async def run() -> None:
        pace = Pace([RollingWindow(1, 1)], VirtualClock())

        async def call(number: int) -> None:
            await pace.admit()
            order.append(number)
            pace.failed()

        await asyncio.gather(*(call(number) for number in range(5)))

    asyncio.run(run())
    assert order == [0, 1, 2, 3, 4]


@given(st.integers(1, 7), st.floats(0.01, 100), st.lists(st.floats(0, 50), max_size=30))
@settings(max_examples=50, deadline=None)
def test_no_stretch_of_the_window_holds_more_calls_than_it_may(calls: int, seconds: float, pauses: Any) -> None:
    times = admitted(30, RollingWindow(calls, seconds), pauses=tuple(pauses))
    for first, beyond in zip(times, times[calls:], strict=False):
        assert beyond - first >= seconds - 1e-5


LIMIT = 20
Way = Callable[[], tuple[float, float]]  # seconds until a call arrives, and from then on until its answer is there


class Strict:
    """The other side: counts a call when it arrives, refuses more than `LIMIT` of a second, and may be slow.

    Args:
        way: how long each call takes.
        connections: calls in flight.
    """

    def __init__(self, way: Way, connections: int = 16) -> None:
        self.clock = VirtualClock()
        self.pace = Pace([RollingWindow.per_second(LIMIT)], self.clock)
        self.way = way
        self.connections = connections
        self.arrived: deque[float] = deque()
        self.refused: list[float] = []

    async def call(self) -> None:
        admitted = await self.pace.admit()
        there, back = self.way()
        await self.clock.sleep(there)
        now = self.clock.monotonic()
        while self.arrived and self.arrived[0] <= now - 1 + 1e-9:
            self.arrived.popleft()
        if too_many := len(self.arrived) >= LIMIT:
            self.refused.append(now)
        else:
            self.arrived.append(now)
        await self.clock.sleep(back)
        if too_many:
            self.pace.refused()
        self.pace.answered(admitted, "reading")

    def seconds_of(self, calls: int) -> float:
        """Seconds that so many calls take."""
        return asyncio.run(self.use(calls))

    async def use(self, calls: int) -> float:
        """As `seconds_of`."""

        async def worker() -> None:
            nonlocal calls
            while calls > 0:
                calls -= 1
                await self.call()

        began = self.clock.monotonic()
        await asyncio.gather(*(worker() for _ in range(self.connections)))
        return self.clock.monotonic() - began


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.7])
def test_calls_that_take_equally_long_use_nearly_all_of_the_limit(seconds: float) -> None:
    side = Strict(lambda: (seconds / 3, seconds * 2 / 3))
    assert side.seconds_of(500) <= 1.05 * ((500 - LIMIT) / LIMIT + seconds)
    assert side.refused == []


@given(st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.7), st.floats(0, 0.01), st.floats(0, 0.01))
@settings(max_examples=25, deadline=None)
def test_ways_that_vary_by_less_than_is_left_out_never_break_the_limit(
    seed: int, there: float, back: float, more_there: float, more_back: float
) -> None:
    dice = random.Random(seed)
    way = there + back
    side = Strict(lambda: (there + dice.uniform(0, more_there * way), back + dice.uniform(0, more_back * way)))
    side.seconds_of(150)
    assert side.refused == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("there", "back"), [((0.02, 0.04), (0.6, 0.7)), ((0.02, 0.1), (0.4, 1.0)), ((0.05, 0.45), (0.2, 0.6))]
)
def test_ways_that_vary_by_chance_break_it_no_more(
    seed: int, there: tuple[float, float], back: tuple[float, float]
) -> None:
    dice = random.Random(seed)
    side = Strict(lambda: (dice.uniform(*there), dice.uniform(*back)))
    side.seconds_of(300)
    assert side.refused == []


def test_a_refusal_ends_the_belief_in_what_was_measured_for_five_minutes() -> None:
    turns = iter(range(10**9))
    # Each takes 0.6 s in all, but eight of sixteen arrive at its end: nothing of it is certain.
    side = Strict(lambda: (0.6, 0.0) if next(turns) // 8 % 2 else (0.0, 0.6))

    async def run() -> tuple[float, float]:
        await side.use(300)
        first, last = min(side.refused), max(side.refused)
        assert last - first < 1.0
        assert side.clock.monotonic() < 300
        side.way = lambda: (0.2, 0.4)
        doubting = await side.use(200)
        side.clock.advance(300)
        return doubting, await side.use(200)

    doubting, believing = asyncio.run(run())
    assert len(side.refused) <= LIMIT
    assert doubting == pytest.approx(200 * 1.6 / LIMIT, rel=0.1)
    assert believing == pytest.approx(200 / LIMIT, rel=0.1)


def test_a_quick_answer_counts_no_shorter_than_it_took() -> None:
    turns = iter(range(10**9))
    side = Strict(lambda: (0.01, 0.02) if next(turns) % 10 == 9 else (0.01, 0.7))
    side.seconds_of(300)
    assert side.refused == []


def test_a_call_that_fails_counts_until_it_did() -> None:
    clock = VirtualClock()
    pace = Pace([RollingWindow(1, 1)], clock)

    async def run() -> float:
        for _ in range(20):
            answered = await pace.admit()
            await clock.sleep(0.5)
            pace.answered(answered, "reading")
        await pace.admit()
        await clock.sleep(5)
        pace.failed()
        failed = clock.monotonic()
        return await pace.admit() - failed

    assert asyncio.run(run()) == pytest.approx(1.0)
