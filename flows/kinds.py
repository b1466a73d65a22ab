"""The flow of each kind of sync."""

from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.settings import Settings
from flows.catalog_sync import run_catalog_sync
from flows.profile_sync import run_profile_sync


def run_sync(name: str, options: RunOptions, settings: Settings) -> RunReport:
    """Run the flow of a sync's kind in this process and wait for it.

    Raises:
        CaspioSyncError: as the run ended; a ConfigurationError where the sync file cannot be read.
    """
    kind = load_sync(settings.sync_file(name)).kind
    return (run_catalog_sync if kind == "catalog" else run_profile_sync)(name, options)
