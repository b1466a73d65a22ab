"""What is written down of a read while it is under way, so that another run can go on from it.

The runs of a backfill hold a lease on their range alone, so that several may be under way; what a run knows of its own
batches, another one has to find in the ledger.
"""

import polars as pl

from caspio_sync.engine.prepared import sweep_digest
from caspio_sync.engine.run import SyncRun
from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.schemas import KEY, SOURCE_PK


async def begin_reading(run: SyncRun) -> None:
    """Before the first batch: from here on, the next run can go on from this one, where it reads all, or a shard.

    A baseline is none to go on from: it leaves what changed to the next run.
    """
    ledger, selection = run.ledger, run.selection
    began_at, after, shard = run.reading.began_at, selection.goes_on_from, selection.shard
    if selection.mode == "sweep" and not run.options.baseline and began_at is not None:
        await ledger.do(
            ledger.ledger.begin_sweep,
            run.name,
            run=run.id,
            digest=sweep_digest(run.prepared),
            began_at=began_at,
            after_pk=after.high_pk if after else None,
        )
    if shard is not None and run.options.pk_range is not None:
        await ledger.do(
            ledger.ledger.begin_shard,
            run.name,
            digest=shard.digest,
            pk_range=run.options.pk_range,
            run=run.id,
            after_pk=shard.after_pk,
        )


async def end_shard(run: SyncRun) -> None:
    """Every row of the range has its verdict; where an answer was lost that is to be repeated, it is read again."""
    shard, pk_range = run.selection.shard, run.options.pk_range
    lost = run.sink.repeats and run.report.verdicts.get("unknown")
    if shard is not None and pk_range is not None and not lost:
        await run.ledger.do(run.ledger.ledger.end_shard, run.name, digest=shard.digest, pk_range=pk_range)


async def claim_before_others(run: SyncRun, batch: int, changes: pl.DataFrame) -> pl.DataFrame:
    """Claim the batch's new keys in the ledger; key_hash and source_pk of rows that others claimed first."""
    keys = changes.filter(pl.col("_op") == "new", pl.col(KEY).is_not_null(), KEY_UNIQUE).select("key_hash", SOURCE_PK)
    keys = keys.unique("key_hash", keep="first", maintain_order=True)
    return await run.ledger.do(run.ledger.ledger.claim_keys, run.name, keys, run=run.id, batch=batch)


async def release_claims(run: SyncRun, batch: int) -> None:
    """The batch is recorded: its rows tell their keys."""
    if run.options.pk_range is not None:
        await run.ledger.do(run.ledger.ledger.release_keys, run=run.id, batch=batch)
