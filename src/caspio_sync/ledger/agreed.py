"""Consent as Caspio and the destination last agreed on it: what either holds against it is that side's own change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from caspio_sync.deferred import np
from caspio_sync.ledger import engagement_schema as tables
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import placeholders, select_among, select_frame, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.schemas import SOURCE_PK, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

_STORED = {
    SOURCE_PK: pl.Int64(),
    "scope": pl.String(),
    "state": pl.String(),
    "at": pl.Int64(),
    "news": pl.Int64(),
    "key_hash": pl.Int64(),
}
AGREED_SCHEMA = pl.Schema({**_STORED, "at": schema.INSTANT, "news": schema.INSTANT})
_SENT = {
    SOURCE_PK: pl.Int64(),
    "sent_fp": pl.Binary(),
    "sent_fields": pl.Binary(),
    "sent_mapping_version": pl.Int64(),
}
_AGAIN = "UPDATE row SET sent_fp = ?, sent_fields = ?, verdict = ? WHERE sync = ? AND source_pk = ? AND sent_fp = ?"


@dataclass(frozen=True, slots=True)
class Told:
    """States that a profile sync is to send once more.

    Args:
        sync: name of the profile sync.
        tell: source_pk, `attribute` (a consent column of its mapping), and `unless`: the state that is held there too,
            so that a row of which this very state was acknowledged last is left alone; null where another is held.
        layouts: the sync's `mapping_fields`.
        salt: of its fingerprints.
    """

    sync: str
    tell: pl.DataFrame
    layouts: Mapping[int, tuple[str, ...]]
    salt: int


class Agreements(LedgerConnection):
    """What an engagement return knows of consent."""

    def agreed(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """AGREED_SCHEMA of the rows whose `source_pk` lies in low..high.

        That is the state, since when (null: before anybody looked), up to which news from there it counts (null: none),
        and the hash of the row's key (null: not noted yet).
        """
        statement = f"SELECT {', '.join(_STORED)} FROM agreed WHERE sync = ? AND source_pk BETWEEN ? AND ?"
        with self.reading("read what was agreed") as connection:
            return select_frame(connection, statement, (sync, low, high), _STORED).cast(AGREED_SCHEMA)

    def agree(self, sync: str, rows: pl.DataFrame, told: Told | None) -> None:
        """Write down what is agreed on, and let the profile sync send some states again, in one transaction.

        Args:
            sync: name of the engagement return.
            rows: AGREED_SCHEMA.
            told: None for nothing to send again.

        Raises:
            TransientError, CaspioSyncError: as every method of the ledger.
        """
        times = pl.col("at", "news").dt.epoch("us").cast(pl.Int64)
        stored = rows.select(SOURCE_PK, "scope", "state", times, "key_hash")
        with self.writing("write down what was agreed", fenced=True) as connection:
            upsert(
                connection, tables.agreed, stored, constants={"sync": sync}, update=("state", "at", "news", "key_hash")
            )
            if told is None:
                return
            again = list(_again(_sent(connection, told.sync, told.tell[SOURCE_PK]), told))
            if again:
                connection.exec_driver_sql(placeholders(connection.dialect, _AGAIN), again)
                # A run that reads everything is to meet these rows.
                connection.execute(sa.delete(schema.sweep).where(schema.sweep.c.sync == told.sync))


def _sent(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.DataFrame:
    statement = f"SELECT {', '.join(_SENT)} FROM row WHERE sync = ? AND holds = 1 AND sent_fp IS NOT NULL AND source_pk"
    return select_among(connection, statement, (sync,), source_pks, _SENT)


def _again(known: pl.DataFrame, told: Told) -> Iterator[tuple[object, ...]]:
    """Parameters of `_AGAIN`: the rows without the fingerprints of the attributes that are to be sent again."""
    for (version,), rows in known.partition_by("sent_mapping_version", as_dict=True).items():
        layout = told.layouts.get(int(str(version)), ())
        packed, forgotten = rows["sent_fields"], np.ones(rows.height, dtype=np.bool_)
        if layout and not packed.null_count():
            prints = fp.unpack(packed, layout, layout)
            forgotten[:] = False
            for place, name in enumerate(layout):
                one = _forgotten(rows, prints[:, place], name, told)
                prints[one, place] = fp.NEVER_SENT
                forgotten |= one
            packed = fp.pack(prints)
        left = rows.with_columns(packed.alias("sent_fields")).filter(pl.Series(forgotten))
        for source_pk, sent_fp, fields in left.select(SOURCE_PK, "sent_fp", "sent_fields").iter_rows():
            yield NO_VERSION, fields, Verdict.DRIFTED.value, told.sync, source_pk, sent_fp


def _forgotten(rows: pl.DataFrame, prints: npt.NDArray[np.uint64], attribute: str, told: Told) -> npt.NDArray[np.bool_]:
    """Which rows are to send the attribute again."""
    asked = told.tell.filter(pl.col("attribute") == attribute).select(SOURCE_PK, "unless", asked=pl.lit(value=True))
    found = rows.select(SOURCE_PK).join(asked, on=SOURCE_PK, how="left", maintain_order="left")
    held = np.zeros(rows.height, dtype=np.bool_)
    for state in asked["unless"].drop_nulls().unique():
        same = (found["unless"] == state).fill_null(value=False).to_numpy()
        held |= same & (prints == np.uint64(fp.state_fingerprint(state, told.salt)))
    return found["asked"].fill_null(value=False).to_numpy() & ~held
