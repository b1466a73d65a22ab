"""What the page keeps between two looks, because it takes long to count a million rows or to sum up a year of runs.

Days that are over are summed once, for no run ends in the past; rows are counted again once something was written.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from caspio_sync.ledger.figures import Day, RowCounts
from caspio_sync.ledger.overview import Overview

MOST_DAYS = 90


@dataclass(frozen=True, slots=True)
class _Past:
    """The days of a sync that were over on `today`, and how many runs there were of them, which purging changes."""

    today: date
    runs: int
    days: Sequence[Day]


class History:
    """Keeps days that are over, and counts of a ledger that nobody has written to since; of several threads."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[object, RowCounts]] = {}
        self._past: dict[str, _Past] = {}
        self._lock = threading.Lock()

    def row_counts(self, ledger: Overview, sync: str) -> RowCounts:
        """As `Overview.row_counts`."""
        written = ledger.written
        with self._lock:
            kept = self._counts.get(sync)
        if written is not None and kept is not None and kept[0] == written:
            return kept[1]
        counts = ledger.row_counts(sync)
        with self._lock:
            self._counts[sync] = (written, counts)
        return counts

    def days(self, ledger: Overview, sync: str, count: int) -> list[Day]:
        """The last days, today (UTC) included, oldest first; one without a run stands there with zeros.

        Args:
            ledger: to read.
            sync: name of the sync.
            count: how many days, `MOST_DAYS` at the most.
        """
        today = ledger.now().date()
        found = {each.day: each for each in (*self._over(ledger, sync, today), *ledger.days(sync, today, today))}
        wanted = [today - timedelta(days=back) for back in reversed(range(count))]
        return [found.get(day, Day(day)) for day in wanted]

    def _over(self, ledger: Overview, sync: str, today: date) -> Sequence[Day]:
        runs = ledger.runs_begun_before(sync, today)
        with self._lock:
            known = self._past.get(sync)
        if known is None or (known.today, known.runs) != (today, runs):
            first = today - timedelta(days=MOST_DAYS - 1)
            known = _Past(today, runs, ledger.days(sync, first, today - timedelta(days=1)))
            with self._lock:
                self._past[sync] = known
        return known.days


def total(days: Sequence[Day]) -> Day:
    """All of the days as one; the longest run, and the longest wait, of any."""
    waited = [each.waited_seconds for each in days if each.waited_seconds is not None]
    columns: list[tuple[Any, ...]] = [*zip(*days, strict=True)]
    return Day._make(
        [days[-1].day, *map(sum, columns[1:12]), max(each.seconds for each in days), max(waited, default=None)]
    )
