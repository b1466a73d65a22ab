"""A clock that passes hours without waiting for them."""

import asyncio
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """A clock that jumps: `sleep` moves it instead of waiting.

    Sleepers wake in the order of their deadlines: a sleeper yields to the loop until every task that can run without
    time passing has run, and only the earliest deadline may then move the time forward.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._deadlines: list[float] = []
        self._changes = 0  # grows whenever somebody falls asleep, wakes up, or time passes

    def now(self) -> datetime:
        """The instant the clock was started at and the time passed since."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds passed."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until that much time has passed for all."""
        deadline = self._elapsed + max(0.0, seconds)
        self._deadlines.append(deadline)
        self._changes += 1
        try:
            while self._elapsed < deadline:
                before = self._changes
                for _ in range(10):
                    await asyncio.sleep(0)
                # Whoever has just woken has its turns before the next deadline.
                if before == self._changes and deadline == min(self._deadlines):
                    self._elapsed = deadline
                    self._changes += 1
        finally:
            self._deadlines.remove(deadline)
            self._changes += 1
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move the time by hand, for code that does not sleep."""
        self._elapsed += seconds
