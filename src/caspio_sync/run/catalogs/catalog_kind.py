"""Catalogs: rows as the items of a catalog."""

from caspio_sync.mapping.catalog_faults import catalog_faults
from caspio_sync.mapping.catalog_proposal import propose_catalog
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.run.kind import Kind, Words


def _describe(sync: CatalogSync, whole: bool) -> str:
    reads = "Reads all rows and sends what differs" if whole else "Reads what changed since the last run"
    gone = "; items whose row is gone are deleted" if whole and sync.on_missing == "delete" else ""
    return (
        f"Caspio's {sync.source.name} to the Braze catalog {sync.catalog.name}. {reads}{gone}. "
        "Custom run: `full` reads all rows, `limit` the first ones, `keys` chosen ones."
    )


CATALOG = Kind(
    name="catalog",
    definition=CatalogSync,
    faults=catalog_faults,
    mapping=CatalogMapping,
    words=Words(
        row="item",
        who="item",
        taker="Braze",
        part_ways="give one of them a catalog of its own, or write {apart}",
        look_at="time zone, consent, what Braze need not know",
        own=lambda report: ("deleted", report.deleted, "items whose row is gone"),
        headline=lambda report: f"{report.deleted:,} items deleted",
        free="none: items are free",
        deletes=True,
    ),
    work="caspio_sync.run.catalogs.catalog_work:catalog_work",
    line="caspio_sync.run.catalogs.catalog_line:CATALOG",
    flow="flows.catalog_sync.catalog_sync",
    examine="caspio_sync.run.catalogs.catalog_examination:examine",
    propose=propose_catalog,
    guess_back=lambda _: {},
    cron="*/15 * * * *",  # an item is wanted within the hour
    describe=_describe,
)
