"""The engagement return under Prefect: what Braze told, what rows should hold, and writing it to Caspio."""

import asyncio

import polars as pl
from prefect import task

from caspio_sync.errors import GateBlockedError
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run import comparing
from caspio_sync.run.context import SyncRun
from caspio_sync.run.engagement import campaign_stats, gathering, wanted_rows, writing_back
from caspio_sync.run.engagement.wanted_rows import WantedRows
from expectations.engagement import campaign_gate, judged_days
from expectations.gate import Judgement
from tasks.options import REPEATED, without_values


@task(name="gather", **REPEATED)
@without_values
async def gather(run: SyncRun) -> None:
    """Poll Braze, and fold what arrived; what was folded once is not folded again."""
    await gathering.gather(run)


@task(name="want", **REPEATED)
@without_values
async def want(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame) -> WantedRows:
    """What differs between the rows and what Braze told of their people."""
    await comparing.open_batch(run, batch)
    return await wanted_rows.want_batch(run, batch, mapped)


@task(name="write", **REPEATED)
@without_values
async def write(run: SyncRun, judgement: Judgement) -> pl.DataFrame:
    """The accepted changes, and opt-outs of the others, by the fewest calls; a repeated call writes the same again."""
    return await writing_back.write_batch(run, judgement.accepted, judgement.held)


@task(name="record written", **REPEATED)
@without_values
async def record_written(
    run: SyncRun, batch: SourceBatch, rows: WantedRows, judgement: Judgement, written: pl.DataFrame
) -> None:
    """What became of every row, what is agreed on consent, and the batch."""
    await writing_back.record_written(run, batch, rows, judgement.accepted, judgement.held, written)


@task(name="write campaigns", **REPEATED)
@without_values
async def write_campaigns(run: SyncRun) -> None:
    """The counts of each campaign, day and channel; a repeated call writes what is still missing.

    A shard of a backfill leaves them to the next run: others may be under way, and would insert the same days.
    """
    await gathering.note_unknown(run)
    rows = None if run.blocked or run.shard is not None else await campaign_stats.wanted_days(run)
    if rows is None or rows.is_empty():
        return
    gate = run.part("campaign gate", lambda: campaign_gate(run.name, gathering.work(run).definition))
    judged = judged_days(rows, campaign_stats.COUNTS, run.clock.now())
    judgement = await asyncio.to_thread(gate.judge, judged)
    run.report.count_checks(judgement.checks)
    if judgement.blocked:
        raise GateBlockedError(
            f"{run.name}: the gate blocked the campaigns' table: {judgement.blocked}. The customers are written; "
            "look at what Braze tells of its campaigns, and run again"
        )
    if judgement.held.height:
        run.report.notes.append(
            f"{judgement.held.height} campaign days are held by the gate: counts that fall, or the future"
        )
    await campaign_stats.write_days(run, judgement.accepted)
