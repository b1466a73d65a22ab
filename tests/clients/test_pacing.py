import asyncio
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
            await pace.admit()
            times.append(clock.monotonic())
            pace.answered()

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
            pace.answered()

        await asyncio.gather(*(call(number) for number in range(5)))

    asyncio.run(run())
    assert order == [0, 1, 2, 3, 4]


@given(st.integers(1, 7), st.floats(0.01, 100), st.lists(st.floats(0, 50), max_size=30))
@settings(max_examples=50, deadline=None)
def test_no_stretch_of_the_window_holds_more_calls_than_it_may(calls: int, seconds: float, pauses: Any) -> None:
    times = admitted(30, RollingWindow(calls, seconds), pauses=tuple(pauses))
    for first, beyond in zip(times, times[calls:], strict=False):
        assert beyond - first >= seconds - 1e-5
