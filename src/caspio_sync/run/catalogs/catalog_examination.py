"""What `check` looks at for syncs of catalogs."""

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.run.catalogs.catalog_work import SchemaChange
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.destination import destination_of
from caspio_sync.run.finding import Finding
from caspio_sync.run.prepared import Prepared
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, _settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """The catalog held against the mapping."""
    connect, destination = CONNECT.get(), destination_of(prepared.definition)
    async with connect.account(destination, connect.clock) as account:
        change: SchemaChange = await destination.sink(prepared.definition).keeper(account, prepared.mapping).look()
    todo = "; ".join(change.lines) or "as the sync file says"
    notes = [Finding("warning", note, "decide before the first run") for note in change.notes]
    return [Finding("ok", f"catalog {change.catalog}: {todo}"), *notes]
