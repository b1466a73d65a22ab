"""Rows that were not sent, and which of them are to be read again although nothing changed in the source."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.duplicate_consent import duplicate_consent
from caspio_sync.ledger.events_schema import LET_GO, journal
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_HELD = (Verdict.QUARANTINED, Verdict.REJECTED, Verdict.BLOCKED)
# Stands for "none of the versions we know": a held row that was asked for and not found. Should it come back, it is
# judged whatever it looks like; until then nobody asks for it again.
NOT_FOUND = bytes(16)
# How the name of a rule of the gate begins that time alone makes true.
WAITS = "waits_"
WAITS_FOR_LINES = f"{WAITS}for_its_lines"  # of an order, until it stayed as it is for long enough
WAITING_ASKED = 200  # a run: a few calls
_PKS_A_STATEMENT = 500

# Written out, for SQLite uses a partial index only where the query holds the index's own condition.
_NOT_SENT = sa.literal_column(f"{schema.row.name}.verdict <> '{Verdict.SENT.value}'", sa.Boolean())
_CLAIMED_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), KEY: pl.String(), "holder": pl.Int64()})


class HeldRows(LedgerConnection):
    """Choosing held rows by what is known of them."""

    def owed(self, sync: str, *, suite: int, mapping: int) -> list[int]:
        """`source_pk` of the rows that a run must look at again, sorted.

        Rows held under another suite or mapping version, rows whose answer was lost, rows that are not held there as
        they were sent, rows that were held for a key which no other row of the ledger bears any more, and rows held for
        a key of which nobody knows what they say of consent: they were read by a former version. Of those held until
        their time comes `WAITING_ASKED`, the longest unjudged first, so that each has its turn; a whole read looks at
        all of them.
        """
        rows, other = schema.row.c, schema.row.alias("other")
        duplicate = sa.and_(rows.verdict == Verdict.QUARANTINED, rows.suite_version == 0)
        older = sa.or_(rows.suite_version != suite, rows.mapping_version != mapping)
        owed = sa.or_(
            sa.and_(rows.verdict.in_((Verdict.UNKNOWN, Verdict.DRIFTED)), ~_in_doubt().exists()),
            sa.and_(rows.verdict.in_(_HELD), rows.suite_version != 0, older),
            sa.and_(duplicate, ~_claimants(other).exists()),
            sa.and_(duplicate, ~_word().exists()),
        )
        waiting = (rows.verdict == Verdict.QUARANTINED, rows.reason.startswith(WAITS, autoescape=True))
        found = self._source_pks(sync, owed, rows.seen_fp != NOT_FOUND)
        longest = (rows.seen_at, rows.source_pk)
        turn = self._source_pks(sync, *waiting, rows.seen_fp != NOT_FOUND, by=longest, limit=WAITING_ASKED)
        return sorted({*found, *turn})

    def held(
        self, sync: str, verdicts: Sequence[str], *, reason: str | None = None, key_hashes: pl.Series | None = None
    ) -> list[int]:
        """`source_pk` of the rows with one of these verdicts, sorted.

        Args:
            sync: name of the sync.
            verdicts: any but "sent".
            reason: text that the reason holds, whatever its case; None for any reason.
            key_hashes: signed hashes of the rows' keys; None for all rows.
        """
        rows = schema.row.c
        chosen: list[sa.ColumnElement[bool]] = [rows.verdict.in_([str(verdict) for verdict in verdicts])]
        if reason is not None:
            chosen.append(rows.reason.icontains(reason, autoescape=True))
        if key_hashes is not None:
            chosen.append(rows.key_hash.in_(key_hashes.drop_nulls().to_list()))
        return self._source_pks(sync, *chosen)

    def claimed_duplicates(self, sync: str, *, limit: int) -> pl.DataFrame:
        """Rows held because another one bears their key: source_pk, key, and that row's source_pk as `holder`."""
        rows, other = schema.row.c, schema.row.alias("other")
        holder = _claimants(other).with_only_columns(sa.func.min(other.c.source_pk)).scalar_subquery()
        chosen = (
            sa.select(rows.source_pk, rows.key, holder)
            .where(
                rows.sync == sync,
                _NOT_SENT,
                rows.verdict == Verdict.QUARANTINED,
                rows.suite_version == 0,
                rows.seen_fp != NOT_FOUND,
            )
            .order_by(rows.source_pk)
            .limit(limit)
        )
        with self.reading("look up duplicate keys") as connection:
            found = [tuple(row) for row in connection.execute(chosen)]
        return pl.DataFrame(found, schema=_CLAIMED_SCHEMA, orient="row").drop_nulls("holder")

    def forget_unfound(self, sync: str, run: str, source_pks: Sequence[int]) -> int:
        """Remember that a run asked for these rows and the source did not give them.

        Args:
            sync: name of the sync.
            run: the run that asked; a row it gave a verdict was found.
            source_pks: the rows it asked for.

        Returns:
            how many were not found.
        """
        rows, count = schema.row.c, 0
        with self.writing("note rows that are gone") as connection:
            for start in range(0, len(source_pks), _PKS_A_STATEMENT):
                chosen = source_pks[start : start + _PKS_A_STATEMENT]
                count += connection.execute(
                    sa.update(schema.row)
                    .where(rows.sync == sync, rows.source_pk.in_(chosen), rows.verdict != Verdict.SENT, rows.run != run)
                    .values(seen_fp=NOT_FOUND)
                ).rowcount
        return count

    def oldest_held(self, sync: str) -> datetime | None:
        """When the oldest row that was set aside, refused or left without an answer was first seen so.

        A row that lacks a required consent is not among them, nor one that is gone from the source.
        """
        rows = schema.row.c
        waiting = (Verdict.QUARANTINED, Verdict.REJECTED, Verdict.UNKNOWN)
        chosen = sa.select(sa.func.min(rows.seen_at)).where(
            rows.sync == sync, _NOT_SENT, rows.verdict.in_(waiting), rows.seen_fp != NOT_FOUND
        )
        with self.reading("look for the oldest held row") as connection:
            oldest = connection.execute(chosen).scalar()
        return oldest if isinstance(oldest, datetime) else None

    def _source_pks(
        self,
        sync: str,
        *conditions: sa.ColumnElement[bool],
        by: Sequence[sa.ColumnElement[Any]] = (schema.row.c.source_pk,),
        limit: int | None = None,
    ) -> list[int]:
        rows = schema.row.c
        held = sa.select(rows.source_pk).where(rows.sync == sync, _NOT_SENT, *conditions)
        chosen = held.order_by(*by).limit(limit)
        with self.reading("choose held rows") as connection:
            return [int(source_pk) for source_pk in connection.execute(chosen).scalars()]


def _in_doubt() -> sa.Select[tuple[int]]:
    """What the journal has of the row as an event that is not to be sent again before somebody has settled it."""
    rows, noted = schema.row.c, journal.c
    same = (noted.sync == rows.sync, noted.source_pk == rows.source_pk, noted.state.not_in(LET_GO))
    return sa.select(noted.source_pk).where(*same).correlate(schema.row)


def _word() -> sa.Select[tuple[int]]:
    """What the row says of consent, as a duplicate."""
    rows, words = schema.row.c, duplicate_consent.c
    same = (words.sync == rows.sync, words.source_pk == rows.source_pk)
    return sa.select(words.source_pk).where(*same).correlate(schema.row)


def _claimants(other: sa.FromClause) -> sa.Select[tuple[int]]:
    """Other rows that bear the row's key and are not themselves held for bearing it."""
    rows = schema.row.c
    held_for_it = sa.and_(other.c.verdict == Verdict.QUARANTINED, other.c.suite_version == 0)
    return (
        sa.select(other.c.source_pk)
        .where(
            other.c.sync == rows.sync,
            other.c.key_hash == rows.key_hash,
            other.c.source_pk != rows.source_pk,
            sa.or_(other.c.verdict.is_(None), ~sa.or_(held_for_it, other.c.verdict == Verdict.DELETED)),
        )
        .correlate(schema.row)
    )
