"""Sandboxes, settings and runs for the benchmarks: no account, no rate limits, a ledger of its own."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from caspio_sync.engine.line import Batch
from caspio_sync.engine.opening import open_run
from caspio_sync.engine.run import SyncRun
from caspio_sync.observe.report import RunOptions
from caspio_sync.sandbox.server import SandboxProcesses
from caspio_sync.settings import load_settings
from expectations.suites import Gates

SYNC = "customers"
SYNCS = Path(__file__).parents[1] / "examples"


@contextlib.contextmanager
def sandboxes(rows: int | None = None, *, latency_ms: int = 0, grocery: bool = False) -> Iterator[SandboxProcesses]:
    """Both emulators as processes, and the environment under which everything uses them; with the shop's own rows."""
    with (
        tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home,
        SandboxProcesses(
            rows=rows, braze={"rate": "none", "latency_ms": latency_ms}, patience=600, grocery=grocery
        ) as processes,
    ):
        os.environ.update(
            CASPIO_INTEGRATION_URL=processes.caspio_url,
            CASPIO_CLIENT_ID=processes.client_id,
            CASPIO_CLIENT_SECRET=processes.client_secret,
            CASPIO_CALLS_PER_SECOND="0",
            CASPIO_CALLS_PER_WINDOW="0",
            BRAZE_REST_ENDPOINT=processes.braze_url,
            BRAZE_API_KEY=processes.braze_key,
            BRAZE_TRACK_LIMIT="1000000",  # the pacer out of the way: what is measured is what we cost
            CASPIO_SYNC_HOME=home,
            CASPIO_SYNC_LEDGER_URL=f"sqlite:///{home}/ledger.db",
            CASPIO_SYNC_SYNCS=str(SYNCS),
        )
        yield processes


@contextlib.asynccontextmanager
async def opened(sync: str = SYNC, *, limit: int | None = None, full: bool = True) -> AsyncIterator[SyncRun]:
    """A run of a sync without Prefect, which reads everything, or so many rows."""
    async with open_run(sync, RunOptions(full=full, limit=limit), settings=load_settings(), gates=Gates) as run:
        run.report.expected = 1_000_000  # lets the sender be a process of its own, as in a run of that size
        yield run


async def read_all(run: SyncRun) -> list[Batch]:
    """Every batch of the source, in memory."""
    batches = []
    while (batch := await run.reading.next_batch()) is not None:
        async with run.turns.on_its_way(batch):
            batches.append(Batch(batch))
    return batches
