"""What the ledger can tell a person: a row's story, what is held back, and how a sync stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.schema import HELD_SCHEMA
from caspio_sync.schemas import Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part of a row in one run.

    Args:
        run: id of the run.
        part: "profile" or "consent".
        at: when it was recorded.
        batch: number of the batch within the run.
        request: number of the request within the run, None where none was made.
        verdict: see `Verdict`.
        reason: why, where it was not sent.
        status: HTTP status of the answer.
        changed: bit mask over the fields of `mapping_version`: those that travelled, or would have.
        mapping_version: see `Ledger.mapping_fields`.
    """

    run: str
    part: str
    at: datetime
    batch: int
    request: int | None
    verdict: str
    reason: str | None
    status: int | None
    changed: bytes | None
    mapping_version: int


@dataclass(frozen=True, slots=True)
class RowStory:
    """A row as the ledger knows it.

    Args:
        sync: name of the sync.
        source_pk: Caspio's PK_ID.
        key: the identity it was last seen with.
        holds: whether a version with this key was acknowledged.
        sent_at: when a profile was last acknowledged, None where never.
        seen_at: when a differing version was last seen.
        up_to_date: whether what was seen last is what was acknowledged.
        verdict: of the version seen last; None where nothing but an opt-out was recorded.
        reason: why, where it was not sent.
        request: number of the request within `run`.
        run: id of the run that gave the verdict.
        suite_version: of the verdict.
        mapping_version: of the verdict.
        outcomes: newest first.
        rivals: `source_pk` of other rows that bear the same key.
    """

    sync: str
    source_pk: int
    key: str | None
    holds: bool
    sent_at: datetime | None
    seen_at: datetime | None
    up_to_date: bool
    verdict: str | None
    reason: str | None
    request: int | None
    run: str | None
    suite_version: int
    mapping_version: int
    outcomes: tuple[Outcome, ...]
    rivals: tuple[int, ...]


class Stories(LedgerConnection):
    """Reading for people; scans are allowed here."""

    def story(
        self, sync: str, key: str, *, key_hash: int | None = None, source_pk: int | None = None
    ) -> RowStory | None:
        """Everything known of the row with this key; None where there is none.

        Args:
            sync: name of the sync.
            key: the identity, as it was recorded.
            key_hash: its hash, signed; with it the index is used, and a key that differs in what the hash ignores is
                found as well. Without it every row of the sync is looked at.
            source_pk: which one of those that bear the key is meant; None: the one that owns it.
        """
        rows = schema.row.c
        same = rows.key == key if key_hash is None else rows.key_hash == key_hash
        claimants = (
            sa.select(schema.row)
            .where(rows.sync == sync, same)
            .order_by(
                sa.case((rows.source_pk == source_pk, 0), else_=1),
                rows.holds.desc(),
                sa.case((rows.key == key, 0), else_=1),
                rows.source_pk,
            )
        )
        with self.reading("read a row's story") as connection:
            found = connection.execute(claimants).all()
            if not found or source_pk not in {None, found[0].source_pk}:
                return None
            first, *rivals = found
            told = history.of_row(connection, sync, first.source_pk)
        return RowStory(
            sync=sync,
            source_pk=first.source_pk,
            key=first.key,
            holds=bool(first.holds),
            sent_at=first.sent_at,
            seen_at=first.seen_at,
            up_to_date=first.sent_fp is not None and first.sent_fp == first.seen_fp,
            verdict=first.verdict,
            reason=first.reason,
            request=first.request,
            run=first.run,
            suite_version=first.suite_version,
            mapping_version=first.mapping_version,
            outcomes=tuple(Outcome(**{name: each[name] for name in Outcome.__slots__}) for each in told),
            rivals=tuple(rival.source_pk for rival in rivals),
        )

    def quarantine(
        self, sync: str, verdicts: Sequence[str] = (Verdict.QUARANTINED,), *, limit: int = 100
    ) -> pl.DataFrame:
        """Rows whose last verdict is one of these, seen last first.

        Returns:
            HELD_SCHEMA.
        """
        rows = schema.row.c
        chosen = (
            sa.select(*[rows[name] for name in HELD_SCHEMA])
            .where(rows.sync == sync, rows.verdict.in_([str(verdict) for verdict in verdicts]))
            .order_by(rows.seen_at.desc(), rows.source_pk)
            .limit(limit)
        )
        with self.reading("list the quarantine") as connection:
            found = [tuple(held) for held in connection.execute(chosen)]
        return pl.DataFrame(found, schema=HELD_SCHEMA, orient="row")

    def verdict_counts(self, sync: str) -> dict[str, int]:
        """Rows by their last verdict; a row without one is not counted."""
        rows = schema.row.c
        counted = (
            sa.select(rows.verdict, sa.func.count())
            .where(rows.sync == sync, rows.verdict.is_not(None))
            .group_by(rows.verdict)
            .order_by(rows.verdict)
        )
        with self.reading("count verdicts") as connection:
            return {verdict: count for verdict, count in connection.execute(counted)}  # noqa: C416 - rows, not pairs, to mypy

    def newest_delivered(self, sync: str) -> datetime | None:
        """When a profile of this sync was last acknowledged; None where never."""
        rows = schema.row.c
        with self.reading("read the newest delivery") as connection:
            newest = connection.execute(sa.select(sa.func.max(rows.sent_at)).where(rows.sync == sync)).scalar()
        return newest if isinstance(newest, datetime) else None
