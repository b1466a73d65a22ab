"""What `check` looks at for syncs of events."""

from typing import cast

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.keeping import what_is_missing
from caspio_sync.engine.prepared import Prepared
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """How edits and new rows are found, what events need there, and whether some of former runs wait for a word."""
    definition = cast("Occurrences", prepared.definition)
    found = [Finding("ok", _reading(definition)), *await what_is_missing(prepared)]
    if definition.on_update != "ignore" and definition.source.cursor is None:
        text = f"on_update: {definition.on_update} without source.cursor: every run reads the whole table to find edits"
        found.append(Finding("warning", text, "name a Timestamp field that is stamped on update as source.cursor"))
    if settings.has_ledger:
        connect = CONNECT.get()
        with connect.ledger(settings, connect.clock) as ledger:
            unknown = ledger.count_unknown().get(definition.name, 0)
        if unknown:
            text = f"{unknown:,} events are unknown: their answer was lost, and they are not sent again by themselves"
            found.append(Finding("warning", text, f"`caspio-sync unknown {definition.name}` lists and settles them"))
    return found


def _reading(definition: Occurrences) -> str:
    if definition.source.cursor is not None:
        return f"rows are found by {definition.source.cursor}; each is sent once (on_update: {definition.on_update})"
    if definition.grows:
        return "rows are found by PK_ID, those of the last ten minutes again; a whole read by night finds the rest"
    return f"every run reads the whole table; each row is sent once (on_update: {definition.on_update})"
