"""Cutting a range of keys into parts of about the same number of rows."""

from bisect import insort
from collections.abc import Awaitable, Callable

# A part may hold so much more or less than its share; every step nearer costs a call.
_TOLERANCE = 0.05
_MOST_CALLS = 12  # a cut
# Below this many rows a part, counting costs more than it evens out: a page holds 1000.
_LEAST_ROWS = 2_000

CountUpTo = Callable[[int], Awaitable[int]]


def equal_in_keys(low: int, high: int, parts: int) -> list[tuple[int, int]]:
    """`parts` ranges of the same width, each one's first and last key; fewer where there are fewer keys."""
    parts = max(1, min(parts, high - low + 1))
    starts = [low + (high - low + 1) * part // parts for part in range(parts)]
    return list(zip(starts, [*(start - 1 for start in starts[1:]), high], strict=True))


async def equal_in_rows(
    low: int, high: int, parts: int, *, total: int, count_up_to: CountUpTo
) -> list[tuple[int, int, int]]:
    """`parts` ranges with about the same number of rows: first key, last key, rows.

    Where keys have no holes, or rows are few, the ranges are equal in keys and nothing is asked.

    Args:
        low: smallest key that a row has.
        high: largest one.
        parts: how many ranges.
        total: rows between them.
        count_up_to: rows between `low` and a key, both included: one call.

    Raises:
        As `count_up_to`.
    """
    width = high - low + 1
    if total >= width or total < parts * _LEAST_ROWS:
        ranges = equal_in_keys(low, high, parts)
        return [(first, last, round(total * (last - first + 1) / width)) for first, last in ranges]
    known = [(low - 1, 0), (high, total)]  # key, rows up to it; every count serves the cuts to come as well
    share = total / parts
    cuts = [await _nearest(known, share * part, share * _TOLERANCE, count_up_to) for part in range(1, parts)]
    ends = sorted({*cuts, (high, total)})
    begins = [(low - 1, 0), *ends[:-1]]
    return [(before + 1, key, rows - less) for (before, less), (key, rows) in zip(begins, ends, strict=True)]


async def _nearest(
    known: list[tuple[int, int]], wanted: float, tolerance: float, count_up_to: CountUpTo
) -> tuple[int, int]:
    """The key up to which about `wanted` rows lie, and how many do: halfway by keys and by rows in turn."""
    for call in range(_MOST_CALLS):
        nearest = min(known, key=lambda each: abs(each[1] - wanted))
        (below, less), (above, more) = _around(known, wanted)
        if abs(nearest[1] - wanted) <= tolerance or above - below < 2:
            return nearest
        share = (wanted - less) / (more - less) if call % 2 == 0 else 0.5
        key = min(above - 1, max(below + 1, below + round((above - below) * share)))
        insort(known, (key, await count_up_to(key)))
    return min(known, key=lambda each: abs(each[1] - wanted))


def _around(known: list[tuple[int, int]], wanted: float) -> tuple[tuple[int, int], tuple[int, int]]:
    place = next(place for place, (_, rows) in enumerate(known) if rows >= wanted)
    return known[place - 1], known[place]
