"""The mapping of a sync, whatever its kind."""

from collections.abc import Collection, Sequence

from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.mapping.engagement import EngagementMapping
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import AnySync
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import CaspioField


def mapping_of(sync: AnySync, fields: Sequence[CaspioField], *, absent: Collection[str] = ()) -> RowMapping:
    """The sync's mapping, fitted to the fields of its table.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        absent: names of those that cannot be read for now (see `RowMapping`).

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """
    values = rules_for(sync.kind, sync.destination)
    if isinstance(sync, CatalogSync):
        return CatalogMapping(sync, fields, values, absent=absent)
    if isinstance(sync, EngagementSync):
        return EngagementMapping(sync, fields, values, absent=absent)
    return ProfileMapping(sync, fields, values, absent=absent)
