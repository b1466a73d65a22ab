"""Catalog sync: rows of a Caspio table or view to the items of a Braze catalog."""

from prefect import flow
from pydantic import Field

from caspio_sync.kinds.catalog.line import CATALOG
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName
from tasks.ending import run_name, with_named_end
from tasks.line import move


class CatalogSyncParameters(RunOptions):
    """What to sync; the accounts come from the environment of the worker."""

    sync: SyncName = Field(default="products", description="Name of a sync, or its file in syncs/.")


@flow(
    flow_run_name=run_name,
    name="catalog-sync",
    description="Caspio rows that are new, changed or gone, as items of a Braze catalog.",
)
@with_named_end
async def catalog_sync(parameters: CatalogSyncParameters) -> RunReport:
    """The catalog, then Caspio ─▶ extract ─▶ map ─▶ compare ─▶ gate ─▶ send ─▶ record, then the items without a row."""
    return await move(parameters.sync, parameters, CATALOG)
