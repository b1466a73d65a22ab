"""What a ledger says of syncs and runs, read in plain SQL through the database's own driver.

`status`, `runs` and `show` answer in a moment: for an SQLite ledger nothing is loaded but `sqlite3`, nothing is
written, and no lock is waited for. Where a run is sending, its rows are still to learn what was acknowledged of them
(sending.py says why); a reader that may not write counts them as they will be: by the history, over the rows.
"""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.ledger.form import REVISION, VERSION_TABLE, instant, microseconds
from caspio_sync.ledger.moved import ARRIVING, MOVED
from caspio_sync.ledger.processes import has_died
from caspio_sync.ledger.refusals import refusal
from caspio_sync.ledger.run_record import RUNNING, Cursor, Run
from caspio_sync.ledger.workspace import Workspace

_FILE = re.compile(r"sqlite:///([^?]+)", re.IGNORECASE)  # as SQLAlchemy reads it: what stands there is the path
_BUSY_SECONDS = 1.0  # who is locked out for longer is left to who opens the ledger for a run, and waits half a minute
_PATHS = ("%/%", "%.yaml", "%.yml")  # what a version before the rule for names took for one
_RUN = "id, sync, kind, mode, started_at, ended_at, state, exit_code, report, flow_run_id, low_pk, high_pk"
# The numbers in one parameter, as JSON.
_LISTED = {
    "sqlite": "SELECT value FROM json_each(?)",
    "postgresql": "SELECT value::bigint FROM json_array_elements_text(?::json)",
}


class RowCounts(NamedTuple):
    """The rows of a sync by their last verdict, those without one left out; and when one was last acknowledged."""

    verdicts: dict[str, int]
    newest_delivered: datetime | None


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


class Heard(NamedTuple):
    """Messages of a sync's webhook by what became of them, when one came last, and rows that no run has read yet."""

    messages: dict[str, int]
    last_at: datetime
    waiting: int


class Overview:
    """One state of a ledger, as it is when it is opened; for one thread.

    Every method raises TransientError where the database is locked or out of reach, and another CaspioSyncError where
    it refuses for good; the message says what to do.
    """

    def __init__(self, connection: Any, *, dialect: str, where: str, clock: Clock, inbox: Path | None = None) -> None:
        """Read by a connection that is in no transaction yet.

        Args:
            connection: of sqlite3 or psycopg; it stays its owner's to close.
            dialect: `sqlite` or `postgresql`.
            where: the ledger's URL without its password, for messages.
            clock: tells the time of an SQLite ledger; a PostgreSQL ledger goes by its server's, unless this one is not
                the machine's.
            inbox: SQLite file that webhooks' messages are counted in; a PostgreSQL ledger holds them itself.
        """
        self._connection, self._where, self._listed = connection, where, _LISTED[dialect]
        self._is_sqlite = dialect == "sqlite"
        self._inbox = where if inbox is None else f"sqlite:///{inbox}"
        self._waiting: dict[str, dict[int, int]] | None = None
        self._is_attached = self._is_sqlite and inbox is not None
        if self._is_attached:
            self._do("open the inbox", "ATTACH DATABASE ? AS inbox", str(inbox))  # as its connection: to read, or write
        self._do("open the ledger", "BEGIN" if self._is_sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._now = clock.now()
        if not self._is_sqlite and isinstance(clock, SystemClock):
            self._now = self._one("open the ledger", "SELECT clock_timestamp()")[0].astimezone(UTC)
        there = (
            "SELECT 1 FROM inbox.sqlite_master WHERE name = 'inbox_heard'"
            if self._is_sqlite
            else "SELECT 1 WHERE to_regclass('inbox_heard') IS NOT NULL"
        )
        self._has_inbox = (self._is_attached or not self._is_sqlite) and bool(self._all("open the inbox", there))

    @classmethod
    @contextlib.contextmanager
    def of_file(cls, url: str, clock: Clock, *, inbox: Path | None = None) -> Iterator[Self | None]:
        """The ledger in an SQLite file that needs nothing done to it first.

        Args:
            url: of the ledger, as in the settings.
            clock: tells the time.
            inbox: as for the constructor.

        Yields:
            None where there is no such file, or it has to be made, brought to this version, renamed in or refused: who
            opens it for a run does that, and says what is in the way.
        """
        found = _FILE.fullmatch(url.strip())
        path = None if found is None or found[1] == ":memory:" else Path(found[1]).absolute()
        if path is None or not path.is_file():
            yield None
            return
        try:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
            connection.isolation_level = None
        except sqlite3.Error:
            yield None
            return
        with contextlib.closing(connection):
            where = f"sqlite:///{found[1]}" if found else ""
            ready = None
            with contextlib.suppress(sqlite3.Error):
                if _is_ready(connection):
                    ready = cls(connection, dialect="sqlite", where=where, clock=clock, inbox=inbox)
            yield ready

    def close(self) -> None:
        """Leave the connection as it came."""
        self._connection.rollback()
        if self._is_attached:
            self._do("close the inbox", "DETACH DATABASE inbox")

    def now(self) -> datetime:
        """When it was opened, by the clock that all machines on this database share, in UTC."""
        return self._now

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
        return MappingVersion(found[0][0], tuple(_json(found[0][1])), found[0][2]) if found else None

    # How a sync stands.

    def cursor(self, sync: str) -> Cursor | None:
        """How far the sync has read; None before the first complete read."""
        statement = "SELECT sync, watermark, full_sweep_at, where_digest FROM cursor WHERE sync = ?"
        found = self._all("read the cursor", statement, sync)
        return Cursor(found[0][0], _instant(found[0][1]), _instant(found[0][2]), found[0][3]) if found else None

    def row_counts(self, sync: str) -> RowCounts:
        """The rows by verdict, and when one was last acknowledged."""
        learning = self._learning(sync)
        statement = (
            "SELECT verdict, COUNT(*), MAX(sent_at) FROM row WHERE sync = ? "
            f"AND source_pk NOT IN ({self._listed}) GROUP BY verdict"
        )
        found = self._all("count verdicts", statement, sync, json.dumps(list(learning)))
        counts = {verdict: count for verdict, count, _ in found if verdict is not None}
        if learning:
            counts["sent"] = counts.get("sent", 0) + len(learning)
        newest = max((at for at in [*(each[2] for each in found), *learning.values()] if at is not None), default=None)
        return RowCounts(dict(sorted(counts.items())), _instant(newest))

    def oldest_held(self, sync: str) -> datetime | None:
        """As `HeldRows.oldest_held`: when the oldest row that waits for a person or an answer was first seen so."""
        statement = (
            "SELECT MIN(seen_at) FROM row WHERE sync = ? AND row.verdict <> 'sent' "
            "AND verdict IN ('quarantined', 'rejected', 'unknown') AND seen_fp <> ? "
            f"AND source_pk NOT IN ({self._listed})"
        )
        values = (sync, bytes(16), json.dumps(list(self._learning(sync))))
        return _instant(self._one("look for the oldest held row", statement, *values)[0])

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
        return RememberedSource(instant(found[0][0]), _json(found[0][1])) if found else None

    def open_incidents(self, sync: str) -> list[LastingIncident]:
        """What is wrong with it, oldest first."""
        statement = "SELECT kind, since FROM incident WHERE sync = ? AND ended_at IS NULL ORDER BY since"
        return [LastingIncident(kind, instant(at)) for kind, at in self._all("read incidents", statement, sync)]

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
        statement = "SELECT id, sync FROM run WHERE state = 'running' AND sync = coalesce(?, sync)"
        running = self._all("read running runs", statement, sync)
        return [run for run, of in running if any(run in holder for holder in self._holders(of))]

    def _learning(self, sync: str) -> dict[int, int]:
        """Rows that are still to learn that they were acknowledged: `source_pk`, and when that was."""
        if self._waiting is None:
            self._waiting = self._unfolded()
        return self._waiting.get(sync, {})

    def _unfolded(self) -> dict[str, dict[int, int]]:
        waiting = self._all(
            "read outcomes",
            "SELECT outcome.sync, outcome.run, outcome.batch, outcome.at, outcome.rows FROM unfolded "
            "JOIN outcome ON unfolded.number = outcome.number ORDER BY outcome.number",
        )
        if not waiting:
            return {}
        from caspio_sync.ledger.sent_rows import acknowledged  # noqa: PLC0415 - polars, while a run is sending

        batches: dict[tuple[str, str, int], list[tuple[int, bytes]]] = {}
        for sync, run, batch, at, rows in waiting:
            batches.setdefault((sync, run, batch), []).append((at, rows))
        learning: dict[str, dict[int, int]] = {}
        for (sync, run, batch), stretches in sorted(batches.items()):
            statement = "SELECT rows FROM sending WHERE sync = ? AND run = ? AND batch = ?"
            for (kept,) in self._all("read outcomes", statement, sync, run, batch):
                rows = acknowledged(kept, stretches)
                learning.setdefault(sync, {}).update(zip(rows["source_pk"], rows["sent_at"], strict=True))
        return learning

    def _one(self, doing: str, statement: str, *values: Any) -> Sequence[Any]:
        found: Sequence[Any] = self._all(doing, statement, *values)[0]
        return found

    def _all(self, doing: str, statement: str, *values: Any) -> list[Any]:
        return list(self._do(doing, statement, *values).fetchall())

    def _do(self, doing: str, statement: str, *values: Any) -> Any:
        try:
            cursor = self._connection.cursor()
            cursor.execute(statement if self._is_sqlite else statement.replace("?", "%s"), values)
        except Exception as error:
            if hasattr(error, "sqlite_errorname") or hasattr(error, "sqlstate"):
                raise refusal(error, doing, self._inbox if "inbox" in statement else self._where) from error
            raise
        return cursor


def _is_ready(connection: sqlite3.Connection) -> bool:
    """Whether a ledger is of this version, was not moved elsewhere, and no state in it goes by a path."""
    tables = connection.execute(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (VERSION_TABLE,)
    )
    if not tables.fetchone()[0]:
        return False
    if connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() != (REVISION,):
        return False
    if connection.execute("SELECT 1 FROM meta WHERE name IN (?, ?)", (MOVED, ARRIVING)).fetchone() is not None:
        return False
    paths = "SELECT 1 FROM mapping WHERE sync LIKE ? OR sync LIKE ? OR sync LIKE ? LIMIT 1"
    return connection.execute(paths, _PATHS).fetchone() is None


def _marks(values: Sequence[Any]) -> str:
    """Places for so many parameters; NOT IN an empty list of them is true."""
    return ", ".join("?" * len(values)) or "''"


def _run(found: Sequence[Any]) -> Run:
    values = list(found)
    values[4], values[5], values[8] = instant(values[4]), _instant(values[5]), _json(values[8])
    return Run(*values)


def _instant(stored: int | None) -> datetime | None:
    return None if stored is None else instant(stored)


def _json(stored: Any) -> Any:
    """SQLite gives JSON as text; psycopg has read it already."""
    return json.loads(stored) if isinstance(stored, str | bytes) else stored
