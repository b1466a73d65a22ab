"""Rolling windows: never more than so many calls within so many seconds."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from caspio_sync.clock import Clock

# Less than this is rounding: a wait of 1e-16 s would never end on a clock of floats.
_RESOLUTION_SECONDS = 1e-6


class Quota(Protocol):
    """A budget of calls that outlives the process."""

    async def admit(self) -> None:
        """Wait until one more call is within it, and count the call."""
        ...


class RollingWindow:
    """At most `calls` calls within any `seconds` seconds."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._seconds = seconds
        self._calls = calls
        self._taken: deque[float] = deque(maxlen=calls)

    @classmethod
    def per_second(cls, rate: float) -> "RollingWindow":
        """A window for a rate, which may be below one call a second."""
        calls = max(1, int(rate))
        return cls(calls, calls / rate)

    def wait(self, now: float) -> float:
        """Seconds until the next call fits."""
        return 0.0 if len(self._taken) < self._calls else self._taken[0] + self._seconds - now

    def take(self, now: float) -> None:
        """Count a call."""
        self._taken.append(now)


class Pace:
    """Admits calls in the order in which they ask, as fast as every window allows."""

    def __init__(self, windows: Sequence[RollingWindow], clock: Clock) -> None:
        self._windows = windows
        self._clock = clock
        self._turn = asyncio.Lock()

    async def admit(self) -> None:
        """Wait for a place in every window, and take it."""
        if not self._windows:
            return
        async with self._turn:
            while (wait := max(window.wait(self._clock.monotonic()) for window in self._windows)) > _RESOLUTION_SECONDS:
                await self._clock.sleep(wait)
            now = self._clock.monotonic()
            for window in self._windows:
                window.take(now)
