"""How a key space is cut into ranges that are read at the same time, and given back in the order of their keys."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

Page: TypeAlias = bytes | pl.DataFrame  # a JSON array, or the same as text

# A range is planned this many standard deviations below whole pages: its last page is nearly full, hardly ever followed
# by another one that is nearly empty.
_DEVIATIONS = 2.0
_ALL_THE_REST = 1.2  # times what a batch still takes: rather read than left for a small batch
_AS_EXPECTED = 0.8


@dataclass(slots=True)
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
    """

    low: int
    high: int
    density: float
    last: int = 0
    rows: int = 0
    pages: list[Page] = field(default_factory=list)
    tip: float = 0.0
    done: bool = False

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


@dataclass(slots=True)
class _Round:
    """Ranges cut from the front of one gap, and the rest of it that stayed."""

    pieces: list[KeyRange]
    rest: KeyRange | None


class KeyRanges:
    """The unread part of a key space, tiled by ranges in the order of their keys.

    A round is planned, its ranges are read, and the front of the tiling that is complete comes out as the next stretch
    of keys. A range that holds far more than expected stops early; what was read behind it waits, and its own rest is
    cut again, by the density it turned out to have.

    Args:
        low: smallest key.
        high: largest key.
        total: rows expected between them.
        page_rows: rows a page.
        parallel: ranges a round.
    """

    def __init__(self, *, low: int, high: int, total: int, page_rows: int, parallel: int) -> None:
        span = high - low + 1
        self._page_rows = page_rows
        self._parallel = parallel
        self._total = total
        self._came_out = 0
        self._tiling: deque[KeyRange] = deque([KeyRange(low - 1, high, min(1.0, total / span))])
        self._rounds: list[_Round] = []

    @property
    def exhausted(self) -> bool:
        """Whether every range has come out."""
        return not self._tiling

    @property
    def waiting_rows(self) -> int:
        """Rows that have been read and cannot come out yet."""
        return sum(one.rows for one in self._tiling)

    def plan(self, room: int) -> list[KeyRange]:
        """Ranges to read next, expected to hold about `room` rows together; at least one.

        After a round that failed midway a new plan keeps what was read.
        """
        self._split_stopped()
        self._rounds = []
        tiling: deque[KeyRange] = deque()
        pieces = max(1, min(self._parallel, math.ceil(room / self._page_rows)))
        for one in self._tiling:
            if one.done or pieces < 1 or (room < 1 and self._rounds):
                tiling.append(one)
                continue
            cut = self._cut(one, room, pieces)
            self._rounds.append(cut)
            tiling.extend([*cut.pieces, *([cut.rest] if cut.rest else [])])
            pieces -= len(cut.pieces)
            room -= math.ceil(sum(piece.expected for piece in cut.pieces))
        self._tiling = tiling
        return [piece for cut in self._rounds for piece in cut.pieces]

    def _cut(self, gap: KeyRange, room: int, most: int) -> _Round:
        whole = gap.expected <= max(room, self._page_rows) * _ALL_THE_REST
        wanted = gap.expected if whole else max(room, self._page_rows)
        count = max(1, min(most, math.ceil(wanted / self._page_rows)))
        if count == 1 and (whole or wanted <= self._page_rows):
            # One range needs no upper end: it stops when it has read enough.
            return _Round([gap], None)
        pages = wanted / (self._page_rows * count)
        rows = self._nearly(max(1, math.ceil(pages) if whole else math.floor(pages)), gap.density)
        width = max(1, int(rows / gap.density))
        pieces: list[KeyRange] = []
        low = gap.low
        while low < gap.high and len(pieces) < count:
            last_piece = whole and len(pieces) == count - 1
            high = gap.high if last_piece else min(gap.high, low + width)
            pieces.append(KeyRange(low, high, gap.density))
            low = high
        return _Round(pieces, KeyRange(low, gap.high, gap.density) if low < gap.high else None)

    def _nearly(self, pages: int, density: float) -> float:
        rows = pages * self._page_rows
        return max(rows - _DEVIATIONS * math.sqrt(rows * (1 - density)), rows / 2)

    def advance(self) -> tuple[int | None, list[Page], int]:
        """What is complete at the front after a round was read.

        Returns:
            The last key up to which everything has come out (None where nothing has), the pages, and their rows.
        """
        self.learn()
        high, pages, rows = None, list[Page](), 0
        while self._tiling and self._tiling[0].done:
            one = self._tiling.popleft()
            high = one.high
            pages += one.pages
            rows += one.rows
        self._came_out += rows
        return high, pages, rows

    def _split_stopped(self) -> None:
        """A range that stopped early becomes what it has read, and a gap as dense as its newest page."""
        tiling: deque[KeyRange] = deque()
        for one in self._tiling:
            if one.done or not one.rows:
                tiling.append(one)
                continue
            gap = KeyRange(one.last, one.high, max(one.tip, 1 / (one.high - one.last)))
            one.high, one.done = one.last, True
            tiling.extend([one, gap])
        self._tiling = tiling

    def learn(self) -> None:
        """After a round was read: cut again what stopped early, and correct how dense the rest of its gaps is.

        Trust a density that was met; otherwise take the lower of what was found and what is left on average.

        A range that is too wide stops early and costs no call; one that is too narrow costs a call that brings little.
        """
        self._split_stopped()
        unread = sum(one.width for one in self._tiling if not one.done)
        unseen = max(0, self._total - self._came_out - self.waiting_rows)
        average = unseen / unread if unread else 0.0
        for cut in self._rounds:
            rest = cut.rest
            if rest is None:
                continue
            rows = sum(piece.rows for piece in cut.pieces)
            found = min(1.0, rows / sum(piece.width for piece in cut.pieces))
            met = found >= _AS_EXPECTED * rest.density
            rest.density = max(found if met else min(found, average), 1 / rest.width)
