"""Caspio's limits that outlive a process: every call is counted in the ledger, by day and by window.

Two runs on two machines, or two that follow each other within minutes, keep an account's limit of 300 seconds together;
and calls are spread over the day where its budget would not suffice.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from caspio_sync.clock import Clock
from caspio_sync.engine.accounts import caspio_account
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.spans import utc_day

# About a second's calls: what a kill leaves counted and not made.
BLOCK = 20
# Caspio's window (4.1), and what a call may lie in it later than it was counted: stamps are whole seconds, a block is
# used up within two of its asking, and the call takes a moment to arrive.
WINDOW_SECONDS = 300.0
_BLOCK_SECONDS = 2.0
_LATER_SECONDS = _BLOCK_SECONDS + 2.0
# Below this part of the day's budget a run is spread out even where it needs less: the runs to come need some too.
RESERVE = 0.1


def count_calls(ledger: Ledger, integration_url: str, calls: int) -> None:
    """Count calls that were made already."""
    ledger.take_calls(caspio_account(integration_url), utc_day(ledger.now()), calls)


class CaspioQuota:
    """Counts the account's calls by UTC day and in the last 300 s, and holds all runs on the ledger to both limits.

    Calls leave at once while the run needs no more than what is left of the budget, and a tenth of it is left. Else
    they are spread: each waits for (seconds until midnight UTC) / (calls left). With none left they wait for midnight.
    A run never fails for it, and no day ever has more calls than its budget. Every request counts, refused ones and
    token requests too (Caspio, 4.1: seen on an invoice).

    Args:
        account: by `caspio_account`.
        calls_per_day: the budget; None counts only.
        calls_per_window: calls in any 300 s; None for no limit.
        ledger: where calls are counted.
        clock: tells the day; all waiting goes through it.
        on_stretch: is told, once, why and how far the calls are spread.
    """

    def __init__(
        self,
        *,
        account: str,
        calls_per_day: int | None,
        calls_per_window: int | None = None,
        ledger: LedgerThread,
        clock: Clock,
        on_stretch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.account = account
        self.calls_per_day = calls_per_day
        self._per_window = calls_per_window
        self._ledger = ledger
        self._clock = clock
        self._on_stretch = on_stretch
        self._turn = asyncio.Lock()
        self._day = utc_day(ledger.ledger.now())
        self._block = 0  # calls leased for `_day` and not made
        self._block_ends = float("inf")  # by the monotonic clock
        self._stamp = ledger.ledger.now()  # the second under which the window counts the block
        self._needed = 0
        self._last = float("-inf")  # when the last call left, by the monotonic clock
        self._told = False

    def expect(self, calls: int) -> None:
        """The run needs about so many more calls."""
        self._needed += calls

    async def made(self, calls: int) -> None:
        """Count calls that were made before the ledger was open; they cannot be refused any more."""
        await self._ledger.do(self._ledger.ledger.take_calls, self.account, self._day, calls)
        if self._per_window is not None:
            await self._take_window(calls, limit=None)

    async def used_today(self) -> int:
        """Calls counted since midnight UTC, by every process on this ledger."""
        return await self._ledger.do(self._ledger.ledger.calls_used, self.account, utc_day(self._ledger.ledger.now()))

    async def admit(self) -> None:
        """Wait until one more call is within the budget, and count it."""
        async with self._turn:
            while not self._block_stands():
                await self.close()
                self._day = utc_day(self._ledger.ledger.now())
                await self._lease()
            self._block -= 1
            self._needed = max(0, self._needed - 1)
            self._last = self._clock.monotonic()

    def _block_stands(self) -> bool:
        same_day = self._day == utc_day(self._ledger.ledger.now())
        return self._block > 0 and same_day and self._clock.monotonic() < self._block_ends

    async def _take_window(self, calls: int, *, limit: int | None) -> tuple[int, float]:
        taken, self._stamp, wait = await self._ledger.do(
            self._ledger.ledger.take_window_calls,
            self._window,
            calls,
            seconds=WINDOW_SECONDS + _LATER_SECONDS,
            limit=limit,
        )
        return taken, wait

    async def _lease(self) -> None:
        """Lease the next block, or wait and lease none."""
        calls, budget = BLOCK, self.calls_per_day
        if budget is not None:
            left = budget - await self.used_today()
            midnight = (self._day + timedelta(days=1) - self._ledger.ledger.now()).total_seconds()
            if left <= 0 or left <= RESERVE * budget or self._needed > left:
                self._tell(left, budget, midnight)
                wait = midnight if left <= 0 else self._last + midnight / left - self._clock.monotonic()
                if wait > 0:
                    await self._clock.sleep(min(wait, midnight))
                    if left <= 0 or wait >= midnight:
                        return  # it is another day
                calls = 1
        if self._per_window is not None:
            self._block_ends = self._clock.monotonic() + _BLOCK_SECONDS
            calls, wait = await self._take_window(calls, limit=self._per_window)
            if not calls:
                await self._clock.sleep(wait)
                return
        self._block = await self._ledger.do(
            self._ledger.ledger.take_calls, self.account, self._day, calls, limit=budget
        )
        if self._per_window is not None and self._block < calls:
            give_back = self._ledger.ledger.give_calls_back
            await self._ledger.do(give_back, self._window, self._stamp, calls - self._block)

    def _tell(self, left: int, budget: int, midnight: float) -> None:
        if self._told:
            return
        self._told = True
        how = f"one every {midnight / left:,.0f} s" if left > 0 else "from midnight UTC on"
        self._on_stretch(
            f"{budget - left:,} of today's {budget:,} Caspio calls are used (CASPIO_CALLS_PER_DAY) and this run needs "
            f"about {self._needed:,} more: its calls are spread over the rest of the UTC day, {how}"
        )

    async def close(self) -> None:
        """Give back what was leased and not used."""
        left, self._block = self._block, 0
        if not left:
            return
        give_back = self._ledger.ledger.give_calls_back
        if self._day == utc_day(self._ledger.ledger.now()):
            await self._ledger.do(give_back, self.account, self._day, left)
        if self._per_window is not None:
            await self._ledger.do(give_back, self._window, self._stamp, left)

    @property
    def _window(self) -> str:
        return f"{self.account} {WINDOW_SECONDS:.0f}s"
