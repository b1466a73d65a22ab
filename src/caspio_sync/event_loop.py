"""The event loop of processes that only move requests: uvloop where it is, which saves a sixth of the work."""

import asyncio
import sys

if sys.platform == "win32":  # uvloop is not made for it
    run = asyncio.run
else:
    from uvloop import run

__all__ = ["run"]
