"""Rows that Caspio's webhooks announce, within seconds: a run stays for an hour, and its schedule renews it."""

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, Field

from caspio_sync.deployed.listening import ListeningReport, listen
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName, current_settings
from tasks.ending import run_name, with_named_end
from tasks.hints import take_hints


class WebhookHintsParameters(BaseModel):
    """Whose webhook to listen to; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="customers", description="Name of a sync, or its file in syncs/.")
    seconds: float = Field(default=3600.0, gt=0, le=86_400, description="How long to stay.")


@flow(
    flow_run_name=run_name,
    name="webhook-hints",
    description="Rows that Caspio's webhooks announce, read again and sent within seconds.",
)
@with_named_end
async def webhook_hints(parameters: WebhookHintsParameters) -> ListeningReport:
    """Hints ─▶ extract ─▶ map ─▶ compare ─▶ gate ─▶ send ─▶ record, in sessions of a minute."""
    own = flow_run.get_id()

    async def session(options: RunOptions) -> RunReport:
        report: RunReport = await take_hints(parameters.sync, options, own)
        return report

    settings = current_settings(parameters.sync)
    return await listen(parameters.sync, session, settings=settings, seconds=parameters.seconds)
