"""What `check` looks at for syncs of catalogs."""

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.registry import DEFAULT_DESTINATION
from caspio_sync.run.catalogs.catalog_schema import SchemaChange
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.destination import destination_named, destination_of
from caspio_sync.run.examination import Examination
from caspio_sync.run.finding import Finding
from caspio_sync.run.prepared import Prepared
from caspio_sync.settings import Settings


async def _account(_settings: Settings, _write_test: str | None) -> list[Finding]:
    connect = CONNECT.get()
    async with connect.account(destination_named(DEFAULT_DESTINATION), connect.clock) as account:
        await account.catalogs.probe_catalogs()
    return [Finding("ok", f"Braze: {account.address} lets the key keep catalogs (catalogs.*)")]


async def _catalog(prepared: Prepared, _settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """The catalog in Braze held against the mapping."""
    connect, destination = CONNECT.get(), destination_of(prepared.definition)
    async with connect.account(destination, connect.clock) as account:
        change: SchemaChange = await destination.sink(prepared.definition).keeper(account, prepared.mapping).look()
    todo = "; ".join(change.lines) or "as the sync file says"
    notes = [Finding("warning", note, "decide before the first run") for note in change.notes]
    return [Finding("ok", f"catalog {change.catalog}: {todo}"), *notes]


EXAMINATION = Examination(_account, _catalog)
