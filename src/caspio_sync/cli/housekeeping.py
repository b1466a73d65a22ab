"""`caspio-sync housekeeping`: what is old leaves the ledger and Prefect's database."""

import os
from typing import Annotated

import typer

from caspio_sync.cli.run import AsJson
from caspio_sync.cli.show import OUT, show_json
from caspio_sync.settings import local_settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")]


def housekeeping(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove history, ended runs, and Prefect's runs, logs and artifacts that are older than the configured days.

    CASPIO_SYNC_KEEP_DAYS (90) is about the ledger, CASPIO_SYNC_KEEP_PREFECT_DAYS (14) about Prefect. What a sync still
    needs stays, and a run may be under way. Rows, cursors, erasures and the audit are never touched.

    Example: `caspio-sync housekeeping --dry-run`
    """
    from tasks.orchestration import use_own_prefect

    settings = local_settings()
    use_own_prefect(settings.home, verbose=bool(os.environ.get("CASPIO_SYNC_VERBOSE")))
    from flows.housekeeping import run_housekeeping  # imports Prefect, whose settings are read then

    report = run_housekeeping(dry_run=dry_run)
    if as_json:
        show_json(report.model_dump(mode="json"))
        return
    for line in report.lines():
        OUT.print(line, soft_wrap=True)
