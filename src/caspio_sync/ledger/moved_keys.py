"""Keys under which rows were sent that bear another one now, until they are sent under that.

Some destinations know a person by an address that changes, and it is the same person there (`Sink.follows_keys`). A row
whose key changed may be held, for days: what it is there, it is under the former key, which the row's own record no
longer has.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import select_frame, signed, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

moved_key = sa.Table(
    "moved_key",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("key_hash", sa.BigInteger, nullable=False),
)


class MovedKeys(LedgerConnection):
    """What rows were called where they went."""

    def note_moved(self, sync: str, rows: pl.DataFrame) -> None:
        """Remember the keys under which rows were sent (source_pk, key, key_hash); the first of each row stays."""
        if rows.is_empty():
            return
        with self.writing("note changed keys", fenced=True) as connection:
            upsert(
                connection, moved_key, rows.select(SOURCE_PK, KEY, signed(rows["key_hash"])), constants={"sync": sync}
            )

    def moved_keys(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """source_pk and key of the rows from low to high that were not sent under their present key yet.

        A former key that another row was sent under since is that row's.
        """
        others = (
            "SELECT 1 FROM row WHERE row.sync = moved_key.sync AND row.key_hash = moved_key.key_hash "
            "AND row.key = moved_key.key AND row.source_pk <> moved_key.source_pk"
        )
        statement = (
            "SELECT source_pk, key FROM moved_key WHERE sync = ? AND source_pk BETWEEN ? AND ? "
            f"AND NOT EXISTS ({others})"
        )
        with self.reading("read changed keys") as connection:
            return select_frame(connection, statement, (sync, low, high), {SOURCE_PK: pl.Int64(), KEY: pl.String()})

    def settle_moved(self, sync: str) -> None:
        """Forget those of rows that were sent since; to be called when no row of the sync is on its way."""
        of, row = moved_key.c, schema.row.c
        sent = sa.exists().where(
            row.sync == of.sync, row.source_pk == of.source_pk, row.verdict == Verdict.SENT.value, row.key != of.key
        )
        back = sa.exists().where(row.sync == of.sync, row.source_pk == of.source_pk, row.key == of.key)
        with self.writing("forget changed keys", fenced=True) as connection:
            connection.execute(sa.delete(moved_key).where(of.sync == sync, sa.or_(sent, back)))


def former_spellings(connection: sa.Connection, bearing: pl.DataFrame) -> list[tuple[str, str]]:
    """Of rows with these numbers (sync, source_pk, asked): which key was asked, and the one that is there instead.

    A former key that another row bears by now is that row's.
    """
    found: list[tuple[str, str]] = []
    for sync, source_pk, asked in bearing.select("sync", SOURCE_PK, "asked").iter_rows():
        of, row = moved_key.c, schema.row.c
        same = (row.sync == of.sync, row.key_hash == of.key_hash, row.key == of.key)
        others = sa.exists().where(*same, row.source_pk != of.source_pk)
        chosen = sa.select(of.key).where(of.sync == sync, of.source_pk == source_pk, ~others)
        found += [(asked, each) for each in connection.execute(chosen).scalars()]
    return found
