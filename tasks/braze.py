"""Sending to Braze under Prefect."""

import polars as pl
from prefect import task

from caspio_sync.delivery.outcomes import Outstanding
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run import steps
from caspio_sync.run.context import SyncRun
from tasks.options import FRAMES, REPEATED, without_values


@task(name="send opt-outs", **REPEATED)
@without_values
async def send_opt_outs(run: SyncRun, batch: SourceBatch, rows: pl.DataFrame) -> pl.DataFrame:
    """What became more restrictive, alone and ahead of everything else of these users."""
    return await steps.send_opt_outs(run, batch.number, rows)


@task(name="encode", **FRAMES)
@without_values
async def encode(run: SyncRun, batch: SourceBatch, accepted: pl.DataFrame, opt_outs: pl.DataFrame) -> steps.Ready:
    """The accepted rows as requests, each cut to the fields that travel."""
    return await steps.encode_batch(run, batch.number, accepted, opt_outs)


@task(name="send", **REPEATED)
@without_values
async def send(run: SyncRun, batch: SourceBatch, ready: steps.Ready) -> Outstanding:
    """The requests, many in flight; a repeated call starts at the ledger."""
    return await steps.send_batch(run, batch.number, ready)
