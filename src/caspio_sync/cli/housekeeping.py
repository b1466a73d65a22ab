"""`caspio-sync housekeeping`: what is old leaves the ledger and Prefect's database."""

from typing import Annotated

import typer

from caspio_sync.cli.options import AsJson
from caspio_sync.cli.server import named_server, own_records, use_server
from caspio_sync.cli.show import OUT, show_json
from caspio_sync.deployed.housekeeping import purge_ledger
from caspio_sync.settings import local_settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")]


def housekeeping(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove history, ended runs, and Prefect's runs, logs and artifacts that are older than the configured days.

    CASPIO_SYNC_KEEP_DAYS (90) is about the ledger, CASPIO_SYNC_KEEP_PREFECT_DAYS (14) about Prefect. What a sync still
    needs stays, and a run may be under way. Rows, cursors, erasures and the audit are never touched.

    Example: `caspio-sync housekeeping --dry-run`
    """
    settings = local_settings()
    server = named_server(settings.home)
    if server is None and not own_records(settings.home).is_file():
        report = purge_ledger(settings, dry_run=dry_run)
    else:
        use_server(settings.home, server)
        from flows.housekeeping import run_housekeeping  # imports Prefect, whose settings are read then

        report = run_housekeeping(dry_run=dry_run)
    if as_json:
        show_json(report.model_dump(mode="json"))
        return
    for line in report.lines():
        OUT.print(line, soft_wrap=True)
