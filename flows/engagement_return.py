"""Engagement return: what Braze learned of people, back into their Caspio rows."""

from prefect import flow
from pydantic import Field

from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run.context import SyncRun
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.caspio import extract
from tasks.ending import run_name, with_named_end
from tasks.engagement import gather, record_written, want, write, write_campaigns
from tasks.ledger import block
from tasks.orchestration import opened_run, together
from tasks.quality import judge, map_rows


class EngagementReturnParameters(RunOptions):
    """What to return; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="engagement", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="engagement-return",
    description="Opens, clicks, bounces and consent from Braze, in the Caspio rows.",
)
@with_named_end
async def engagement_return(parameters: EngagementReturnParameters) -> RunReport:
    """Braze ─▶ gather, then Caspio ─▶ extract ─▶ map ─▶ want ─▶ gate ─▶ write ─▶ record, then the campaigns' table."""
    async with opened_run(parameters.sync, parameters) as run:
        await gather(run)
        async with together() as batches:
            async for batch in extract(run):
                batches.create_task(move(run, batch))
        await write_campaigns(run)
    return run.report


async def move(run: SyncRun, batch: SourceBatch) -> None:
    """Take one batch from Caspio's columns back to them, while the next one is in the stages before."""
    async with run.on_its_way(batch):
        async with run.turn("compare"):
            mapped = await map_rows(run, batch)
            rows = await want(run, batch, mapped)
        async with run.turn("gate"):
            if run.blocked:  # by an earlier batch: nothing more is written
                return
            judgement = await judge(run, rows.changes)
            if judgement.blocked:
                await block(run, batch, judgement)
                return
        rows = rows.without_changes()
        del mapped
        async with run.turn("write"):
            written = await write(run, judgement)
        async with run.turn("record"):
            await record_written(run, batch, rows, judgement, written)
