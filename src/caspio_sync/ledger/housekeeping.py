"""Taking out of the ledger what is older than anybody looks back: history, runs, counts of calls, ended incidents.

What a run could still go on from stays, however old: runs under way, batches that were left open, an interrupted sweep,
the newest runs of each sync. Rows, cursors, erasures and the audit are never touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.engagement import KEPT_IDS
from caspio_sync.ledger.engagement_schema import engagement_seen
from caspio_sync.ledger.run_record import OPEN, RUNNING

KEPT_RUNS = 100  # of each sync, whatever their age
KEPT_BUDGET = timedelta(days=31)  # `status` shows the calls of thirty days
_A_TRANSACTION = 500  # entries deleted before running syncs have their turn
_VACUUM_PAGES = 2_000
_INCREMENTAL = 2  # SQLite's auto_vacuum mode


@dataclass(frozen=True, slots=True)
class Purged:
    """What was taken out of a ledger, or would be.

    Args:
        outcomes: stretches of history, each the outcomes of one commit.
        runs: runs.
        batches: their batches.
        budget_days: windows in which calls were counted.
        incidents: ended ones.
        event_ids: hours of events that were folded and cannot come again.
        bytes_freed: given back by SQLite's file; PostgreSQL's autovacuum sees to its own.
    """

    outcomes: int = 0
    runs: int = 0
    batches: int = 0
    budget_days: int = 0
    incidents: int = 0
    event_ids: int = 0
    bytes_freed: int = 0


class Housekeeping(LedgerConnection):
    """Deleting what is old, a little at a time, beside running syncs."""

    def purge(self, before: datetime, *, dry_run: bool = False) -> Purged:
        """Delete what ended before that time and is not needed any more.

        Args:
            before: aware.
            dry_run: count only.
        """
        outcome, batch, budget, incident = schema.outcome.c, schema.batch.c, schema.budget.c, schema.incident.c
        needed, forgotten = _needed(), self.now() - KEPT_IDS
        with self.reading("look for what is old") as connection:

            def found(chosen: sa.Select[Any]) -> list[Any]:
                return list(connection.execute(chosen).scalars())

            outcomes = found(sa.select(outcome.number).where(outcome.at < before, outcome.run.not_in(needed)))
            runs = found(_old_runs(before, needed))
            counted = sum(
                connection.execute(
                    sa.select(sa.func.count()).select_from(schema.batch).where(batch.run.in_(chunk))
                ).scalar_one()
                for chunk in _chunks(runs)
            )
            month_ago = min(before, self.now() - KEPT_BUDGET)
            windows = found(sa.select(budget.window_start).where(budget.window_start < month_ago))
            ended = found(sa.select(incident.kind).where(incident.ended_at < before))
            seen = found(sa.select(engagement_seen.c.hour).where(engagement_seen.c.at < forgotten))
        freed = 0
        if not dry_run:
            self._delete(schema.outcome, outcome.number, outcomes)
            # Batches first: a run without its batches is looked at again, a batch without its run is lost.
            self._delete(schema.batch, batch.run, runs)
            self._delete(schema.run, schema.run.c.id, runs)
            with self.writing("purge the ledger") as connection:
                connection.execute(sa.delete(schema.budget).where(budget.window_start < month_ago))
                connection.execute(sa.delete(schema.incident).where(incident.ended_at < before))
                connection.execute(sa.delete(schema.former).where(schema.former.c.at < before))
                connection.execute(sa.delete(engagement_seen).where(engagement_seen.c.at < forgotten))
            freed = self._give_back()
        return Purged(len(outcomes), len(runs), counted, len(windows), len(ended), len(seen), freed)

    def _delete(self, table: sa.Table, column: sa.ColumnElement[Any], values: Sequence[Any]) -> None:
        for chunk in _chunks(values):
            with self.writing("purge the ledger") as connection:
                connection.execute(sa.delete(table).where(column.in_(chunk)))

    def _give_back(self) -> int:
        """Shrink SQLite's file by the pages that are free; bytes. Older files keep them for what comes."""
        if self._engine.dialect.name != "sqlite" or self._in_memory:
            return 0
        freed = 0
        while True:
            with self.writing("shrink the ledger") as connection:
                pages, size, mode = (
                    int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                    for name in ("freelist_count", "page_size", "auto_vacuum")
                )
                if pages == 0 or mode != _INCREMENTAL:
                    return freed
                # Each step of the statement frees one page; SQLAlchemy would take the first alone.
                cursor = connection.connection.cursor()
                cursor.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                cursor.fetchall()
                cursor.close()
                left = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
            freed += (pages - left) * size
            if left in {0, pages}:
                return freed


def _needed() -> sa.Select[Any]:
    """Ids of runs whose history is still asked for: under way, interrupted, or with a batch that was left open."""
    run, batch, sweep = schema.run.c, schema.batch.c, schema.sweep.c
    ids = sa.union(
        sa.select(run.id).where(run.state == RUNNING),
        sa.select(batch.run).where(batch.state == OPEN),
        sa.select(sweep.run),
    ).subquery()
    return sa.select(ids.c[0])


def _old_runs(before: datetime, needed: sa.Select[Any]) -> sa.Select[Any]:
    run = schema.run.c
    place, of_its_kind = (
        sa.func.row_number().over(partition_by=alike, order_by=run.started_at.desc())
        for alike in ((run.sync,), (run.sync, run.mode, run.state))
    )
    ranked = sa.select(run.id, run.ended_at, place.label("place"), of_its_kind.label("of_its_kind")).subquery().c
    return sa.select(ranked.id).where(
        ranked.ended_at < before, ranked.place > KEPT_RUNS, ranked.of_its_kind > 1, ranked.id.not_in(needed)
    )


def _chunks(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + _A_TRANSACTION] for start in range(0, len(values), _A_TRANSACTION)]
