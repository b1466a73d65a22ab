"""Housekeeping: what is older than the configured days leaves the ledger and Prefect's own database."""

import asyncio

from prefect import flow
from pydantic import BaseModel, Field

from caspio_sync import startup
from caspio_sync.deployed.housekeeping import HousekeepingReport
from tasks.ending import run_name
from tasks.housekeeping import publish, purge_history, purge_prefect


class HousekeepingParameters(BaseModel):
    """What to do; days and places come from the environment of the worker."""

    dry_run: bool = Field(default=False, description="Only count what would be removed.")


@flow(
    flow_run_name=run_name,
    name="housekeeping",
    description="Removes history, logs and artifacts that are older than the configured days.",
)
async def housekeeping(parameters: HousekeepingParameters) -> HousekeepingReport:
    """The ledger, then Prefect; a run of a sync may be under way beside it."""
    startup.prepare()  # on a worker nobody else has
    report = await purge_history(dry_run=parameters.dry_run)
    report = await purge_prefect(report)
    await publish(report)
    return report


def run_housekeeping(*, dry_run: bool) -> HousekeepingReport:
    """Run the flow in this process and wait for it.

    Raises:
        CaspioSyncError: as the ledger says.
    """
    return asyncio.run(housekeeping(HousekeepingParameters(dry_run=dry_run)))
