"""How the ledger reaches its database: engine, transactions, and what a failure of it means."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.ledger import upgrade

BUSY_TIMEOUT_SECONDS = 30.0
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # A crash of the machine may lose the last commits, never corrupt: those rows are sent again.
    "PRAGMA synchronous=NORMAL",
    # 32 MB of pages and a checkpoint every 16 MB of log: the defaults halve the speed of recording.
    "PRAGMA cache_size=-32768",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA temp_store=MEMORY",
)


class LedgerConnection:
    """One engine; writers take turns behind a lock, readers see the last commit."""

    def __init__(self, engine: sa.Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._write_lock = threading.RLock()
        self._in_memory = isinstance(engine.pool, StaticPool)

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Self:
        """Open a ledger, creating or migrating it where needed.

        Args:
            url: `sqlite:///path/to/ledger.db` (its folder is made), `sqlite://` (in memory, gone with the object), or
                `postgresql://user:password@host/database`.
            clock: tells the time that is written down and that leases are judged by.
            busy_timeout_seconds: how long SQLite waits for another process's write.

        Raises:
            ConfigurationError: the URL, the driver, the file or the ledger's version is not usable.
            TransientError: the database is locked or cannot be reached now.
        """
        engine = _engine(url, busy_timeout_seconds)
        ledger = cls(engine, clock=clock or SystemClock())
        try:
            ledger._prepare()
        except BaseException:
            engine.dispose()
            raise
        return ledger

    def close(self) -> None:
        """Give up every connection; the object is of no use afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        """The ledger's URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def _prepare(self) -> None:
        with self._read("open the ledger") as connection:
            if upgrade.is_current(connection):
                return
        with self._write("migrate the ledger") as connection:
            upgrade.upgrade(connection, where=self.location)

    @contextlib.contextmanager
    def _read(self, doing: str) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the ledger throughout."""
        # In memory there is one connection, so a reader would stand inside a writer's transaction.
        turn = self._write_lock if self._in_memory else contextlib.nullcontext()
        with turn, self._translated(doing), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _write(self, doing: str, *, fenced: bool = False) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end of the block, and rolled back by an exception.

        Args:
            doing: what it does, for the message of an error.
            fenced: refuse where a lease was taken by this object and is no longer its own.
        """
        with self._write_lock, self._translated(doing), self._engine.connect() as connection:
            connection.execution_options(ledger_writes=True)
            with connection.begin():
                if fenced:
                    self._check_lease(connection)
                yield connection

    def _check_lease(self, connection: sa.Connection) -> None:
        """See `Leases`."""

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _refusal(error.orig, doing, self.location) from error
        except self._engine.dialect.loaded_dbapi.Error as error:  # from the cursors of the hot paths
            raise _refusal(error, doing, self.location) from error


def _engine(url: str, busy_timeout_seconds: float) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "The ledger's URL cannot be read. "
            "Write sqlite:///path/to/ledger.db or postgresql://user:password@host/database."
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"The ledger {shown} is neither SQLite nor PostgreSQL. Use sqlite:/// or postgresql://."
        )
    # Parameters are row keys: they stay out of SQLAlchemy's messages.
    options: dict[str, Any] = {"hide_parameters": True}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": busy_timeout_seconds, "check_same_thread": False}
        if parsed.database in (None, "", ":memory:"):
            options["poolclass"] = StaticPool
        else:
            _make_folder(Path(str(parsed.database)))
    else:
        options["pool_pre_ping"] = True
    try:
        engine = sa.create_engine(parsed, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"The ledger {shown} needs a driver that is not installed: pip install 'caspio-sync[postgresql]'."
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The ledger's folder {file.parent} cannot be made: {error.strerror}. Name another place for the ledger."
        ) from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # None: the module starts no transactions of its own, so that ours can be IMMEDIATE.
    connection.isolation_level = None
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # Before the first table: housekeeping can then give free pages back without rewriting the file.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can be refused at once, whatever the busy timeout: writers ask
    # for the lock before they read, so two processes wait for each other in turn and never for ever.
    writes = connection.get_execution_options().get("ledger_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


_SQLITE_MEANING: tuple[tuple[str, type[CaspioSyncError], str], ...] = (
    ("SQLITE_BUSY", TransientError, "it is locked by another process. Try again when that run or tool has ended"),
    ("SQLITE_LOCKED", TransientError, "it is locked by another connection. Try again"),
    ("SQLITE_FULL", CaspioSyncError, "the disk is full. Free space; what was committed before is kept"),
    ("SQLITE_IOERR", CaspioSyncError, "the disk refused. Check its space and health; committed work is kept"),
    ("SQLITE_READONLY", ConfigurationError, "the file or its folder is read-only. Give this user the right to write"),
    ("SQLITE_CANTOPEN", ConfigurationError, "the file cannot be opened. Check the path and its rights"),
    ("SQLITE_NOTADB", ConfigurationError, "the file is not an SQLite database. Name another file"),
    ("SQLITE_CORRUPT", ConfigurationError, "the file is damaged. Restore it from a backup, or start a new ledger"),
)
_POSTGRESQL_MEANING: tuple[tuple[str, type[CaspioSyncError], str], ...] = (
    ("40", TransientError, "another process wrote at the same time. Try again"),
    ("55P03", TransientError, "it is locked by another process. Try again"),
    ("53100", CaspioSyncError, "the database server's disk is full. Free space; what was committed before is kept"),
    ("53", TransientError, "the database server lacks resources. Try again"),
    ("08", TransientError, "the connection was lost. Try again"),
    ("57", TransientError, "the database server is stopping or ended the connection. Try again"),
    ("28", ConfigurationError, "the user or password was refused. Check the ledger's URL"),
    ("3D", ConfigurationError, "the database does not exist. Create it, or correct the ledger's URL"),
    ("42501", ConfigurationError, "the user lacks a right. Grant it CREATE, SELECT, INSERT, UPDATE and DELETE"),
)


def _refusal(cause: BaseException | None, doing: str, where: str) -> CaspioSyncError:
    """The error that tells what the database's own means here; values it may quote stay out."""
    name = getattr(cause, "sqlite_errorname", None)
    state = getattr(cause, "sqlstate", None)
    table, code = (_SQLITE_MEANING, name) if name else (_POSTGRESQL_MEANING, state)
    for prefix, error, meaning in table:
        if code and str(code).startswith(prefix):
            return error(f"Could not {doing} in {where}: {meaning} ({code}).")
    if state is None and type(cause).__name__ == "OperationalError" and name is None:
        return TransientError(
            f"Could not {doing} in {where}: the database cannot be reached. Check that it runs and the ledger's URL."
        )
    return CaspioSyncError(f"Could not {doing} in {where}: {type(cause).__name__} {code or 'without a code'}.")
