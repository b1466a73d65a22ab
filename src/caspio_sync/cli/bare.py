"""A run, or a backfill, without an orchestrator: the same line of steps, tried again after the same delays."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from caspio_sync.engine.gates import MakeGates
from caspio_sync.engine.line import line_of, run_and_close
from caspio_sync.engine.opening import open_run
from caspio_sync.errors import without_values
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import Settings

if TYPE_CHECKING:
    from caspio_sync.deployed.backfill import BackfillReport
    from caspio_sync.deployed.listening import ListeningReport


def run_sync(name: str, options: RunOptions, settings: Settings, gates: MakeGates) -> RunReport:
    """Run a sync in this process and wait for it.

    Raises:
        CaspioSyncError: as the run ended; a ConfigurationError where the sync file cannot be read.
    """
    return asyncio.run(run(name, options, settings, gates))


async def run(name: str, options: RunOptions, settings: Settings, gates: MakeGates) -> RunReport:
    """As `run_sync`, inside a running loop."""
    line = line_of(load_sync(settings.sync_file(name)))
    with without_values():
        return await run_and_close(open_run(name, options, settings=settings, gates=gates), line)


def run_listening(name: str, options: RunOptions, settings: Settings, gates: MakeGates) -> "ListeningReport":
    """Take what webhooks announce for `options.listen_seconds`, and sweep between: here no schedule does.

    Raises:
        LeaseHeldError, ConfigurationError: as `listen`.
    """
    from caspio_sync.deployed.listening import listen, sweep_seconds

    def session(how: RunOptions) -> Awaitable[RunReport]:
        chosen = {"hints": how.hints, "listen_seconds": how.listen_seconds}
        return run(name, options.model_copy(update=chosen), settings, gates)

    listening = listen(
        name, session, settings=settings, seconds=options.listen_seconds, sweep_seconds=sweep_seconds(name, settings)
    )
    return asyncio.run(listening)


def run_backfill(sync: str, options: RunOptions, shards: int, settings: Settings, gates: MakeGates) -> "BackfillReport":
    """Run a backfill in this process, shard by shard, and wait for it.

    Raises:
        BackfillError: a shard did not end well.
        ConfigurationError, TransientError: as `plan_backfill`.
    """
    from caspio_sync.deployed.backfill import plan_backfill, report_of, run_here

    async def backfill() -> "BackfillReport":
        planned = await plan_backfill(sync, options, shards, settings=settings)
        ended = await run_here(planned, options, lambda chosen: run(sync, chosen, settings, gates))
        return report_of(planned, options, ended)

    return asyncio.run(backfill())
