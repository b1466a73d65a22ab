"""What rows become, by a hash of their raw cells: a row that is as it was need not be mapped to know that.

    raw print of the cells ─▶ fingerprint of the mapped row, and what all of it is billed

A pure memory of the mapping, which says nothing of what was sent: that is asked of the row itself, each time. So
nothing that changes a row has to think of it. It is kept by stretches of keys, each read and written as one
(docs/decisions/0048-rows-that-end-before-the-mapping.md).
"""

from datetime import date, timedelta

import polars as pl
import sqlalchemy as sa

from caspio_sync.deferred import np
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, placeholders, select_frame
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.schemas import SOURCE_PK

raw_print = sa.Table(
    "raw_print",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # of all that the mapped row hangs on besides its cells
    sa.Column("day", sa.BigInteger, nullable=False),  # since 1970, in UTC: when its first row was mapped
    sa.Column("rows", sa.LargeBinary, nullable=False),  # _PACKED
)
_ROWS_A_STRETCH = 1_000
# However sure a print is, no row goes unmapped for longer.
BELIEVED = timedelta(days=7)

PRINTS = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        "raw_print": pl.UInt64(),
        "fp": pl.Binary(),  # 16 bytes
        "price": pl.Int64(),
    }
)
_PACKED = [("pk", "<i8"), ("raw", "<u8"), ("fp", "V16"), ("price", "<i4")]  # of numpy's dtype
_STRETCHES = {
    "low_pk": pl.Int64(),
    "high_pk": pl.Int64(),
    "day": pl.Int64(),
    "rows": pl.Binary(),
}


class RawPrints(LedgerConnection):
    """What rows become."""

    def raw_prints(self, sync: str, digest: str, *, low: int, high: int, today: date) -> pl.DataFrame:
        """PRINTS of the rows whose `source_pk` lies in low..high, as far as they were made under this digest, lately.

        Args:
            sync: name of the sync.
            digest: of all that the mapped rows hang on besides their cells.
            low: first key.
            high: last key.
            today: in UTC; what was made later, by a clock that was ahead, is not believed either.
        """
        with self.reading("read prints", fold=False) as connection:
            found = _stretches(connection, sync, digest, low=low, high=high, today=today)
        return _unpacked(found["rows"])

    def has_prints(self, sync: str, digest: str) -> bool:
        """Whether any row was kept under this digest."""
        table = raw_print.c
        asked = sa.select(table.low_pk).where(table.sync == sync, table.digest == digest).limit(1)
        with self.reading("read prints", fold=False) as connection:
            return connection.execute(asked).first() is not None

    def record_prints(
        self, sync: str, digest: str, rows: pl.DataFrame, mapped: pl.Series, *, low: int, high: int, today: date
    ) -> None:
        """Keep what rows become; a stretch of keys in which nothing is new stays as it is.

        Args:
            sync: name of the sync.
            digest: as for `raw_prints`.
            rows: PRINTS of some of the rows that were mapped.
            mapped: `source_pk` of all of these: what was kept of them before goes.
            low: first key of what was read.
            high: last key.
            today: in UTC.
        """
        if rows.is_empty():
            return
        with self.writing("keep prints", fenced=True, fold=False) as connection:
            found = _stretches(connection, sync, digest, low=low, high=high, today=today)
            _delete(connection, sync, _of_another_digest(connection, sync, low, high, found["low_pk"]))
            before = found.select("low_pk", "day", place="low_pk").sort("low_pk")
            placed = rows.sort(SOURCE_PK).join_asof(before, left_on=SOURCE_PK, right_on="low_pk").drop("low_pk")
            written: list[dict[str, object]] = []
            for (place, day), fresh in placed.partition_by("place", "day", as_dict=True, include_key=False).items():
                there = _unpacked(found.filter(pl.col("low_pk") == pl.lit(place, pl.Int64))["rows"])
                there = there.filter(~pl.col(SOURCE_PK).is_in(mapped.implode()))
                written += _cut(pl.concat([there, fresh]).sort(SOURCE_PK), day=_day(today) if day is None else day)
            _delete(connection, sync, placed["place"].drop_nulls().unique())
            connection.execute(sa.insert(raw_print), [{"sync": sync, "digest": digest, **each} for each in written])


def forget_prints(connection: sa.Connection, sync: str, source_pks: pl.Series) -> None:
    """Take out every stretch that may hold one of these rows; the next read maps the others in it anew."""
    table = raw_print.c
    for source_pk in source_pks:
        covering = sa.and_(table.low_pk <= source_pk, table.high_pk >= source_pk)
        connection.execute(sa.delete(raw_print).where(table.sync == sync, covering))


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _stretches(connection: sa.Connection, sync: str, digest: str, *, low: int, high: int, today: date) -> pl.DataFrame:
    """The stretches under this digest that hold keys of low..high and are believed."""
    statement = (
        f"SELECT {', '.join(_STRETCHES)} FROM raw_print WHERE sync = ? AND high_pk >= ? AND low_pk <= ? "
        "AND digest = ? AND day BETWEEN ? AND ?"
    )
    days = _day(today - BELIEVED) + 1, _day(today)
    return select_frame(connection, statement, (sync, low, high, digest, *days), _STRETCHES)


def _of_another_digest(connection: sa.Connection, sync: str, low: int, high: int, believed: pl.Series) -> pl.Series:
    statement = "SELECT low_pk FROM raw_print WHERE sync = ? AND high_pk >= ? AND low_pk <= ?"
    found = select_frame(connection, statement, (sync, low, high), {"low_pk": pl.Int64()})["low_pk"]
    return found.filter(~found.is_in(believed.implode()))


def _delete(connection: sa.Connection, sync: str, low_pks: pl.Series) -> None:
    for numbers in integer_lists(low_pks):
        statement = f"DELETE FROM raw_print WHERE sync = ? AND low_pk IN ({numbers})"
        connection.exec_driver_sql(placeholders(connection.dialect, statement), (sync,))


def _cut(rows: pl.DataFrame, *, day: int) -> list[dict[str, object]]:
    """The rows as stretches to be written."""
    size = rows.height if rows.height <= 2 * _ROWS_A_STRETCH else _ROWS_A_STRETCH
    return [
        {"low_pk": part[SOURCE_PK][0], "high_pk": part[SOURCE_PK][-1], "day": day, "rows": _packed(part)}
        for part in rows.iter_slices(size)
    ]


def _packed(rows: pl.DataFrame) -> bytes:
    packed = np.empty(rows.height, _PACKED)
    packed["pk"], packed["raw"], packed["price"] = rows[SOURCE_PK], rows["raw_print"], rows["price"]
    packed["fp"] = np.frombuffer(b"".join(rows["fp"]), "V16")
    return packed.tobytes()


def _unpacked(packed: pl.Series) -> pl.DataFrame:
    """PRINTS of some stretches."""
    rows = np.frombuffer(b"".join(packed), _PACKED)
    return pl.DataFrame(
        {SOURCE_PK: rows["pk"], "raw_print": rows["raw"], "fp": rows["fp"].tolist(), "price": rows["price"]},
        schema=PRINTS,
    )
