"""Housekeeping under Prefect."""

import asyncio
from datetime import timedelta

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from caspio_sync.deployed.housekeeping import HousekeepingReport, purge_ledger
from caspio_sync.engine.connect import CONNECT
from caspio_sync.settings import local_settings
from tasks.options import REPEATED, without_values
from tasks.orchestration import purge_flow_runs

SUMMARY = "housekeeping-summary"


@task(name="purge history", **REPEATED)
@without_values
async def purge_history(*, dry_run: bool) -> HousekeepingReport:
    """The ledger's part; a repeated call finds less to do."""
    return await asyncio.to_thread(purge_ledger, local_settings(), dry_run=dry_run)


@task(name="purge prefect", **REPEATED)
@without_values
async def purge_prefect(report: HousekeepingReport) -> HousekeepingReport:
    """Prefect's part: ended flow runs of ours, their task runs, logs and artifacts."""
    before = CONNECT.get().clock.now() - timedelta(days=report.keep_prefect_days)
    flow_runs, artifacts = await purge_flow_runs(before, dry_run=report.dry_run)
    return report.model_copy(update={"flow_runs": flow_runs, "artifacts": artifacts})


async def publish(report: HousekeepingReport) -> None:
    """What was removed, in the UI."""
    lines = "\n".join(f"- {line}" for line in report.lines())
    await acreate_markdown_artifact(markdown=f"# Housekeeping\n\n{lines}", key=SUMMARY, description="What was removed")
