"""`caspio-sync unknown`: events and deals whose answer was lost: which they are, and what becomes of them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from caspio_sync import registry
from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import OUT, iso_text, moment, number, show_json, show_table
from caspio_sync.cli.sync_name import SyncName, chosen_syncs
from caspio_sync.engine.destination import title_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.events_schema import LEAVING, RELEASED, REPEATED
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import current_settings, local_settings

_STATES = {
    LEAVING: "its run ended",
    **dict.fromkeys((RELEASED, REPEATED), "released: the next run sends it again"),
}


def unknown(
    sync: SyncName,
    resend: Annotated[
        bool, typer.Option("--resend", help="Let the next run send them once more; Braze may have them twice then.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Never send them again, whether they arrived or not.")] = False,
    pk: Annotated[
        list[int] | None, typer.Option("--pk", help="Only the event of the row with this PK_ID; can be given again.")
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Settle those of which Braze's counts say whether they arrived.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show this many at most, oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the events, purchases and deals whose answer was lost, and settle events: send once more, or never again.

    Braze counts each object it gets, so that an event is not sent again by itself once nobody knows whether it arrived
    (`when_lost: resend` in the sync file has the next run do it). Look the person up in Braze: where the event is
    there, `--drop` it; where it is not, `--resend`. An event whose row was edited meanwhile leaves as the row is now.
    `--count` reads what Braze counts of these people, and their rows: an event that is surely there is recorded as
    sent, one that is surely not is released, and of the others it is said why nothing follows (older than the 90 days
    that Braze shows, names that others send too, rows that were changed since).
    Deals bear a mark, by which the next run finds them: there is nothing to settle by hand.

    Example: `caspio-sync unknown orders --drop --pk 17 --pk 18`
    """
    _refuse_together(resend + drop + count, by_count=count, named=bool(pk), every=every)
    if count:
        _count(sync, as_json=as_json)
        return
    settings = local_settings()
    with open_ledger(settings) as ledger:
        chosen_syncs(settings, ledger, sync)
        deals = ledger.deals_in_doubt(sync)
        if (resend or drop) and not deals.is_empty():
            raise ConfigurationError(
                f"{sync}: a deal bears a mark, by which the next run finds it where it was made, and makes it where it "
                f"was not: `caspio-sync run {sync}` settles what is in doubt for five minutes or longer"
            )
        if resend or drop:
            ledger.note_lost(sync)  # what a dead run left is else noted by the next run
            settle = ledger.release_unknown if resend else ledger.drop_unknown
            settled = settle(sync, None if every else pk)
            word = "released; the next run sends them" if resend else "dropped; no run sends them"
            if as_json:
                show_json({"sync": sync, "settled": settled, "as": "resend" if resend else "drop"})
            else:
                OUT.print(f"{number(settled)} events of {escape(sync)} {word}")
            return
        found = ledger.unknown_events(sync)
    if as_json:
        shown = pl.concat([found, deals], how="diagonal").head(limit)
        show_json([_document(each) for each in shown.iter_rows(named=True)])
        return
    if not deals.is_empty():
        doubts = [(each["key"], each["source_pk"], moment(each["at"])) for each in deals.head(limit).rows(named=True)]
        show_table("", ("deal", "PK_ID", "in doubt since"), doubts)
        _show_rest(len(doubts), deals.height)
        OUT.print("the next run looks for each by its mark, and makes those that are not there after five minutes")
        return
    if found.is_empty():
        OUT.print(f"nothing of {escape(sync)} is unknown")
        return
    rows = [
        (
            each["key"],
            each["source_pk"],
            moment(each["at"]),
            each["run"],
            each["request"],
            _STATES.get(each["state"], ""),
        )
        for each in found.head(limit).iter_rows(named=True)
    ]
    show_table("", ("person", "PK_ID", "left at", "run", "request", ""), rows)
    _show_rest(len(rows), found.height)


def _refuse_together(ways: int, *, by_count: bool, named: bool, every: bool) -> None:
    if ways > 1:
        raise ConfigurationError("--resend, --drop and --count do not go together; leave all but one out")
    if by_count and (named or every):
        raise ConfigurationError("--count looks at all of them; leave --pk and --all out")
    if ways and not by_count and named == every:
        raise ConfigurationError("say which events are meant: name them with --pk, or take --all")


def _count(sync: str, *, as_json: bool) -> None:
    settings = current_settings(sync)
    definition = load_sync(settings.sync_file(sync))
    kind = kind_of(definition)
    if not kind.settle:
        raise ConfigurationError(f"{sync}: of {kind.name} nothing is settled by counts")
    settle: Callable[..., Coroutine[Any, Any, Any]] = registry.found(kind.settle)
    settled = asyncio.run(settle(sync, settings=settings))
    if as_json:
        show_json(settled.model_dump(mode="json"))
        return
    for line in settled.lines(title_of(definition.destination)):
        OUT.print(escape(line), soft_wrap=True)


def _show_rest(shown: int, there: int) -> None:
    if there > shown:
        OUT.print(f"\n{number(shown)} of {number(there)} shown; --limit shows more")


def _document(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "at": iso_text(row["at"])}
