"""Engagement return: what Braze learned of people, back into their Caspio rows."""

from prefect import flow
from pydantic import Field

from caspio_sync.kinds.engagement.line import RETURN
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.ending import run_name, with_named_end
from tasks.line import move


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
    return await move(parameters.sync, parameters, RETURN)
