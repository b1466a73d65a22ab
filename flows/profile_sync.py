"""Profile sync: rows of a Caspio table or view to Braze user profiles."""

from prefect import flow
from pydantic import Field

from caspio_sync.kinds.profiles.line import PROFILES
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.ending import run_name, with_named_end
from tasks.line import move


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
    return await move(parameters.sync, parameters, PROFILES)
