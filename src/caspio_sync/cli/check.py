"""`caspio-sync check`: everything a run needs, looked at before the first row is read."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync.cli.examine import Examined, examine
from caspio_sync.cli.findings import private_findings, show_findings
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import OUT, show_json
from caspio_sync.cli.sync_name import AnySyncName
from caspio_sync.engine.finding import Finding, findings_of
from caspio_sync.env_file import settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.observe.report import ExitCode
from caspio_sync.settings import current_settings, every_setting

WriteTest = Annotated[
    str | None,
    typer.Option(
        "--write-test",
        metavar="EXTERNAL_ID",
        help="Also write the attribute caspio_sync_test to this profile in Braze (it is made where there is none).",
    ),
]


def check(
    sync: AnySyncName = None,
    write_test: WriteTest = None,
    as_json: AsJson = False,
) -> None:
    """Look at settings, accounts, table, fields, cursor, gate and ledger, and say of each what to do.

    Nothing is written to Caspio or Braze: the Braze key is tried with a request that holds no profile. `--write-test`
    alone sends one attribute to one profile, to be seen in the Braze dashboard. With SYNC, only the accounts that its
    file names are asked.

    Exit code 2 where something stands in the way of a run; warnings do not. `--json` prints {"sync", "findings"};
    without SYNC a list of these, the first (sync: null) about accounts and ledger.

    Example: `caspio-sync check customers`
    """
    examined = examine_syncs(sync, write_test)
    if as_json:
        documents = [asdict(each) for each in examined]
        together = {"sync": sync, "findings": [finding for each in documents for finding in each["findings"]]}
        show_json(together if sync else documents)
    else:
        _show(examined)
    if not all(each.sound for each in examined):
        raise typer.Exit(ExitCode.CONFIGURATION)


def examine_syncs(sync: str | None, write_test: str | None) -> list[Examined]:
    """Findings of accounts, ledger and sync files; without `sync` those of every file."""
    try:
        settings = every_setting() if sync is None else current_settings(sync)
    except ConfigurationError as error:
        return [Examined(None, findings_of(error))]
    names = [sync] if sync else settings.sync_files.names
    examined = asyncio.run(examine(settings, names, write_test=write_test))
    examined[0].findings += private_findings(settings_file(), settings.home)
    if not names:
        remedy = "write one: `caspio-sync init customers --table T`"
        examined[0].findings.append(Finding("warning", f"{settings.syncs}: no sync file", remedy))
    return examined


def _show(examined: list[Examined]) -> None:
    for each in examined:
        OUT.print(f"[bold]{escape(each.sync or 'accounts')}[/]")
        show_findings(each.findings, indent="  ")
    findings = [finding for each in examined for finding in each.findings]
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if errors:
        OUT.print(f"\n{errors} to correct before a run, {warnings} to think about")
    else:
        OUT.print(f"\nnothing stands in the way, {warnings} to think about. Next: `caspio-sync plan SYNC`")
