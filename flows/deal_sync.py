"""Deal sync: rows of a Caspio table or view to deals, each made once."""

from prefect import flow
from pydantic import Field

from caspio_sync.kinds.deals.line import DEALS
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.ending import run_name, with_named_end
from tasks.line import move


class DealSyncParameters(RunOptions):
    """What to sync; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="deals", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="deal-sync",
    description="Caspio rows that are new or changed, as deals; each is made once and changed from then on.",
)
@with_named_end
async def deal_sync(parameters: DealSyncParameters) -> RunReport:
    """Caspio ─▶ extract ─▶ map ─▶ compare ─▶ gate ─▶ find numbers ─▶ send ─▶ record."""
    return await move(parameters.sync, parameters, DEALS)
