"""One run of a sync: its parts, opened once, handed to every step, and closed together."""

import asyncio
import contextlib
import gc
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, cast

import polars as pl

from caspio_sync.clients.caspio import MAX_PAGE_ROWS, CaspioClient
from caspio_sync.clock import Clock
from caspio_sync.delivery.sender import Sender
from caspio_sync.errors import GateBlockedError, StoppedError
from caspio_sync.extraction.records import RecordReader, SourceBatch
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.runs import Run
from caspio_sync.ledger.shards import ShardRest
from caspio_sync.ledger.sweeps import InterruptedSweep
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.run.catalogs.work import CatalogWork
from caspio_sync.run.destination import Account, destination_of
from caspio_sync.run.freshness import ChangeTimes, change_times
from caspio_sync.run.gates import Gates
from caspio_sync.run.prepared import Prepared, calls_a_page
from caspio_sync.run.quota import CaspioQuota
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.schemas import KEY, SOURCE_PK

P = ParamSpec("P")
T = TypeVar("T")


async def _nothing() -> None:
    return None


# A batch in every stage, and one being read: what is in memory at the most.
BATCHES_UNDER_WAY = 3

# A collection takes a tenth of a second, as long as a few thousand rows.
_COLLECTED_ROWS = 25_000


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
        account: of the destination; closed with the run.
        observer: is shown the report whenever a batch is done.
        quota: the account's daily budget of calls; is told how many the reading will take, about.
        gates: judge what is to be sent.
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
        account: Account,
        quota: CaspioQuota,
        gates: Gates,
        observer: Callable[[RunReport], None] | None = None,
    ) -> None:
        self.name = name
        self.prepared = prepared
        self.definition = prepared.definition
        self.mapping = prepared.mapping
        self.destination = destination_of(prepared.definition)
        self.consent = self.destination.consent
        self.sink = self.destination.sink(prepared.definition)
        self.account = account
        self.options = options
        self.ledger = ledger
        self.caspio = caspio
        self.readers = readers
        self.versions = versions
        self.report = report
        self.clock = clock
        self.blocked: GateBlockedError | None = None
        self.asked: list[int] = []  # held rows that are read again, by source_pk
        self.found: set[str] = set()  # of the keys that were asked for, as Caspio compares them
        self.resumed: InterruptedSweep | None = None  # what this run goes on from
        self.shard: ShardRest | None = None  # of a backfill
        self.catalog: CatalogWork | None = None  # of a sync of a catalog
        self.calls_a_page = calls_a_page(caspio, prepared)
        self.handed = 0  # rows that came from Caspio
        self.heeding = False  # whether rows are read again for what their duplicates say
        self.planned = False  # whether it only looks, and writes nothing
        self.times: ChangeTimes = change_times(None, None, None)
        self.past: list[Run] = []  # the runs before it, newest first; filled when it ends
        self._observer = observer
        self.quota = quota
        self.gates = gates
        self._make_sender = sender
        self._sender: Sender | None = None
        self._allowed_until = math.inf
        self._share = 1.0
        self._batches = 0
        self._uncollected = 0
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
    def whole_read(self) -> bool:
        """Whether this run reads the whole source, in one piece: what it does not meet is not there."""
        return self.report.whole

    @property
    def began_at(self) -> datetime | None:
        """When the read began (see `ReadClock`): that of the interrupted run where this one goes on from it."""
        if self.resumed:
            return self.resumed.began_at
        opened = self.readers[0].opened
        return None if opened is None else opened.began_at

    @property
    def salt(self) -> int:
        """What fingerprints of this run are salted with."""
        identity = self.mapping.identity
        return identity_salt(self.ledger.ledger.salt, identity.kind, identity.label)

    @property
    def example_column(self) -> str:
        """Column whose values may stand in a report: the key, unless it is an address or a number."""
        return SOURCE_PK if self.mapping.identity.kind in {"email", "phone"} else KEY

    @property
    def sender(self) -> Sender:
        """The sender; a run without changes never makes one."""
        if self._sender is None:
            self._sender = self._make_sender()
            self._sender.allow_until(self._allowed_until)
            self._sender.take_share(self._share)
            if self.report.in_doubt:
                self._sender.ask_first()
        return self._sender

    @property
    def profiles(self) -> ProfileSync:
        """The definition, where profiles are what is synced; only their steps ask."""
        assert isinstance(self.definition, ProfileSync)
        return self.definition

    @property
    def items(self) -> tuple[CatalogSync, CatalogWork]:
        """The definition and what the run keeps, where a catalog is what is synced; only its steps ask."""
        assert isinstance(self.definition, CatalogSync)
        assert self.catalog is not None
        return self.definition, self.catalog

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`, also for a sender that is not there yet."""
        self._allowed_until = uptime
        if self._sender is not None:
            self._sender.allow_until(uptime)

    def take_share(self, share: float) -> None:
        """Use this part of the destination's and Caspio's limits at most, nothing while it is 0."""
        self._share = share
        self.caspio.take_share(share)
        if self._sender is not None:
            self._sender.take_share(share)

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
            if reader.opened is None:
                await self._open(reader)
            batch = await reader.next_batch()
            self.report.counted = sum(each.counted for each in self.readers)
            if batch is not None:
                self._batches += 1
                self.handed += batch.frame.height
                self.report.add_seconds("extract", time.perf_counter() - started)
                return replace(batch, number=self._batches)
        return None

    async def _open(self, reader: RecordReader) -> None:
        opened = await reader.open()
        self.report.expected += reader.total
        self.quota.expect(self.calls_a_page * -(-reader.total // MAX_PAGE_ROWS))
        if reader is self.readers[0] and opened.note is not None:
            self.report.notes.append(opened.note)

    @contextlib.asynccontextmanager
    async def on_its_way(self, batch: SourceBatch) -> AsyncIterator[None]:
        """Hold the batch's place in memory until it is recorded."""
        try:
            yield
        finally:
            self._claims.pop(batch.number, None)
            self._collect(batch.frame.height)
            self._room.release()
            self.report.seconds["moving"] = time.perf_counter() - (self._started or 0.0)
            self.observe()
            await self._after_batch()

    def _collect(self, rows: int) -> None:
        """What an orchestrator keeps of a task, its frames included, refers to itself and waits for the collector."""
        self._uncollected += rows
        if self._uncollected >= _COLLECTED_ROWS:
            self._uncollected = 0
            gc.collect()

    def on_batch(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call this whenever a batch is done."""
        self._after_batch = call

    async def timed(self, stage: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a thread (polars lets go of the GIL), and count the time as the stage's."""
        started = time.perf_counter()
        result = await asyncio.to_thread(call, *args, **kwargs)
        self.report.add_seconds(stage, time.perf_counter() - started)
        return result

    def raise_if_in_doubt(self) -> None:
        """Raise where rows were sent of which it is not known whether they were taken: they are sent again."""
        report, title = self.report, self.destination.title
        if report.unacknowledged:
            raise StoppedError(
                f"{report.unacknowledged} of the requests were answered by something that is not known to be {title}: "
                f"{report.doubt}. Their rows are recorded as unknown, and the cursor stays: the next run asks first, "
                f"free of charge, whether {title} answers, and sends them again"
            )

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

    def claim(self, batch: int, keys: pl.DataFrame) -> None:
        """Remember the keys of a batch under way: the ledger does not know them yet."""
        self._claims[batch] = keys

    def claims_under_way(self) -> pl.DataFrame:
        """key_hash and source_pk of the rows of all batches that are not recorded yet."""
        frames = list(self._claims.values())
        return pl.concat(frames) if frames else pl.DataFrame(schema={"key_hash": pl.Int64, SOURCE_PK: pl.Int64})

    async def close(self) -> None:
        """Close what the run made; the Caspio client and the ledger belong to whoever opened them."""
        if self._sender is not None:
            await self._sender.close()
        await self.account.aclose()
