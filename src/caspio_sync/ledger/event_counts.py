"""How many events of a sync went on their way in each minute: what a jump of their number is held against."""

from datetime import timedelta

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import insert
from caspio_sync.ledger.schema import metadata

MINUTE_SECONDS = 60
KEPT = timedelta(days=7)
# `minute`: whole minutes since 1970 (UTC).
COUNTED_SCHEMA = pl.Schema({"minute": pl.Int64(), "rows": pl.Int64()})

event_count = sa.Table(
    "event_count",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
)


class EventCounts(LedgerConnection):
    """Counts of events by the minute, of a week."""

    def event_counts(self, sync: str) -> pl.DataFrame:
        """COUNTED_SCHEMA: the minutes of a sync in which something went on its way, in their order."""
        table = event_count.c
        chosen = sa.select(table.minute, table.rows).where(table.sync == sync).order_by(table.minute)
        with self.reading("read counts of events") as connection:
            return pl.DataFrame([tuple(each) for each in connection.execute(chosen)], COUNTED_SCHEMA, orient="row")

    def count_events(self, sync: str, minute: int, rows: int) -> None:
        """So many more went on their way in this minute; what is older than a week is forgotten."""
        table = event_count.c
        values = {"sync": sync, "minute": minute, "rows": rows}
        with self.writing("count events", fenced=True) as connection:
            added = insert(connection, event_count).values(values)
            more = added.on_conflict_do_update(
                index_elements=[table.sync, table.minute], set_={"rows": table.rows + rows}
            )
            connection.execute(more)
            oldest = minute - int(KEPT.total_seconds()) // MINUTE_SECONDS
            connection.execute(sa.delete(event_count).where(table.sync == sync, table.minute < oldest))
