"""The end of the process at a step of the ledger: at the same place each time, however fast the machine is."""

from contextlib import ExitStack
from typing import Any

import pytest

from caspio_sync.ledger.store import Ledger


class KilledError(BaseException):
    """Stands for the end of the process."""


def killed_after(times: int, step: str = "close_batch", *, silently: bool = True) -> ExitStack:
    """The process ends once the ledger has done a step so often: recorded so many batches.

    Args:
        silently: it ends before it can say so.
    """
    stack = ExitStack()
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    real, finish, calls = getattr(Ledger, step), Ledger.finish_run, 0

    def dying(self: Ledger, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > times:
            raise KilledError
        return real(self, *arguments, **named)

    def silent(self: Ledger, *arguments: Any, **named: Any) -> None:
        if calls > times:
            raise KilledError
        finish(self, *arguments, **named)

    patch.setattr(Ledger, step, dying)
    if silently:
        patch.setattr(Ledger, "finish_run", silent)
    stack.enter_context(pytest.raises(KilledError))
    return stack
