"""The ledger as a run calls it: from an event loop, in a thread of the ledger's own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from caspio_sync.ledger.store import Ledger

P = ParamSpec("P")
T = TypeVar("T")


class LedgerThread:
    """The ledger behind a thread of its own: its calls block, the event loop must not."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the ledger's methods in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, **kwargs))

    def close(self) -> None:
        """Wait for what is under way, then close the ledger."""
        self._thread.shutdown(wait=True)
        self.ledger.close()
