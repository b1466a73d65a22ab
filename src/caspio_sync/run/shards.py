"""A range of a backfill as one run claims its keys in the ledger before it sends.

The runs of a backfill hold a lease on their range alone, so that several may be under way; what a run knows of its own
batches, another one has to find in the ledger.
"""

import polars as pl

from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.run.context import SyncRun
from caspio_sync.schemas import KEY, SOURCE_PK


async def claim_before_others(run: SyncRun, batch: int, changes: pl.DataFrame) -> pl.DataFrame:
    """Claim the batch's new keys in the ledger; key_hash and source_pk of rows that others claimed first."""
    keys = changes.filter(pl.col("_op") == "new", pl.col(KEY).is_not_null(), KEY_UNIQUE).select("key_hash", SOURCE_PK)
    keys = keys.unique("key_hash", keep="first", maintain_order=True)
    return await run.ledger.do(run.ledger.ledger.claim_keys, run.name, keys, run=run.id, batch=batch)


async def release_claims(run: SyncRun, batch: int) -> None:
    """The batch is recorded: its rows tell their keys."""
    if run.options.pk_range is not None:
        await run.ledger.do(run.ledger.ledger.release_keys, run=run.id, batch=batch)
