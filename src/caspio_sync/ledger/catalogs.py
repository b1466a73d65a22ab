"""What a catalog holds that has to go, and what else only syncs of catalogs remember."""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import placeholders, select_frame, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.ledger.runs import SWEEP, insert
from caspio_sync.ledger.schema import DELETION, microseconds
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_PRESENT_SCHEMA = {SOURCE_PK: pl.Int64(), KEY: pl.String(), "sent": pl.Int64()}
_SWEEPS_LOOKED_AT = 10
_PRICE_SCHEMA = {SOURCE_PK: pl.Int64(), "price": pl.Float64()}
_DELETED = (
    f"UPDATE row SET sent_fp = NULL, sent_fields = NULL, sent_mapping_version = 0, seen_fp = NULL, holds = 0, "
    f"verdict = '{Verdict.DELETED.value}', reason = ?, request = ?, run = ?, seen_at = ? "
    "WHERE sync = ? AND source_pk = ?"
)


class Catalogs(LedgerConnection):
    """Items of catalogs."""

    def catalog_name(self, sync: str) -> str | None:
        """The catalog that the sync's items were sent to; None before the first."""
        with self._read("read the catalog's name") as connection:
            return connection.execute(sa.select(schema.catalog.c.name).where(schema.catalog.c.sync == sync)).scalar()

    def remember_catalog(self, sync: str, name: str) -> None:
        """The sync's items go to this catalog from now on."""
        with self._write("remember the catalog") as connection:
            connection.execute(
                insert(connection, schema.catalog)
                .values(sync=sync, name=name)
                .on_conflict_do_update(index_elements=[schema.catalog.c.sync], set_={"name": name})
            )

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
        with self._write("forget what was sent", fenced=True) as connection:
            count = connection.execute(sa.update(schema.row).where(*sent).values(values)).rowcount
            connection.execute(sa.delete(schema.cursor).where(cursor.sync == sync))
            if not items_exist:
                connection.execute(sa.delete(schema.abandoned).where(schema.abandoned.c.sync == sync))
        return count

    def known_items(self, sync: str) -> pl.DataFrame:
        """Every row that is not deleted: source_pk, key, and `sent` (1 where the catalog has an item of it)."""
        statement = (
            "SELECT source_pk, key, CASE WHEN sent_fp IS NOT NULL AND holds = 1 THEN 1 ELSE 0 END FROM row "
            f"WHERE sync = ? AND (verdict IS NULL OR verdict <> '{Verdict.DELETED.value}') ORDER BY source_pk"
        )
        with self._read("list the items") as connection:
            return select_frame(connection, statement, (sync,), _PRESENT_SCHEMA)

    def abandon(self, sync: str, keys: pl.Series) -> None:
        """Ids that may be in the catalog while no row is recorded with them; to be noted before anything is sent.

        They are those that rows gave up, and those of new items on their way. A whole read deletes what no row bears.
        """
        with self._write("note ids that were given up", fenced=True) as connection:
            _abandon(connection, sync, keys)

    def borne_again(self, sync: str, low: int, high: int) -> None:
        """Ids that rows of this range of `source_pk` are recorded with as sent need no note of their own."""
        borne = "SELECT key FROM row WHERE sync = ? AND source_pk BETWEEN ? AND ? AND holds = 1 AND sent_fp IS NOT NULL"
        with self._write("settle ids of new items", fenced=True) as connection:
            statement = f"DELETE FROM abandoned WHERE sync = ? AND key IN ({borne})"
            connection.exec_driver_sql(placeholders(connection.dialect, statement), (sync, sync, low, high))

    def abandoned(self, sync: str) -> pl.Series:
        """Ids as `abandon` noted them, whose item is not known to be gone."""
        statement = "SELECT key FROM abandoned WHERE sync = ? ORDER BY key"
        with self._read("read ids that were given up") as connection:
            return select_frame(connection, statement, (sync,), {KEY: pl.String()})[KEY]

    def record_deleted(
        self, *, sync: str, run: str, batch: int, rows: pl.DataFrame, mapping_version: int, items_gone: bool
    ) -> None:
        """Write down items that are gone, or whose row is while another row bears the id.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run.
            rows: source_pk (null for an id that was given up), key, reason, request, status.
            mapping_version: the present one.
            items_gone: whether the catalog no longer has the items; else their ids are noted as by `abandon`.
        """
        at = microseconds(self._clock.now())
        gone = rows.filter(pl.col(SOURCE_PK).is_not_null()).sort(SOURCE_PK)
        with self._write("record deletions", fenced=True) as connection:
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
            keys = rows.select(pl.lit(sync), KEY).drop_nulls()
            if keys.is_empty():
                return
            if items_gone:
                settle = placeholders(connection.dialect, "DELETE FROM abandoned WHERE sync = ? AND key = ?")
                connection.exec_driver_sql(settle, keys.rows())
            else:
                _abandon(connection, sync, keys[KEY])

    def prices(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """source_pk and `price` of the items of this range of `source_pk`, as they were last sent."""
        statement = "SELECT source_pk, price FROM price WHERE sync = ? AND source_pk BETWEEN ? AND ? ORDER BY source_pk"
        with self._read("read prices") as connection:
            return select_frame(connection, statement, (sync, low, high), _PRICE_SCHEMA)

    def record_prices(self, sync: str, rows: pl.DataFrame) -> None:
        """Write down the prices that items were sent with: source_pk and `price`, nulls passed over."""
        rows = rows.select(SOURCE_PK, "price").drop_nulls()
        with self._write("record prices", fenced=True) as connection:
            upsert(connection, schema.price, rows, constants={"sync": sync}, update=("price",))

    def rows_last_read(self, sync: str) -> int | None:
        """Rows of the last whole read that came to its end; None before the first."""
        run = schema.run.c
        last = (
            sa.select(run.report)
            .where(run.sync == sync, run.mode == SWEEP, run.state == "done")
            .order_by(run.started_at.desc())
            .limit(_SWEEPS_LOOKED_AT)
        )
        with self._read("read the last whole read") as connection:
            reports = connection.execute(last).scalars().all()
        # A run that went on from an interrupted one read the rest alone.
        return next((int(report["read"]) for report in reports if report.get("whole")), None)


def _abandon(connection: sa.Connection, sync: str, keys: pl.Series) -> None:
    upsert(connection, schema.abandoned, keys.unique().to_frame(KEY), constants={"sync": sync}, update=(KEY,))
