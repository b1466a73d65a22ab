"""Steps of a bare run that a test wraps: somebody comes between them, or the run dies there."""

import importlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

Call = Callable[..., Awaitable[Any]]


class Crashed(RuntimeError):  # noqa: N818 - what happened
    """The process is gone."""


def around(patch: pytest.MonkeyPatch, name: str, wrap: Callable[[Call], Call]) -> None:
    """Have every call of the steps of this name go through a wrapper."""
    line = importlib.import_module("tasks.line")
    station = line.as_task
    patch.setattr(line, "as_task", lambda step: wrap(station(step)) if step.name == name else station(step))


def crash_at(patch: pytest.MonkeyPatch, crash: tuple[str, str, int] | None) -> None:
    """The run dies before or after the n-th call of one of its steps."""
    if crash is None:
        return
    name, when, nth = crash
    calls = count(1)

    def dying(step: Call) -> Call:
        async def dies(*args: Any) -> Any:
            call = next(calls)
            if call == nth and when == "before":
                raise Crashed
            result = await step(*args)
            if call == nth:
                raise Crashed
            return result

        return dies

    around(patch, name, dying)
