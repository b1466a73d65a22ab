"""How a flow is called in Prefect, and how it ends: its last state says what the command line's exit code says."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from caspio_sync import signals, startup
from caspio_sync.deployed.backfill import BackfillReport
from caspio_sync.deployed.deployments import not_on_schedule
from caspio_sync.deployed.listening import ListeningReport
from caspio_sync.engine.summary import state_message
from caspio_sync.errors import CaspioSyncError, UnexpectedError
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.observe.report import RunReport, end_name
from caspio_sync.settings import current_settings
from tasks.shards import label_failed


def run_name() -> str:
    """The name of a run that a schedule or a command made: its sync, and when it was due. Others keep theirs."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if context is None or run is None or context.flow is None:
        raise RuntimeError("asked outside of a flow run")
    if not run.auto_scheduled and run.deployment_id is not None:
        return run.name
    sync = getattr((context.parameters or {}).get("parameters"), "sync", None)
    due = run.expected_start_time or run.created
    return f"{sync or context.flow.name} {due:%Y-%m-%d %H:%M} UTC" if due else run.name


class Parameters(Protocol):
    """What each of our flows of a sync takes."""

    @property
    def sync(self) -> str:
        """Name of the sync."""


P = TypeVar("P", bound=Parameters)
R = TypeVar("R", RunReport, BackfillReport, ListeningReport)


def with_named_end(flow: Callable[[P], Coroutine[Any, Any, R]]) -> Callable[[P], Coroutine[Any, Any, R]]:
    """A flow whose last state is `Completed`, `CompletedWithRejects`, `Blocked`, `Failed` or `Skipped`.

    Its message tells the exit code, and what else there is to say; where it failed, a label of the flow run does as
    well. A run of a schedule that meets another run of its sync is `Skipped`: the next one comes by itself; so is one
    of a sync that says `enabled: false`. To its caller the flow gives its report, or raises its error.
    """

    @functools.wraps(flow)
    async def ended(parameters: P) -> R:
        signals.retake()
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:  # without the engine nobody reads a state
            startup.prepare()
            return await flow(parameters)
        try:
            startup.prepare()  # on a worker nobody else has
            # Its deployment may be older than the line in its file; by hand it runs.
            if context.flow_run.auto_scheduled and (why := not_on_schedule(current_settings(), parameters.sync)):
                return cast("R", Completed(name="Skipped", message=why))
            report = await flow(parameters)
        except LeaseHeldError as error:
            if context.flow_run.auto_scheduled:
                return cast("R", Completed(name="Skipped", message=str(error)))
            return cast("R", await _failed(context.flow_run.id, error))
        except Exception as error:  # noqa: BLE001 - Prefect stores and logs what a flow raises
            failure = error if isinstance(error, CaspioSyncError) else UnexpectedError.of(error)
            return cast("R", await _failed(context.flow_run.id, failure))
        return cast("R", _completed(report, strict=getattr(parameters, "strict", False)))

    return ended


def _completed(report: RunReport | BackfillReport | ListeningReport, *, strict: bool) -> Any:
    code = report.exit_code(strict=strict) if isinstance(report, RunReport) else report.exit_code
    told = [f"exit code {int(code)}: {report.not_sent} rows were not sent"] if report.not_sent else []
    if isinstance(report, RunReport) and (message := state_message(report)) is not None:
        told.append(message)
    return Completed(name=end_name(code, report.not_sent), message="; ".join(told) or None, data=report)


async def _failed(flow_run: UUID, error: CaspioSyncError) -> Any:
    await label_failed(flow_run, error.exit_code)
    return Failed(name=end_name(error.exit_code, 0), message=f"exit code {error.exit_code}: {error}", data=error)
