"""What is written down of a read while it is under way, so that another run can go on from it."""

from caspio_sync.run.context import SyncRun
from caspio_sync.run.prepared import sweep_digest


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
    """Every row of the range has its verdict, unless an answer was lost: then it is to be read again."""
    shard, pk_range = run.selection.shard, run.options.pk_range
    if shard is not None and pk_range is not None and not run.report.verdicts.get("unknown"):
        await run.ledger.do(run.ledger.ledger.end_shard, run.name, digest=shard.digest, pk_range=pk_range)
