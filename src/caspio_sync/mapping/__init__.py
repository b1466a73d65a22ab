"""The sync definition, and from source frame to mapped frame to objects."""

from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.mapping.kinds import mapping_of
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.mapping.proposal import propose_sync
from caspio_sync.mapping.row_mapping import Check, RowMapping
from caspio_sync.mapping.sync_file import AnySync, load_sync, parse_sync, sync_json_schema

__all__ = [
    "AnySync",
    "CatalogMapping",
    "CatalogSync",
    "Check",
    "ProfileMapping",
    "ProfileSync",
    "RowMapping",
    "load_sync",
    "mapping_of",
    "parse_sync",
    "propose_sync",
    "sync_json_schema",
]
