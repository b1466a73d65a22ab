"""`caspio-sync verify`: is what Braze holds what was sent?"""

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from caspio_sync.cli.run import AsJson
from caspio_sync.cli.show import ERR, OUT, number, show_json, show_table
from caspio_sync.errors import ConfigurationError
from caspio_sync.run.verify_report import Estimate, VerifyReport
from caspio_sync.run.verifying import DEFAULT_SAMPLE, Watching, seconds_text
from caspio_sync.run.verifying import verify as verify_sync
from caspio_sync.settings import current_settings


def verify(
    sync: Annotated[str, typer.Argument(help="Name of a file in syncs/, without .yaml.")],
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help=f"So many rows, drawn evenly; {DEFAULT_SAMPLE} by default.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every row that was sent.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read profiles back from Braze and compare them with what was sent, field by field.

    Says first how long it takes. Interrupted, the same command goes on where it stopped. Fields that differ are sent
    again by the next run; consent that is stricter in Braze than in Caspio is told and left alone.

    Example: `caspio-sync verify customers --sample 5000`
    """
    if every and sample is not None:
        raise ConfigurationError("--all and --sample contradict each other; give one of them")
    chosen = None if every else sample or DEFAULT_SAMPLE
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=as_json or not ERR.is_terminal) as progress:
        bar = progress.add_task(f"{sync}: verifying", total=None)
        watching = Watching(
            announce=lambda estimate: ERR.print(estimate_text(estimate), soft_wrap=True),
            observe=lambda report: progress.update(bar, total=report.rows, completed=report.looked_at),
        )
        settings = current_settings()
        report = asyncio.run(verify_sync(sync, settings=settings, sample=chosen, restart=restart, watching=watching))
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_verification(report)


def estimate_text(estimate: Estimate) -> str:
    """What a verification will take, in one line."""
    slowest = seconds_text(estimate.slowest_seconds)
    resumed = f"goes on after {number(estimate.resumed)} rows: " if estimate.resumed else ""
    return (
        f"{resumed}{number(estimate.rows)} rows, {number(estimate.requests)} requests to Braze: about "
        f"{seconds_text(estimate.seconds)} at 40 exports a second, {slowest} where Braze gives 250 a minute; "
        f"about {number(estimate.caspio_calls)} calls to Caspio"
    )


def show_verification(report: VerifyReport) -> None:
    """The verification as tables."""
    if not report.compared:
        OUT.print("Nothing could be compared: no row that was looked at is as it was sent.")
    else:
        OUT.print(
            f"[bold]{_percent(report.accuracy)} of {number(report.compared)} rows[/] and "
            f"{_percent(report.field_accuracy)} of {number(report.fields)} fields are in Braze as they were sent\n"
        )
    groups = [
        ("equal", report.equal, ""),
        ("differing", report.differing, "the next run sends the differing fields again"),
        ("no profile", report.missing, "the next run sends the whole row again"),
        ("pending", report.pending, "changed in Caspio since; the next run sends them"),
        ("sent lately", report.recent, "differ, and were sent in the last five minutes; verify again"),
        ("gone", report.gone, "no longer in the source"),
        ("ambiguous", report.ambiguous, "the identifier leads to several profiles, or to one that was renamed"),
        ("left out", report.left_out, "no profile, and on_new: update_only makes none"),
    ]
    show_table(
        "", ("rows", "", "what it means"), [each for each in groups if each[1] or each[0] == "equal"], right=("",)
    )
    if report.differences:
        OUT.print()
        show_table(
            "differences",
            ("field", "rows", "stay: stricter consent in Braze", "for example"),
            [(each.field, each.rows, each.kept, ", ".join(each.examples)) for each in report.differences],
            right=("rows", "stay: stricter consent in Braze"),
        )
    for field, rows in report.retyped.items():
        OUT.print(f"note: {field}: Braze holds {number(rows)} values in another type than they were sent in")
    if report.unreadable:
        OUT.print(f"note: no export gives {', '.join(report.unreadable)}: not compared")


def _percent(share: float | None) -> str:
    # Never rounded up to 100 %: that word is kept for no difference at all.
    return "-" if share is None else "100 %" if share == 1 else f"{min(share, 0.9999):.2%}"
