"""Requests leave within the limit whatever is announced, and wait while the other side refuses or fails."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.delivery.pacing import Announced, Breaker, Pacer, announced_wait, backoff
from caspio_sync.errors import TransientError
from tests.virtual_clock import VirtualClock


def most_in_any_window(times: list[float], seconds: float) -> int:
    """The largest number of times within a window that is open at its end."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


async def leave(pacer: Pacer, clock: VirtualClock, times: list[float], requests: int) -> None:
    for _ in range(requests):
        await pacer.admit()
        times.append(clock.monotonic())


async def leave_at_once(pacer: Pacer, clock: VirtualClock, requests: int, workers: int) -> list[float]:
    times: list[float] = []
    await asyncio.gather(*(leave(pacer, clock, times, requests // workers) for _ in range(workers)))
    return times


def paced(
    scenario: Callable[[Pacer, VirtualClock], Awaitable[None]], *, requests: int = 10, window: float = 3.0
) -> None:
    async def play() -> None:
        clock = VirtualClock()
        await scenario(Pacer(requests=requests, window_seconds=window, clock=clock), clock)

    asyncio.run(play())


@settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 40),
    window=st.sampled_from([1.0, 3.0, 60.0]),
    pauses=st.lists(st.floats(0, 200), min_size=1, max_size=4),
    workers=st.integers(1, 8),
)
def test_no_window_ever_holds_more_than_the_limit(limit: int, window: float, pauses: list[float], workers: int) -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        times: list[float] = []
        for pause in pauses:
            await clock.sleep(pause)
            times += await leave_at_once(pacer, clock, 2 * limit + workers, workers)
        assert most_in_any_window(times, window) <= limit

    paced(scenario, requests=limit, window=window)


def test_the_limit_is_used_nearly_whole() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        await leave_at_once(pacer, clock, 3000, 10)
        assert clock.monotonic() < 3.0 / 0.95

    paced(scenario, requests=3000)


def test_what_is_late_by_little_is_made_up_for() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        times: list[float] = []
        for _ in range(1000):
            await leave(pacer, clock, times, 1)
            clock.advance(0.001)  # the loop's own delay on top of each turn
        assert times[-1] < 1000 / 995 / 0.97 + 0.1

    paced(scenario, requests=995, window=1.0)


def test_a_lower_limit_holds_for_requests_that_wait_already() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        waiting = asyncio.create_task(leave_at_once(pacer, clock, 60, 30))
        await clock.sleep(0.5)
        announced_at = clock.monotonic()
        pacer.observe(Announced(limit=10, remaining=5, reset_seconds=2))
        after = [time for time in await waiting if time > announced_at]
        assert most_in_any_window(after, 3.0) <= 10

    paced(scenario, requests=100)


def test_a_higher_limit_is_followed_once_a_second_window_confirms_it() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        await pacer.admit()
        pacer.observe(Announced(limit=1000, remaining=999, reset_seconds=3))
        before = clock.monotonic()
        await leave_at_once(pacer, clock, 10, 2)
        assert clock.monotonic() - before > 2.9
        pacer.observe(Announced(limit=1000, remaining=998, reset_seconds=3))
        started = clock.monotonic()
        times = await leave_at_once(pacer, clock, 500, 5)
        assert clock.monotonic() - started < 1.7
        assert most_in_any_window(times, 3.0) <= 1000

    paced(scenario)


@pytest.mark.parametrize(
    "announced",
    [Announced(), Announced(limit=1), Announced(limit=0, reset_seconds=1), Announced(reset_seconds=1, remaining=0)],
)
def test_half_an_announcement_changes_nothing(announced: Announced) -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        pacer.observe(announced)
        await leave_at_once(pacer, clock, 30, 3)
        assert clock.monotonic() == pytest.approx(29 * 3 / 9.7 - 0.06, abs=0.1)

    paced(scenario)


def test_the_limit_of_an_hourly_pool_is_not_taken_for_the_burst_limit() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        # In the last seconds of the hour it looks like one; afterwards it does no more.
        pacer.observe(Announced(limit=1_000_000, remaining=900_000, reset_seconds=2))
        pacer.observe(Announced(limit=1_000_000, remaining=999_999, reset_seconds=3599))
        pacer.observe(Announced(limit=1_000_000, remaining=500_000, reset_seconds=1))
        assert most_in_any_window(await leave_at_once(pacer, clock, 40, 4), 3.0) <= 10

    paced(scenario)


@pytest.mark.parametrize("reset", [2.0, 1800.0])
def test_a_pool_that_is_used_up_closes_until_its_reset(reset: float) -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        pacer.observe(Announced(limit=10, remaining=0, reset_seconds=reset))
        await pacer.admit()
        assert clock.monotonic() >= reset

    paced(scenario)


def test_after_a_refusal_nothing_leaves_before_the_time_it_names() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        waiting = asyncio.create_task(leave_at_once(pacer, clock, 20, 20))
        await clock.sleep(1.0)
        pacer.refused(40.0)
        pacer.refused(5.0)  # a shorter wait does not open it
        refused_at = clock.monotonic()
        times = [time for time in await waiting if time > refused_at]
        assert min(times) >= refused_at + 40
        assert most_in_any_window(times, 3.0) <= 10
        assert pacer.rate_limited == 2

    paced(scenario)


@pytest.mark.parametrize("wait", [None, 0.0])
def test_refusals_without_a_wait_close_for_longer_each_time(wait: float | None) -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        waits = []
        for _ in range(8):
            await pacer.admit()
            refused_at = clock.monotonic()
            pacer.refused(wait)
            await pacer.admit()
            waits.append(clock.monotonic() - refused_at)
        assert 0.25 <= waits[0] <= 0.9
        assert 15 <= waits[-1] <= 31
        pacer.observe(Announced())
        pacer.refused(wait)
        again = clock.monotonic()
        await pacer.admit()
        assert clock.monotonic() - again <= 1.0

    paced(scenario)


def test_refusals_of_requests_in_flight_together_count_once() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        for _ in range(64):
            pacer.refused(None)
        await pacer.admit()
        assert clock.monotonic() <= 0.5

    paced(scenario)


def test_the_time_waited_is_counted() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        pacer.refused(30)
        await pacer.admit()
        assert pacer.waited_seconds == pytest.approx(30)

    paced(scenario)


def test_a_request_that_gives_up_waiting_does_not_block_the_next() -> None:
    async def scenario(pacer: Pacer, clock: VirtualClock) -> None:
        pacer.refused(30)
        given_up = asyncio.create_task(pacer.admit())
        await asyncio.sleep(0)
        given_up.cancel()
        await pacer.admit()
        assert clock.monotonic() == pytest.approx(30)

    paced(scenario)


def opened(clock: VirtualClock, failures: int = 5) -> Breaker:
    breaker = Breaker(clock=clock)
    for _ in range(failures):
        breaker.failed()
    return breaker


async def tries(breaker: Breaker, clock: VirtualClock, requests: int) -> list[float]:
    """When requests are let through that all fail."""
    times: list[float] = []

    async def attempt() -> None:
        await breaker.admit()
        times.append(clock.monotonic())
        breaker.failed()

    await asyncio.gather(*(attempt() for _ in range(requests)))
    return times


def test_a_breaker_stays_closed_while_failures_are_not_in_a_row() -> None:
    clock = VirtualClock()
    breaker = opened(clock, 4)
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    asyncio.run(breaker.admit())
    asyncio.run(breaker.admit())
    assert clock.monotonic() == 0


def test_an_open_breaker_lets_one_request_at_a_time_try() -> None:
    clock = VirtualClock()
    times = asyncio.run(tries(opened(clock), clock, 10))
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert min(pauses) >= 0.25
    assert 15 <= pauses[-1] <= 30
    assert pauses[0] <= 0.5


def test_many_failures_at_once_do_not_make_the_first_wait_long() -> None:
    clock = VirtualClock()
    times = asyncio.run(tries(opened(clock, 64), clock, 2))
    assert times[1] <= 0.5


def test_a_success_closes_the_breaker_for_all() -> None:
    async def play() -> float:
        clock = VirtualClock()
        breaker = opened(clock)
        await breaker.admit()
        breaker.succeeded()
        await asyncio.gather(*(breaker.admit() for _ in range(20)))
        return clock.monotonic()

    assert asyncio.run(play()) == 0


@pytest.mark.parametrize("attempt", [1, 2, 3, 7, 5000])
def test_backoff_doubles_up_to_half_a_minute(attempt: int) -> None:
    longest = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 20))
    assert all(longest / 2 <= backoff(attempt) <= longest for _ in range(20))


def test_a_wait_that_was_asked_for_goes_before_backoff() -> None:
    assert announced_wait(TransientError("x", retry_after=7.5), 1) == 7.5
    assert announced_wait(TransientError("x"), 1) <= 0.5
