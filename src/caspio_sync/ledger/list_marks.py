"""Memberships on lists that a sync ended: by what each is known again, as it stood once that was done.

Only while nobody changed it since, it may be taken up again by the sync. People are known by a hash of their key.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, select_among, signed, upsert
from caspio_sync.ledger.connection import LedgerConnection

list_mark = sa.Table(
    "list_mark",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("list", sa.Text, primary_key=True),
    sa.Column("mark", sa.Text, nullable=False),
)

LIST_MARK_SCHEMA = pl.Schema({"key_hash": pl.Int64(), "list": pl.String(), "mark": pl.String()})


class ListMarks(LedgerConnection):
    """What is known of memberships that a sync ended."""

    def list_marks(self, sync: str, key_hashes: pl.Series) -> pl.DataFrame:
        """LIST_MARK_SCHEMA of these people."""
        statement = "SELECT key_hash, list, mark FROM list_mark WHERE sync = ? AND key_hash"
        with self.reading("read marks of lists") as connection:
            return select_among(connection, statement, (sync,), signed(key_hashes), dict(LIST_MARK_SCHEMA))

    def note_list_marks(self, sync: str, rows: pl.DataFrame) -> None:
        """Remember LIST_MARK_SCHEMA; of an empty mark nothing is known any more."""
        over = rows.filter(pl.col("mark") == "").select(signed(rows.filter(pl.col("mark") == "")["key_hash"]), "list")
        kept = rows.filter(pl.col("mark") != "")
        of = list_mark.c
        with self.writing("note marks of lists", fenced=True) as connection:
            values = kept.select(signed(kept["key_hash"]), "list", "mark")
            upsert(connection, list_mark, values, constants={"sync": sync}, update=("mark",))
            for key_hash, name in over.iter_rows():
                chosen = (of.sync == sync, of.key_hash == key_hash, of.list == name)
                connection.execute(sa.delete(list_mark).where(*chosen))

    def rename_marked(self, sync: str, rows: pl.DataFrame) -> None:
        """People bear another key now: key_hash, and former_hash of the one before."""
        of, other = list_mark.c, list_mark.alias("other")
        pairs = rows.select(signed(rows["key_hash"]), signed(rows["former_hash"]))
        with self.writing("rename whose marks they are", fenced=True) as connection:
            for key_hash, former in pairs.iter_rows():
                before = (of.sync == sync, of.key_hash == former)
                both = sa.exists().where(other.c.sync == sync, other.c.key_hash == key_hash, other.c.list == of.list)
                connection.execute(sa.update(list_mark).where(*before, ~both).values(key_hash=key_hash))
                connection.execute(sa.delete(list_mark).where(*before))


def forget_marked(connection: sa.Connection, key_hashes: pl.Series) -> None:
    """Take people out of the table, in a write transaction."""
    for numbers in integer_lists(key_hashes):
        chosen = list_mark.c.key_hash.in_([int(number) for number in numbers.split(",")])
        connection.execute(sa.delete(list_mark).where(chosen))
