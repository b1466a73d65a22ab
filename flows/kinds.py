"""The flow of each kind of sync."""

import asyncio
from typing import Any, get_type_hints

from caspio_sync.engine.kind import kind_named
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.registry import found
from caspio_sync.settings import Settings


def run_sync(name: str, options: RunOptions, settings: Settings) -> RunReport:
    """Run the flow of a sync's kind in this process and wait for it.

    Raises:
        CaspioSyncError: as the run ended; a ConfigurationError where the sync file cannot be read.
    """
    return asyncio.run(run_flow(load_sync(settings.sync_file(name)).kind, name, options))


async def run_flow(kind: str, name: str, options: RunOptions) -> RunReport:
    """Run the flow of a kind within another flow.

    Raises:
        CaspioSyncError: as the run ended.
    """
    module, _, function = kind_named(kind).flow.rpartition(".")
    flow: Any = found(f"{module}:{function}")
    parameters = get_type_hints(flow)["parameters"]
    report: RunReport = await flow(parameters(sync=name, **options.model_dump(by_alias=True)))
    return report
