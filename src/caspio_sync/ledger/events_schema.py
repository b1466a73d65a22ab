"""The tables that only syncs of events, purchases and triggers need, and how an outcome leaves the journal."""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger.bulk import placeholders
from caspio_sync.ledger.schema import Instant, metadata
from caspio_sync.schemas import SOURCE_PK, Verdict

LEAVING, UNKNOWN, RELEASED, REPEATED = "leaving", "unknown", "released", "repeated"
LET_GO = (RELEASED, REPEATED)
ONCE = ("events", "purchases", "triggers")  # kinds of syncs whose rows are counted anew each time they arrive

# What left, or was about to, and has no outcome that is known: written before the call, gone with its outcome.
#   leaving   of a run under way; once that has ended, its answer is lost
#   unknown   its answer is lost: nobody knows whether it arrived, and no run sends it again by itself
#   released  it may be sent once more, by the sync's policy or a person's word
#   repeated  it may be sent once more for as long as the destination knows it again; after that it is unknown
# `at` says when it first left: from then on the destination's memory of it runs, however often it is repeated.
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("fp", sa.LargeBinary, primary_key=True),  # which version of the row
    sa.Column("key", sa.Text),
    sa.Column("key_hash", sa.BigInteger),
    sa.Column("fields", sa.LargeBinary, nullable=False),
    sa.Column("mapping_version", sa.BigInteger, nullable=False),
    sa.Column("suite_version", sa.BigInteger, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("request", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
)
sa.Index("journal_key", journal.c.sync, journal.c.key_hash)

# Up to which PK_ID a sync without a cursor field has read, and when: a row below it may still have come late.
reach = sa.Table(
    "reach",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("at", Instant, primary_key=True, autoincrement=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
)

_TAKE_OUT = "DELETE FROM journal WHERE sync = ? AND source_pk = ? AND fp = ?"
# A released row leaves as it is by then, so that its outcome is that of every version of it that was released.
_SETTLE = f"DELETE FROM journal WHERE sync = ? AND source_pk = ? AND (fp = ? OR state IN {LET_GO})"
_SUPERSEDE = f"DELETE FROM journal WHERE sync = ? AND source_pk = ? AND fp <> ? AND state IN {LET_GO}"
_PUT_BACK = "UPDATE journal SET at = ?, state = ? WHERE sync = ? AND source_pk = ? AND fp = ?"
_DOUBT = f"UPDATE journal SET state = '{UNKNOWN}' WHERE sync = ? AND source_pk = ? AND fp = ?"


def settle(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> None:
    """In the transaction that records outcomes: what is known leaves the journal, what is lost stays as unknown.

    Args:
        connection: in a write transaction.
        sync: name of the sync.
        rows: source_pk, fp and verdict.
    """
    lost = pl.col("verdict") == Verdict.UNKNOWN.value
    _execute(connection, _SETTLE, sync, rows.filter(~lost))
    _execute(connection, _SUPERSEDE, sync, rows.filter(lost))
    _execute(connection, _DOUBT, sync, rows.filter(lost))


def take_out(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> None:
    """Take versions of rows, source_pk and fp, out of the journal, as though they had never been about to leave."""
    _execute(connection, _TAKE_OUT, sync, rows)


def put_back(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> None:
    """Let versions of rows stand as they stood before they were about to leave: source_pk, fp, at, state."""
    if not rows.is_empty():
        values = rows.select("at", "state", pl.lit(sync), SOURCE_PK, "fp").rows()
        connection.exec_driver_sql(placeholders(connection.dialect, _PUT_BACK), values)


def _execute(connection: sa.Connection, statement: str, sync: str, rows: pl.DataFrame) -> None:
    if not rows.is_empty():
        values = rows.select(pl.lit(sync), SOURCE_PK, "fp").rows()
        connection.exec_driver_sql(placeholders(connection.dialect, statement), values)
