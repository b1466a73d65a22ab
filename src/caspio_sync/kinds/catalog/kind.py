"""Catalogs: rows as the items of a catalog."""

from caspio_sync.engine.kind import Kind, Words
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.faults import catalog_faults
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.kinds.catalog.proposal import propose_catalog


def _describe(sync: CatalogSync, whole: bool, title: str) -> str:
    reads = "Reads all rows and sends what differs" if whole else "Reads what changed since the last run"
    gone = "; items whose row is gone are deleted" if whole and sync.on_missing == "delete" else ""
    return (
        f"Caspio's {sync.source.name} to the {title} catalog {sync.catalog.name}. {reads}{gone}. "
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
        part_ways="give one of them a catalog of its own, or write {apart}",
        look_at="time zone, consent, what {title} need not know",
        own=lambda report: ("deleted", report.deleted, "items whose row is gone"),
        headline=lambda report: f"{report.deleted:,} items deleted",
        free="none: items are free",
        deletes=True,
    ),
    work="caspio_sync.kinds.catalog.work:catalog_work",
    line="caspio_sync.kinds.catalog.line:CATALOG",
    flow="flows.catalog_sync.catalog_sync",
    examine="caspio_sync.kinds.catalog.examination:examine",
    propose=propose_catalog,
    guess_back=lambda _: {},
    cron="*/15 * * * *",  # an item is wanted within the hour
    describe=_describe,
)
