"""What housekeeping takes out of a ledger, and what it must leave."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.ledger import housekeeping, schema
from caspio_sync.ledger.run_record import OPEN, RECORDED
from caspio_sync.ledger.schema import RECORD_SCHEMA
from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock

SYNC = "customers"


@pytest.fixture(autouse=True)
def _few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "KEPT_RUNS", 2)


def outcome(ledger: Ledger, run: str, pk: int, size: int = 1) -> None:
    rows = pl.DataFrame(
        [
            {
                "source_pk": pk + place,
                "key": f"c{pk + place}",
                "key_hash": pk + place,
                "fp": bytes(16),
                "sent_fields": b"",
                "changed": b"",
                "part": "profile",
                "verdict": "quarantined",
                "reason": f"reason {place * 7919}",
                "suite_version": 1,
                "mapping_version": 1,
            }
            for place in range(size)
        ],
        schema=RECORD_SCHEMA,
    )
    ledger.record(sync=SYNC, run=run, batch=1, rows=rows)


def ended_run(
    ledger: Ledger, run: str, *, state: str = "done", mode: str = "incremental", batch: str = RECORDED
) -> None:
    ledger.start_run(run=run, sync=SYNC, kind="profiles", mode=mode)
    ledger.open_batch(run=run, number=1, low_pk=1, high_pk=9, rows=1)
    outcome(ledger, run, 1)
    if batch != OPEN:
        ledger.close_batch(run, 1, state=batch)
    ledger.finish_run(run, state=state, exit_code=0, report={})


def runs(ledger: Ledger) -> set[str]:
    return {each.id for each in ledger.runs(SYNC, limit=1000)}


def history(ledger: Ledger) -> set[str]:
    with ledger.reading("look") as connection:
        return set(connection.execute(sa.select(schema.outcome.c.run)).scalars())


def aged(ledger: Ledger, clock: VirtualClock) -> None:
    """A sweep, three old runs, then two of today."""
    ended_run(ledger, "sweep", mode="sweep")
    for number in range(3):
        clock.advance(60)
        ended_run(ledger, f"old{number}")
    clock.advance(100 * 86_400)
    for number in range(2):
        clock.advance(60)
        ended_run(ledger, f"new{number}")


def test_old_history_goes_and_new_stays(ledger_url: str) -> None:
    clock = VirtualClock()
    with Ledger.open(ledger_url, clock=clock) as ledger:
        aged(ledger, clock)
        before = clock.now() - timedelta(days=90)
        told = ledger.purge(before, dry_run=True)
        assert len(runs(ledger)) == 6
        purged = ledger.purge(before)
        # The newest sweep stays: what its like left open is judged by it.
        assert runs(ledger) == {"sweep", "new0", "new1"}
        assert history(ledger) == {"new0", "new1"}
        assert (purged.runs, purged.batches, purged.outcomes) == (3, 3, 4)
        assert (told.runs, told.batches, told.outcomes) == (3, 3, 4)
        assert ledger.batches("old0") == []
        assert ledger.story(SYNC, "c1") is not None
        assert ledger.purge(before).runs == 0


def test_what_a_run_may_go_on_from_stays_however_old(ledger_url: str) -> None:
    clock = VirtualClock()
    with Ledger.open(ledger_url, clock=clock) as ledger:
        ended_run(ledger, "torn", state="killed", batch=OPEN)
        ended_run(ledger, "swept", state="failed", mode="sweep")
        ledger.begin_sweep(SYNC, run="swept", digest="d", began_at=clock.now(), after_pk=None)
        ledger.start_run(run="alive", sync=SYNC, kind="profiles", mode="incremental")
        outcome(ledger, "alive", 3)
        before_it = ledger.unfinished(SYNC)
        swept = ledger.interrupted_sweep(SYNC, digest="d")
        aged(ledger, clock)
        ledger.purge(clock.now() - timedelta(days=1))
        assert {"torn", "swept", "alive"} <= runs(ledger)
        assert {"torn", "swept", "alive"} <= history(ledger)
        assert ledger.interrupted_sweep(SYNC, digest="d") == swept
        assert swept is not None
        assert before_it[0].recorded.to_list() == [1]


def test_purging_changes_nothing_of_what_is_unfinished(ledger_url: str) -> None:
    clock = VirtualClock()
    with Ledger.open(ledger_url, clock=clock) as ledger:
        ended_run(ledger, "torn", state="killed", mode="partial", batch=OPEN)
        for number in range(5):
            clock.advance(60)
            ended_run(ledger, f"sweep{number}", mode="sweep")
        assert ledger.unfinished(SYNC) == ()
        clock.advance(100 * 86_400)
        for number in range(3):
            clock.advance(60)
            ended_run(ledger, f"new{number}")
        ledger.purge(clock.now() - timedelta(days=90))
        assert ledger.unfinished(SYNC) == ()


def test_calls_and_ended_incidents_go_and_the_month_that_status_shows_stays(ledger_url: str) -> None:
    clock = VirtualClock()
    with Ledger.open(ledger_url, clock=clock) as ledger:
        ledger.take_calls("account", clock.now(), 5)
        ledger.open_incident(SYNC, "failed")
        ledger.end_incident(SYNC, "failed")
        ledger.open_incident(SYNC, "blocked")
        clock.advance(10 * 86_400)
        kept = ledger.purge(clock.now() - timedelta(days=1))
        assert (kept.budget_days, kept.incidents) == (0, 1)
        assert ledger.calls_used("account", clock.now() - timedelta(days=30)) == 5
        clock.advance(30 * 86_400)
        assert ledger.purge(clock.now() - timedelta(days=1)).budget_days == 1
        assert [each.kind for each in ledger.open_incidents(SYNC)] == ["blocked"]


def test_the_file_shrinks(tmp_path: Path) -> None:
    clock, file = VirtualClock(), tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{file}", clock=clock) as ledger:
        for number in range(20):
            outcome(ledger, f"r{number}", 1, size=5000)
        clock.advance(86_400)
        with ledger.reading("measure") as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        purged = ledger.purge(clock.now())
        with ledger.reading("measure") as connection:
            left = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        assert purged.bytes_freed > 100_000
        assert left < pages
        assert free == 0


def test_a_running_sync_writes_between_two_deletions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_A_TRANSACTION", 1)
    clock, url = VirtualClock(), f"sqlite:///{tmp_path}/ledger.db"
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=clock, busy_timeout_seconds=0.0) as running:
        for number in range(4):
            outcome(ledger, f"r{number}", 1)
        clock.advance(86_400)
        writing = ledger.writing
        doings: list[str] = []

        @contextlib.contextmanager
        def then_another_writes(doing: str, **options: bool) -> Iterator[sa.Connection]:
            with writing(doing, **options) as connection:
                yield connection
            running.start_run(run=f"beside{len(doings)}", sync=SYNC, kind="profiles", mode="incremental")
            doings.append(doing)

        monkeypatch.setattr(ledger, "writing", then_another_writes)
        assert ledger.purge(clock.now()).outcomes == 4
        assert doings.count("purge the ledger") > 4
