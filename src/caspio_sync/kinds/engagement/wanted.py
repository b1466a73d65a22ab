"""What a column should hold, from what is known of a person: coarse unless exactness was asked for.

A pure function of measures and the present time. Nothing is wanted of people of whom nothing is known, and a measure
without a value clears no cell.
"""

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from caspio_sync.characters import CONTROLS
from caspio_sync.text_columns import trimmed_values

ENGAGED_DAYS = 30
KNOWN = "_known"  # whether anything is known of the row's person
# Where each bucket begins, and what it is called in a text column; a number column holds its beginning.
BUCKETS: Mapping[int, str] = MappingProxyType(
    {0: "0", 1: "1", 2: "2-4", 5: "5-9", 10: "10-19", 20: "20-49", 50: "50-99", 100: "100+"}
)
# Caspio refuses characters beyond the basic plane, such as most emoji (Caspio, 2.5).
_ASTRAL = r"[\x{10000}-\x{10FFFF}]"


def engaged_lately(last_engaged_at: pl.Expr, now: pl.Expr) -> pl.Expr:
    """The measure engaged_30_days: an open or a click within so many days."""
    return (last_engaged_at >= now - pl.duration(days=ENGAGED_DAYS)).fill_null(value=False)


def bucket(count: pl.Expr, *, as_text: bool) -> pl.Expr:
    """The bucket a count falls into."""
    low = pl.max_horizontal(pl.when(count >= edge).then(pl.lit(edge)) for edge in BUCKETS)
    return low.replace_strict(dict(BUCKETS), default=None, return_dtype=pl.String) if as_text else low


def wall_clock(at: pl.Expr, zone: str, *, exact: bool) -> pl.Expr:
    """An instant as Caspio's wall clock: no offset, and never a Z (Caspio, 2.4); to the day, or to the second."""
    local = at.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return local.dt.truncate("1s" if exact else "1d").dt.cast_time_unit("ms")


def flag(measure: pl.Expr, *, is_count: bool) -> pl.Expr:
    """Whether there is one; False where something is known of the person, and this is not."""
    there = (measure > 0).fill_null(value=False) if is_count else measure.is_not_null()
    return pl.when(pl.col(KNOWN)).then(there)


def text(measure: pl.Expr, chars: int) -> pl.Expr:
    """Text that the column takes; none for one that is empty without what Caspio refuses."""
    clean = trimmed_values(measure.str.replace_all(_ASTRAL, "").str.replace_all(CONTROLS, "")).str.slice(0, chars)
    return pl.when(clean != "").then(clean)
