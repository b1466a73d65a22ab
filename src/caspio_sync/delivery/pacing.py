"""When the next request may leave: paced by the limits that answers announce, held back while the other side fails."""

import random
from dataclasses import dataclass

from caspio_sync.clock import Clock
from caspio_sync.errors import TransientError

# A window that ends later than this is the hourly pool of newer contracts, not the burst window (Braze, API limits).
_BURST_WINDOW_SECONDS = 60.0
# Even spacing keeps any window below its limit; the rest is for the jitter between our clock and theirs.
_SHARE_OF_LIMIT = 0.97
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
        self._spacing = window_seconds / (requests * _SHARE_OF_LIMIT)
        self._next = clock.monotonic()
        self._closed_until = 0.0
        self._refusals = 0
        self.waited_seconds = 0.0
        self.rate_limited = 0

    async def admit(self) -> None:
        """Wait until one more request may leave."""
        while True:
            now = self._clock.monotonic()
            # A pause must not turn into a burst: what was not used within a tenth of the window is gone.
            turn = max(self._next, now - self._window / 10, self._closed_until)
            self._next = turn + self._spacing
            if turn <= now:
                return
            self.waited_seconds += turn - now
            await self._clock.sleep(turn - now)
            if self._closed_until <= self._clock.monotonic():
                return

    def observe(self, announced: Announced) -> None:
        """Follow the limits of an answer that was not refused."""
        self._refusals = 0
        if announced.reset_seconds is None or announced.limit is None or announced.limit <= 0:
            return
        if announced.reset_seconds <= _BURST_WINDOW_SECONDS:
            self._spacing = self._window / (announced.limit * _SHARE_OF_LIMIT)
        elif announced.remaining == 0:
            self._close(announced.reset_seconds)

    def refused(self, retry_after: float | None) -> None:
        """Close after a 429, for the time it names or, where it names none, for a growing one."""
        self.rate_limited += 1
        self._refusals += 1
        self._close(retry_after if retry_after is not None else backoff(self._refusals))

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
        self._probe_at = 0.0

    async def admit(self) -> None:
        """Wait while it is open and another request is trying."""
        while self._failures >= self._threshold:
            now = self._clock.monotonic()
            if now >= self._probe_at:
                self._probe_at = now + backoff(self._failures - self._threshold + 1)
                return
            await self._clock.sleep(self._probe_at - now)

    def succeeded(self) -> None:
        """Close it."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure: no answer, or one that says try again later."""
        self._failures += 1


def backoff(attempt: int) -> float:
    """Seconds to wait before attempt number `attempt` + 1: exponential, with full jitter above a half."""
    longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


def announced_wait(error: TransientError, attempt: int) -> float:
    """Seconds to wait before another attempt, as the answer asked or by backoff."""
    return error.retry_after if error.retry_after is not None else backoff(attempt)
