"""Keys with blanks at their ends, as an older version read them: found by the database, and noted for each sync.

A migration asks for them: it stands below the ledger's connection, which migrates.
"""

import sqlalchemy as sa

from caspio_sync.characters import BLANKS
from caspio_sync.ledger import schema

MARK = "former keys of "  # in `meta`, and the sync's name: the migration found such keys, their hashes are to be made


def mark_former_keys(connection: sa.Connection) -> None:
    """Write down which syncs have keys with blanks at their ends."""
    rows = sa.table("row", sa.column("sync"), sa.column("key"))
    found = sa.select(rows.c.sync).where(with_blanks(connection, rows.c.key)).distinct()
    for sync in connection.execute(found).scalars().all():
        connection.execute(sa.insert(schema.meta).values(name=MARK + sync, value="1"))


def with_blanks(connection: sa.Connection, key: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a key has blanks at its ends, as `characters.trimmed` knows them."""
    trim = sa.func.btrim if connection.dialect.name == "postgresql" else sa.func.trim
    return key != trim(key, BLANKS)
