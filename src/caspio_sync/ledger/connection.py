"""How the ledger reaches its database: engine, transactions, and what a failure of it means."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger import upgrade
from caspio_sync.ledger.engine import database_file, make_engine
from caspio_sync.ledger.moved import ARRIVING, MEANING, MOVED, UNFINISHED
from caspio_sync.ledger.refusals import refusal
from caspio_sync.ledger.schema import meta

BUSY_TIMEOUT_SECONDS = 30.0


class LedgerConnection:
    """One engine; writers take turns behind a lock, readers see the last commit."""

    # What to do where an SQLite file is gone.
    _WITHOUT_FILE = (
        "Put it back from a backup before the next run; where there is none, `caspio-sync run SYNC --baseline` records "
        "the present rows as sent."
    )

    def __init__(self, engine: sa.Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._ahead = timedelta()  # of the database's clock before this machine's
        self._file = database_file(engine.url)
        self._file_id: tuple[int, int] | None = None  # device and inode of the file that was opened
        self._write_lock = threading.RLock()
        self._in_memory = isinstance(engine.pool, StaticPool)
        self._is_prepared = False  # its tables are there

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Self:
        """Open a ledger, creating or migrating it where needed.

        Args:
            url: `sqlite:///path/to/ledger.db` (its folder is made), `sqlite://` (in memory, gone with the object), or
                `postgresql://user:password@host/database`; see `database_url`.
            clock: tells the time of an SQLite ledger; a PostgreSQL ledger goes by its server's clock, unless this one
                is not the machine's.
            busy_timeout_seconds: how long SQLite waits for another process's write.

        Raises:
            ConfigurationError: the URL, the driver, the file or the ledger's version is not usable.
            TransientError: the database is locked or cannot be reached now.
        """
        engine = make_engine(url, busy_timeout_seconds)
        ledger = cls(engine, clock=clock or SystemClock())
        try:
            ledger._prepare()
            ledger._is_prepared = True
            ledger._file_id = ledger._present_file()
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
    def engine(self) -> sa.Engine:
        """What it reaches its database by."""
        return self._engine

    @property
    def location(self) -> str:
        """The ledger's URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def now(self) -> datetime:
        """The present instant by the clock that all machines on this database share, in UTC.

        What is compared with a time that the ledger wrote down is asked for here: another machine may have written it.
        """
        return self._clock.now() + self._ahead

    def _now(self, connection: sa.Connection) -> datetime:
        """As `now`, asked of the database itself: for what two machines decide by."""
        if connection.dialect.name == "postgresql" and isinstance(self._clock, SystemClock):
            told: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
            self._ahead = told.astimezone(UTC) - self._clock.now()
        return self.now()

    def _prepare(self) -> None:
        with self.reading("open the ledger") as connection:
            self._now(connection)
            if upgrade.is_current(connection):
                self._check_marks(connection)
                return
        with self.writing("migrate the ledger") as connection:
            upgrade.upgrade(connection, where=self.location)

    def _check_marks(self, connection: sa.Connection) -> None:
        """Refuse a ledger that was moved to another database: what is read there is old, what is written is lost."""
        marks = sa.select(meta.c.name).where(meta.c.name.in_((MOVED, ARRIVING)))
        for mark in connection.execute(marks).scalars():
            raise ConfigurationError(f"{self.location}: {MEANING if mark == MOVED else UNFINISHED}.")

    @contextlib.contextmanager
    def reading(self, doing: str, *, fold: bool = True) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the ledger throughout.

        Args:
            doing: what it does, for the message of an error.
            fold: see to it first that rows tell what was acknowledged of them; False for what reads no rows, or may
                see them as they were when their batch began.
        """
        if fold and self._is_prepared and self._unfolded(doing):
            with self.writing(doing):
                pass
        # In memory there is one connection, so a reader would stand inside a writer's transaction.
        turn = self._write_lock if self._in_memory else contextlib.nullcontext()
        self._check_file(doing)
        with turn, self._translated(doing), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, doing: str, *, fenced: bool = False, fold: bool = True) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end of the block, and rolled back by an exception.

        Args:
            doing: what it does, for the message of an error.
            fenced: refuse where a lease was taken by this object and is no longer its own.
            fold: as for `reading`.
        """
        self._check_file(doing)
        with self._write_lock, self._translated(doing), self._engine.connect() as connection:
            connection.execution_options(ledger_writes=True)
            with connection.begin():
                if fenced:
                    self._check_lease(connection)
                if fold and self._is_prepared:
                    self._fold(connection)
                yield connection
                self._check_file(doing)

    def _check_lease(self, connection: sa.Connection) -> None:
        """See `Leases`."""

    def _unfolded(self, doing: str) -> bool:  # noqa: ARG002
        """See `SendingRows`."""
        return False

    def _fold(self, connection: sa.Connection) -> None:
        """See `SendingRows`."""

    def _present_file(self) -> tuple[int, int] | None:
        """Device and inode of the SQLite file; None where there is none."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_file(self, doing: str) -> None:
        """Refuse where the file is not the one that was opened: what is written to a deleted one is lost in silence."""
        if self._file_id is not None and self._present_file() != self._file_id:
            raise CaspioSyncError(
                f"Could not {doing} in {self.location}: the file was deleted or replaced while it was in use, and what "
                f"was written since then is lost with it. {self._WITHOUT_FILE}"
            )

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise refusal(error.orig, doing, self.location) from error
        except self._engine.dialect.loaded_dbapi.Error as error:  # from the cursors of the hot paths
            raise refusal(error, doing, self.location) from error
