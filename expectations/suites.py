"""The suite of a sync, whatever its kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.engagement import EngagementMapping
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import AnySync
from expectations import catalog_items, engagement, profiles
from expectations.gate import Gate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def gate_of(name: str, sync: AnySync, mapping: RowMapping) -> Gate:
    """The gate of a sync.

    Raises:
        ConfigurationError: an expectation of the sync file that Great Expectations does not know, or that cannot judge
            the attribute it names.
    """
    if isinstance(sync, CatalogSync):
        return catalog_items.catalog_gate(name, sync, mapping)
    if isinstance(sync, EngagementSync) and isinstance(mapping, EngagementMapping):
        return engagement.engagement_gate(name, sync, mapping)
    return profiles.profile_gate(name, sync, mapping)


def suite_of(sync: AnySync, mapping: RowMapping) -> "Sequence[Expectation]":
    """What is shipped with the kind of sync; the sync file's own expectations come on top."""
    if isinstance(sync, CatalogSync):
        return catalog_items.catalog_suite(sync, mapping)
    if isinstance(sync, EngagementSync) and isinstance(mapping, EngagementMapping):
        return engagement.engagement_suite(sync, mapping)
    return profiles.profile_suite(mapping)


def judged_frame(rows: pl.DataFrame, sync: AnySync, mapping: RowMapping) -> pl.DataFrame:
    """The rows with the columns that the suite names."""
    if isinstance(sync, CatalogSync):
        return catalog_items.judged_frame(rows, mapping, sync)
    if isinstance(sync, EngagementSync) and isinstance(mapping, EngagementMapping):
        return engagement.judged_frame(rows, mapping)
    return profiles.judged_frame(rows, mapping)
