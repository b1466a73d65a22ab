"""What a destination has told of people, gathered for one engagement return: polls into the inbox, the inbox folded."""

import contextlib
from collections.abc import Collection, Mapping
from datetime import date
from typing import ClassVar, cast

import polars as pl

from caspio_sync.engagement.identity import KINDS
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.run import Opening, SyncRun
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.folding import fold_inbox
from caspio_sync.kinds.engagement.people import KnownPeople, known_people
from caspio_sync.settings import current_settings


class ToldEngagement:
    """What one destination has told of the people of a sync; each says how it is polled.

    Args:
        opening: of a run of an engagement return.

    Attributes:
        sources: of the posts that are the destination's; the inbox holds those of others as well.
    """

    sources: ClassVar[Collection[str]]

    def __init__(self, opening: Opening) -> None:
        self._name = opening.name
        self._ledger = opening.ledger.ledger
        self._definition = cast("EngagementSync", opening.prepared.definition)

    async def gather(self, run: SyncRun) -> Mapping[str, int]:
        """Poll, and fold what arrived by polls and by posts; counts for the report by name.

        Raises:
            TransientError: the destination, the inbox or the ledger cannot be reached; calling again goes on where
                this stopped.
            ConfigurationError: the key lacks a permission.
        """
        with contextlib.closing(CONNECT.get().inbox(current_settings(), run.clock)) as inbox:
            told = await self.poll(run, inbox)
            folded = await fold_inbox(
                run.name, inbox, run.ledger, run.clock, kinds=self._kinds, sources=self.sources, spread=self.spread
            )
        counts = {**told, **{f"events {name}": count for name, count in folded.events.items()}}
        return {name: count for name, count in counts.items() if count}

    async def poll(self, run: SyncRun, inbox: Inbox) -> dict[str, int]:
        """Ask the destination, and keep what it tells; counts for the report by name."""
        raise NotImplementedError

    def spread(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events as they are folded: one that is about several things as one of each."""
        return events

    def resolve(self, people: pl.DataFrame) -> KnownPeople:
        """What is known of these rows: `key`, external_id, alias_label, alias_name, email."""
        return known_people(self._ledger, self._name, people)

    def people(self) -> int:
        """How many people something is known of."""
        return self._ledger.known_people(self._name).height

    def campaign_days(self, since: date) -> pl.DataFrame:
        """Counts of each campaign, day and channel from that day on; null where a count was not told."""
        return self._ledger.campaign_days(self._name, since)

    @property
    def _kinds(self) -> tuple[str, ...]:
        """A table that knows people by address alone is best found by it."""
        return ("email",) if self._definition.identity.kind == "email" else tuple(KINDS)
