"""Catalog sync: rows of a Caspio table or view to the items of a Braze catalog."""

from prefect import flow
from pydantic import Field

from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run.context import SyncRun
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.braze import delete_vanished, keep_schema, send
from tasks.caspio import extract
from tasks.ending import run_name, with_named_end
from tasks.ledger import block, compare, record, record_baseline
from tasks.orchestration import opened_run, together
from tasks.quality import judge, map_rows
from tasks.verification import verify_sample


class CatalogSyncParameters(RunOptions):
    """What to sync; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="products", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="catalog-sync",
    description="Caspio rows that are new, changed or gone, as items of a Braze catalog.",
)
@with_named_end
async def catalog_sync(parameters: CatalogSyncParameters) -> RunReport:
    """The catalog, then Caspio ─▶ extract ─▶ map ─▶ compare ─▶ gate ─▶ send ─▶ record, then the items without a row."""
    async with opened_run(parameters.sync, parameters) as run:
        await keep_schema(run)
        async with together() as batches:
            async for batch in extract(run):
                batches.create_task(move(run, batch))
        await delete_vanished(run)
    await verify_sample(run)
    return run.report


async def move(run: SyncRun, batch: SourceBatch) -> None:
    """Take one batch from Caspio's columns to the ledger, while the next one is in the stages before."""
    async with run.on_its_way(batch):
        async with run.turn("compare"):
            mapped = await map_rows(run, batch)
            compared = await compare(run, batch, mapped)
        async with run.turn("gate"):
            if run.blocked:  # by an earlier batch: nothing more is sent
                return
            judgement = await judge(run, compared.changes)
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
            outstanding = await send(run, batch, judgement.accepted)
            del judgement
        async with run.turn("record"):
            await record(run, batch, compared, held, outstanding)
