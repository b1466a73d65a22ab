"""Time as an argument: all waiting goes through one clock, so that hours pass in tests without waiting for them."""

import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol


def uptime_seconds() -> float:
    """Seconds since this machine was started, its sleep included; the same in all its processes, whatever they set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock(Protocol):
    """What the project needs to know of time."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        import asyncio  # noqa: PLC0415 - 20 ms, for who waits

        await asyncio.sleep(seconds)


CLOCK: ContextVar[Clock] = ContextVar("clock", default=SystemClock())  # noqa: B039 - it holds nothing
"""What a command looks at the time by that opens no account; tests hand in their own."""
