"""92,331 real products into a catalog of a Braze that answers after 50 ms; then a run that finds nothing changed."""

import asyncio
import os
import time
from pathlib import Path

from benchmarks.world import opened, sandboxes
from caspio_sync.engine.line import run_line
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.catalog.line import CATALOG

LATENCY_MS = 50
SYNC = "groceries"


def measure(items: int | None) -> dict[str, tuple[float, str]]:
    with sandboxes(100, latency_ms=LATENCY_MS, grocery=True):
        os.environ["CASPIO_SYNC_SYNCS"] = str(Path(__file__).parent / "syncs")
        return asyncio.run(_measure(items))


async def _measure(items: int | None) -> dict[str, tuple[float, str]]:
    first, seconds = await _run(items)
    again, quiet = await _run(items, full=False)
    assert again.report.requests == 0, "a run without changes must send nothing"
    return {
        "catalog.items_per_second_50ms": (first.report.sent / seconds, "items/s"),
        "catalog.no_change_rows_per_second": (again.report.read / quiet, "rows/s"),
    }


async def _run(items: int | None, *, full: bool = True) -> tuple[SyncRun, float]:
    """A run without Prefect; and the seconds that it takes to go along the line."""
    async with opened(SYNC, limit=items, full=full) as run:
        started = time.perf_counter()
        await run_line(run, CATALOG)
        return run, time.perf_counter() - started
