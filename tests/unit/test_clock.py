"""The virtual clock wakes sleepers in the order of their deadlines and lets no time pass while somebody can work."""

import asyncio
from datetime import UTC, datetime, timedelta

from caspio_sync.clock import SystemClock
from tests.virtual_clock import VirtualClock


def test_sleepers_wake_in_the_order_of_their_deadlines_at_their_times() -> None:
    async def play() -> list[tuple[float, float]]:
        clock = VirtualClock()
        woken: list[tuple[float, float]] = []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append((seconds, clock.monotonic()))

        await asyncio.gather(*(sleeper(seconds) for seconds in (30, 0, 3600, 1, 30)))
        return woken

    assert asyncio.run(play()) == [(0, 0), (1, 1), (30, 30), (30, 30), (3600, 3600)]


def test_time_does_not_pass_while_a_task_can_run() -> None:
    async def play() -> float:
        clock = VirtualClock()
        worked_until = 0.0

        async def worker() -> None:
            nonlocal worked_until
            for _ in range(5):
                await asyncio.sleep(0)
            worked_until = clock.monotonic()

        await asyncio.gather(clock.sleep(100), worker())
        return worked_until

    assert asyncio.run(play()) == 0


def test_a_sleeper_that_is_cancelled_holds_nobody_up() -> None:
    async def play() -> float:
        clock = VirtualClock()
        cancelled = asyncio.create_task(clock.sleep(1))
        await asyncio.sleep(0)
        cancelled.cancel()
        await clock.sleep(5)
        return clock.monotonic()

    assert asyncio.run(play()) == 5


def test_the_wall_clock_goes_with_the_time() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    clock = VirtualClock(start)
    clock.advance(90)
    assert clock.now() == start + timedelta(seconds=90)
    assert clock.monotonic() == 90


def test_the_system_clock_tells_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
