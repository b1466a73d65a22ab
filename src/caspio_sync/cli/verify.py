"""`caspio-sync verify`: is what Braze holds what was sent?"""

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from caspio_sync.cli.accuracy import estimate_text, show_verification
from caspio_sync.cli.run import AsJson
from caspio_sync.cli.show import ERR, show_json
from caspio_sync.errors import ConfigurationError
from caspio_sync.run.verifying import DEFAULT_SAMPLE, Watching
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
