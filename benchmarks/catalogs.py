"""92,331 real products into a catalog of a Braze that answers after 50 ms; then a run that finds nothing changed."""

import asyncio
import os
import time
from pathlib import Path

from benchmarks.world import opened, sandboxes
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run import comparing, recording, sending
from caspio_sync.run.catalogs import catalog_items, vanished
from caspio_sync.run.context import SyncRun
from expectations.gate import Gate
from expectations.suites import gate_of, judged_frame

LATENCY_MS = 50
SYNC = "groceries"


def measure() -> dict[str, tuple[float, str]]:
    with sandboxes(100, latency_ms=LATENCY_MS, grocery=True):
        os.environ["CASPIO_SYNC_SYNCS"] = str(Path(__file__).parent / "syncs")
        return asyncio.run(_measure())


async def _measure() -> dict[str, tuple[float, str]]:
    first, seconds = await _run()
    again, quiet = await _run()
    assert again.report.requests == 0, "a run without changes must send nothing"
    return {
        "catalog.items_per_second_50ms": (first.report.sent / seconds, "items/s"),
        "catalog.no_change_rows_per_second": (again.report.read / quiet, "rows/s"),
    }


async def _run() -> tuple[SyncRun, float]:
    """A run in the flow's own order, without Prefect; and the seconds from the first page to the last record."""
    async with opened(SYNC) as run:
        await catalog_items.keep_schema(run)
        gate = await asyncio.to_thread(gate_of, run.name, run.definition, run.mapping)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while (batch := await run.next_batch()) is not None:
                group.create_task(_move(run, gate, batch))
        await vanished.delete_vanished(run)
        return run, time.perf_counter() - started


async def _move(run: SyncRun, gate: Gate, batch: SourceBatch) -> None:
    async with run.on_its_way(batch):
        async with run.turn("compare"):
            mapped = await comparing.map_batch(run, batch)
            await comparing.open_batch(run, batch)
            compared = await comparing.compare_batch(run, batch, mapped)
        async with run.turn("gate"):
            changes = await catalog_items.with_last_read(run, compared.changes)
            judged = await asyncio.to_thread(lambda: gate.judge(judged_frame(changes, run.definition, run.mapping)))
        async with run.turn("send"):
            outstanding = await sending.send_batch(run, batch.number, judged.accepted)
        async with run.turn("record"):
            await recording.record_batch(run, batch, compared.without_changes(), judged.held, outstanding)
