"""`caspio-sync audit`: the trail of every erasure, to hand on and to check."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.markup import escape

from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import ERR, OUT, number, show_json, spreadsheet_cell, written
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.audit import AuditBrokenError, AuditEntry
from caspio_sync.ledger.store import Ledger
from caspio_sync.settings import local_settings

audit = typer.Typer(
    help="The audit trail: every step of every erasure, each entry hashed with the one before it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
_COLUMNS = ("number", "at", "sync", "event", "key_digest", "details", "hash")


@audit.command("export")
def export(
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="One JSON object a line, or CSV.")
    ] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; standard output else.")] = None,
) -> None:
    """Write out every entry, oldest first. People are named by keyed hashes alone, which `erase --dry-run` shows.

    Example: `caspio-sync audit export --format csv --output erasures.csv`
    """
    with _ledger() as ledger, written(output, for_spreadsheets=form == "csv") as file:
        file.writelines(_csv(ledger.audit_entries()) if form == "csv" else _jsonl(ledger.audit_entries()))
    if output is not None:
        ERR.print(f"written to {escape(str(output))}")


@audit.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Hold every entry against the chain; exit code 4 names the first that is not what was written.

    Note the hash it shows outside of the ledger: who can write the whole ledger could forge a whole trail, but none
    that holds that hash.

    Example: `caspio-sync audit verify`
    """
    with _ledger() as ledger:
        try:
            head = ledger.verify_audit()
        except AuditBrokenError as error:
            if as_json:
                show_json({"sound": False, "first_broken": error.number, "error": str(error)})
                raise typer.Exit(CaspioSyncError.exit_code) from None
            raise
    if as_json:
        show_json({"sound": True, "entries": head.entries, "hash": head.hash})
    else:
        OUT.print(f"{number(head.entries)} entries, each as it was written; the newest hash is {head.hash}")


def _ledger() -> Ledger:
    settings = local_settings()
    if not settings.has_ledger:
        raise ConfigurationError(f"there is no ledger in {settings.home} yet, so no audit trail; run a sync first")
    return open_ledger(settings)


def _document(entry: AuditEntry) -> dict[str, object]:
    return {**{name: getattr(entry, name) for name in _COLUMNS}, "at": entry.at.isoformat(timespec="microseconds")}


def _jsonl(entries: Iterator[AuditEntry]) -> Iterator[str]:
    for entry in entries:
        yield orjson.dumps(_document(entry)).decode() + "\n"


def _csv(entries: Iterator[AuditEntry]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.DictWriter(line, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        details = orjson.dumps(entry.details, option=orjson.OPT_SORT_KEYS).decode()
        cells = {**_document(entry), "details": details}
        writer.writerow({name: spreadsheet_cell(cell) for name, cell in cells.items()})
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
