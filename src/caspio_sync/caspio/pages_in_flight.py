"""Pages that are being read at the same time, by tasks that go on while nobody waits for them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import cast

from caspio_sync.caspio.key_ranges import KeyRange, KeyRanges, Page
from caspio_sync.concurrency import all_of

ReadPage = Callable[[KeyRange], Awaitable[None]]


class PagesInFlight:
    """Keeps as many pages in flight as may be.

    Args:
        read: reads one more page of a range.
        next_of: what of the ranges is to be read next; None where there is no room for it.
        most: pages at the same time.
    """

    def __init__(self, read: ReadPage, next_of: Callable[[KeyRanges], KeyRange | None], most: int) -> None:
        self._read = read
        self._next_of = next_of
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()  # each reads page after page
        self._came = asyncio.Event()  # a page, or a failure
        self._failure: Exception | None = None

    def go_on(self, ranges: KeyRanges, *, needed: bool) -> None:
        """Begin to read what there is room for.

        Args:
            ranges: of which pages are wanted.
            needed: whether somebody waits for what is at the front, so that it is read whatever room there is.
        """
        while len(self._tasks) < self._most:
            one = self._next_of(ranges)
            if one is None and needed and not self._tasks:
                one = ranges.take()
            if one is None:
                return
            self._tasks.add(asyncio.create_task(self._pages_of(ranges, one)))

    def forget_failure(self) -> None:
        """What failed is to be read again; `came` tells of it if it fails once more."""
        self._failure = None

    async def came(self) -> None:
        """Wait until another page was read.

        Raises:
            As `read`, where one failed.
        """
        self._came.clear()
        await self._came.wait()
        if self._failure is not None:
            raise self._failure

    async def _pages_of(self, ranges: KeyRanges, one: KeyRange | None) -> None:
        """Read a page of a range, then whatever is next."""
        try:
            while one is not None:
                await _read(ranges, one, self._read)
                self._came.set()
                one = self._next_of(ranges)
        except Exception as failure:  # noqa: BLE001 - told to whoever waits (`came`)
            self._failure = failure
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            self._came.set()

    async def aclose(self) -> None:
        """End what is being read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def read_whole(ranges: KeyRanges, read: ReadPage, most: int) -> tuple[list[Page], int]:
    """All pages of some ranges, `most` read at the same time, and how many rows they have; raises as `read`."""

    async def read_on() -> None:
        while (one := ranges.take()) is not None:
            await _read(ranges, one, read)

    while ranges.has_unread:
        await all_of(read_on() for _ in range(most))
    stretch = list(ranges.advance(sys.maxsize))
    return [page for _, pages, _ in stretch for page in pages], sum(rows for _, _, rows in stretch)


async def _read(ranges: KeyRanges, one: KeyRange, read: ReadPage) -> None:
    try:
        await read(one)
    finally:
        ranges.landed(one)
