"""How a key space is cut into ranges that are read at the same time, and given back in the order of their keys."""

import itertools
import math
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

Page: TypeAlias = bytes | pl.DataFrame  # a JSON array, or the same as text

# A range is planned this many standard deviations below whole pages: its last page is nearly full, hardly ever followed
# by another one that is nearly empty.
_DEVIATIONS = 2.0
_AS_EXPECTED, _FAR_MORE = 0.8, 1.25
_LEARNT = 0.25  # of a range about as dense as was expected, how much counts for what is expected of the next one


@dataclass(slots=True, eq=False)
class KeyRange:
    """The keys above `low`, up to `high`, and what has been read of them.

    Args:
        low: largest key before the range.
        high: last key of the range.
        density: expected rows a key.
        last: largest key read so far.
        rows: rows read so far.
        pages: read so far.
        tip: rows a key in the newest page.
        done: whether everything in the range has been read.
        in_flight: whether a page of it is being read.
        trust: how many ranges cut off its front may be in flight: its density may be that of a small clump.
    """

    low: int
    high: int
    density: float
    last: int = 0
    rows: int = 0
    pages: list[Page] = field(default_factory=list)
    tip: float = 0.0
    done: bool = False
    in_flight: bool = False
    trust: int = sys.maxsize

    def __post_init__(self) -> None:
        self.last = self.low

    @property
    def width(self) -> int:
        """Keys in the range, taken or not."""
        return self.high - self.low

    @property
    def expected(self) -> float:
        """Rows that the range is expected to hold; keys are unique, so never more than its width."""
        return max(1.0, self.density * self.width)

    def take(self, page: Page, rows: int, last: int, *, full: int) -> None:
        """Keep a page; one that has fewer rows than a `full` one, or ends on the last key, is the range's last."""
        if rows:
            self.pages.append(page)
            self.rows += rows
            self.tip = min(1.0, rows / (last - self.last))
            self.last = last
        self.done = rows < full or last >= self.high


class KeyRanges:
    """The unread part of a key space, tiled by ranges in the order of their keys.

    Pages are read of the ranges at the front first, several at the same time; the front of the tiling that is complete
    comes out. Of a range that holds far more than expected the rest is cut again, by the density it turned out to have.

    Args:
        low: smallest key.
        high: largest key.
        total: rows expected between them.
        page_rows: rows a page.
        pages: how many pages a range is planned for: fewer and wider ranges take fewer calls.
    """

    def __init__(self, *, low: int, high: int, total: int, page_rows: int, pages: int = 1) -> None:
        span = high - low + 1
        self._page_rows = page_rows
        self._pages = pages
        self._total = total
        self._came_out = 0
        self._tiling: deque[KeyRange] = deque([KeyRange(low - 1, high, min(1.0, total / span))])

    @property
    def exhausted(self) -> bool:
        """Whether every range has come out."""
        return not self._tiling

    @property
    def held_rows(self) -> int:
        """Rows that have been read and not come out, and those that pages in flight may bring."""
        return sum(one.rows + one.in_flight * self._page_rows for one in self._tiling)

    @property
    def rest_rows(self) -> int:
        """Rows that are expected to come out yet."""
        return max(0, self._total - self._came_out)

    @property
    def has_unread(self) -> bool:
        """Whether something has not been read."""
        return not all(one.done for one in self._tiling)

    def take(self) -> KeyRange | None:
        """The range at the front of which a page is to be read next; None where all is read, or being read.

        Whoever takes it reads a page, and tells (`landed`), also where that failed.
        """
        before = 0  # ranges in flight that lie one after the other
        for place, one in enumerate(self._tiling):
            if one.in_flight or one.done or one.trust <= before:
                before = before + 1 if one.in_flight else 0
                continue
            piece = one if one.pages else self._cut(one, place)
            piece.in_flight = True
            return piece
        return None

    def _cut(self, gap: KeyRange, place: int) -> KeyRange:
        """The first keys of a gap as a range; the gap itself where it is not more than a page."""
        if gap.expected <= self._page_rows:
            return gap  # it needs no upper end: it stops when it has read enough
        pages = min(self._pages, math.ceil(gap.expected / self._page_rows))
        width = max(1, int(self._nearly(pages, gap.density) / gap.density))
        if width >= gap.width:
            return gap
        piece = KeyRange(gap.low, gap.low + width, gap.density)
        gap.low = gap.last = piece.high
        self._tiling.insert(place, piece)
        return piece

    def _nearly(self, pages: int, density: float) -> float:
        rows = pages * self._page_rows
        return max(rows - _DEVIATIONS * math.sqrt(rows * (1 - density)), rows / 2)

    def landed(self, one: KeyRange) -> None:
        """A page of a range was read, or could not be."""
        one.in_flight = False
        if one.done:
            self._learn(one)
        elif len(one.pages) >= self._pages:
            gap = KeyRange(one.last, one.high, max(one.tip, 1 / (one.high - one.last)), trust=1)
            one.high, one.done = one.last, True
            self._tiling.insert(self._tiling.index(one) + 1, gap)

    def advance(self, room: int, *, needed: bool = False) -> Iterator[tuple[int, list[Page], int]]:
        """What is complete at the front, as long as it has no more rows than there is room for.

        Args:
            room: rows that may come out.
            needed: whether one range is to come out in any case: a server may give more rows than it was asked for.

        Yields:
            The last key up to which everything has come out, the pages, and their rows.
        """
        while self.can_come_out and (needed or self._tiling[0].rows <= room):
            one = self._tiling.popleft()
            room, needed = room - one.rows, needed and not one.rows
            self._came_out += one.rows
            yield one.high, one.pages, one.rows

    @property
    def can_come_out(self) -> bool:
        """Whether the range at the front is complete."""
        return bool(self._tiling) and self._tiling[0].done

    def _learn(self, one: KeyRange) -> None:
        """Correct how dense the gap behind a range is that was read.

        Trust a density that was met; otherwise take the lower of what was found and what is left on average.

        A range that is too wide stops early and costs no call; one that is too narrow costs a call that brings little.
        """
        behind = itertools.islice(self._tiling, self._tiling.index(one), None)
        gap = next((each for each in behind if not (each.done or each.in_flight or each.pages)), None)
        if gap is None:
            return
        found = min(1.0, one.rows / one.width)
        if found >= _AS_EXPECTED * gap.density:
            gap.trust = min(sys.maxsize, 2 * gap.trust)
        if found > _FAR_MORE * gap.density:
            density = found
        elif found >= _AS_EXPECTED * gap.density:
            density = gap.density + _LEARNT * (found - gap.density)
        else:
            unread = sum(each.high - each.last for each in self._tiling if not each.done)
            unseen = max(0, self._total - self._came_out - sum(each.rows for each in self._tiling))
            density = min(found, unseen / unread)
            gap.trust = 1
        gap.density = max(density, 1 / gap.width)
