"""`caspio-sync verify`: is what Braze holds what was sent?"""

import asyncio
from typing import Annotated, Literal

import typer

from caspio_sync.cli.accuracy import estimate_text, show_verification
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import ERR, OUT, progress_bar, show_json
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.destinations.braze.items_back import ItemsReadBack
from caspio_sync.destinations.braze.profiles_back import ProfilesReadBack
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.counting import CountsReport
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.registry import found
from caspio_sync.settings import current_settings
from caspio_sync.verification.verifying import Watching
from caspio_sync.verification.verifying import verify as verify_sync


def verify(
    sync: SyncName,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help=f"So many rows, drawn evenly; {ProfilesReadBack.usual_sample} by default, of a catalog "
            f"{ItemsReadBack.usual_sample}. All of a catalog that takes fewer calls as a whole.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every row that was sent.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read profiles or catalog items back from Braze and compare them with what was sent, field by field.

    Says first how long it takes. Interrupted, the same command goes on where it stopped. Fields that differ are sent
    again by the next run; consent that is stricter in Braze than in Caspio is told and left alone. Braze gives fifty
    catalog items, or pages of fifty, a minute; with --all a catalog is read page by page, and items that no sync sent
    are counted. Of events and purchases it counts how many Braze has of a person, against how many were sent: --sample
    is about people then, and nothing is sent again for it.

    Example: `caspio-sync verify customers --sample 5000`
    """
    if every and sample is not None:
        raise ConfigurationError("--all and --sample contradict each other; give one of them")
    chosen: int | Literal["usual"] | None = None if every else sample or "usual"
    settings = current_settings(sync)
    definition = load_sync(settings.sync_file(sync))
    if place := kind_of(definition).verify:
        counts: CountsReport = asyncio.run(found(place)(sync, settings=settings, sample=chosen))
        if as_json:
            show_json(counts.model_dump(mode="json"))
        for line in () if as_json else counts.lines(destination_of(definition).title):
            OUT.print(line, soft_wrap=True)
        return
    with progress_bar(quiet=as_json) as progress:
        bar = progress.add_task(f"{sync}: verifying", total=None)
        watching = Watching(
            announce=lambda estimate: ERR.print(estimate_text(estimate), soft_wrap=True),
            observe=lambda report: progress.update(bar, total=report.rows, completed=report.looked_at),
        )
        report = asyncio.run(verify_sync(sync, settings=settings, sample=chosen, restart=restart, watching=watching))
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_verification(report)
