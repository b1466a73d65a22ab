"""The suite of a sync, whatever its kind."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.engagement import EngagementMapping
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import AnySync
from expectations import catalog_items, engagement, profiles
from expectations.gate import Expectation, Gate, Judgement


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


def suite_of(sync: AnySync, mapping: RowMapping) -> Sequence[Expectation]:
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


class Gates:
    """The gates of a run, each made when the first rows come to it.

    Args:
        name: of the sync.
        sync: its definition.
        mapping: held against the table.
    """

    def __init__(self, name: str, sync: AnySync, mapping: RowMapping) -> None:
        self._name = name
        self._sync = sync
        self._mapping = mapping
        self._gate: Gate | None = None

    async def rows(self, changes: pl.DataFrame) -> Judgement:
        """Judge the full mapped rows of everything new or changed.

        Raises:
            ConfigurationError: an expectation of the sync file cannot be evaluated.
        """
        return await asyncio.to_thread(self._judge, changes)

    async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judgement:
        """Judge what is to be written into the table of campaigns: its columns of counts; `now` is aware."""
        gate = engagement.campaign_gate(self._name, self._sync)
        return await asyncio.to_thread(gate.judge, engagement.judged_days(days, counts, now))

    def _judge(self, changes: pl.DataFrame) -> Judgement:
        if changes.is_empty():  # as in most runs of a minutely schedule: half their time was the import of the gate
            return Judgement.of_nothing(changes)
        if self._gate is None:
            self._gate = gate_of(self._name, self._sync, self._mapping)
        return self._gate.judge(judged_frame(changes, self._sync, self._mapping))
