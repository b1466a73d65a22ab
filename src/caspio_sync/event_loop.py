"""The event loop of processes that only move requests: uvloop where it is, which saves a sixth of the work."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`."""
    if sys.platform == "win32":  # uvloop is not made for it
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - 15 ms, and most runs send in their own process

    return uvloop.run(work)
