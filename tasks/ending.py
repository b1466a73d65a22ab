"""How a flow ends in Prefect: the name of its state says what the command line's exit code says."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from caspio_sync.errors import CaspioSyncError, UnexpectedError
from caspio_sync.run.backfill import BackfillReport
from caspio_sync.run.report import RunReport, end_name

P = TypeVar("P")
R = TypeVar("R", RunReport, BackfillReport)


def with_named_end(flow: Callable[[P], Coroutine[Any, Any, R]]) -> Callable[[P], Coroutine[Any, Any, R]]:
    """A flow whose last state is `Completed`, `CompletedWithRejects`, `Blocked` or `Failed`, with the exit code.

    To its caller it gives its report, or raises its error, as ever.
    """

    @functools.wraps(flow)
    async def ended(parameters: P) -> R:
        if FlowRunContext.get() is None:  # without the engine nobody reads a state
            return await flow(parameters)
        try:
            report = await flow(parameters)
        except Exception as error:  # noqa: BLE001 - Prefect stores and logs what a flow raises
            told = error if isinstance(error, CaspioSyncError) else UnexpectedError.of(error)
            return cast("R", _failed(told))
        strict: Any = getattr(parameters, "strict", False)
        code = report.exit_code(strict=strict) if isinstance(report, RunReport) else report.exit_code
        name = end_name(code, report.not_sent)
        message = f"exit code {int(code)}: {report.not_sent} rows were not sent" if report.not_sent else None
        return cast("R", Completed(name=name, message=message, data=report))

    return ended


def _failed(error: CaspioSyncError) -> Any:
    return Failed(name=end_name(error.exit_code, 0), message=f"exit code {error.exit_code}: {error}", data=error)
