"""Bring a ledger to the tables this package knows, or say why it cannot be."""

from pathlib import Path

import sqlalchemy as sa

from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger import migrations
from caspio_sync.ledger.form import REVISION, VERSION_TABLE
from caspio_sync.ledger.schema import metadata

# Two processes may open a new PostgreSQL ledger at once; the second waits here and then finds it made.
# SQLite needs none: the caller's BEGIN IMMEDIATE is that lock.
_ADVISORY_LOCK = 0x63617370696F


def upgrade(connection: sa.Connection, *, where: str) -> None:
    """Create or migrate the ledger's tables inside the connection's transaction.

    Args:
        connection: in a write transaction of its own.
        where: the ledger's URL without its password, for messages.

    Raises:
        ConfigurationError: the ledger was written by a newer version, or the database is not a ledger.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    found = _revision(connection)
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise ConfigurationError(
            f"The ledger {where} has version {found}, this caspio-sync knows versions up to {REVISION}. "
            "Install the newer caspio-sync that wrote it, or name another ledger."
        )
    if found is None:
        _refuse_foreign_tables(connection, where)
    _migrate(connection)


def is_current(connection: sa.Connection) -> bool:
    """Whether the tables are those of this package: the common case, answered without alembic and without a lock."""
    return _revision(connection) == REVISION


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if found is None else str(found)


def _refuse_foreign_tables(connection: sa.Connection, where: str) -> None:
    foreign = sorted(set(sa.inspect(connection).get_table_names()) & set(metadata.tables))
    if foreign:
        raise ConfigurationError(
            f"{where} holds tables that are not a ledger's ({', '.join(foreign)}). "
            "Give the ledger a file, database or schema of its own."
        )


def _migrate(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s to import, and most openings find nothing to do
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    # alembic reads options through configparser, where a lone % of a path would be an interpolation.
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
