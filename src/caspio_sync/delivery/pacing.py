"""When the next request may leave: paced by the limits that answers announce, held back while the other side fails."""

import asyncio
import random
from dataclasses import dataclass

from caspio_sync.clock import Clock
from caspio_sync.errors import TransientError

# Answers tell whole seconds: a reset may seem that much later than the end of its window.
_RESET_ROUNDING = 1.0
# Even spacing keeps any window below its limit; the rest is for the jitter between our clock and theirs, and for what
# may be made up for at once after a pause: together they stay below the limit.
_SHARE_OF_LIMIT = 0.97
_MADE_UP_FOR = 0.02
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Announced:
    """The limits an answer announced; None for what it did not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class Pacer:
    """Spaces requests evenly within a limit of so many in so many seconds.

    The limit starts as configured and follows what answers announce; a pool that is used up, and a 429, close the gate
    until the time the answer names.

    Args:
        requests: requests allowed in a window.
        window_seconds: length of that window.
        clock: all waiting goes through it.
    """

    def __init__(self, *, requests: int, window_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._window = window_seconds
        self._configured = requests
        self._limit = requests
        # Limits of longer windows, such as the hourly pool of newer contracts (Braze, API limits).
        self._pools: set[int] = set()
        self._next = clock.monotonic()
        self._closed_until = 0.0
        # Whoever holds it is next, so that a limit that changes holds for all who wait.
        self._turn = asyncio.Lock()
        self._refusals = 0
        self.waited_seconds = 0.0
        self.rate_limited = 0

    async def admit(self) -> None:
        """Wait until one more request may leave."""
        asked = self._clock.monotonic()
        async with self._turn:
            while (now := self._clock.monotonic()) < (turn := max(self._next, self._closed_until)):
                await self._clock.sleep(turn - now)
            # A pause must not turn into a burst: all but a small part of what was not used is gone.
            self._next = max(self._next, now - self._window * _MADE_UP_FOR) + self._spacing
            self.waited_seconds += now - asked

    def observe(self, announced: Announced) -> None:
        """Follow the limits of an answer that was not refused."""
        self._refusals = 0
        if announced.reset_seconds is None or announced.limit is None or announced.limit <= 0:
            return
        if announced.reset_seconds > self._window + _RESET_ROUNDING:
            self._pools.add(announced.limit)
            if self._limit == announced.limit:  # it was taken for the burst limit in the last seconds of its window
                self._follow(self._configured)
        elif announced.limit not in self._pools:
            self._follow(announced.limit)
        if announced.remaining == 0:
            self._close(announced.reset_seconds)

    def refused(self, retry_after: float | None) -> None:
        """Close after a 429, for the time it names or, where it names none, for a growing one."""
        self.rate_limited += 1
        if retry_after:
            self._close(retry_after)
        elif self._closed_until <= self._clock.monotonic():  # else it left with those that closed the gate
            self._refusals += 1
            self._close(backoff(self._refusals))

    @property
    def _spacing(self) -> float:
        return self._window / (self._limit * _SHARE_OF_LIMIT)

    def _follow(self, limit: int) -> None:
        before, self._limit = self._spacing, limit
        self._next += self._spacing - before  # the place after the last request goes by the new spacing as well

    def _close(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)


class Breaker:
    """Opens after five failures in a row; one request at a time then tries whether the other side is back.

    Args:
        clock: all waiting goes through it.
        threshold: failures in a row that open it.
    """

    def __init__(self, *, clock: Clock, threshold: int = 5) -> None:
        self._clock = clock
        self._threshold = threshold
        self._failures = 0
        self._probes = 0
        self._probe_at = 0.0

    async def admit(self) -> None:
        """Wait while it is open and another request is trying."""
        while self._failures >= self._threshold:
            now = self._clock.monotonic()
            if now >= self._probe_at:
                # By probes, not by failures: many requests in flight fail together.
                self._probes += 1
                self._probe_at = now + backoff(self._probes)
                return
            await self._clock.sleep(self._probe_at - now)

    def succeeded(self) -> None:
        """Close it: an answer came, be it a refusal."""
        self._failures = self._probes = 0

    def failed(self) -> None:
        """Count a failure: no answer, or one that says try again later."""
        self._failures += 1


def backoff(attempt: int) -> float:
    """Seconds to wait before attempt number `attempt` + 1: exponential, with full jitter above a half."""
    longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(attempt - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


def announced_wait(error: TransientError, attempt: int) -> float:
    """Seconds to wait before another attempt, as the answer asked or by backoff."""
    return error.retry_after if error.retry_after is not None else backoff(attempt)
