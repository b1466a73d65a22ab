"""A ledger as it is at one moment, read in plain SQL through the database's own driver.

For an SQLite ledger nothing is loaded but `sqlite3`, nothing is written, and no lock is waited for. Where a run is
sending, its rows are still to learn what was acknowledged of them (sending.py says why); a reader that may not write
counts them as they will be: by the history, over the rows.
"""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.ledger.form import REVISION, VERSION_TABLE, instant
from caspio_sync.ledger.moved import ARRIVING, MOVED
from caspio_sync.ledger.refusals import refusal

_FILE = re.compile(r"sqlite:///([^?]+)", re.IGNORECASE)  # as SQLAlchemy reads it: what stands there is the path
_BUSY_SECONDS = 1.0  # who is locked out for longer is left to who opens the ledger for a run, and waits half a minute
_PATHS = ("%/%", "%.yaml", "%.yml")  # what a version before the rule for names took for one
# The numbers in one parameter, as JSON.
_LISTED = {
    "sqlite": "SELECT value FROM json_each(?)",
    "postgresql": "SELECT value::bigint FROM json_array_elements_text(?::json)",
}


class Snapshot:
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
        self.written: tuple[tuple[int, int], ...] | None = None  # alike where nothing was written since; None: unknown
        self._connection, self._where, self._listed = connection, where, _LISTED[dialect]
        self._dialect = dialect
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
        written = _written(path)  # before anything is read: what is written meanwhile is another state
        with contextlib.closing(connection):
            where = f"sqlite:///{found[1]}" if found else ""
            ready = None
            with contextlib.suppress(sqlite3.Error):
                if _is_ready(connection):
                    ready = cls(connection, dialect="sqlite", where=where, clock=clock, inbox=inbox)
                    ready.written = written
            yield ready

    def close(self) -> None:
        """Leave the connection as it came."""
        self._connection.rollback()
        if self._is_attached:
            self._do("close the inbox", "DETACH DATABASE inbox")

    def now(self) -> datetime:
        """When it was opened, by the clock that all machines on this database share, in UTC."""
        return self._now

    # Below what is read.

    def learning(self, sync: str) -> dict[int, int]:
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
        found: dict[str, dict[int, int]] = {}
        for (sync, run, batch), stretches in sorted(batches.items()):
            statement = "SELECT rows FROM sending WHERE sync = ? AND run = ? AND batch = ?"
            for (kept,) in self._all("read outcomes", statement, sync, run, batch):
                rows = acknowledged(kept, stretches)
                found.setdefault(sync, {}).update(zip(rows["source_pk"], rows["sent_at"], strict=True))
        return found

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


def _written(path: Path) -> tuple[tuple[int, int], ...]:
    """When an SQLite ledger was last written to, and its size: of the file, and of what is not yet in it."""
    files = [each.stat() for each in (path, path.with_name(f"{path.name}-wal")) if each.exists()]
    return tuple((each.st_mtime_ns, each.st_size) for each in files)


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


def stored_instant(stored: int | None) -> datetime | None:
    """An instant as the ledger stores it."""
    return None if stored is None else instant(stored)


def stored_json(stored: Any) -> Any:
    """SQLite gives JSON as text; psycopg has read it already."""
    return json.loads(stored) if isinstance(stored, str | bytes) else stored
