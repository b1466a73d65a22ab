"""The batches of a run that are under way: how many there may be, whose turn it is, and which keys they claim."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.observe.report import RunReport
from caspio_sync.schemas import SOURCE_PK

# One being read, one compared, one sent, one recorded: what is in memory at the most. With three the sending waited a
# seventh of its time for the next batch, as reading began only when a batch was recorded; a fifth brought nothing.
BATCHES_UNDER_WAY = 4

# A collection takes a tenth of a second, as long as a few thousand rows.
_COLLECTED_ROWS = 25_000
_NEW, _EVERYTHING = 1, 2  # generations of the collector
_WHOLE_EACH = 16  # collections


async def _nothing() -> None:
    return None


@dataclass(slots=True)
class Turns:
    """The batches that are under way.

    Args:
        report: is told how many seconds they have been moving.
        observe: is called whenever a batch is done.

    Attributes:
        orchestrated: whether somebody keeps what its tasks were given until it is collected as garbage.
    """

    report: RunReport
    observe: Callable[[], None]
    orchestrated: bool = False
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BATCHES_UNDER_WAY))
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _claims: dict[int, pl.DataFrame] = field(default_factory=dict)
    _uncollected: int = 0
    _collections: int = 0
    _started: float | None = None
    _handed: int = 0
    _done: int = 0
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)
    _after_batch: Callable[[], Awaitable[object]] = _nothing

    def turn(self, stage: str) -> asyncio.Lock:
        """A stage's lock: one batch at a time, in order, while the next ones wait or are in the stages before."""
        return self._locks.setdefault(stage, asyncio.Lock())

    async def with_room(self, read: Callable[[], Awaitable[SourceBatch | None]]) -> SourceBatch | None:
        """Read a batch once there is room for one more; it keeps the room until it is done (`on_its_way`)."""
        await self._room.acquire()
        self._started = self._started or time.perf_counter()
        batch = None
        try:
            batch = await read()
        finally:
            if batch is None:
                self._room.release()
            else:
                self._handed += 1
        return batch

    async def all_done(self) -> None:
        """Wait until each batch that was read is recorded: a row that is read again must not overtake itself.

        Where one of them failed it waits for ever: whoever reads is cancelled with the run.
        """
        while self._done < self._handed:
            self._quiet.clear()
            await self._quiet.wait()

    @contextlib.asynccontextmanager
    async def on_its_way(self, batch: SourceBatch) -> AsyncIterator[None]:
        """Hold the batch's place in memory until it is recorded."""
        try:
            yield
            self._done += 1  # and where it failed it never is
            self._quiet.set()
        finally:
            self._claims.pop(batch.number, None)
            self._collect(batch.rows)
            self._room.release()
            self.report.seconds["moving"] = time.perf_counter() - (self._started or 0.0)
            self.observe()
            await self._after_batch()

    def _collect(self, rows: int) -> None:
        """What an orchestrator keeps of a task, its frames included, refers to itself and waits for the collector.

        Without one little does: looking at what is new is mostly enough, and leaves out all that was imported.
        """
        self._uncollected += rows
        if self._uncollected >= _COLLECTED_ROWS:
            self._uncollected = 0
            self._collections += 1
            if self._collections == 1 and not self.orchestrated:
                gc.freeze()  # what the first batch had imported: looking through it once takes half a second
                return
            everything = self.orchestrated or self._collections % _WHOLE_EACH == 0
            gc.collect(_EVERYTHING if everything else _NEW)

    def on_batch(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call this whenever a batch is done."""
        self._after_batch = call

    def claim(self, batch: int, keys: pl.DataFrame) -> None:
        """Remember the keys of a batch under way (key_hash, source_pk): the ledger does not know them yet."""
        self._claims[batch] = keys

    def claims(self) -> pl.DataFrame:
        """key_hash and source_pk of the rows of all batches that are not recorded yet."""
        frames = list(self._claims.values())
        return pl.concat(frames) if frames else pl.DataFrame(schema={"key_hash": pl.Int64, SOURCE_PK: pl.Int64})
