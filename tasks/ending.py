"""How a flow ends in Prefect: the name of its state says what the command line's exit code says."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from caspio_sync import signals
from caspio_sync.errors import CaspioSyncError, UnexpectedError
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.run.deployed.backfill import BackfillReport
from caspio_sync.run.report import RunReport, end_name
from caspio_sync.run.summary import state_message

P = TypeVar("P")
R = TypeVar("R", RunReport, BackfillReport)


def with_named_end(flow: Callable[[P], Coroutine[Any, Any, R]]) -> Callable[[P], Coroutine[Any, Any, R]]:
    """A flow whose last state is `Completed`, `CompletedWithRejects`, `Blocked`, `Failed` or `Skipped`.

    Its message tells the exit code, and what else there is to say. A run of a schedule that meets another run of its
    sync is `Skipped`: the next one comes by itself. To its caller the flow gives its report, or raises its error.
    """

    @functools.wraps(flow)
    async def ended(parameters: P) -> R:
        signals.retake()
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:  # without the engine nobody reads a state
            return await flow(parameters)
        try:
            report = await flow(parameters)
        except LeaseHeldError as error:
            if context.flow_run.auto_scheduled:
                return cast("R", Completed(name="Skipped", message=str(error)))
            return cast("R", _failed(error))
        except Exception as error:  # noqa: BLE001 - Prefect stores and logs what a flow raises
            return cast("R", _failed(error if isinstance(error, CaspioSyncError) else UnexpectedError.of(error)))
        return cast("R", _completed(report, strict=getattr(parameters, "strict", False)))

    return ended


def _completed(report: RunReport | BackfillReport, *, strict: bool) -> Any:
    code = report.exit_code(strict=strict) if isinstance(report, RunReport) else report.exit_code
    told = [f"exit code {int(code)}: {report.not_sent} rows were not sent"] if report.not_sent else []
    if isinstance(report, RunReport) and (message := state_message(report)) is not None:
        told.append(message)
    return Completed(name=end_name(code, report.not_sent), message="; ".join(told) or None, data=report)


def _failed(error: CaspioSyncError) -> Any:
    return Failed(name=end_name(error.exit_code, 0), message=f"exit code {error.exit_code}: {error}", data=error)
