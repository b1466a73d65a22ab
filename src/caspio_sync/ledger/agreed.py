"""Consent as Caspio and Braze last agreed on it: what either side holds against it is that side's own change."""

from collections.abc import Iterator, Mapping

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import engagement_schema as tables
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, placeholders, select_frame, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.schemas import SOURCE_PK, Verdict

_STORED = {
    SOURCE_PK: pl.Int64(),
    "scope": pl.String(),
    "state": pl.String(),
    "at": pl.Int64(),
    "news": pl.Int64(),
}
AGREED_SCHEMA = pl.Schema({**_STORED, "at": schema.INSTANT, "news": schema.INSTANT})
_SENT = {
    SOURCE_PK: pl.Int64(),
    "sent_fp": pl.Binary(),
    "sent_fields": pl.Binary(),
    "sent_mapping_version": pl.Int64(),
}
_AGAIN = "UPDATE row SET sent_fp = ?, sent_fields = ?, verdict = ? WHERE sync = ? AND source_pk = ? AND sent_fp = ?"


class Agreements(LedgerConnection):
    """What an engagement return knows of consent."""

    def agreed(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """AGREED_SCHEMA of the rows whose `source_pk` lies in low..high.

        That is the state, since when (null: before anybody looked), and up to which news of Braze's it counts (null:
        none).
        """
        statement = "SELECT source_pk, scope, state, at, news FROM agreed WHERE sync = ? AND source_pk BETWEEN ? AND ?"
        with self._read("read what was agreed") as connection:
            return select_frame(connection, statement, (sync, low, high), _STORED).cast(AGREED_SCHEMA)

    def agree(
        self,
        sync: str,
        rows: pl.DataFrame,
        *,
        profiles: str | None,
        tell: pl.DataFrame,
        layouts: Mapping[int, tuple[str, ...]],
    ) -> None:
        """Write down what is agreed on, and let the profile sync send some states again, in one transaction.

        Args:
            sync: name of the engagement return.
            rows: AGREED_SCHEMA.
            profiles: name of the profile sync that carries these columns; None for none.
            tell: source_pk and `attribute` (a consent column of the profile sync's mapping).
            layouts: the profile sync's `mapping_fields`.

        Raises:
            TransientError, CaspioSyncError: as every method of the ledger.
        """
        stored = rows.select(SOURCE_PK, "scope", "state", pl.col("at", "news").dt.epoch("us").cast(pl.Int64))
        with self._write("write down what was agreed", fenced=True) as connection:
            upsert(connection, tables.agreed, stored, constants={"sync": sync}, update=("state", "at", "news"))
            if profiles is not None and tell.height:
                known = _sent(connection, profiles, tell[SOURCE_PK])
                again = list(_again(known, tell, layouts, profiles))
                if again:
                    connection.exec_driver_sql(placeholders(connection.dialect, _AGAIN), again)
                    # A run that reads everything is to meet these rows.
                    connection.execute(sa.delete(schema.sweep).where(schema.sweep.c.sync == profiles))


def _sent(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.DataFrame:
    statement = f"SELECT {', '.join(_SENT)} FROM row WHERE sync = ? AND holds = 1 AND sent_fp IS NOT NULL AND source_pk"
    frames = [
        select_frame(connection, f"{statement} IN ({numbers})", (sync,), _SENT) for numbers in integer_lists(source_pks)
    ]
    return pl.concat([pl.DataFrame(schema=_SENT), *frames])


def _again(
    known: pl.DataFrame, tell: pl.DataFrame, layouts: Mapping[int, tuple[str, ...]], sync: str
) -> Iterator[tuple[object, ...]]:
    """Parameters of `_AGAIN`: the rows without the fingerprints of the attributes that are to be sent again."""
    for (version,), rows in known.partition_by("sent_mapping_version", as_dict=True).items():
        layout = layouts.get(int(str(version)), ())
        packed = rows["sent_fields"]
        if layout and not packed.null_count():
            prints = fp.unpack(packed, layout, layout)
            for place, name in enumerate(layout):
                forgotten = rows[SOURCE_PK].is_in(tell.filter(pl.col("attribute") == name)[SOURCE_PK].implode())
                prints[forgotten.to_numpy(), place] = fp.NEVER_SENT
            packed = fp.pack(prints)
        for source_pk, sent_fp, fields in zip(rows[SOURCE_PK], rows["sent_fp"], packed, strict=True):
            yield NO_VERSION, fields, Verdict.DRIFTED.value, sync, source_pk, sent_fp
