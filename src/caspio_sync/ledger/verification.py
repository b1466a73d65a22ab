"""What verification reads of the ledger, how far it came, and the fingerprints it clears."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import integer_lists, placeholders, select_frame
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.schema import SENT_SCHEMA, VERIFIED, microseconds
from caspio_sync.schemas import SOURCE_PK

BASELINE = "baseline"  # reason of a row that was recorded as sent without being sent
DRIFTED = "drifted"  # what the history says of a row that Braze does not hold as it was sent

# A row whose last answer was lost holds the one version or the other: there is nothing to hold Braze to.
_SENT = "FROM row WHERE sync = ? AND holds = 1 AND sent_fp IS NOT NULL AND (verdict IS NULL OR verdict <> 'unknown')"
_SENT_AT = f"CASE WHEN reason = '{BASELINE}' THEN NULL ELSE sent_at END"
_CLEAR = (
    "UPDATE row SET sent_fp = ?, sent_fields = ?, sent_mapping_version = ? "
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
    """

    sync: str
    started_at: datetime
    ended_at: datetime | None
    sample: int | None
    done_pk: int
    counts: Mapping[str, Any]


class Verifications(LedgerConnection):
    """Reading what was sent, and taking back that it was."""

    def sent_pks(self, sync: str) -> pl.Series:
        """`source_pk` of every row of which a version was acknowledged, sorted."""
        with self._read("list what was sent") as connection:
            statement = f"SELECT source_pk {_SENT} ORDER BY source_pk"
            return select_frame(connection, statement, (sync,), {SOURCE_PK: pl.Int64()})[SOURCE_PK]

    def sent_rows(self, sync: str, source_pks: pl.Series) -> pl.DataFrame:
        """SENT_SCHEMA of those of these rows of which a version was acknowledged, sorted by `source_pk`."""
        columns = ", ".join(name for name in SENT_SCHEMA if name != "sent_at")
        frames = [pl.DataFrame(schema=SENT_SCHEMA)]
        with self._read("read what was sent") as connection:
            for numbers in integer_lists(source_pks):
                statement = f"SELECT {columns}, {_SENT_AT} {_SENT} AND source_pk IN ({numbers})"
                frames.append(select_frame(connection, statement, (sync,), dict(SENT_SCHEMA)))
        return pl.concat(frames).sort(SOURCE_PK)

    def verification(self, sync: str) -> Verification | None:
        """The last verification of a sync, finished or not; None where there was none."""
        with self._read("read the verification") as connection:
            chosen = sa.select(schema.verification).where(schema.verification.c.sync == sync)
            found = connection.execute(chosen).first()
        return None if found is None else Verification(**found._mapping)  # noqa: SLF001 - public name

    def start_verification(self, sync: str, *, sample: int | None) -> Verification:
        """Begin anew; how far the one before came is forgotten."""
        # The clock's microseconds are what the ledger keeps.
        begun = Verification(sync, self._clock.now(), None, sample, _BEFORE_ALL, {})
        table = schema.verification
        with self._write("begin the verification") as connection:
            connection.execute(sa.delete(table).where(table.c.sync == sync))
            connection.execute(
                sa.insert(table).values(
                    sync=sync, started_at=begun.started_at, sample=sample, done_pk=begun.done_pk, counts={}
                )
            )
        return begun

    def record_verified(
        self,
        sync: str,
        *,
        name: str,
        number: int,
        done_pk: int,
        counts: Mapping[str, Any],
        drifted: pl.DataFrame,
        mapping_version: int,
    ) -> None:
        """Write down how far it came, and take back what Braze does not hold, in one transaction.

        Args:
            sync: name of the sync.
            name: of the verification, as it stands in the history.
            number: of the stretch, from 1.
            done_pk: every row up to here has been looked at.
            counts: the report so far.
            drifted: source_pk, reason, changed (bit mask of what differs), and clears (whether something is to be sent
                again) with found_fp (`sent_fp` when the row was compared: one that was sent again since is left alone),
                left_fp and left_fields: `sent_fp` and `sent_fields` from now on, both null for a profile that is gone.
            mapping_version: layout of `changed` and `left_fields`.
        """
        table, now = schema.verification, self._clock.now()
        at = microseconds(now)
        cleared = drifted.filter("clears").select(
            "left_fp",
            "left_fields",
            pl.lit(mapping_version).alias("mapping_version"),
            pl.lit(sync).alias("sync"),
            SOURCE_PK,
            "found_fp",
        )
        with self._write("record the verification") as connection:
            if not cleared.is_empty():
                connection.exec_driver_sql(placeholders(connection.dialect, _CLEAR), cleared.rows())
                # A run that reads everything is to meet these rows.
                connection.execute(sa.delete(schema.sweep).where(schema.sweep.c.sync == sync))
            if not drifted.is_empty():
                empty = pl.lit(None, dtype=pl.Int64)
                told = drifted.sort(SOURCE_PK).with_columns(
                    pl.lit(VERIFIED).alias("part"),
                    pl.lit(DRIFTED).alias("verdict"),
                    pl.lit(mapping_version, dtype=pl.Int64).alias("mapping_version"),
                    empty.alias("request"),
                    empty.alias("status"),
                )
                history.append(connection, told, sync=sync, run=name, batch=number, at=at)
            connection.execute(
                sa.update(table).where(table.c.sync == sync).values(done_pk=done_pk, counts=dict(counts))
            )

    def end_verification(self, sync: str, counts: Mapping[str, Any]) -> None:
        """Everything has been looked at."""
        table = schema.verification
        with self._write("end the verification") as connection:
            connection.execute(
                sa.update(table).where(table.c.sync == sync).values(ended_at=self._clock.now(), counts=dict(counts))
            )


_BEFORE_ALL = -(2**63)
