"""The reading of a run: batch by batch, one condition after the other, and what was found of what was asked for."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from caspio_sync.caspio.client import MAX_PAGE_ROWS
from caspio_sync.caspio.records import RecordReader, SourceBatch
from caspio_sync.characters import trimmed
from caspio_sync.engine.quota import CaspioQuota
from caspio_sync.engine.sieve import RowSieve
from caspio_sync.engine.turns import Turns
from caspio_sync.ledger.compare import Comparison
from caspio_sync.observe.report import RunOptions, RunReport


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a run reads.

    Args:
        readers: one for each condition, in their order.
        options: of the run.
        key_field: the source's field whose values `options.identities` are.
        goes_on_from: when the read began that this one goes on from, by the source's clock; None where it begins anew.
        calls_a_page: calls to Caspio that a page takes.
        quota: is told how many the reading will take, about.
        report: the run's counts.
        turns: the batches under way.
        sieve: knows rows that are as they were; None where all are mapped, and none is remembered.
        handed: rows that came from Caspio.
        again: whether rows are read once more, for what their duplicates say.
        batches: that were read.
        high: the highest PK_ID that was read; None before there was one.
        found: of the keys that were asked for, as Caspio compares them.
        nothing: what was found of a batch of which a sieve took out every row; None before the first.
        nothing_mapped: its mapped frame.
        kept: which rows of a source frame are the sync's, where the source itself cannot tell; None for all.
    """

    readers: list[RecordReader]
    options: RunOptions
    key_field: str
    goes_on_from: datetime | None
    calls_a_page: int
    quota: CaspioQuota
    report: RunReport
    turns: Turns
    sieve: RowSieve | None = None
    handed: int = 0
    again: bool = False
    batches: int = 0
    high: int | None = None
    found: set[str] = field(default_factory=set)
    nothing: Comparison | None = None
    nothing_mapped: pl.DataFrame = field(default_factory=pl.DataFrame)
    kept: pl.Expr | None = None

    @property
    def began_at(self) -> datetime | None:
        """When the read began, by the source's clock (see `ReadClock`); None before it has."""
        opened = self.readers[0].opened if self.readers else None
        return self.goes_on_from or (None if opened is None else opened.began_at)

    async def next_batch(self) -> SourceBatch | None:
        """The next batch of the source; None after the last. A call that failed may be repeated."""
        return await self.turns.with_room(self._next)

    async def _next(self) -> SourceBatch | None:
        started = time.perf_counter()
        for reader in self.readers:
            if reader.opened is None:
                if self.batches:  # a row may meet two conditions (Caspio reads c1 and C1 alike): it is sent once
                    await self.turns.all_done()
                await self._open(reader)
            batch = await self._kept(reader)
            self.report.counted = sum(each.counted for each in self.readers)
            if batch is not None:
                self.batches += 1
                self.handed += batch.rows
                self.report.add_seconds("extract", time.perf_counter() - started)
                return replace(batch, number=self.batches)
        return None

    async def _kept(self, reader: RecordReader) -> SourceBatch | None:
        """The next batch of which any row is the sync's, with those alone."""
        while (batch := await reader.next_batch()) is not None:
            self.high = batch.high if self.high is None else max(self.high, batch.high)
            if self.kept is None:
                return batch
            if not (frame := batch.frame.filter(self.kept)).is_empty():
                return replace(batch, frame=frame, prints=None)
        return None

    async def _open(self, reader: RecordReader) -> None:
        opened = await reader.open()
        self.report.expected += reader.total
        self.quota.expect(self.calls_a_page * -(-reader.total // MAX_PAGE_ROWS))
        if reader is self.readers[0] and opened.note is not None:
            self.report.notes.append(opened.note)

    def read_again(self, readers: Iterable[RecordReader]) -> bool:
        """After the last batch: have these rows read once more; whether there are any."""
        more = list(readers)
        self.readers += more
        self.again = bool(more)
        return self.again

    def note_found(self, rows: pl.DataFrame) -> None:
        """Remember which of the keys that were asked for are among the rows read (a source frame)."""
        if self.options.identities:
            self.found.update(map(_as_compared, rows[self.key_field].cast(pl.String).drop_nulls()))

    async def aclose(self) -> None:
        """End what is still being read: a run that fails wants no more of it."""
        for reader in self.readers:
            await reader.aclose()

    @property
    def gone(self) -> list[int] | None:
        """source_pk of announced rows that are not there, sorted; None where rows were not read as announced."""
        return None

    async def conclude(self) -> None:
        """The run came to its end, and each row that was read has its verdict."""

    def note_missing(self) -> None:
        """Say which keys that were asked for no row bore: by their place, for a key can be an address."""
        options, asked = self.options, self.options.identities
        if not asked or options.limit is not None or options.release:  # these do not read, or tell, every one
            return
        missing = [str(place) for place, key in enumerate(asked, 1) if _as_compared(key) not in self.found]
        if missing:
            places = ", ".join(missing[:20])
            self.report.notes.append(
                f"{len(missing)} of {len(asked)} keys were not found (number {places} of those given): "
                "no row has them, or source.where or --since leaves it out"
            )


def _as_compared(key: str) -> str:
    """Caspio finds a text in any case, and a number in any form."""
    text = trimmed(key).casefold()
    with contextlib.suppress(ValueError):
        return str(float(text))
    return text
