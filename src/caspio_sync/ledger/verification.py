"""What verification reads of the ledger, how far it came, and the fingerprints it clears."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import placeholders, select_among, select_frame
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.rows import of_keys
from caspio_sync.ledger.schema import SENT_SCHEMA, VERIFIED
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

BASELINE = "baseline"  # reason of a row that was recorded as sent without being sent

# A row whose last answer was lost holds the one version or the other: there is nothing to hold it to.
_IS_SENT = "holds = 1 AND sent_fp IS NOT NULL AND (verdict IS NULL OR verdict <> 'unknown')"
_SENT = f"FROM row WHERE sync = ? AND {_IS_SENT}"
_BEARER_SCHEMA = {
    SOURCE_PK: pl.Int64(),
    KEY: pl.String(),
    "verdict": pl.String(),
    "seen_at": pl.Int64(),
    "sent": pl.Int64(),
}
_SENT_AT = f"CASE WHEN reason = '{BASELINE}' THEN NULL ELSE sent_at END"
_CLEAR = (
    "UPDATE row SET sent_fp = ?, sent_fields = ?, sent_mapping_version = ?, verdict = ?, run = ?, request = NULL, "
    "seen_at = ? "
    "WHERE sync = ? AND source_pk = ? AND sent_fp = ?"
)


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the last verification of a sync came.

    Args:
        sync: name of the sync.
        started_at: when it began; names the verification, and seeds the drawing of its sample.
        ended_at: None where it was not finished.
        sample: rows asked for; None for all.
        done_pk: every row up to this PK_ID has been looked at.
        counts: its report so far, as JSON has it.
        page_cursor: of one that reads a catalog page by page: the next page; None for the first, ALL_READ after the
            last.
        seen: of such a one: the rows whose items have been on a page (see pk_sets.py); None where rows are looked at
            by `done_pk` alone.
    """

    sync: str
    started_at: datetime
    ended_at: datetime | None
    sample: int | None
    done_pk: int
    counts: Mapping[str, Any]
    page_cursor: str | None = None
    seen: bytes | None = None


ALL_READ = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification came; the names are those of `Verification`, None for what stays as it was."""

    done_pk: int | None = None
    page_cursor: str | None = None
    seen: bytes | None = None


class Verifications(LedgerConnection):
    """Reading what was sent, and taking back that it was."""

    def sent_pks(self, sync: str) -> pl.Series:
        """`source_pk` of every row of which a version was acknowledged, sorted."""
        with self.reading("list what was sent") as connection:
            statement = f"SELECT source_pk {_SENT} ORDER BY source_pk"
            return select_frame(connection, statement, (sync,), {SOURCE_PK: pl.Int64()})[SOURCE_PK]

    def sent_rows(self, sync: str, source_pks: pl.Series) -> pl.DataFrame:
        """SENT_SCHEMA of those of these rows of which a version was acknowledged, sorted by `source_pk`."""
        columns = ", ".join(name for name in SENT_SCHEMA if name != "sent_at")
        statement = f"SELECT {columns}, {_SENT_AT} {_SENT} AND source_pk"
        with self.reading("read what was sent") as connection:
            return select_among(connection, statement, (sync,), source_pks, dict(SENT_SCHEMA)).sort(SOURCE_PK)

    def bearers(self, sync: str, key_hashes: pl.Series) -> pl.DataFrame:
        """Every row that bears one of these keys, deleted ones too: source_pk, key, verdict, seen_at, and `sent`.

        Args:
            sync: name of the sync.
            key_hashes: signed; two keys may share a hash.

        Returns:
            `sent` is true where `sent_rows` gives the row; `seen_at` is in microseconds since 1970.
        """
        columns = f"source_pk, key, verdict, seen_at, CASE WHEN {_IS_SENT} THEN 1 ELSE 0 END"
        with self.reading("look up keys") as connection:
            return of_keys(connection, sync, columns, key_hashes, _BEARER_SCHEMA).with_columns(pl.col("sent") == 1)

    def verification(self, sync: str) -> Verification | None:
        """The last verification of a sync, finished or not; None where there was none."""
        with self.reading("read the verification") as connection:
            chosen = sa.select(schema.verification).where(schema.verification.c.sync == sync)
            found = connection.execute(chosen).first()
        return None if found is None else Verification(**found._mapping)  # noqa: SLF001 - public name

    def start_verification(self, sync: str, *, sample: int | None, by_pages: bool = False) -> Verification:
        """Begin anew; how far the one before came is forgotten."""
        # The clock's microseconds are what the ledger keeps.
        begun = Verification(sync, self.now(), None, sample, _BEFORE_ALL, {}, seen=b"" if by_pages else None)
        table = schema.verification
        with self.writing("begin the verification") as connection:
            connection.execute(sa.delete(table).where(table.c.sync == sync))
            connection.execute(
                sa.insert(table).values(
                    sync=sync,
                    started_at=begun.started_at,
                    sample=sample,
                    done_pk=begun.done_pk,
                    counts={},
                    seen=begun.seen,
                )
            )
        return begun

    def record_verified(
        self,
        sync: str,
        *,
        name: str,
        number: int,
        progress: Progress,
        counts: Mapping[str, Any],
        drifted: pl.DataFrame,
        mapping_version: int,
    ) -> None:
        """Write down how far it came, and take back what is not held there, in one transaction.

        Args:
            sync: name of the sync.
            name: of the verification, as it stands in the history.
            number: of the stretch, from 1.
            progress: how far it came.
            counts: the report so far.
            drifted: source_pk, reason, changed (bit mask of what differs), and clears (whether something is to be sent
                again) with found_fp (`sent_fp` when the row was compared: one that was sent again since is left alone),
                left_fp and left_fields: `sent_fp` and `sent_fields` from now on, both null where nothing is
                there. Such a row is read again by the next run, changed in Caspio or not.
            mapping_version: layout of `changed` and `left_fields`.
        """
        table, now = schema.verification, self.now()
        at = microseconds(now)
        cleared = drifted.filter("clears").select(
            "left_fp",
            "left_fields",
            pl.lit(mapping_version).alias("mapping_version"),
            pl.lit(Verdict.DRIFTED.value).alias("verdict"),
            pl.lit(name).alias("run"),
            pl.lit(at).alias("at"),
            pl.lit(sync).alias("sync"),
            SOURCE_PK,
            "found_fp",
        )
        with self.writing("record the verification") as connection:
            if not cleared.is_empty():
                connection.exec_driver_sql(placeholders(connection.dialect, _CLEAR), cleared.rows())
                # A run that reads everything is to meet these rows.
                connection.execute(sa.delete(schema.sweep).where(schema.sweep.c.sync == sync))
            if not drifted.is_empty():
                empty = pl.lit(None, dtype=pl.Int64)
                told = drifted.sort(SOURCE_PK).with_columns(
                    pl.lit(VERIFIED).alias("part"),
                    pl.lit(Verdict.DRIFTED.value).alias("verdict"),
                    pl.lit(mapping_version, dtype=pl.Int64).alias("mapping_version"),
                    empty.alias("request"),
                    empty.alias("status"),
                )
                history.append(connection, told, sync=sync, run=name, batch=number, at=at)
            moved = {word: value for word, value in asdict(progress).items() if value is not None}
            connection.execute(sa.update(table).where(table.c.sync == sync).values(counts=dict(counts), **moved))

    def end_verification(self, sync: str, counts: Mapping[str, Any]) -> None:
        """Everything has been looked at."""
        table = schema.verification
        with self.writing("end the verification") as connection:
            connection.execute(
                sa.update(table).where(table.c.sync == sync).values(ended_at=self.now(), counts=dict(counts))
            )


_BEFORE_ALL = -(2**63)
