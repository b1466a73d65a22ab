"""Whether there are many more events than usual: a moving window of ten minutes, held against the last week's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl

from caspio_sync.ledger.event_counts import MINUTE_SECONDS
from caspio_sync.ledger.run_record import Run

WINDOW_MINUTES = 10
_A_DAY = 24 * 60  # minutes
_WINDOW = timedelta(minutes=WINDOW_MINUTES)
_LOOKED = frozenset({"done", "blocked"})  # states of runs that read what was there


@dataclass(slots=True)
class Jumps:
    """What a run holds the number of its events against.

    Args:
        peak: the most in ten minutes of the last week; None where less than a day is known.
        overdue: how long it is that a run looked last, as a multiple of ten minutes or of the usual interval, whichever
            is longer; 1 at the least. What came meanwhile comes now.
        minutes: events by the minute, of the last ten.
    """

    peak: int | None
    overdue: float
    minutes: dict[int, int] = field(default_factory=dict)

    def of(self, now: datetime, rows: int) -> float:
        """With so many more: by how many times the events of the last ten minutes exceed what was there before.

        0 where there is nothing to hold them against.
        """
        return (rows + self.window(now)) / (self.peak * self.overdue) if self.peak else 0.0

    def window(self, now: datetime) -> int:
        """Events of the last ten minutes."""
        since = minute_of(now) - WINDOW_MINUTES
        return sum(count for minute, count in self.minutes.items() if minute > since)

    def add(self, now: datetime, rows: int) -> None:
        """So many went on their way."""
        self.minutes[minute_of(now)] = self.minutes.get(minute_of(now), 0) + rows


def jumps(counted: pl.DataFrame, past: Sequence[Run], now: datetime) -> Jumps:
    """What is known of a sync.

    Args:
        counted: COUNTED_SCHEMA.
        past: its runs before this one, newest first.
        now: aware.
    """
    present = minute_of(now)
    recent = counted.filter(pl.col("minute") > present - WINDOW_MINUTES)
    earlier = counted.filter(pl.col("minute") <= present - WINDOW_MINUTES)
    known = not counted.is_empty() and present - int(counted["minute"][0]) >= _A_DAY
    peak = None
    if known and not earlier.is_empty():
        windows = earlier.rolling(index_column="minute", period=f"{WINDOW_MINUTES}i").agg(pl.col("rows").sum())
        peak = int(windows["rows"].max() or 0)  # type: ignore[arg-type]
    return Jumps(peak, _overdue(past, now), dict(recent.iter_rows()))


def _overdue(past: Sequence[Run], now: datetime) -> float:
    """As in `Jumps`: where runs begin each hour, an hour's events come at once, and are what is usual."""
    looked = [run.started_at for run in past if run.state in _LOOKED]
    if not past or not looked:
        return max(1.0, (now - past[-1].started_at) / _WINDOW) if past else 1.0
    gaps = sorted(later - earlier for later, earlier in pairwise(looked))
    usual = max(_WINDOW, gaps[len(gaps) // 2] if gaps else _WINDOW)
    return max(1.0, (now - looked[0]) / usual)


def minute_of(now: datetime) -> int:
    """Whole minutes since 1970."""
    return int(now.timestamp()) // MINUTE_SECONDS
