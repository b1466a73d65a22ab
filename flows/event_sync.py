"""Event sync: rows of a Caspio table or view to Braze custom events or purchases, each once."""

from prefect import flow
from pydantic import Field

from caspio_sync.kinds.events.line import EVENTS
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.ending import run_name, with_named_end
from tasks.line import move


class EventSyncParameters(RunOptions):
    """What to sync; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="orders", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="event-sync",
    description="Caspio rows that were never sent, as Braze events or purchases; each leaves once.",
)
@with_named_end
async def event_sync(parameters: EventSyncParameters) -> RunReport:
    """Caspio ─▶ extract ─▶ map ─▶ find unsent ─▶ gate ─▶ send events (each noted before it leaves) ─▶ record."""
    return await move(parameters.sync, parameters, EVENTS)
