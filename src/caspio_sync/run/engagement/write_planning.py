"""A dry run of an engagement return: everything up to where it would write, and what the writing would cost."""

import orjson
import polars as pl

from caspio_sync.run import comparing
from caspio_sync.run.context import SyncRun
from caspio_sync.run.engagement import campaign_stats, wanted_rows, writing_back
from caspio_sync.run.engagement.gathering import gather, note_unknown, report_of, work
from caspio_sync.run.erasing import count_erased
from caspio_sync.run.planning import Judge, Plan, hold_against_budget, price_calls, schedule_text
from caspio_sync.schemas import Verdict
from caspio_sync.writeback.planner import WriteCall, within_budget


async def plan_writeback(run: SyncRun, judge: Judge, *, show: int = 0) -> Plan:
    """Go through the table as a run would, and plan the calls without making them.

    What Braze tells is polled and folded for good: it is counted once whoever folds it, and nobody's row is changed.

    Args:
        run: opened by `open_plan`.
        judge: the gate.
        show: how many sample calls to keep.
    """
    own, report = work(run), report_of(run)
    plan = Plan(report=run.report, schedule=schedule_text(run.definition))
    await gather(run)
    while (batch := await run.next_batch()) is not None:
        async with run.on_its_way(batch):
            rows = await wanted_rows.want_batch(run, batch, await comparing.map_batch(run, batch))
            count_erased(run, rows.erased)
            judged = judge(run, rows.changes)
            plan.blocked = plan.blocked or judged.blocked
            held = judged.held.with_columns(verdict=pl.lit(Verdict.QUARANTINED.value))
            run.report.count_outcomes(held, name=run.example_column)
            if judged.blocked is None:
                _count(run, plan, writing_back.leaving(run, judged.accepted, judged.held), show)
    await note_unknown(run)
    days = await campaign_stats.wanted_days(run, make=False)
    report.campaign_days = report.campaign_calls = 0 if days is None else days.height
    run.report.state = "done"
    run.report.caspio_calls = run.caspio.calls
    price_calls(run, plan)
    writes = report.calls + report.campaign_calls
    if plan.calls_a_month is not None and plan.calls_a_run:
        runs = plan.calls_a_month // plan.calls_a_run
        plan.calls_a_month += runs * writes
        plan.steps += f" + {runs:,} x {writes:,} writes, if every run finds as many changes as this one"
    plan.calls_today = await run.quota.used_today()
    plan.calls_per_day = run.quota.calls_per_day
    hold_against_budget(run, plan)
    if report.exact_calls:
        exact = ", ".join(own.definition.exact)
        plan.warnings.append(
            f"{report.exact_calls:,} of {report.calls + report.left_calls:,} calls are there for exact values alone "
            f"({exact}); as dates and buckets they would travel with the others"
        )
    return plan


def _count(run: SyncRun, plan: Plan, rows: pl.DataFrame, show: int) -> None:
    own, report = work(run), report_of(run)
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
    missing = max(0, show - len(plan.samples))
    plan.samples += [_sample(call, own.writer.key) for call in calls[:missing]]


def _sample(call: WriteCall, key: str) -> dict[str, object]:
    return {"rows": len(call.pks), "q.where": call.condition(key), "body": orjson.loads(call.body)}
