"""Whole reads that did not come to their end, and how far they came without a hole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.run_record import DIED, OPEN, RECORDED
from caspio_sync.ledger.runs import put


@dataclass(frozen=True, slots=True)
class InterruptedSweep:
    """A whole read of a source that was killed or failed.

    Args:
        run: the run that ended in it.
        state: how: `killed`, `failed`.
        began_at: when the first run of the chain began to read, by the source's clock.
        alive_at: when its last batch was opened or closed.
        high_pk: every row up to here was read since `began_at`, and has its verdict.
        doubtful: whether a batch was left open below `high_pk`: of rows that were read there a second time.
    """

    run: str
    state: str
    began_at: datetime
    alive_at: datetime
    high_pk: int
    doubtful: bool


class Sweeps(LedgerConnection):
    """The whole read of each sync that is under way, or was interrupted; one at the most."""

    def begin_sweep(self, sync: str, *, run: str, digest: str, began_at: datetime, after_pk: int | None) -> None:
        """Write down that a run reads everything, before its first batch.

        Args:
            sync: name of the sync.
            run: the run.
            digest: of what it reads, and of what it judges rows under.
            began_at: when this read began, by the source's clock; of one that goes on, the interrupted one's.
            after_pk: everything up to here was read by the runs it goes on from; None where it begins anew.
        """
        values = {"run": run, "digest": digest, "began_at": began_at, "after_pk": after_pk}
        with self.writing("begin a sweep", fenced=True) as connection:
            put(connection, schema.sweep, sync, values)

    def forget_sweep(self, sync: str) -> None:
        """No run goes on from an earlier one: it came to its end, or something else was read or sent after it."""
        with self.writing("forget a sweep", fenced=True) as connection:
            connection.execute(sa.delete(schema.sweep).where(schema.sweep.c.sync == sync))

    def interrupted_sweep(self, sync: str, *, digest: str) -> InterruptedSweep | None:
        """The sweep to go on from, where the run that began it was killed or has failed.

        Its batches count as long as they are recorded and numbered from 1 without a hole, each above the one before:
        what it read a second time, further down, comes last.

        Args:
            sync: name of the sync.
            digest: of what is to be read; another one has to begin anew.

        Returns:
            None where there is none, or where it has no batch recorded.
        """
        sweep, run = schema.sweep.c, schema.run.c
        begun = (
            sa.select(sweep.run, sweep.began_at, sweep.after_pk, run.state, run.started_at)
            .join_from(schema.sweep, schema.run, sweep.run == run.id)
            .where(sweep.sync == sync, sweep.digest == digest, run.state.in_(DIED))
        )
        with self.reading("look for an interrupted sweep") as connection:
            found = connection.execute(begun).one_or_none()
            if found is None:
                return None
            batches = batches_of(connection, found.run)
        high = unbroken(batches, found.after_pk)
        if high is None:
            return None
        return InterruptedSweep(
            run=found.run,
            state=found.state,
            began_at=found.began_at,
            alive_at=max((each.at for each in batches), default=found.started_at),
            high_pk=high,
            doubtful=any(each.state == OPEN and each.low_pk <= high for each in batches),
        )


def batches_of(connection: sa.Connection, run: str) -> Sequence[Any]:
    """number, state, low_pk, high_pk and at of a run's batches, by number."""
    batch = schema.batch.c
    chosen = sa.select(batch.number, batch.state, batch.low_pk, batch.high_pk, batch.at).where(batch.run == run)
    return connection.execute(chosen.order_by(batch.number)).all()


def unbroken(batches: Sequence[Any], after_pk: int | None) -> int | None:
    """The last key up to which a run has recorded everything, from `after_pk` on; `batches` as `batches_of` gives."""
    high = after_pk
    for place, each in enumerate(batches, start=1):
        if each.number != place or each.state != RECORDED or (high is not None and each.low_pk <= high):
            break
        high = each.high_pk
    return high
