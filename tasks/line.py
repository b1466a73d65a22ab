"""A kind's line under Prefect: each step as the task that is declared for it."""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar, cast

from caspio_sync.engine.line import Line, Step, run_and_close
from caspio_sync.engine.run import SyncRun
from caspio_sync.observe.report import RunOptions, RunReport
from tasks import caspio, deals, destination, engagement, events, ledger, quality, verification
from tasks.options import TASKS
from tasks.orchestration import opened_run

P = ParamSpec("P")
R = TypeVar("R")
# Imported, they declare the task of each step.
STATIONS = (caspio, quality, ledger, destination, engagement, events, deals, verification)


def as_task(step: Step[P, R]) -> Callable[Concatenate[SyncRun, P], Awaitable[R]]:
    """The step's task; a step without a name has none."""
    return cast("Callable[Concatenate[SyncRun, P], Awaitable[R]]", TASKS[step]) if step.name else step.do


async def move(sync: str, options: RunOptions, line: Line) -> RunReport:
    """Run a sync along its line, inside a flow run.

    Raises:
        CaspioSyncError: as the run ended.
    """
    return await run_and_close(opened_run(sync, options), line, as_task)
