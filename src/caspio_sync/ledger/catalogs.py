"""What a catalog holds that has to go, and what else only syncs of catalogs remember."""

import io
from collections.abc import Iterable
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import catalog_schema as tables
from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import placeholders, select_frame, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.ledger.run_record import SWEEP
from caspio_sync.ledger.runs import insert, put
from caspio_sync.ledger.schema import DELETION, PROFILE
from caspio_sync.ledger.sending import record_prices
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_PRESENT_SCHEMA = {SOURCE_PK: pl.Int64(), KEY: pl.String(), "sent": pl.Int64()}
_SWEEPS_LOOKED_AT = 10
_PRICE_SCHEMA = {SOURCE_PK: pl.Int64(), "price": pl.Float64()}
_LEAVING_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), KEY: pl.String()})
# What is there of these rows is none of the versions we know; that it holds an item stands.
_DOUBTED = (
    "UPDATE row SET sent_fp = ?, sent_fields = NULL, sent_mapping_version = 0 "
    "WHERE sync = ? AND source_pk = ? AND sent_fp IS NOT NULL"
)
_GOING = (
    "UPDATE row SET sent_fp = NULL, sent_fields = NULL, sent_mapping_version = 0, holds = 0 "
    "WHERE sync = ? AND source_pk = ?"
)
_DELETED = (
    f"UPDATE row SET sent_fp = NULL, sent_fields = NULL, sent_mapping_version = 0, seen_fp = NULL, holds = 0, "
    f"verdict = '{Verdict.DELETED.value}', reason = ?, request = ?, run = ?, seen_at = ? "
    "WHERE sync = ? AND source_pk = ?"
)


class Catalogs(LedgerConnection):
    """Items of catalogs."""

    def catalog_name(self, sync: str) -> str | None:
        """The catalog that the sync's items were sent to; None before the first."""
        with self.reading("read the catalog's name") as connection:
            return connection.execute(sa.select(tables.catalog.c.name).where(tables.catalog.c.sync == sync)).scalar()

    def remember_catalog(self, sync: str, name: str) -> None:
        """The sync's items go to this catalog from now on."""
        with self.writing("remember the catalog") as connection:
            put(connection, tables.catalog, sync, {"name": name})

    def forget_sent(self, sync: str, *, items_exist: bool) -> int:
        """Let the next whole read send every item again, and be one: its cursor is forgotten.

        Args:
            sync: name of the sync.
            items_exist: whether the catalog still has the items, only not as they were sent.

        Returns:
            How many rows are to be sent again.
        """
        rows, cursor = schema.row.c, schema.cursor.c
        sent = (rows.sync == sync, rows.sent_fp.is_not(None))
        gone = {"sent_fp": None, "sent_fields": None, "sent_mapping_version": 0, "holds": 0}
        values = {"sent_fp": NO_VERSION, "sent_fields": None, "sent_mapping_version": 0} if items_exist else gone
        with self.writing("forget what was sent", fenced=True) as connection:
            count = connection.execute(sa.update(schema.row).where(*sent).values(values)).rowcount
            connection.execute(sa.delete(schema.cursor).where(cursor.sync == sync))
            if not items_exist:
                connection.execute(sa.delete(tables.abandoned).where(tables.abandoned.c.sync == sync))
        return count

    def known_items(self, sync: str) -> pl.DataFrame:
        """Every row that is not deleted: source_pk, key, and `sent` (1 where the catalog has an item of it)."""
        statement = (
            "SELECT source_pk, key, CASE WHEN sent_fp IS NOT NULL AND holds = 1 THEN 1 ELSE 0 END FROM row "
            f"WHERE sync = ? AND (verdict IS NULL OR verdict <> '{Verdict.DELETED.value}') ORDER BY source_pk"
        )
        with self.reading("list the items") as connection:
            return select_frame(connection, statement, (sync,), _PRESENT_SCHEMA)

    def items_and_deleted(self, sync: str, since: datetime) -> tuple[int, int]:
        """Items that the catalog has, and those that were deleted since an instant."""
        rows = schema.row.c
        there = sa.func.sum(sa.case((sa.and_(rows.sent_fp.is_not(None), rows.holds == 1), 1), else_=0))
        deleted = sa.and_(rows.verdict == Verdict.DELETED, rows.seen_at >= since, rows.request.is_not(None))
        counted = sa.select(there, sa.func.sum(sa.case((deleted, 1), else_=0))).where(rows.sync == sync)
        with self.reading("count the items") as connection:
            items, gone = connection.execute(counted).one()
        return int(items or 0), int(gone or 0)

    def note_leaving(self, *, sync: str, run: str, batch: int, rows: pl.DataFrame) -> None:
        """Write down, before the first of them leaves, which rows of a batch are handed to the sender.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run; a repeated call, for the rest of it, leaves the first one's rows.
            rows: source_pk, and `key` where the row may make an item, else null.
        """
        buffer = io.BytesIO()
        rows.select(_LEAVING_SCHEMA.names()).cast(_LEAVING_SCHEMA).write_ipc(buffer, compression="lz4")
        with self.writing("note what is leaving", fenced=True) as connection:
            values = {"sync": sync, "run": run, "batch": batch, "rows": buffer.getvalue()}
            connection.execute(insert(connection, tables.leaving).values(values).on_conflict_do_nothing())

    def note_left(self, *, sync: str, run: str, batch: int) -> None:
        """All that was handed to the sender of this batch has its outcome."""
        leaving = tables.leaving.c
        with self.writing("note what has left", fenced=True) as connection:
            mine = (leaving.sync == sync, leaving.run == run, leaving.batch == batch)
            connection.execute(sa.delete(tables.leaving).where(*mine))

    def doubt_unrecorded(self, sync: str) -> int:
        """What a run died or failed over may be in the catalog: its rows are sent again, its ids go without a row.

        Returns:
            how many rows left without an outcome.
        """
        leaving, count = tables.leaving.c, 0
        with self.writing("doubt what was not recorded", fenced=True) as connection:
            left = connection.execute(sa.select(tables.leaving).where(leaving.sync == sync)).all()
            for each in left:
                told = history.delivered(connection, sync, each.run, each.batch).filter(pl.col("part") == PROFILE)
                rows = pl.read_ipc(io.BytesIO(each.rows)).join(told, on=SOURCE_PK, how="anti")
                _abandon(connection, sync, rows[KEY])
                doubted = rows.select(version=pl.lit(NO_VERSION), sync=pl.lit(sync), pk=SOURCE_PK).rows()
                if doubted:
                    connection.exec_driver_sql(placeholders(connection.dialect, _DOUBTED), doubted)
                count += len(doubted)
            if left:
                connection.execute(sa.delete(tables.leaving).where(leaving.sync == sync))
        return count

    def abandon(self, sync: str, keys: pl.Series, *, going: Iterable[int] = ()) -> None:
        """The catalog may have items of these ids from now on, whatever the ledger's rows say.

        To be called before a row is sent under another id, and before an item is deleted.

        Args:
            sync: name of the sync.
            keys: the ids; nulls are passed over.
            going: `source_pk` of rows that the catalog is not sure to have an item of from now on: one that comes back
                is new.
        """
        rows = [(sync, source_pk) for source_pk in going]
        with self.writing("note ids without a row", fenced=True) as connection:
            _abandon(connection, sync, keys)
            if rows:
                connection.exec_driver_sql(placeholders(connection.dialect, _GOING), rows)

    def abandoned(self, sync: str) -> pl.Series:
        """Ids that were given up, or may have been made by a run that died, and whose item is not known to be gone."""
        statement = "SELECT key FROM abandoned WHERE sync = ? ORDER BY key"
        with self.reading("read ids without a row") as connection:
            return select_frame(connection, statement, (sync,), {KEY: pl.String()})[KEY]

    def record_deleted(self, *, sync: str, run: str, batch: int, rows: pl.DataFrame, mapping_version: int) -> None:
        """Write down rows that are gone, and with them the items that are.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run.
            rows: source_pk (null for an id without a row), key, reason, request (null where nothing was deleted: then
                the catalog may still have the id), status.
            mapping_version: the present one.
        """
        at = microseconds(self.now())
        gone = rows.filter(pl.col(SOURCE_PK).is_not_null()).sort(SOURCE_PK)
        with self.writing("record deletions", fenced=True) as connection:
            values = gone.select("reason", "request", run=pl.lit(run), at=pl.lit(at), sync=pl.lit(sync), pk=SOURCE_PK)
            if not gone.is_empty():
                connection.exec_driver_sql(placeholders(connection.dialect, _DELETED), values.rows())
                delete = placeholders(connection.dialect, "DELETE FROM price WHERE sync = ? AND source_pk = ?")
                connection.exec_driver_sql(delete, values.select("sync", "pk").rows())
                told = gone.with_columns(
                    pl.lit(DELETION).alias("part"),
                    pl.lit(Verdict.DELETED.value).alias("verdict"),
                    pl.lit(None, dtype=pl.Binary).alias("changed"),
                    pl.lit(mapping_version, dtype=pl.Int64).alias("mapping_version"),
                )
                history.append(connection, told, sync=sync, run=run, batch=batch, at=at)
            settle = placeholders(connection.dialect, "DELETE FROM abandoned WHERE sync = ? AND key = ?")
            keys = rows.filter(pl.col(KEY).is_not_null(), pl.col("request").is_not_null()).select(pl.lit(sync), KEY)
            if not keys.is_empty():
                connection.exec_driver_sql(settle, keys.rows())

    def prices(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """source_pk and `price` of the items of this range of `source_pk`, as they were last sent."""
        statement = "SELECT source_pk, price FROM price WHERE sync = ? AND source_pk BETWEEN ? AND ? ORDER BY source_pk"
        with self.reading("read prices") as connection:
            return select_frame(connection, statement, (sync, low, high), _PRICE_SCHEMA)

    def record_prices(self, sync: str, rows: pl.DataFrame) -> None:
        """As `sending.record_prices`, for items that were not recorded as sent by `record_sent`."""
        with self.writing("record prices", fenced=True) as connection:
            record_prices(connection, sync, rows)

    def rows_last_read(self, sync: str) -> int | None:
        """Rows of the last whole read that came to its end; None before the first."""
        run = schema.run.c
        last = (
            sa.select(run.report)
            .where(run.sync == sync, run.mode == SWEEP, run.state == "done")
            .order_by(run.started_at.desc())
            .limit(_SWEEPS_LOOKED_AT)
        )
        with self.reading("read the last whole read") as connection:
            reports = connection.execute(last).scalars().all()
        # A run that went on from an interrupted one read the rest alone.
        return next((int(report["read"]) for report in reports if report.get("whole")), None)


def _abandon(connection: sa.Connection, sync: str, keys: pl.Series) -> None:
    ids = keys.drop_nulls().unique().to_frame(KEY)
    upsert(connection, tables.abandoned, ids, constants={"sync": sync}, update=(KEY,))
