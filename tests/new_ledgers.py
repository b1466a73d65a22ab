"""New ledgers for tests at a fraction of their price: on SQLite and PostgreSQL, empty and whole, with secrets of their own."""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from caspio_sync.ledger.form import VERSION_TABLE

# What each ledger makes at its birth, and how: two ledgers never share one.
_OWN: dict[str, Callable[[], str]] = {
    "salt": lambda: str(secrets.randbits(64)),
    "erasure_secret": lambda: secrets.token_hex(32),
}

_NORMAL = 1  # what a ledger's connection is set to

Statements = list[tuple[str, Any]]


@contextlib.contextmanager
def migrated_once() -> Iterator[None]:
    """The migrations make the first ledger of each kind of database; the others execute the very statements that these did.

    A ledger that is there already is migrated by the migrations themselves. Starting alembic and building nine versions
    of the tables takes 40 ms of a core, in a suite that makes thousands of ledgers.
    """
    migrate, executed = command.upgrade, dict[str, Statements]()

    def upgrade(config: Config, revision: str) -> None:
        connection: sa.Connection = config.attributes["connection"]
        kind = connection.dialect.name
        if sa.inspect(connection).has_table(VERSION_TABLE):
            migrate(config, revision)
        elif kind not in executed:
            with _statements(connection) as listed:
                migrate(config, revision)
            made = set(connection.execute(sa.text("SELECT name FROM meta")).scalars())
            assert made == set(_OWN), "what a ledger makes at its birth is made anew for each one in `_OWN`"
            executed[kind] = listed
        else:
            for statement, parameters in executed[kind]:
                connection.exec_driver_sql(statement, parameters)
            own = [{"name": name, "value": make()} for name, make in _OWN.items()]
            connection.execute(sa.text("UPDATE meta SET value = :value WHERE name = :name"), own)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", upgrade)
        yield


@contextlib.contextmanager
def _statements(connection: sa.Connection) -> Iterator[Statements]:
    """What is executed and changes something."""
    listed: Statements = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if not statement.lstrip().startswith(("SELECT", "PRAGMA")):
            listed.append((statement, parameters or None))

    sa.event.listen(connection, "before_cursor_execute", listen)
    yield listed
    sa.event.remove(connection, "before_cursor_execute", listen)


@contextlib.contextmanager
def unsynchronised() -> Iterator[None]:
    """A ledger on SQLite does not wait for the disk: that is for machines that crash, and processes that do lose nothing by it."""

    def at_birth(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    def before_use(connection: sa.Connection) -> None:
        # Once more: meanwhile the engine has set the connection up as users have it. The inbox's FULL stays.
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection) and driver.execute("PRAGMA synchronous").fetchone() == (_NORMAL,):
            at_birth(driver, None)

    sa.event.listen(sa.Engine, "connect", at_birth)
    sa.event.listen(sa.Engine, "engine_connect", before_use)
    yield
    sa.event.remove(sa.Engine, "connect", at_birth)
    sa.event.remove(sa.Engine, "engine_connect", before_use)
