"""The database behind a ledger or an inbox: what its URL names, and how connections to it are set up."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from caspio_sync.errors import ConfigurationError

# What other tools and hosts call PostgreSQL in a URL; psycopg is the driver that is installed for all of them.
_POSTGRESQL = frozenset({"postgres", "postgresql"})
_POSTGRESQL_DRIVERS = frozenset({"", "psycopg", "psycopg2", "psycopg3"})
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # A crash of the machine may lose the last commits, never corrupt: those rows are sent again.
    "PRAGMA synchronous=NORMAL",
    # 32 MB of pages and a checkpoint every 16 MB of log: the defaults halve the speed of recording.
    "PRAGMA cache_size=-32768",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA temp_store=MEMORY",
)


def database_url(text: str) -> sa.URL:
    """The URL of a ledger or inbox, in the form that SQLAlchemy opens.

    Args:
        text: `sqlite:///path/to/ledger.db`, `sqlite://`, or PostgreSQL by any of its usual names:
            `postgresql://`, `postgres://`, `postgresql+psycopg2://`.

    Raises:
        ConfigurationError: it cannot be read, or names another database or driver.
    """
    scheme, colon, rest = text.strip().partition(":")
    try:
        url = sa.make_url(f"{scheme.lower()}{colon}{rest}")
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise ConfigurationError(
            "The ledger's URL cannot be read. Write sqlite:///path/to/ledger.db or "
            "postgresql://user:password@host/database; in a password, @ : / and % are written as %40 %3A %2F %25."
        ) from error
    backend, _, driver = url.drivername.partition("+")
    if backend in _POSTGRESQL and driver in _POSTGRESQL_DRIVERS:
        return url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    if backend in _POSTGRESQL:
        raise ConfigurationError(
            f"The ledger {shown} asks for the driver {driver}; caspio-sync uses psycopg. Write postgresql://…"
        )
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise ConfigurationError(
            f"The ledger {shown} is neither SQLite nor PostgreSQL. Use sqlite:/// or postgresql://."
        )
    return url


def database_file(url: sa.URL) -> Path | None:
    """The file of an SQLite database; None for PostgreSQL, and in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def make_engine(text: str, busy_timeout_seconds: float) -> sa.Engine:
    """An engine for a URL; the folder of an SQLite file is made.

    Args:
        text: as for `database_url`.
        busy_timeout_seconds: how long SQLite waits for another process's write.

    Raises:
        ConfigurationError: as `database_url`; the driver is not installed, or the folder cannot be made.
    """
    url = database_url(text)
    # Parameters are row keys: they stay out of SQLAlchemy's messages.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": busy_timeout_seconds, "check_same_thread": False}
        if (file := database_file(url)) is None:
            options["poolclass"] = StaticPool
        else:
            _make_folder(file)
    else:
        options["pool_pre_ping"] = True
        # Behind a pooler that hands out connections by the transaction (PgBouncer), a statement that was prepared on
        # one is unknown on the next, or known already from somebody else: none is kept.
        options["connect_args"] = {"prepare_threshold": None}
    try:
        engine = sa.create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        shown = url.render_as_string(hide_password=True)
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
