"""One run of a sync: its parts, opened once, handed to every step, and closed together."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, cast

import polars as pl

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clock import Clock
from caspio_sync.delivery.sender import Sender
from caspio_sync.errors import GateBlockedError
from caspio_sync.extraction.records import RecordReader, SourceBatch
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.store import Ledger
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.schemas import KEY, SOURCE_PK

P = ParamSpec("P")
T = TypeVar("T")


async def _nothing() -> None:
    return None


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


# A batch in every stage, and one being read: what is in memory at the most.
BATCHES_UNDER_WAY = 3


class SyncRun:
    """What the steps of a run share.

    Args:
        name: name of the sync.
        prepared: the sync held against its table.
        options: what to read, and what to send of it.
        ledger: the ledger, in its thread.
        caspio: the Caspio client.
        readers: what to read, one after the other.
        versions: what rows are judged under.
        report: the run's counts.
        clock: the run's clock.
        sender: makes the sender when the first request is to leave.
        observer: is shown the report whenever a batch is done.
    """

    def __init__(
        self,
        *,
        name: str,
        prepared: Prepared,
        options: RunOptions,
        ledger: LedgerThread,
        caspio: CaspioClient,
        readers: list[RecordReader],
        versions: Versions,
        report: RunReport,
        clock: Clock,
        sender: Callable[[], Sender],
        observer: Callable[[RunReport], None] | None = None,
    ) -> None:
        self.name = name
        self.prepared = prepared
        self.definition = prepared.definition
        self.mapping = prepared.mapping
        self.options = options
        self.ledger = ledger
        self.caspio = caspio
        self.readers = readers
        self.versions = versions
        self.report = report
        self.clock = clock
        self.blocked: GateBlockedError | None = None
        self.asked: list[int] = []  # held rows that are read again, by source_pk
        self._observer = observer
        self._make_sender = sender
        self._sender: Sender | None = None
        self._next_request = 1
        self._batches = 0
        self._turns: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(BATCHES_UNDER_WAY)
        self._claims: dict[int, pl.DataFrame] = {}
        self._parts: dict[str, Any] = {}
        self._started: float | None = None
        self._after_batch: Callable[[], Awaitable[object]] = _nothing

    @property
    def id(self) -> str:
        """The run's id, as in the ledger and in every outcome."""
        return self.report.run

    @property
    def salt(self) -> int:
        """What fingerprints of this run are salted with."""
        identity = self.mapping.identity
        return identity_salt(self.ledger.ledger.salt, identity.kind, identity.label)

    @property
    def example_column(self) -> str:
        """Column whose values may stand in a report: the key, unless it is an address or a number."""
        return KEY if self.mapping.identity.kind in {"external_id", "user_alias"} else SOURCE_PK

    @property
    def sender(self) -> Sender:
        """The sender; a run without changes never makes one."""
        if self._sender is None:
            self._sender = self._make_sender()
        return self._sender

    def turn(self, stage: str) -> asyncio.Lock:
        """A stage's lock: one batch at a time, in order, while the next ones wait or are in the stages before."""
        return self._turns.setdefault(stage, asyncio.Lock())

    async def next_batch(self) -> SourceBatch | None:
        """The next batch of the source; None after the last. A call that failed may be repeated."""
        await self._room.acquire()
        try:
            batch = await self._read()
        except BaseException:
            self._room.release()
            raise
        if batch is None:
            self._room.release()
        return batch

    async def _read(self) -> SourceBatch | None:
        started = time.perf_counter()
        self._started = self._started or started
        for reader in self.readers:
            if reader.server_time is None:
                await reader.open()
                self.report.expected += reader.total
            batch = await reader.next_batch()
            if batch is not None:
                self._batches += 1
                self.report.add_seconds("extract", time.perf_counter() - started)
                return replace(batch, number=self._batches)
        return None

    @contextlib.asynccontextmanager
    async def on_its_way(self, batch: SourceBatch) -> AsyncIterator[None]:
        """Hold the batch's place in memory until it is recorded."""
        try:
            yield
        finally:
            self._claims.pop(batch.number, None)
            self._room.release()
            self.report.seconds["moving"] = time.perf_counter() - (self._started or 0.0)
            self.observe()
            await self._after_batch()

    def on_batch(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call this whenever a batch is done."""
        self._after_batch = call

    def raise_if_blocked(self) -> None:
        """Raise the error of the batch that the gate blocked, where it has blocked one."""
        if self.blocked is not None:
            raise self.blocked

    def observe(self) -> None:
        """Show the report to whoever watches the run."""
        if self._observer is not None:
            self._observer(self.report)

    def part(self, name: str, make: Callable[[], T]) -> T:
        """A part that only some runs need, made once; its first caller makes it."""
        if name not in self._parts:
            self._parts[name] = make()
        return cast("T", self._parts[name])

    def reserve_requests(self, count: int) -> int:
        """The first of `count` request numbers that no other part of the run uses."""
        first = self._next_request
        self._next_request += count
        return first

    def claim(self, batch: int, keys: pl.DataFrame) -> None:
        """Remember the keys of a batch under way: the ledger does not know them yet."""
        self._claims[batch] = keys

    def claims_under_way(self) -> pl.DataFrame:
        """key_hash and source_pk of the rows of all batches that are not recorded yet."""
        frames = list(self._claims.values())
        return pl.concat(frames) if frames else pl.DataFrame(schema={"key_hash": pl.Int64, SOURCE_PK: pl.Int64})

    async def close(self) -> None:
        """Close the sender; client and ledger belong to whoever opened them."""
        if self._sender is not None:
            await self._sender.close()
