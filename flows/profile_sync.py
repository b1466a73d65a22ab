"""Profile sync: rows of a Caspio table or view to Braze user profiles."""

import asyncio

import polars as pl
from prefect import flow
from pydantic import Field

from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run.context import SyncRun
from caspio_sync.run.duplicate_consent import read_owners_again, settle_words
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.braze import erase, identify, send, send_opt_outs
from tasks.caspio import extract
from tasks.ending import run_name, with_named_end
from tasks.ledger import block, compare, record, record_baseline
from tasks.orchestration import opened_run, together
from tasks.quality import judge, map_rows, staying
from tasks.verification import verify_sample


class ProfileSyncParameters(RunOptions):
    """What to sync; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="customers", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="profile-sync",
    description="Caspio rows that are new or changed, as Braze user profiles.",
)
@with_named_end
async def profile_sync(parameters: ProfileSyncParameters) -> RunReport:
    """Caspio ─▶ extract ─▶ map ─▶ compare ─▶ gate ─▶ send ─▶ record, batch by batch, each stage at its own batch."""
    async with opened_run(parameters.sync, parameters) as run:
        await erase(run)
        await move_all(run)
        if await read_owners_again(run):  # of whom another row says "no"
            await move_all(run)
            await settle_words(run)
    await verify_sample(run)
    return run.report


async def move_all(run: SyncRun) -> None:
    """Take every batch there is on its way, and wait until all are recorded."""
    async with together() as batches:
        async for batch in extract(run):
            batches.create_task(move(run, batch))


async def move(run: SyncRun, batch: SourceBatch) -> None:
    """Take one batch from Caspio's columns to the ledger, while the next one is in the stages before."""
    async with run.on_its_way(batch):
        async with run.turn("compare"):
            mapped = await map_rows(run, batch)
            compared = await compare(run, batch, mapped)
        known = pl.col("_op") == "changed"
        async with run.turn("gate"):
            if run.blocked:  # by an earlier batch: nothing more is sent, opt-outs apart
                await send_opt_outs(run, batch, compared.changes)
                return
            opt_outs, judgement = await asyncio.gather(
                send_opt_outs(run, batch, compared.changes.filter(known)), judge(run, compared.changes)
            )
            # A new row's consent travels with it; where the row has to stay, its opt-out leaves all the same.
            await send_opt_outs(run, batch, staying(run, compared.changes, judgement).filter(~known))
            if judgement.blocked:
                await block(run, batch, judgement)
                return
        if run.options.baseline:
            async with run.turn("record"):
                await record_baseline(run, batch, compared, judgement)
            return
        # What is sent is in `accepted`; the wide frames before it end here.
        compared, held = compared.without_changes(), judgement.held
        del mapped
        async with run.turn("send"):
            accepted = await identify(run, batch, judgement.accepted)
            del judgement
            outstanding = await send(run, batch, accepted, opt_outs)
            del accepted
        async with run.turn("record"):
            await record(run, batch, compared, held, outstanding)
