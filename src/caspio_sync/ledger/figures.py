"""Counts of a sync's rows, and sums of its runs by day: each figure has one query, whoever shows it."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.snapshot import Snapshot, stored_instant

_A_DAY = 86_400_000_000  # microseconds
_REASONS_SHOWN = 200
# Rows that were not sent are few. Of two indexes that begin with the sync SQLite takes the table's own, and reads all.
_NOT_SENT = {"sqlite": "row INDEXED BY row_held", "postgresql": "row"}
_FIRST_REASON = {
    "sqlite": "substr(coalesce(reason, ''), 1, instr(coalesce(reason, '') || ' | ', ' | ') - 1)",
    "postgresql": "split_part(coalesce(reason, ''), ' | ', 1)",
}


class RowCounts(NamedTuple):
    """The rows of a sync by their last verdict, those without one left out; and when one was last acknowledged."""

    verdicts: dict[str, int]
    newest_delivered: datetime | None


class HeldReason(NamedTuple):
    """Rows that were not sent, by the first of their reasons, values masked; when one was seen so first, and last."""

    verdict: str
    reason: str
    rows: int
    first_at: datetime | None
    last_at: datetime | None


class Day(NamedTuple):
    """What the runs of a sync did that ended on one day (UTC).

    Args:
        day: the day.
        runs: that ended.
        failed: of these, those that did not end with exit code 0.
        read: rows read.
        sent: rows that were acknowledged.
        quarantined: rows that our gate set aside.
        rejected: rows that the destination refused.
        blocked: rows that lack a consent the sync requires, or whose person was erased.
        unknown: rows whose answer was lost.
        opt_outs: that left ahead of the gate.
        data_points: billed.
        caspio_calls: made.
        seconds: the longest run.
        waited_seconds: the longest that a change had waited, or may have; None where no run knew.
    """

    day: date
    runs: int = 0
    failed: int = 0
    read: int = 0
    sent: int = 0
    quarantined: int = 0
    rejected: int = 0
    blocked: int = 0
    unknown: int = 0
    opt_outs: int = 0
    data_points: int = 0
    caspio_calls: int = 0
    seconds: float = 0.0
    waited_seconds: float | None = None


_SUMMED = (
    ("read",),
    ("sent",),
    ("verdicts", "quarantined"),
    ("verdicts", "rejected"),
    ("verdicts", "blocked"),
    ("verdicts", "unknown"),
    ("opt_outs",),
    ("data_points",),
    ("caspio_calls",),
)


class Figures(Snapshot):
    """Counting."""

    def row_counts(self, sync: str) -> RowCounts:
        """The rows by verdict, and when one was last acknowledged."""
        learning = self.learning(sync)
        but, pks = (f"AND source_pk NOT IN ({self._listed})", [json.dumps(list(learning))]) if learning else ("", [])
        # Two statements, for a million rows are counted three times as fast as they are grouped.
        judged = f"SELECT COUNT(verdict), MAX(sent_at) FROM row WHERE sync = ? {but}"
        rows, newest = self._one("count verdicts", judged, sync, *pks)
        others = (
            f"SELECT verdict, COUNT(*) FROM {_NOT_SENT[self._dialect]} WHERE sync = ? AND row.verdict <> 'sent' {but} "
            "GROUP BY verdict"
        )
        counts = dict(self._all("count verdicts", others, sync, *pks))
        if sent := rows - sum(counts.values()) + len(learning):
            counts["sent"] = sent
        newest = max((at for at in (newest, *learning.values()) if at is not None), default=None)
        return RowCounts(dict(sorted(counts.items())), stored_instant(newest))

    def oldest_held(self, sync: str) -> datetime | None:
        """As `HeldRows.oldest_held`: when the oldest row that waits for a person or an answer was first seen so."""
        statement = (
            f"SELECT MIN(seen_at) FROM {_NOT_SENT[self._dialect]} WHERE sync = ? AND row.verdict <> 'sent' "
            "AND verdict IN ('quarantined', 'rejected', 'unknown') AND seen_fp <> ? "
            f"AND source_pk NOT IN ({self._listed})"
        )
        values = (sync, bytes(16), json.dumps(list(self.learning(sync))))
        return stored_instant(self._one("look for the oldest held row", statement, *values)[0])

    def held_reasons(self, sync: str, *, limit: int = _REASONS_SHOWN) -> list[HeldReason]:
        """The rows that were quarantined, rejected, blocked or left without an answer, by reason; the most first."""
        statement = (
            f"SELECT verdict, {_FIRST_REASON[self._dialect]} AS first_reason, COUNT(*) AS rows, MIN(seen_at), "
            f"MAX(seen_at) FROM {_NOT_SENT[self._dialect]} WHERE sync = ? AND row.verdict <> 'sent' "
            "AND verdict IN ('quarantined', 'rejected', 'blocked', 'unknown') "
            f"AND source_pk NOT IN ({self._listed}) GROUP BY verdict, first_reason "
            "ORDER BY rows DESC, verdict, first_reason LIMIT ?"
        )
        values = (sync, json.dumps(list(self.learning(sync))), limit)
        return [
            HeldReason(verdict, reason, rows, stored_instant(first), stored_instant(last))
            for verdict, reason, rows, first, last in self._all("count reasons", statement, *values)
        ]

    def days(self, sync: str, since: date, until: date) -> list[Day]:
        """What the runs did that ended on each day from `since` to `until`, both included; days without one left out.

        A run that died is of the day on which it was found dead, and tells nothing of its rows.
        """
        low, high = _midnight(since), _midnight(until + timedelta(days=1))
        sums = ", ".join(f"coalesce(SUM({self._member(*path)}), 0)" for path in _SUMMED)
        statement = (
            f"SELECT ended_at / {_A_DAY} AS day, COUNT(*), SUM(CASE WHEN coalesce(exit_code, 1) <> 0 THEN 1 ELSE 0 END)"
            f", {sums}, MAX(ended_at - started_at), MAX({self._member('freshness', 'age_seconds')}), "
            f"MAX({self._member('freshness', 'waited_seconds')}) FROM run "
            f"WHERE sync = ? AND ended_at >= ? AND ended_at < ? GROUP BY ended_at / {_A_DAY} ORDER BY day"
        )
        found = self._all("sum runs by day", statement, sync, low, high)
        return [_day(each) for each in found]

    def runs_begun_before(self, sync: str, day: date) -> int:
        """How many runs of the sync there are that began before a day (UTC)."""
        statement = "SELECT COUNT(*) FROM run WHERE sync = ? AND started_at < ?"
        return int(self._one("count runs", statement, sync, _midnight(day))[0])

    def _member(self, *path: str) -> str:
        """A number in a run's report; null where it tells none."""
        if self._is_sqlite:
            return f"json_extract(report, '$.{'.'.join(path)}')"
        return f"CAST(report #>> '{{{','.join(path)}}}' AS double precision)"


def _midnight(day: date) -> int:
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _day(found: Any) -> Day:
    number, runs, failed, *sums, longest, age, waited = found
    known = [float(each) for each in (age, waited) if each is not None]
    day = date(1970, 1, 1) + timedelta(days=int(number))
    longest_seconds = max(0.0, float(longest) / 1e6)
    return Day._make([day, runs, int(failed), *map(int, sums), longest_seconds, max(known, default=None)])
