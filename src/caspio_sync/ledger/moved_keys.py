"""Keys under which rows may be known at the destination that bear another one now, until they are sent under that.

Some destinations know a person by an address that changes, and it is the same person there (`Sink.follows_keys`). A row
whose key changed may be held for days, or its answer lost: what it is there, it is under the key before, or under the
one that was tried; the row's own record has but the last one.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, select_frame, signed, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

moved_key = sa.Table(
    "moved_key",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.BigInteger, nullable=False),
    # 1: the row was sent under it; 0: it was to be; 2: it was sent under it, and bears it again; 3: `LEFT`.
    sa.Column("was_sent", sa.SmallInteger, nullable=False),
)
# The row was sent under it, and bears now what was another row's: whose the key is, nobody knows. It is remembered for
# as long as the row is, and heard when the row says no.
LEFT = 3
MOVED_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), KEY: pl.String(), "was_sent": pl.Int64()})


class MovedKeys(LedgerConnection):
    """What rows may be called where they went."""

    def note_moved(self, sync: str, rows: pl.DataFrame) -> None:
        """Remember keys of rows (source_pk, key, key_hash, was_sent); what is known of a key stays."""
        if rows.is_empty():
            return
        rows = rows.unique([SOURCE_PK, KEY], keep="first", maintain_order=True)
        values = rows.select(SOURCE_PK, KEY, signed(rows["key_hash"]), pl.col("was_sent").cast(pl.Int64))
        with self.writing("note changed keys", fenced=True) as connection:
            upsert(connection, moved_key, values, constants={"sync": sync})

    def note_back(self, sync: str, rows: pl.DataFrame) -> None:
        """Remember that rows (source_pk, key) bear the key again under which they were sent: once sent, they are it."""
        of = moved_key.c
        with self.writing("note changed keys", fenced=True) as connection:
            for source_pk, key in rows.select(SOURCE_PK, KEY).iter_rows():
                chosen = (of.sync == sync, of.source_pk == source_pk, of.key == key)
                connection.execute(sa.update(moved_key).where(*chosen).values(was_sent=2))

    def moved_keys(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """MOVED_SCHEMA of the rows from low to high that were not sent under their present key yet, or left one behind.

        A former key that another row has by now is that row's. Of a row, the key that it was sent under comes first.
        """
        others = (
            "SELECT 1 FROM row WHERE row.sync = moved_key.sync AND row.key_hash = moved_key.key_hash "
            "AND row.key = moved_key.key AND row.source_pk <> moved_key.source_pk "
            f"AND (row.source_pk > 0 OR moved_key.was_sent <> {LEFT})"  # what was put aside is what was left
        )
        statement = (
            "SELECT source_pk, key, was_sent FROM moved_key WHERE sync = ? AND source_pk BETWEEN ? AND ? "
            f"AND NOT EXISTS ({others}) ORDER BY source_pk, was_sent DESC, key"
        )
        with self.reading("read changed keys") as connection:
            return select_frame(connection, statement, (sync, low, high), dict(MOVED_SCHEMA))

    def settle_moved(self, sync: str) -> None:
        """Forget those of rows that were sent since; to be called when no row of a batch is on its way."""
        before = moved_key.alias("before")
        was = sa.exists().where(
            before.c.sync == schema.row.c.sync,
            before.c.source_pk == schema.row.c.source_pk,
            before.c.was_sent == 1,
            before.c.key == schema.row.c.key,
        )
        sent = sa.exists().where(
            schema.row.c.sync == moved_key.c.sync,
            schema.row.c.source_pk == moved_key.c.source_pk,
            schema.row.c.verdict == Verdict.SENT.value,
            ~was,  # else the record is of the time before its key changed
        )
        with self.writing("forget changed keys", fenced=True) as connection:
            chosen = (moved_key.c.sync == sync, moved_key.c.was_sent != LEFT, sent)
            connection.execute(sa.delete(moved_key).where(*chosen))


def leave_behind(connection: sa.Connection, sync: str, source_pks: pl.Series) -> None:
    """Remember the keys that the ledger's rows with these numbers bear, before they are put aside.

    Args:
        connection: in a write transaction.
        sync: name of the sync.
        source_pks: of the rows.
    """
    of, row = moved_key.c, schema.row.c
    for numbers in integer_lists(source_pks):
        pks = [int(number) for number in numbers.split(",")]
        chosen = (row.sync == sync, row.source_pk.in_(pks), row.key.is_not(None))
        connection.execute(
            sa.delete(moved_key).where(
                of.sync == sync, sa.exists().where(row.source_pk == of.source_pk, row.key == of.key, *chosen)
            )
        )
        left = sa.select(row.sync, row.source_pk, row.key, row.key_hash, sa.literal(LEFT)).where(*chosen)
        connection.execute(sa.insert(moved_key).from_select([each.name for each in moved_key.columns], left))


def former_spellings(connection: sa.Connection, bearing: pl.DataFrame) -> list[tuple[str, str]]:
    """Of rows with these numbers (sync, source_pk, asked): which key was asked, and one that may be there instead.

    A former key that another row bears by now is that row's; one that was left behind may be anybody's.
    """
    found: list[tuple[str, str]] = []
    for sync, source_pk, asked in bearing.select("sync", SOURCE_PK, "asked").iter_rows():
        of, row = moved_key.c, schema.row.c
        same = (row.sync == of.sync, row.key_hash == of.key_hash, row.key == of.key)
        others = sa.exists().where(*same, row.source_pk != of.source_pk)
        chosen = sa.select(of.key).where(of.sync == sync, of.source_pk == source_pk, of.was_sent != LEFT, ~others)
        found += [(asked, each) for each in connection.execute(chosen).scalars()]
    return found
