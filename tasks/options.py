"""How every task is declared: frames are never hashed or stored, and only what may pass by itself is repeated."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from caspio_sync import errors
from caspio_sync.engine.line import RETRY_DELAYS, Step
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import TransientError

P = ParamSpec("P")
T = TypeVar("T")

# Prefect's default would hash a 50,000-row frame for half a second a call.
FRAMES: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "log_prints": False}


async def only_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failure may pass by itself; a wrong key never does."""
    # Not `state.result`: inside a running loop it gives a coroutine, which is never a TransientError.
    return isinstance(await state.aresult(raise_on_failure=False), TransientError)


REPEATED: dict[str, Any] = {
    **FRAMES,
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": list(RETRY_DELAYS),
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": only_transient,
}


def without_values(step: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """A step whose unexpected errors keep their words to themselves: Prefect stores and logs what a task raises."""

    @functools.wraps(step)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        with errors.without_values():
            return await step(*args, **kwargs)

    return guarded


TASKS: dict[Step[..., Any], Task[..., Any]] = {}


def task_of(step: Step[P, T]) -> Task[Concatenate[SyncRun, P], Any]:
    """Declare the task of a step: named as it is, and tried again where the step may be."""
    made = task(name=step.name, description=step.do.__doc__, **(REPEATED if step.repeated else FRAMES))(
        without_values(step.do)
    )
    TASKS[step] = made
    return cast("Task[Concatenate[SyncRun, P], Any]", made)
