"""What `check` looks at for syncs of events."""

from typing import cast

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.finding import Finding, findings_of
from caspio_sync.engine.keeping import what_is_missing
from caspio_sync.engine.prepared import Prepared
from caspio_sync.errors import CaspioSyncError
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.kinds.events.lines import lines_of
from caspio_sync.kinds.events.lines_definition import Complete, Lines
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """How edits, new rows and lines are found, what events need there, and whether some wait for a person's word."""
    definition = cast("Occurrences", prepared.definition)
    found = [Finding("ok", _reading(definition)), *await what_is_missing(prepared)]
    if definition.on_update != "ignore" and definition.source.cursor is None:
        text = f"on_update: {definition.on_update} without source.cursor: every run reads the whole table to find edits"
        found.append(Finding("warning", text, "name a Timestamp field that is stamped on update as source.cursor"))
    if definition.order_lines is not None:
        found += await _lines(prepared, definition.order_lines, caspio)
    if ending := destination_of(definition).sink(definition).ending:
        found.append(
            Finding("warning", ending, "what was sent as purchases stays; a new sync is better made of orders")
        )
    if settings.has_ledger:
        connect = CONNECT.get()
        with connect.ledger(settings, connect.clock) as ledger:
            unknown = ledger.count_unknown().get(definition.name, 0)
        if unknown:
            text = f"{unknown:,} events are unknown: their answer was lost, and they are not sent again by themselves"
            found.append(Finding("warning", text, f"`caspio-sync unknown {definition.name}` lists and settles them"))
    return found


async def _lines(prepared: Prepared, lines: Lines, caspio: CaspioClient) -> list[Finding]:
    """What is read of an order's lines, held against their table."""
    try:
        read = await lines_of(prepared, caspio)
    except CaspioSyncError as fault:
        return findings_of(fault)
    fields = ", ".join(field.name for field in read.fields) if read else ""
    return [
        Finding("ok", f"the lines of orders are those of {lines.table} ({fields}), complete {_told(lines.complete)}")
    ]


def _told(complete: Complete) -> str:
    if complete.count is not None:
        return f"when there are as many as {complete.count} says"
    return f"when {complete.when}" if complete.when is not None else f"when none came for {complete.quiet}"


def _reading(definition: Occurrences) -> str:
    if definition.source.cursor is not None:
        return f"rows are found by {definition.source.cursor}; each is sent once (on_update: {definition.on_update})"
    if definition.grows:
        return "rows are found by PK_ID, those of the last ten minutes again; a whole read by night finds the rest"
    return f"every run reads the whole table; each row is sent once (on_update: {definition.on_update})"
