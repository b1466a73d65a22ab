"""Reading a table or view whole, or what changed in it, in batches of bounded size."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
import polars as pl

from caspio_sync.clients.caspio import MAX_PAGE_ROWS, Aggregate, RecordPage, Source
from caspio_sync.clients.caspio_query import and_, identifier, in_list
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.extraction.cells import source_frame
from caspio_sync.extraction.key_ranges import KeyRange, KeyRanges
from caspio_sync.schemas import SOURCE_DTYPES, SOURCE_PK, CaspioField

_OVERFULL = 1.5  # times batch_size: what is held at most
_LEAST_LIMIT = 5  # a smaller q.limit has been refused (Caspio, 3.1)
_KEYS_CHARS = 900  # of q.where, escaped; leaves as much for the selected fields
_WHOLE_NUMBER = re.compile(rb"\s*(-?\d+)(?:\.0*)?\s*[,}]")
_NUMERIC = (pl.Int64, pl.Float64)


class RecordSource(Protocol):
    """What reading needs of `CaspioClient`."""

    async def records(
        self, source: Source, *, select: Sequence[str], where: str | None, order_by: str | None, limit: int
    ) -> RecordPage:
        """One page."""
        ...

    async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
        """The one row of an aggregate."""
        ...


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """A stretch of the key space, read whole.

    Args:
        number: 1 for the first batch of the read.
        low: first key of the stretch; the stretches of a read follow each other without a gap.
        high: last key of the stretch.
        frame: source frame, sorted by `source_pk`; every row read whose key is within.
    """

    number: int
    low: int
    high: int
    frame: pl.DataFrame


class RecordReader:
    """Reads the rows that meet a condition, each exactly once, in the order of their key.

    Paging is always by the key, never by offset (Caspio, 3.2), also where the condition is about time: one way for
    whole sweeps and for changes.

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
    ) -> None:
        self._client = client
        self._source = source
        self._fields = tuple(fields)
        self._key = identifier(key_field)
        self._where = where
        self._batch_size = batch_size if limit is None else max(1, min(batch_size, limit))
        self._page_rows = min(page_rows, max(_LEAST_LIMIT, self._batch_size))
        self._parallel = parallel
        self._select = list(dict.fromkeys([key_field, *sorted(field.name for field in fields)]))
        self._marker = f'"{key_field}":'.encode()
        self.total = 0  # rows that meet the condition, when the read was opened
        self.low: int | None = None  # smallest and largest key of these; None where there are none
        self.high: int | None = None
        self.server_time: datetime | None = None  # Caspio's clock when the read was opened, UTC
        self._ranges: KeyRanges | None = None  # None where there is nothing to read
        self._left = limit
        self._number = 0
        self._next_key = self._reached = 0  # first key of the next stretch, last key that has been read
        self._pages: list[bytes] = []  # of the next stretch, as far as it was read
        self._rows = 0

    async def open(self) -> None:
        """Ask for the number of rows and their smallest and largest key: one call.

        Raises:
            As `CaspioClient.aggregate`.
        """
        key = self._key
        select = f"COUNT({key}) AS row_count,MIN({key}) AS low_key,MAX({key}) AS high_key"
        answer = await self._client.aggregate(self._source, select=select, where=self._where)
        self.server_time = answer.server_time
        self.total = self._whole(answer.row.get("row_count")) or 0
        self.low, self.high = self._whole(answer.row.get("low_key")), self._whole(answer.row.get("high_key"))
        if self.total and self.low is not None and self.high is not None:
            self._next_key, self._reached = self.low, self.low - 1
            self._ranges = KeyRanges(
                low=self.low, high=self.high, total=self.total, page_rows=self._page_rows, parallel=self._parallel
            )

    async def count_up_to(self, key: int) -> int:
        """Rows that meet the condition and whose key is not above this one: one call.

        Raises:
            As `CaspioClient.aggregate`.
        """
        where = and_(self._where, f"{self._key}<={key}")
        answer = await self._client.aggregate(self._source, select=f"COUNT({self._key}) AS row_count", where=where)
        return self._whole(answer.row.get("row_count")) or 0

    def _whole(self, cell: Any) -> int | None:
        if cell is None or cell == "":
            return None
        try:
            if (number := int(cell)) == float(cell):
                return number
        except (TypeError, ValueError):
            pass
        raise ConfigurationError(
            f"{self._source}: {self._key} holds something else than whole numbers; "
            "read by a field that is a unique whole number"
        )

    async def next_batch(self) -> SourceBatch | None:
        """The next batch in the order of keys, None after the last; `open` comes first.

        A call that failed may be repeated: it reads on where the failed one stood.

        Raises:
            As `CaspioClient.records`; `PermanentError` also where rows do not come in the order of their key, and
            `ConfigurationError` where two share one.
        """
        frame: pl.DataFrame | None = None
        while frame is None or frame.is_empty():
            if self._ranges is None or self._ranges.exhausted or self._left == 0:
                return None
            low, high, pages = await self._fill(self._ranges)
            frame = await asyncio.to_thread(source_frame, pages, self._fields, self._key)
            self._check_keys(frame[SOURCE_PK])
        if self._left is not None:
            if frame.height >= self._left:
                frame = frame.head(self._left)
                high = int(frame[SOURCE_PK][-1])
            self._left -= frame.height
        self._number += 1
        return SourceBatch(self._number, low, high, frame)

    async def batches(self) -> AsyncIterator[SourceBatch]:
        """All batches, by `next_batch`."""
        while (batch := await self.next_batch()) is not None:
            yield batch

    def _check_keys(self, keys: pl.Series) -> None:
        """Paging by a key that repeats, or that the rows are not sorted by, loses rows without a trace."""
        if not keys.is_sorted():
            raise PermanentError(f"reading {self._source}: rows do not come in the order of {self._key}")
        if repeated := len(keys) - keys.n_unique():
            raise ConfigurationError(
                f"{self._source}: {self._key} is not unique, {repeated} rows share its value with another; "
                "read by a field that Caspio keeps unique"
            )

    async def _fill(self, ranges: KeyRanges) -> tuple[int, int, list[bytes]]:
        """First key, last key and pages of the next stretch: enough for a batch, or all that is left."""
        while not ranges.exhausted and self._rows * 2 < self._batch_size:
            held = self._rows + ranges.waiting_rows
            planned = ranges.plan(self._batch_size - held)
            most = math.floor((_OVERFULL * self._batch_size - held) / self._page_rows)
            await self._read(planned, most)
            reached, more, count = ranges.advance()
            self._reached = self._reached if reached is None else reached
            self._pages += more
            self._rows += count
        low, pages = self._next_key, self._pages
        self._next_key, self._pages, self._rows = self._reached + 1, [], 0
        return low, self._reached, pages

    async def _read(self, planned: Sequence[KeyRange], most_pages: int) -> None:
        """Read ranges at the same time: a page each, and further ones while the batch has room."""
        spare = max(0, most_pages - len(planned))

        async def read(one: KeyRange) -> None:
            nonlocal spare
            await self._page(one)
            while not one.done and spare:
                spare -= 1
                await self._page(one)

        try:
            async with asyncio.TaskGroup() as group:
                for one in planned:
                    group.create_task(read(one))
        except BaseExceptionGroup as failed:
            first = failed.exceptions[0]
            raise first from first.__cause__

    async def _page(self, one: KeyRange) -> None:
        within = f"{self._key}>{one.last} AND {self._key}<={one.high}"
        page = await self._client.records(
            self._source,
            select=self._select,
            where=and_(self._where, within),
            order_by=f"{self._key} ASC",
            limit=self._page_rows,
        )
        rows, last = self._end(page.rows)
        if rows and not one.last < last <= one.high:
            raise PermanentError(
                f"reading {self._source}: a page for {within} ends at {last}; order or condition was not kept"
            )
        one.take(page.rows, rows, last, self._page_rows)

    def _end(self, page: bytes) -> tuple[int, int]:
        """Rows of a page and its last key, without decoding it.

        A quote within a cell is escaped, so the marker occurs nowhere but where the key stands.
        """
        rows = page.count(self._marker)
        found = _WHOLE_NUMBER.match(page, page.rfind(self._marker) + len(self._marker))
        if rows and found:
            return rows, int(found[1])
        try:
            decoded = orjson.loads(page)
            return len(decoded), self._whole(decoded[-1][self._key]) or 0 if decoded else 0
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise PermanentError(f"reading {self._source}: a page without {self._key}") from None


def keys_where(field: CaspioField, values: Iterable[str], budget_chars: int = _KEYS_CHARS) -> list[str]:
    """Conditions that find rows by the values of one field, each short enough for a request's address.

    Args:
        field: usually the one that holds the identity.
        values: as text; numbers are written as such for a numeric field.
        budget_chars: characters a condition may take in the address, escapes counted.

    Raises:
        ConfigurationError: a value that is no number for a numeric field, or too long.
    """
    numeric = SOURCE_DTYPES.get(field.type) in _NUMERIC
    wanted: list[object] = [_number(field, value) if numeric else value for value in dict.fromkeys(values)]
    return in_list(field.name, wanted, budget_chars)


def _number(field: CaspioField, text: str) -> int | float:
    try:
        number = float(text)
        return int(text) if number.is_integer() and text.strip().lstrip("+-").isdecimal() else number
    except ValueError:
        raise ConfigurationError(
            f"{field.name} is a number in Caspio, and one of the keys is none; check the keys"
        ) from None
