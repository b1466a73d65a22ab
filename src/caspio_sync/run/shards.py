"""A range of a backfill as one run: it goes on where another died in it, and claims its keys before it sends.

The runs of a backfill hold a lease on their range alone, so that several may be under way; what a run knows of its own
batches, another one has to find in the ledger.
"""

from dataclasses import replace
from hashlib import blake2b

import polars as pl

from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.ledger.shards import ShardRest
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.run.context import SyncRun
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.report import RunOptions
from caspio_sync.run.resuming import how_it_died, sweep_digest
from caspio_sync.schemas import KEY, SOURCE_PK


def backfill_digest(prepared: Prepared, options: RunOptions) -> str:
    """Hash of everything but the range that two attempts at one backfill must have in common."""
    text = f"{sweep_digest(prepared)} {options.since} {options.until} {options.resend}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


async def find_shard(name: str, options: RunOptions, prepared: Prepared, ledger: LedgerThread) -> ShardRest | None:
    """What is left of the range that a run was asked for; None for a run that is no shard of a backfill.

    What changed in its recorded part since then is the schedule's to find: a backfill moves no cursor.
    """
    if options.pk_range is None or options.limit is not None or options.identities or options.release:
        return None
    digest = backfill_digest(prepared, options)
    store, rest = ledger.ledger, ShardRest(digest)
    found = await ledger.do(store.interrupted_shard, name, digest=digest, pk_range=options.pk_range)
    if found is not None:
        run, state, high = found
        how = how_it_died(state)
        rest = replace(rest, after_pk=high, notes=(f"goes on after PK_ID {high:,}, where run {run} {how}",))
    if not options.resend:
        return rest
    recorded = options.pk_range[0] - 1 if rest.after_pk is None else rest.after_pk
    resent = await ledger.do(store.sent_in_shard, name, digest=digest, pk_range=options.pk_range, after_pk=recorded)
    return replace(rest, resent=resent)


async def begin_shard(run: SyncRun) -> None:
    """Before the first batch: from here on, the next run of this range can go on from this one."""
    shard, pk_range = run.shard, run.options.pk_range
    if shard is not None and pk_range is not None:
        await run.ledger.do(
            run.ledger.ledger.begin_shard,
            run.name,
            digest=shard.digest,
            pk_range=pk_range,
            run=run.id,
            after_pk=shard.after_pk,
        )


async def end_shard(run: SyncRun) -> None:
    """Every row of the range has its verdict, unless an answer was lost: then it is to be read again."""
    shard, pk_range = run.shard, run.options.pk_range
    if shard is not None and pk_range is not None and not run.report.verdicts.get("unknown"):
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
