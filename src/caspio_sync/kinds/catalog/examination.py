"""What `check` looks at for syncs of catalogs."""

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared
from caspio_sync.kinds.catalog.work import SchemaChange
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, _settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """The catalog held against the mapping."""
    connect, destination = CONNECT.get(), destination_of(prepared.definition)
    async with connect.account(destination, connect.clock) as account:
        change: SchemaChange = await destination.sink(prepared.definition).keeper(account, prepared.mapping).look()
    todo = "; ".join(change.lines) or "as the sync file says"
    notes = [Finding("warning", note, "decide before the first run") for note in change.notes]
    return [Finding("ok", f"catalog {change.catalog}: {todo}"), *notes]
