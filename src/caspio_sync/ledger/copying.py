"""A ledger, or an inbox, moved to another database; and a backup of it as one SQLite file.

closed ─▶ table by table, row by row ─▶ counts and digests compared ─▶ opened

What is moved is closed by triggers of the database itself: a process that opened it long ago cannot write into what
nobody reads any more. What is not moved to its end stays closed on both sides, and the same command goes on with it.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import orjson
import sqlalchemy as sa

from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.engine import database_file, database_url, make_engine
from caspio_sync.ledger.moved import ARRIVING, FUNCTION_TEXT, MOVED, TRIGGER, TRIGGERED
from caspio_sync.ledger.schema import Instant
from caspio_sync.ledger.store import Ledger

_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 8_000_000  # an outcome may hold the rows of a whole batch
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Copied:
    """What is in a table on both sides.

    Args:
        table: its name.
        rows: how many.
        digest: over all of them, in any order; hexadecimal.
    """

    table: str
    rows: int
    digest: str


class MovingLedger(Ledger):
    """A ledger that may be closed, or not whole yet."""

    def _check_marks(self, connection: sa.Connection) -> None:
        pass

    def close_to_writers(self) -> None:
        """Let nobody write any more, in this process or another; nothing happens where that was done before.

        Raises:
            ConfigurationError: a run is under way, or somebody listens for webhooks; the message names it.
        """
        with self.writing("close the ledger") as connection:
            if not _is_closed(connection, schema.meta):
                _refuse_holders(connection, self.now())
                connection.execute(sa.insert(schema.meta).values(name=MOVED, value=self.now().isoformat()))
                _close(connection, schema.metadata)

    def reopen(self) -> bool:
        """Take `close_to_writers` back; whether it was closed."""
        with self.writing("reopen the ledger", fold=False) as connection:
            was_closed = _is_closed(connection, schema.meta)
            _open(connection, schema.metadata)
            connection.execute(sa.delete(schema.meta).where(schema.meta.c.name == MOVED))
        return was_closed

    @property
    def is_closed(self) -> bool:
        """Whether `close_to_writers` closed it."""
        with self.reading("look whether the ledger is closed") as connection:
            return _is_closed(connection, schema.meta)

    def retire(self, source: Self) -> None:
        """Close this copy of a closed ledger, so that the other one can be taken back.

        One of which not all is there is closed as it is.

        Raises:
            ConfigurationError: it is no copy of that one, somebody is at work on it, or something was written into it
                since: it stays as it was.
        """
        with self.reading("look whose copy it is") as connection:
            marks = dict(connection.execute(sa.select(schema.meta.c.name, schema.meta.c.value)).tuples().all())
        if marks.get(ARRIVING) == _mark(source.salt):
            return
        if marks.get("salt") != str(source.salt) or MOVED in marks:
            raise ConfigurationError(f"{self.location} is no copy of this ledger, or was moved on; name its copy")
        self.close_to_writers()
        tables = [each for each in schema.metadata.sorted_tables if each not in {schema.lease, schema.meta}]
        try:
            refuse_used(source.engine, self.engine, tables)
        except ConfigurationError:
            self.reopen()
            raise

    def await_copy(self, salt: int) -> None:
        """Write down that the ledger with this salt is being copied into this one.

        Raises:
            ConfigurationError: it holds another one already.
        """
        mark, meta = _mark(salt), schema.meta.c
        with self.writing("begin the copy", fold=False) as connection:
            found = connection.execute(sa.select(meta.value).where(meta.name == ARRIVING)).scalar()
            used = connection.execute(sa.select(schema.run.c.id).limit(1)).first() is not None
            if found not in {None, mark} or (found is None and used):
                raise ConfigurationError(f"{self.location} holds another ledger already. Name an empty database.")
            if found is None:
                connection.execute(sa.delete(schema.meta))
                connection.execute(sa.insert(schema.meta).values(name=ARRIVING, value=mark))

    def take_copy(self, source: sa.Connection, *, told: Callable[[Copied], None]) -> None:
        """Copy every table but the leases, compare both sides, and be a ledger from then on.

        Args:
            source: in a transaction that sees one state of the other ledger throughout.
            told: hears of each table.
        """
        for table in schema.metadata.sorted_tables:
            if table not in {schema.lease, schema.meta}:
                told(copy_table(source, self._engine, table))
        meta = source.execute(sa.select(schema.meta).where(schema.meta.c.name != MOVED)).all()
        with self.writing("end the copy", fold=False) as connection:
            connection.execute(sa.delete(schema.meta))
            connection.execute(sa.insert(schema.meta), [dict(each._mapping) for each in meta])  # noqa: SLF001 - public name


def close_inbox(inbox: LedgerConnection, tables: sa.MetaData) -> None:
    """Let nobody add to the inbox any more: a receiver answers 503 from then on, and what was posted comes again."""
    with inbox.writing("close the inbox") as connection:
        if not _is_closed(connection, *tables.sorted_tables):
            _close(connection, tables)


def reopen_inbox(inbox: LedgerConnection, tables: sa.MetaData) -> None:
    """Take `close_inbox` back."""
    with inbox.writing("reopen the inbox") as connection:
        _open(connection, tables)


def refuse_used(source: sa.Engine, copy: sa.Engine, tables: Iterable[sa.Table]) -> None:
    """Refuse a copy that is not as it was made.

    Raises:
        ConfigurationError: with the first table that differs.
    """
    with source.connect() as here, copy.connect() as there:
        for table in tables:
            if _digest(_rows(here, table)) != _digest(_rows(there, table)):
                raise ConfigurationError(
                    f"The copy was written into since (table {table.name}): runs sent, or posts came, of which this "
                    "ledger knows nothing, and it would send the same again. Go on with the copy, or move that one"
                )


def copy_table(source: sa.Connection, target: sa.Engine, table: sa.Table) -> Copied:
    """Copy what the target lacks of a table, compare both sides, and say what is there now.

    Args:
        source: in a transaction that sees one state throughout.
        target: has the same table, with its first rows or none.
        table: which.

    Raises:
        CaspioSyncError: the two sides differ; the message names the table.
    """
    _fill(source, target, table)
    return _compared(source, target, table)


def _mark(salt: int) -> str:
    """What a ledger that is being copied leaves in its copy until all is there."""
    return hashlib.sha256(str(salt).encode()).hexdigest()


def _refuse_holders(connection: sa.Connection, now: datetime) -> None:
    lease = schema.lease.c
    held = connection.execute(sa.select(lease.sync, lease.holder).where(lease.expires_at > now)).first()
    if held is not None:
        sync = str(held.sync).partition("\x1f")[0]
        raise ConfigurationError(
            f"{sync}: {held.holder} is at work on this ledger. Wait for its end, or stop it, and what starts "
            "runs (`caspio-sync serve`, workers): what they write from now on would be missing from the copy."
        )


def _close(connection: sa.Connection, tables: sa.MetaData) -> None:
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.exec_driver_sql(FUNCTION_TEXT)
    does = (
        f"FOR EACH ROW EXECUTE FUNCTION {TRIGGER}()" if postgresql else f"BEGIN SELECT RAISE(ABORT, '{TRIGGER}'); END"
    )
    for table in tables.sorted_tables:
        for what in TRIGGERED:
            named = _trigger(table, what)
            connection.exec_driver_sql(f'CREATE TRIGGER {named} BEFORE {what} ON "{table.name}" {does}')


def _open(connection: sa.Connection, tables: sa.MetaData) -> None:
    for table in tables.sorted_tables:
        on = f' ON "{table.name}"' if connection.dialect.name == "postgresql" else ""
        for what in TRIGGERED:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_trigger(table, what)}{on}")


def _is_closed(connection: sa.Connection, *tables: sa.Table) -> bool:
    listed = (
        "SELECT DISTINCT trigger_name FROM information_schema.triggers WHERE trigger_schema = current_schema()"
        if connection.dialect.name == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    names = set(connection.exec_driver_sql(listed).scalars())
    return all(_trigger(table, what) in names for table in tables for what in TRIGGERED)


def _trigger(table: sa.Table, what: str) -> str:
    return f"{TRIGGER}_{table.name}_{what}".lower()


def _raw(table: sa.Table) -> tuple[sa.TableClause, list[sa.ColumnClause[Any]]]:
    """The table without what would be made of its cells: instants stay the numbers they are."""
    columns: list[sa.ColumnClause[Any]] = [
        sa.column(each.name, sa.BigInteger() if isinstance(each.type, Instant) else each.type) for each in table.columns
    ]
    return sa.table(table.name, *columns), columns


def _rows(connection: sa.Connection, table: sa.Table, *, after: int = 0) -> Iterator[Sequence[Any]]:
    bare, columns = _raw(table)
    keys = [bare.c[each.name] for each in table.primary_key.columns]
    chosen = sa.select(*columns).select_from(bare).order_by(*keys)
    if after:
        chosen = chosen.offset(after).limit(-1 if connection.dialect.name == "sqlite" else None)
    options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
    yield from connection.execute(chosen, execution_options=options)


def _fill(source: sa.Connection, target: sa.Engine, table: sa.Table) -> None:
    """Copy the rows after those that are there: only this writes them, in the order of the source."""
    bare, columns = _raw(table)
    names = [each.name for each in columns]
    with target.connect() as connection:
        there = int(connection.execute(sa.select(sa.func.count()).select_from(bare)).scalar_one())
    for part in _parts(_rows(source, table, after=there)):
        with target.connect() as connection:
            connection.execution_options(ledger_writes=True)
            with connection.begin():
                connection.execute(sa.insert(bare), [dict(zip(names, row, strict=True)) for row in part])
    _set_sequence(target, table)


def _parts(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    part: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sum(len(cell) for cell in row if isinstance(cell, bytes | str))
        if len(part) == _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _set_sequence(target: sa.Engine, table: sa.Table) -> None:
    """The next number that PostgreSQL gives follows those that were copied."""
    number = table.autoincrement_column
    if target.dialect.name != "postgresql" or number is None:
        return
    with target.begin() as connection:
        owned = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table.name, number.name))).scalar()
        last = connection.execute(sa.select(sa.func.max(number))).scalar()
        if owned is not None and last is not None:
            connection.execute(sa.select(sa.func.setval(owned, last)))


def _compared(source: sa.Connection, target: sa.Engine, table: sa.Table) -> Copied:
    here = _digest(_rows(source, table))
    with target.connect() as connection:
        there = _digest(_rows(connection, table))
    if here != there:
        raise CaspioSyncError(
            f"The table {table.name} has {here[0]:,} rows here and {there[0]:,} in the copy, or they differ. "
            "Nothing uses the copy. Empty that database, or name another one, and copy again."
        )
    return Copied(table.name, *there)


def _digest(rows: Iterable[Sequence[Any]]) -> tuple[int, str]:
    """How many rows, and the sum of their hashes: two databases order texts differently."""
    count = total = 0
    for row in rows:
        cells = orjson.dumps([_told(cell) for cell in row], option=orjson.OPT_SORT_KEYS)
        count += 1
        total += int.from_bytes(hashlib.blake2b(cells, digest_size=_DIGEST_BYTES).digest(), "big")
    return count, f"{total % (1 << (8 * _DIGEST_BYTES)):0{2 * _DIGEST_BYTES}x}"


def _told(cell: Any) -> Any:
    return bytes(cell).hex() if isinstance(cell, bytes | memoryview) else cell


def back_up(url: str, file: Path) -> int:
    """A whole database as it is at this moment, in one SQLite file; others read and write meanwhile.

    Of PostgreSQL it is the ledger alone: what is in the inbox is not part of it.

    Args:
        url: of the database.
        file: is not there yet; readable by its owner alone, as it names people.

    Returns:
        its bytes.

    Raises:
        ConfigurationError: the file is there, or cannot be made.
        CaspioSyncError: the copy is damaged.
    """
    source_file = database_file(database_url(url))
    with _made(file) as part:
        if source_file is None:
            _copy_whole(url, part)
        else:
            source_url = source_file.as_uri() + "?mode=ro"
            with (
                contextlib.closing(sqlite3.connect(source_url, uri=True)) as source,
                contextlib.closing(sqlite3.connect(part)) as copy,
            ):
                source.backup(copy)
    return file.stat().st_size


def _copy_whole(url: str, part: Path) -> None:
    with one_state(url) as source, MovingLedger.open(f"sqlite:///{part.absolute()}") as copy:
        salt = source.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "salt")).scalar_one()
        copy.await_copy(int(salt))
        copy.take_copy(source, told=lambda _: None)


@contextlib.contextmanager
def _made(file: Path) -> Iterator[Path]:
    """Where to write an SQLite database that is then checked, and becomes this file."""
    if file.exists():
        raise ConfigurationError(f"{file} is there already; name a new file")
    part = file.with_name(f".{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        with contextlib.closing(sqlite3.connect(part)) as copy:
            # One file: a backup is moved and kept without the log that stands beside a database in use.
            copy.execute("PRAGMA journal_mode=DELETE")
            if (found := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise CaspioSyncError(f"The backup {file} would be damaged ({found}); it was not kept.")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, file)  # never in place of a file that came meanwhile
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}. Name another file.") from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def one_state(url: str) -> Iterator[sa.Connection]:
    """A connection that sees one state of a database throughout, whoever writes meanwhile."""
    engine = make_engine(url, 30.0)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection
    finally:
        engine.dispose()
