"""Backfills cut into ranges of keys: what of each is left to read, and which keys are claimed by those under way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import Constant, select_among, upsert
from caspio_sync.ledger.compare import NO_ROWS
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.run_record import DIED, RUNNING
from caspio_sync.ledger.sweeps import batches_of, unbroken
from caspio_sync.schemas import SOURCE_PK

_CLAIMED = {"key_hash": pl.Int64(), SOURCE_PK: pl.Int64()}


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of a backfill: first and last key, both included, and about how many rows it holds."""

    low_pk: int
    high_pk: int
    rows: int


@dataclass(frozen=True, slots=True)
class ShardRest:
    """What is left of a shard.

    Args:
        digest: of what the backfill reads, and of what it judges rows under.
        after_pk: everything up to here was recorded by the runs that died in it; None where it begins anew.
        resent: `source_pk` of rows above that which those runs sent again with success: where everything is to be sent
            again, this is what tells them from the others.
        notes: for the report.
    """

    digest: str
    after_pk: int | None = None
    resent: pl.Series = field(default_factory=lambda: NO_ROWS)
    notes: tuple[str, ...] = ()


class Shards(LedgerConnection):
    """The shards of backfills that are not done, and the keys claimed by those under way."""

    def left_shards(self, sync: str, *, digest: str, asked: str, since: datetime) -> list[Shard]:
        """What an earlier attempt at the same backfill left to do, by key; nothing where there was none since then.

        Args:
            sync: name of the sync.
            digest: of what is read, and of what it is judged under.
            asked: the range that was asked for.
            since: no attempt that began earlier counts.
        """
        shard = schema.shard.c
        left = sa.select(shard.low_pk, shard.high_pk, shard.rows).where(
            shard.sync == sync, shard.digest == digest, shard.asked == asked, shard.at >= since
        )
        with self.reading("look for a backfill") as connection:
            return [Shard(*each) for each in connection.execute(left.order_by(shard.low_pk))]

    def plan_shards(self, sync: str, shards: Sequence[Shard], *, digest: str, asked: str, before: datetime) -> None:
        """Write down what a backfill has to do; whatever was planned `before` is forgotten, and what is the same."""
        shard = schema.shard.c
        same = sa.and_(shard.digest == digest, shard.asked == asked)
        values = [
            {
                "sync": sync,
                "digest": digest,
                "asked": asked,
                "low_pk": each.low_pk,
                "high_pk": each.high_pk,
                "rows": each.rows,
                "at": self.now(),
            }
            for each in shards
        ]
        with self.writing("plan a backfill") as connection:
            connection.execute(sa.delete(schema.shard).where(shard.sync == sync, sa.or_(same, shard.at < before)))
            connection.execute(sa.insert(schema.shard), values)

    def begin_shard(self, sync: str, *, digest: str, pk_range: tuple[int, int], run: str, after_pk: int | None) -> None:
        """Write down, before its first batch, which run reads a planned shard, and after which key."""
        with self.writing("begin a shard", fenced=True) as connection:
            connection.execute(
                sa.update(schema.shard).where(*_one(sync, digest, pk_range)).values(run=run, after_pk=after_pk)
            )

    def interrupted_shard(self, sync: str, *, digest: str, pk_range: tuple[int, int]) -> tuple[str, str, int] | None:
        """The run that died in a shard, how (one of `DIED`), and up to which key it had recorded everything.

        Returns:
            None where nobody died in it, or with nothing recorded.
        """
        shard, run = schema.shard.c, schema.run.c
        begun = (
            sa.select(run.id, run.state, shard.after_pk)
            .join_from(schema.shard, schema.run, shard.run == run.id)
            .where(*_one(sync, digest, pk_range), run.state.in_(DIED))
            .order_by(run.started_at.desc())
        )
        with self.reading("look for an interrupted shard") as connection:
            found = connection.execute(begun).first()
            if found is None:
                return None
            high = unbroken(batches_of(connection, found.id), found.after_pk)
        return None if high is None else (found.id, found.state, high)

    def sent_in_shard(self, sync: str, *, digest: str, pk_range: tuple[int, int], after_pk: int) -> pl.Series:
        """`source_pk` of the rows above a key that were acknowledged to runs which died in this shard."""
        shard, run = schema.shard.c, schema.run.c
        died = sa.select(run.id).join_from(
            schema.run,
            schema.shard,
            sa.and_(
                run.sync == shard.sync,
                run.low_pk == shard.low_pk,
                run.high_pk == shard.high_pk,
                run.started_at >= shard.at,
                run.state.in_(DIED),
            ),
        )
        with self.reading("look for what a shard has sent") as connection:
            return history.acknowledged(connection, sync, died.where(*_one(sync, digest, pk_range)), after_pk)

    def end_shard(self, sync: str, *, digest: str, pk_range: tuple[int, int]) -> None:
        """A shard has come to its end; nothing of it is left."""
        with self.writing("end a shard", fenced=True) as connection:
            connection.execute(sa.delete(schema.shard).where(*_one(sync, digest, pk_range)))

    def claim_keys(self, sync: str, keys: pl.DataFrame, *, run: str, batch: int) -> pl.DataFrame:
        """Claim keys before their rows are sent: two runs that hold disjoint ranges would not see each other's.

        Args:
            sync: name of the sync.
            keys: key_hash and source_pk, each key once.
            run: who claims them.
            batch: in which batch; its claims end with it.

        Returns:
            key_hash and source_pk of other rows that were claimed first, by a run that is still under way.
        """
        claim, runs = schema.claim.c, schema.run.c
        alive = sa.select(runs.id).where(runs.sync == sync, runs.state == RUNNING)
        over = sa.or_(claim.run.not_in(alive), sa.and_(claim.run == run, claim.batch == batch))
        with self.writing("claim keys", fenced=True) as connection:
            connection.execute(sa.delete(schema.claim).where(claim.sync == sync, over))
            constants: dict[str, Constant] = {"sync": sync, "run": run, "batch": batch}
            # Whoever came first stays: of a claim that is there nothing is overwritten but the key, by itself.
            upsert(connection, schema.claim, keys.select(*_CLAIMED), constants=constants, update=["key_hash"])
            statement = "SELECT key_hash, source_pk FROM claim WHERE sync = ? AND key_hash"
            claimed = select_among(connection, statement, (sync,), keys["key_hash"], _CLAIMED)
        return claimed.join(keys, on=["key_hash", SOURCE_PK], how="anti")

    def release_keys(self, *, run: str, batch: int) -> None:
        """A batch is recorded: from now on its rows tell their keys."""
        claim = schema.claim.c
        with self.writing("release keys") as connection:
            connection.execute(sa.delete(schema.claim).where(claim.run == run, claim.batch == batch))


def _one(sync: str, digest: str, pk_range: tuple[int, int]) -> tuple[sa.ColumnElement[bool], ...]:
    shard = schema.shard.c
    return (shard.sync == sync, shard.digest == digest, shard.low_pk == pk_range[0], shard.high_pk == pk_range[1])
