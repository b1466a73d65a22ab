"""Reading a table or view whole, or what changed in it, in batches of bounded size, held against Caspio's own count.

A page that holds fewer rows than were asked for may be the end of its range, or a server that gives fewer, or a fault.
So a stretch of keys comes out only when it has as many rows as Caspio counts in it (docs/decisions/0021).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import polars as pl

from caspio_sync.caspio.answers import has_fields
from caspio_sync.caspio.cells import flat_text, source_frame
from caspio_sync.caspio.client import MAX_PAGE_ROWS, RecordPage, Source
from caspio_sync.caspio.counting import Counter, as_count, rows_counted
from caspio_sync.caspio.key_ranges import KeyRange, KeyRanges, Page
from caspio_sync.caspio.pages_in_flight import PagesInFlight, read_whole
from caspio_sync.caspio.query import and_, identifier
from caspio_sync.caspio.raw_rows import NOBODY, Met, Sieve, Sifted, prints_of, with_prints
from caspio_sync.caspio.read_clock import ReadClock
from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.schemas import SOURCE_PK, CaspioField

_OVERFULL = 1.5  # times batch_size: what a batch has at most
_ALL_THE_REST = 1.2  # times batch_size: rather read with this batch than left for a small one
_LEAST_LIMIT = 5  # a smaller q.limit has been refused (Caspio, 3.1)
_WHOLE_NUMBER = re.compile(rb"\s*(-?\d+)(?:\.0*)?\s*[,}]")


class RecordSource(Counter, Protocol):
    """What reading needs of `CaspioClient`."""

    async def records(
        self,
        source: Source,
        *,
        select: Sequence[str],
        where: str | None,
        order_by: str | None,
        limit: int,
        check_fields: bool = True,
    ) -> RecordPage:
        """One page."""


@dataclass(slots=True)
class SourceBatch:
    """A stretch of the key space, read whole.

    Args:
        number: 1 for the first batch of the read.
        low: first key of the stretch; the stretches of a read follow each other without a gap.
        high: last key of the stretch.
        frame: source frame, sorted by `source_pk`; every row read whose key is within, those in `met` apart.
        prints: source_pk and raw_print (UInt64) of the frame's rows; None where they have none.
        met: rows that a sieve took out before they were decoded.
        scattered: whether the rows were asked for one by one: what lies between them was not looked at.
    """

    number: int
    low: int
    high: int
    frame: pl.DataFrame
    prints: pl.DataFrame | None = None
    met: Met = NOBODY
    scattered: bool = False

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self.frame.height + self.met.height

    def let_go(self) -> None:
        """Keep the keys alone, for everybody who holds this batch: its cells are not needed any more."""
        self.frame = self.frame.select(SOURCE_PK)
        self.prints, self.met = None, self.met.counted()


class RecordReader:
    """Reads the rows that meet a condition, each exactly once, in the order of their key.

    Paging is always by the key, never by offset (Caspio, 3.2), also where the condition is about time: one way for
    whole sweeps and for changes.

    Pages go on being read while a batch is counted, decoded and handed on, up to another batch, so that hardly a call
    waits for another one. Whoever does not read to the end closes the reader (`aclose`).

    Args:
        client: usually a `CaspioClient`.
        source: table or view.
        fields: what to read.
        key_field: a unique whole number: PK_ID, or a base column in a view, whose PK_ID is text (Caspio, 2.3).
        where: condition in T-SQL; None for all rows.
        batch_size: rows a batch, about; never more than 1.5 times as many.
        parallel: ranges read at the same time.
        page_rows: rows a call, at most 1000.
        limit: stop after so many rows; None for no limit.
        clock: tells when the read was opened.
        sieve: takes rows out before they are decoded; never where there is a limit.
    """

    def __init__(
        self,
        client: RecordSource,
        source: Source,
        *,
        fields: Sequence[CaspioField],
        key_field: str = "PK_ID",
        where: str | None = None,
        batch_size: int = 50_000,
        parallel: int = 8,
        page_rows: int = MAX_PAGE_ROWS,
        limit: int | None = None,
        clock: Clock | None = None,
        sieve: Sieve | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._fields = tuple(fields)
        self._key_name = key_field
        self._key = identifier(key_field)
        self._where = where
        self._clock = clock or SystemClock()
        self._batch_size = batch_size if limit is None else max(1, min(batch_size, limit))
        self._page_rows = min(page_rows, max(_LEAST_LIMIT, self._batch_size))
        self._parallel = parallel
        self._select = list(dict.fromkeys([key_field, *sorted(field.name for field in fields)]))
        self._marker = f'"{key_field}":'.encode()
        self.opened: ReadClock | None = None  # when; None before
        self.total = 0  # rows that meet the condition, when the read was opened
        self.counted = 0  # rows that Caspio counts in the stretches that came out
        self.low: int | None = None  # smallest and largest key of these; None where there are none
        self.high: int | None = None
        self._ranges: KeyRanges | None = None  # None where there is nothing to read
        self._left = limit
        self._sieve = sieve if limit is None else None
        self._number = 0
        self._next_key = self._reached = 0  # first key of the next stretch, last key that has been read
        self._pages: list[Page] = []  # of the next stretch, as far as it was read
        self._rows = 0
        self._is_full = False  # whether it waits to come out, and what is read is of the one after it
        self._trusting = True  # whether a short page is taken for the end of its range
        self._in_flight = PagesInFlight(self._page, self._next, parallel)

    async def open(self) -> ReadClock:
        """Ask for the number of rows and their smallest and largest key: one call, and the times around it.

        Raises:
            As `CaspioClient.aggregate`; `TransientError` also where the three do not go together.
        """
        key = self._key
        select = f"COUNT({key}) AS row_count,MIN({key}) AS low_key,MAX({key}) AS high_key"
        asked_at = self._clock.now()
        answer = await self._client.aggregate(self._source, select=select, where=self._where)
        total = as_count(self._source, answer.row["row_count"])
        low, high = self._whole(answer.row["low_key"]), self._whole(answer.row["high_key"])
        if low is not None and high is not None and low <= high and total:
            self._next_key, self._reached = low, low - 1
            self._ranges = self._cut(low, high, total)
        elif (total, low, high) != (0, None, None):
            raise TransientError(
                f"counting {self._source}: Caspio counts {total:,} rows, with {self._key_name} from {low} to {high}, "
                "which cannot be; the next run asks again"
            )
        self.low, self.high = low, high
        self.total = total
        self.opened = ReadClock(asked_at, self._clock.now(), answer.server_time)
        return self.opened

    async def count_up_to(self, key: int) -> int:
        """Rows that meet the condition and whose key is not above this one: one call.

        Raises:
            As `CaspioClient.aggregate`.
        """
        return await self._count(f"{self._key}<={key}")

    async def _count(self, within: str) -> int:
        return await rows_counted(self._client, self._source, self._key_name, and_(self._where, within))

    def _cut(self, low: int, high: int, rows: int) -> KeyRanges:
        pages = max(1, self._batch_size // self._page_rows // self._parallel)
        return KeyRanges(low=low, high=high, total=rows, page_rows=self._page_rows, pages=pages)

    def _whole(self, cell: Any) -> int | None:
        if cell is None or cell == "":
            return None
        try:
            if not isinstance(cell, bool) and (number := int(cell)) == float(cell):
                return number
        except (TypeError, ValueError, OverflowError):
            pass
        raise ConfigurationError(
            f"{self._source}: {self._key_name} holds something else than whole numbers; "
            "read by a field that is a unique whole number"
        )

    async def next_batch(self) -> SourceBatch | None:
        """The next batch in the order of keys, None after the last; `open` comes first.

        A call that failed may be repeated: it reads on where the failed one stood.

        Raises:
            As `CaspioClient.records`; `TransientError` also where Caspio gives fewer rows than it counts,
            `PermanentError` where they do not come in the order of their key, and `ConfigurationError` where two share
            one.
        """
        frame, sifted = pl.DataFrame(), Sifted([])
        while frame.height + sifted.met.height == 0:
            if self._ranges is None or self._left == 0:
                return None
            await self._fill(self._ranges)
            if self._reached < self._next_key:
                return None
            count = await self._complete()
            low, high = self._next_key, self._reached
            sifted, frame = await self._decoded(low, high, self._pages)
            self._check_keys(sifted.keys(frame[SOURCE_PK]))
            self.counted += count
            # Not before: what a call that failed had read is there for the repeated one.
            self._next_key, self._pages, self._rows = high + 1, [], 0
        if self._left is not None:
            if frame.height >= self._left:
                frame = frame.head(self._left)
                high = int(frame[SOURCE_PK][-1])
            self._left -= frame.height
        self._number += 1
        return SourceBatch(self._number, low, high, frame, sifted.prints_at(frame[SOURCE_PK]), sifted.met)

    async def _decoded(self, low: int, high: int, pages: list[Page]) -> tuple[Sifted, pl.DataFrame]:
        """The stretch sifted, and the source frame of the rows that are left."""
        if self._sieve is None or not self._sieve.takes_out:
            frame = await asyncio.to_thread(source_frame, pages, self._fields, self._key_name)
            return Sifted(pages, prints_of(pages)), frame
        sifted = await self._sieve(low, high, pages)
        texts = await asyncio.to_thread(self._looked_at, sifted.pages)
        if len(texts) < len(sifted.pages):
            self._pages, self._rows = [], 0  # a repeated call finds that rows are missing, and reads them once more
            raise TransientError(f"reading {self._source}: rows that lack fields which were asked for")
        return sifted, await asyncio.to_thread(source_frame, texts, self._fields, self._key_name)

    def _looked_at(self, pages: Sequence[Page]) -> list[Page]:
        """Those of some pages, nobody has looked at which, whose rows have every field."""
        texts: list[Page] = []
        for page in pages:
            text = page if isinstance(page, pl.DataFrame) else flat_text(page, self._select)
            if text is not None:
                texts.append(text)
            elif isinstance(page, bytes) and has_fields(page, self._select):
                texts.append(page)
        return texts

    async def batches(self) -> AsyncIterator[SourceBatch]:
        """All batches, by `next_batch`."""
        try:
            while (batch := await self.next_batch()) is not None:
                yield batch
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End what is still being read."""
        await self._in_flight.aclose()

    def _check_keys(self, keys: pl.Series) -> None:
        """Paging by a key that repeats, or that the rows are not sorted by, loses rows without a trace."""
        if not keys.is_sorted():
            raise PermanentError(f"reading {self._source}: rows do not come in the order of {self._key_name}")
        if repeated := len(keys) - keys.n_unique():
            raise ConfigurationError(
                f"{self._source}: {self._key_name} is not unique, {repeated} rows share its value with another; "
                "read by a field that Caspio keeps unique"
            )

    async def _fill(self, ranges: KeyRanges) -> None:
        """Wait until the next stretch is enough for a batch, or all that is left."""
        self._in_flight.forget_failure()  # of a page that nobody waited for
        self._is_full = False
        while True:
            for reached, pages, rows in ranges.advance(self._room(ranges), needed=not self._rows):
                self._reached = reached
                self._pages += pages
                self._rows += rows
            self._is_full = ranges.exhausted or self._is_enough(ranges)
            self._in_flight.go_on(ranges, needed=not self._is_full)
            if self._is_full:
                return
            await self._in_flight.came()

    def _room(self, ranges: KeyRanges) -> int:
        """Rows that the next stretch may have yet."""
        whole = self._rows + ranges.rest_rows <= _ALL_THE_REST * self._batch_size
        most = int((_OVERFULL if whole else 1) * self._batch_size)
        return max(most, self._page_rows) - self._rows

    def _is_enough(self, ranges: KeyRanges) -> bool:
        """Whether no more fits into the next stretch."""
        return self._rows > 0 and (ranges.can_come_out or self._room(ranges) < self._page_rows)

    def _next(self, ranges: KeyRanges) -> KeyRange | None:
        """What to read next; None where all is, or enough."""
        if self._left is not None:  # calls cost: nothing is read that may not be needed
            has_room = self._rows + ranges.held_rows < min(self._batch_size, self._left)
        elif self._is_full:
            has_room = ranges.held_rows < self._batch_size
        else:
            more = min(self._batch_size, self._parallel * self._page_rows)  # so that none waits for the last of a batch
            has_room = self._rows + ranges.held_rows < self._batch_size + more
        return ranges.take() if has_room else None

    async def _complete(self) -> int:
        """Hold the stretch against Caspio's count of it, which it gives, and read it once more where rows are missing.

        From then on nothing but an empty page, or the last key, is taken for the end of a range.

        Raises:
            TransientError: rows are missing again. The stretch is kept: a repeated call looks again.
        """
        low, high = self._next_key, self._reached
        count = await self._count_of(low, high)
        if self._rows < count:
            self._trusting = False
            pages, rows = await read_whole(self._cut(low, high, count), self._page, self._parallel)
            if rows < count:
                raise TransientError(
                    f"reading {self._source}: Caspio counts {count:,} rows with {self._key_name} from {low:,} to "
                    f"{high:,}, and gives {rows:,}, also when asked again. Nothing of them was taken, and the cursor "
                    "stays; the next run reads them again"
                )
            self._pages, self._rows = pages, rows
        return count

    async def _count_of(self, low: int, high: int) -> int:
        """Rows that Caspio counts from one key to another; not asked where that is known.

        Keys are unique: as many rows as there are keys are all of them. The count that opened the read stands for a
        stretch that is all of it, unless rows came or went since.
        """
        if self._rows == high - low + 1:
            return self._rows
        if (low, high) == (self.low, self.high) and self._rows == self.total:
            return self.total
        return await self._count(f"{self._key}>={low} AND {self._key}<={high}")

    async def _page(self, one: KeyRange) -> None:
        within = f"{self._key}>{one.last} AND {self._key}<={one.high}"
        page = await self._client.records(
            self._source,
            select=self._select,
            where=and_(self._where, within),
            order_by=f"{self._key} ASC",
            limit=self._page_rows,
            check_fields=self._sieve is None or not self._sieve.takes_out,  # else where rows are decoded
        )
        rows, last = self.end_of(page.rows)  # which are not kept where they were decoded
        if rows and not one.last < last <= one.high:
            raise TransientError(
                f"reading {self._source}: a page for {within} ends at {last}; order or condition was not kept"
            )
        kept: Page = page.rows if page.text is None else page.text
        if self._sieve is not None and isinstance(kept, pl.DataFrame):
            kept = await asyncio.to_thread(with_prints, kept, page.rows, self._key_name, self._sieve.salt)
        one.take(kept, rows, last, full=self._page_rows if self._trusting else 1)

    def end_of(self, page: bytes) -> tuple[int, int]:
        """Rows of a page and its last key, without decoding it.

        A quote within a cell is escaped, so the marker occurs nowhere but where the key stands.
        """
        rows = page.count(self._marker)
        found = _WHOLE_NUMBER.match(page, page.rfind(self._marker) + len(self._marker))
        if rows and found:
            return rows, int(found[1])
        try:
            decoded = orjson.loads(page)
            return len(decoded), self._whole(decoded[-1][self._key_name]) or 0 if decoded else 0
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise TransientError(f"reading {self._source}: a page without {self._key_name}") from None
