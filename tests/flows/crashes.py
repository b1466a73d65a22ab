"""A run that dies at one of its steps."""

import importlib
from itertools import count
from typing import Any

import pytest


class Crashed(RuntimeError):  # noqa: N818 - what happened
    """The process is gone."""


def crash_at(patch: pytest.MonkeyPatch, flow: str, crash: tuple[str, str, int] | None) -> None:
    """The run dies before or after the n-th call of one of its steps."""
    if crash is None:
        return
    module = importlib.import_module(flow)
    name, when, nth = crash
    step, calls = getattr(module, name), count(1)

    async def dies(*args: Any) -> Any:
        call = next(calls)
        if call == nth and when == "before":
            raise Crashed
        result = await step(*args)
        if call == nth:
            raise Crashed
        return result

    patch.setattr(module, name, dies)
