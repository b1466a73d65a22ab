"""The flow of each kind of sync."""

import asyncio

from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.run.deployed.deployments import ENTRYPOINTS
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.settings import Settings
from flows import catalog_sync, engagement_return, profile_sync


def run_sync(name: str, options: RunOptions, settings: Settings) -> RunReport:
    """Run the flow of a sync's kind in this process and wait for it.

    Raises:
        CaspioSyncError: as the run ended; a ConfigurationError where the sync file cannot be read.
    """
    return asyncio.run(run_flow(load_sync(settings.sync_file(name)).kind, name, options))


def flow_name(kind: str) -> str:
    """Prefect's name of the flow for a kind of sync."""
    return ENTRYPOINTS[kind].rpartition(".")[2].replace("_", "-")


async def run_flow(kind: str, name: str, options: RunOptions) -> RunReport:
    """Run the flow of a kind within another flow.

    Raises:
        CaspioSyncError: as the run ended.
    """
    chosen = options.model_dump(by_alias=True)
    if kind == "catalog":
        return await catalog_sync.catalog_sync(catalog_sync.CatalogSyncParameters(sync=name, **chosen))
    if kind == "engagement":
        parameters = engagement_return.EngagementReturnParameters(sync=name, **chosen)
        return await engagement_return.engagement_return(parameters)
    return await profile_sync.profile_sync(profile_sync.ProfileSyncParameters(sync=name, **chosen))
