"""The line of the engagement return."""

from dataclasses import replace

import orjson
import polars as pl

from caspio_sync.caspio.write_planner import WriteCall, within_budget
from caspio_sync.engine.line import Batch, Line, Row, Step, alike
from caspio_sync.engine.plan import Planning
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.steps import BLOCK, GATE, MAP, STOP, holding_against
from caspio_sync.errors import GateBlockedError
from caspio_sync.kinds.engagement import campaign_stats, gathering, wanted_rows, writing_back
from caspio_sync.kinds.engagement.gathering import EngagementWork
from caspio_sync.schemas import Verdict


async def _want(run: SyncRun[EngagementWork], batch: Batch) -> pl.DataFrame:
    """What differs between the rows and what the destination told of their people."""
    wanted = await wanted_rows.want_batch(run, batch.source, batch.mapped)
    batch.changes, batch.compared = wanted.changes, wanted.without_changes()
    return wanted.erased


async def _want_alone(row: Row) -> None:
    """What a row should hold is what the next run finds; its own cells say nothing of it."""
    row.ended = True


async def _write(run: SyncRun[EngagementWork], batch: Batch) -> None:
    """The accepted changes, and opt-outs of the others, by the fewest calls; a repeated call writes the same again."""
    batch.written = await writing_back.write_batch(run, batch.accepted, batch.held)


async def _plan_write(planning: Planning, run: SyncRun[EngagementWork], batch: Batch) -> None:
    """What the writing would cost."""
    held = batch.held.with_columns(verdict=pl.lit(Verdict.QUARANTINED.value))
    run.report.count_outcomes(held, name=run.example_column)
    if batch.blocked is not None:
        return
    rows = writing_back.leaving(run, batch.accepted, batch.held)
    own, report, plan = run.work, run.work.writeback, planning.plan
    planned = writing_back.planned_calls(run, rows)
    calls, later = within_budget(planned, own.budget)
    if own.budget is not None:
        own.budget -= len(calls)
    plan.to_send += rows.height
    report.rows += rows.height
    report.cells += sum(len(call.columns) * len(call.pks) for call in planned)
    report.calls += len(calls)
    report.left_calls += len(later)
    report.exact_calls += writing_back.exact_calls(run, rows, len(planned))
    missing = max(0, planning.show - len(plan.samples))
    plan.samples += [_sample(call, own.writer.key) for call in calls[:missing]]


def _sample(call: WriteCall, key: str) -> dict[str, object]:
    return {"rows": len(call.pks), "q.where": call.condition(key), "body": orjson.loads(call.body)}


async def _record_written(run: SyncRun[EngagementWork], batch: Batch) -> None:
    """What became of every row, what is agreed on consent, and the batch."""
    await writing_back.record_written(run, batch.source, batch.compared, batch.accepted, batch.held, batch.written)


async def _write_campaigns(run: SyncRun[EngagementWork]) -> None:
    """The counts of each campaign, day and channel; a repeated call writes what is still missing.

    A shard of a backfill leaves them to the next run: others may be under way, and would insert the same days.
    """
    await gathering.note_unknown(run)
    rows = None if run.blocked or run.selection.shard is not None else await campaign_stats.wanted_days(run)
    if rows is None or rows.is_empty():
        return
    judged = await run.gates.campaign_days(rows, campaign_stats.COUNTS, run.clock.now())
    run.report.count_checks(judged.checks)
    if judged.blocked:
        raise GateBlockedError(
            f"{run.name}: the gate blocked the campaigns' table: {judged.blocked}. The customers are written; "
            f"look at what {run.destination.title} tells of its campaigns, and run again"
        )
    if judged.held.height:
        run.report.notes.append(
            f"{judged.held.height} campaign days are held by the gate: counts that fall, or the future"
        )
    await campaign_stats.write_days(run, judged.accepted)


async def _plan_campaigns(planning: Planning, run: SyncRun[EngagementWork]) -> None:
    await gathering.note_unknown(run)
    days = await campaign_stats.wanted_days(run, make=False)
    report = run.work.writeback
    report.campaign_days = report.campaign_calls = 0 if days is None else days.height
    planning.writes = report.calls + report.campaign_calls
    if report.exact_calls:
        exact = ", ".join(run.work.definition.exact)
        planning.warnings.append(
            f"{report.exact_calls:,} of {report.calls + report.left_calls:,} calls are there for exact values alone "
            f"({exact}); as dates and buckets they would travel with the others"
        )


# A dry run folds for good, too: it is counted once whoever folds it, and nobody's row is changed.
GATHER = Step("gather", gathering.gather, plan=alike(gathering.gather))
MAP_ROWS = replace(MAP, plan=alike(MAP.do))
WANT = holding_against("want", _want, _want_alone)
WRITE = Step("write", _write, plan=_plan_write, turn="write")
RECORD_WRITTEN = Step("record written", _record_written, turn="record")
WRITE_CAMPAIGNS = Step("write campaigns", _write_campaigns, plan=_plan_campaigns)

RETURN = Line(
    before=(GATHER,),
    batch=(MAP_ROWS, WANT, STOP, GATE, BLOCK, WRITE, RECORD_WRITTEN),
    after=(WRITE_CAMPAIGNS,),
)
