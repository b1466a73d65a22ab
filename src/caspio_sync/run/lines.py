"""The line of each kind of sync."""

from collections.abc import Mapping
from types import MappingProxyType

from caspio_sync.run.catalogs.catalog_line import CATALOG
from caspio_sync.run.engagement.return_line import RETURN
from caspio_sync.run.line import Line
from caspio_sync.run.profile_line import PROFILES

LINES: Mapping[str, Line] = MappingProxyType({"profiles": PROFILES, "catalog": CATALOG, "engagement": RETURN})
