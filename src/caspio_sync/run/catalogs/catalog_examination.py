"""What `check` looks at for syncs of catalogs."""

from typing import cast

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.run.catalogs.catalog_schema import CatalogKeeper
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.examination import Examination
from caspio_sync.run.finding import Finding
from caspio_sync.run.prepared import Prepared
from caspio_sync.settings import Settings


async def _account(settings: Settings, _write_test: str | None) -> list[Finding]:
    connect = CONNECT.get()
    async with connect.catalogs(settings, connect.clock) as client:
        await client.probe_catalogs()
    return [Finding("ok", f"Braze: {settings.braze_endpoint} lets the key keep catalogs (catalogs.*)")]


async def _catalog(prepared: Prepared, settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """The catalog in Braze held against the mapping."""
    definition, mapping = cast("CatalogSync", prepared.definition), cast("CatalogMapping", prepared.mapping)
    connect = CONNECT.get()
    async with connect.catalogs(settings, connect.clock) as client:
        change = await CatalogKeeper(definition, mapping.schema, client, connect.clock).look()
    todo = "; ".join(change.lines) or "as the sync file says"
    notes = [Finding("warning", note, "decide before the first run") for note in change.notes]
    return [Finding("ok", f"catalog {change.catalog}: {todo}"), *notes]


EXAMINATION = Examination(_account, _catalog)
