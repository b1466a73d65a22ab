"""The interface to what the destination has told of people. A run takes it from `Connect`; tests hand in their own."""

from collections.abc import Mapping
from datetime import date
from typing import Protocol

import polars as pl

from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.engagement.people import KnownPeople


class Engagement(Protocol):
    """What the destination has told of people, folded."""

    async def gather(self, run: SyncRun) -> Mapping[str, int]:
        """Poll, and fold what arrived; numbers for the report by name."""

    def resolve(self, people: pl.DataFrame) -> KnownPeople:
        """What is known of these rows: key (Int64), external_id, alias_label, alias_name, email."""

    def people(self) -> int:
        """How many people something is known of."""

    def campaign_days(self, since: date) -> pl.DataFrame:
        """campaign_id, campaign_name, day, channel and counts, from that day on."""
