"""What a ledger says of syncs and runs: what `status`, `runs`, `show` and the page read, see `snapshot.py`."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from caspio_sync.ledger.figures import Figures
from caspio_sync.ledger.form import ALL_SYNCS, instant, microseconds
from caspio_sync.ledger.processes import has_died
from caspio_sync.ledger.run_record import RUNNING, Cursor, Run
from caspio_sync.ledger.snapshot import stored_instant, stored_json
from caspio_sync.ledger.workspace import Workspace

_RUN = "id, sync, kind, mode, started_at, ended_at, state, exit_code, report, flow_run_id, low_pk, high_pk"


class LastingIncident(NamedTuple):
    """What is wrong with a sync, and since when."""

    kind: str
    since: datetime


class RememberedSource(NamedTuple):
    """The source's fields as the last run found them, and when they were written down."""

    at: datetime
    fields: dict[str, Any]


class MappingVersion(NamedTuple):
    """A mapping of a sync: its number, its columns, and the version of the rules that it read by."""

    version: int
    fields: tuple[str, ...]
    rules: int


class LastingPause(NamedTuple):
    """As `pauses.Pause`: since when a sync sends nothing, whether opt-outs stay too, why, and whether all syncs do."""

    at: datetime
    everything: bool
    reason: str
    of_all: bool


class Heard(NamedTuple):
    """Messages of a sync's webhook by what became of them, when one came last, and rows that no run has read yet."""

    messages: dict[str, int]
    last_at: datetime
    waiting: int


class Overview(Figures):
    """One state of a ledger, as it is when it is opened; for one thread.

    Every method raises as those of `Snapshot`.
    """

    # Runs.

    def sync_names(self) -> list[str]:
        """The syncs that any run is known of, by name."""
        return [sync for (sync,) in self._all("read runs", "SELECT DISTINCT sync FROM run ORDER BY sync")]

    def runs(
        self, sync: str | None = None, *, since: datetime | None = None, failed: bool = False, limit: int = 20
    ) -> list[Run]:
        """The newest runs first.

        Args:
            sync: name of the sync; None: of all.
            since: those that were started then or later.
            failed: only those that did not end with exit code 0, and those that died without a word.
            limit: so many at the most.
        """
        conditions, values = ["1 = 1"], list[Any]()
        if sync is not None:
            conditions, values = [*conditions, "sync = ?"], [*values, sync]
        if since is not None:
            conditions, values = [*conditions, "started_at >= ?"], [*values, microseconds(since)]
        if failed:
            alive = self._under_way()
            conditions.append(f"coalesce(exit_code, 1) <> 0 AND id NOT IN ({_marks(alive)})")
            values += alive
        # First the ids: a report is long, and all runs of all syncs are looked through.
        chosen = f"SELECT id FROM run WHERE {' AND '.join(conditions)} ORDER BY started_at DESC, id DESC LIMIT ?"
        statement = f"SELECT {_RUN} FROM run WHERE id IN (SELECT id FROM ({chosen}) AS chosen)"
        found = self._all("read runs", f"{statement} ORDER BY started_at DESC, id DESC", *values, limit)
        return [_run(each) for each in found]

    def run(self, run: str) -> Run | None:
        """The run with this id."""
        found = self._all("read a run", f"SELECT {_RUN} FROM run WHERE id = ?", run)
        return _run(found[0]) if found else None

    def runs_before(self, run: Run) -> Iterator[Run]:
        """The runs of its sync before a run, newest first."""
        chosen = f"SELECT {_RUN} FROM run WHERE sync = ? AND started_at < ? ORDER BY started_at DESC, id DESC LIMIT 100"
        yield from map(_run, self._all("read runs", chosen, run.sync, microseconds(run.started_at)))

    def run_ids(self, *, limit: int = 10_000) -> list[str]:
        """Ids of the newest runs."""
        return [
            each
            for (each,) in self._all("read runs", "SELECT id FROM run ORDER BY started_at DESC, id DESC LIMIT ?", limit)
        ]

    def last_run(self, sync: str) -> Run | None:
        """The run that was started last, finished or not."""
        return next(iter(self.runs(sync, limit=1)), None)

    def is_under_way(self, run: Run) -> bool:
        """Whether a run is written down as running and the lease that its process holds still stands."""
        return run.state == RUNNING and any(run.id in holder for holder in self._holders(run.sync))

    def is_held(self, sync: str) -> bool:
        """Whether a lease on the sync stands."""
        return bool(self._holders(sync))

    def rows_recorded(self, run: str) -> tuple[int, int]:
        """Of a run's recorded batches: how many there are, and their rows."""
        statement = "SELECT COUNT(*), coalesce(SUM(rows), 0) FROM batch WHERE run = ? AND state = 'recorded'"
        batches, rows = self._one("read batches", statement, run)
        return int(batches), int(rows)

    def mapping_version(self, sync: str, version: int) -> MappingVersion | None:
        """A mapping of a sync by its number."""
        statement = "SELECT version, fields, rules FROM mapping WHERE sync = ? AND version = ?"
        found = self._all("read mapping versions", statement, sync, version)
        return MappingVersion(found[0][0], tuple(stored_json(found[0][1])), found[0][2]) if found else None

    # How a sync stands.

    def cursor(self, sync: str) -> Cursor | None:
        """How far the sync has read; None before the first complete read."""
        statement = "SELECT sync, watermark, full_sweep_at, where_digest FROM cursor WHERE sync = ?"
        found = self._all("read the cursor", statement, sync)
        return (
            Cursor(found[0][0], stored_instant(found[0][1]), stored_instant(found[0][2]), found[0][3])
            if found
            else None
        )

    def unknown_events(self, sync: str) -> int:
        """As `Events.unknown_events`: how many events have lost their answer, and nobody has settled them."""
        alive = self._under_way(sync)
        statement = (
            f"SELECT COUNT(*) FROM journal WHERE sync = ? AND (state <> 'leaving' OR run NOT IN ({_marks(alive)}))"
        )
        return int(self._one("read the journal", statement, sync, *alive)[0])

    def calls_used(self, account: str, since: datetime) -> int:
        """Calls counted in the days that began at `since` or later."""
        statement = "SELECT coalesce(SUM(used), 0) FROM budget WHERE account = ? AND window_start >= ?"
        return int(self._one("read the calls made", statement, account, microseconds(since))[0])

    def known_source(self, sync: str) -> RememberedSource | None:
        """What was remembered of the sync's table or view; None before the first run."""
        found = self._all("read the source's fields", "SELECT at, fields FROM source WHERE sync = ?", sync)
        return RememberedSource(instant(found[0][0]), stored_json(found[0][1])) if found else None

    def open_incidents(self, sync: str) -> list[LastingIncident]:
        """What is wrong with it, oldest first."""
        statement = "SELECT kind, since FROM incident WHERE sync = ? AND ended_at IS NULL ORDER BY since"
        return [LastingIncident(kind, instant(at)) for kind, at in self._all("read incidents", statement, sync)]

    def paused(self, sync: str) -> LastingPause | None:
        """As `Pauses.paused`: why a sync sends nothing; None where it is not paused."""
        statement = "SELECT sync, at, everything, reason FROM pause WHERE sync IN (?, ?) ORDER BY at DESC"
        found = self._all("look for a pause", statement, sync, ALL_SYNCS)
        if not found:
            return None
        reason = next((each[3] for each in found if each[3]), "")
        of_all = any(each[0] == ALL_SYNCS for each in found)
        return LastingPause(instant(found[0][1]), any(each[2] for each in found), reason, of_all)

    def workspace(self, sync: str) -> Workspace | None:
        """The accounts of the sync's rows; None before its first run."""
        statement = "SELECT caspio, destination, address, destination_key FROM workspace WHERE sync = ?"
        found = self._all("read whose data it is", statement, sync)
        return Workspace(*found[0]) if found else None

    def heard(self, sync: str, since: date) -> Heard | None:
        """What the sync's webhook announced since a day (UTC); None where nothing, or there is no inbox."""
        if not self._has_inbox:
            return None
        day = since.isoformat() if self._is_sqlite else since
        counted = (
            "SELECT outcome, SUM(messages), MAX(last_at) FROM inbox_heard WHERE sync = ? AND day >= ? "
            "GROUP BY outcome ORDER BY outcome"
        )
        found = self._all("count messages", counted, sync, day)
        if not found:
            return None
        waiting = "SELECT COUNT(*) FROM inbox_hint WHERE sync = ? AND read_at IS NULL"
        messages = {outcome: int(count) for outcome, count, _ in found}
        return Heard(
            messages, instant(max(last for _, _, last in found)), int(self._one("count hints", waiting, sync)[0])
        )

    @property
    def salt(self) -> int:
        """Of the ledger."""
        return int(self._one("read the salt", "SELECT value FROM meta WHERE name = 'salt'")[0])

    # Below the rows.

    def _holders(self, sync: str) -> list[str]:
        """Who holds a lease on the sync that has not lapsed, and is not known to be dead."""
        statement = "SELECT holder, process FROM lease WHERE sync = ? AND expires_at > ? ORDER BY low_pk"
        found = self._all("read leases", statement, sync, microseconds(self._now))
        return [holder for holder, process in found if not has_died(process)]

    def _under_way(self, sync: str | None = None) -> list[str]:
        """Ids of runs that may still record what they sent: written down as running, and their lease stands."""
        leased = "SELECT DISTINCT sync FROM lease WHERE expires_at > ? AND sync = coalesce(?, sync)"
        held = [each for (each,) in self._all("read leases", leased, microseconds(self._now), sync)]
        if not held:  # as mostly; else every run that there ever was is looked at
            return []
        statement = f"SELECT id, sync FROM run WHERE state = 'running' AND sync IN ({_marks(held)})"
        running = self._all("read running runs", statement, *held)
        return [run for run, of in running if any(run in holder for holder in self._holders(of))]


def _marks(values: Sequence[Any]) -> str:
    """Places for so many parameters; NOT IN an empty list of them is true."""
    return ", ".join("?" * len(values)) or "''"


def _run(found: Sequence[Any]) -> Run:
    values = list(found)
    values[4], values[5], values[8] = instant(values[4]), stored_instant(values[5]), stored_json(values[8])
    return Run(*values)
