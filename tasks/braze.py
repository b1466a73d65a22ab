"""Sending to Braze under Prefect."""

import polars as pl
from prefect import task

from caspio_sync.delivery.outcomes import Outstanding
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run import erasing, sending
from caspio_sync.run.catalogs import catalog_items, vanished
from caspio_sync.run.context import SyncRun
from caspio_sync.run.identifying import identify_new
from tasks.options import REPEATED, without_values


@task(name="erase", **REPEATED)
@without_values
async def erase(run: SyncRun) -> None:
    """Delete whom the sync's `erasure:` names, and block them; a repeated call goes on where the failed one stood."""
    await erasing.erase_named(run)


@task(name="send opt-outs", **REPEATED)
@without_values
async def send_opt_outs(run: SyncRun, batch: SourceBatch, rows: pl.DataFrame) -> pl.DataFrame:
    """What became more restrictive, alone and ahead of everything else of these users."""
    return await sending.send_opt_outs(run, batch.number, rows)


async def identify(run: SyncRun, batch: SourceBatch, accepted: pl.DataFrame) -> pl.DataFrame:
    """The rows to send; where the sync asks for it, new ones first find the profile known by their address alone."""
    if run.profiles.identity.on_new == "identify_by_email":
        return await identify_rows(run, batch, accepted)
    return accepted


@task(name="identify", **REPEATED)
@without_values
async def identify_rows(run: SyncRun, batch: SourceBatch, accepted: pl.DataFrame) -> pl.DataFrame:
    """New rows' ids, given to these profiles; repeating it is harmless."""
    return await identify_new(run, batch.number, accepted)


@task(name="send", **REPEATED)
@without_values
async def send(
    run: SyncRun, batch: SourceBatch, accepted: pl.DataFrame, opt_outs: pl.DataFrame | None = None
) -> Outstanding:
    """The accepted rows, cut to what travels of them; a repeated call starts at the ledger."""
    return await sending.send_batch(run, batch.number, accepted, opt_outs)


@task(name="keep schema", **REPEATED)
@without_values
async def keep_schema(run: SyncRun) -> None:
    """Make the catalog, or the fields it lacks; a repeated call looks first what is there."""
    await catalog_items.keep_schema(run)


@task(name="delete vanished", **REPEATED)
@without_values
async def delete_vanished(run: SyncRun) -> None:
    """Delete the items whose row is gone; a repeated call goes on where the failed one stood."""
    await vanished.delete_vanished(run)
