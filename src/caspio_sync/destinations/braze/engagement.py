"""What Braze has told, gathered for one engagement return: polls into the inbox, the inbox folded into the ledger."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import cast

import polars as pl

from caspio_sync.destinations.braze.account import braze
from caspio_sync.destinations.braze.polls import Polls, poll_lists, poll_people
from caspio_sync.engagement.identity import KINDS
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.run import Opening, SyncRun
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.folding import fold_inbox
from caspio_sync.kinds.engagement.people import KnownPeople, known_people, known_states
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import KEY, SOURCE_PK
from caspio_sync.settings import current_settings

# How far back the lists of unsubscribes and bounces are read the first time.
FIRST_DAYS = 30


class BrazeEngagement:
    """What Braze has told of the people of a sync.

    Args:
        opening: of a run of an engagement return.
    """

    def __init__(self, opening: Opening) -> None:
        self._name = opening.name
        self._ledger = opening.ledger.ledger
        self._definition = cast("EngagementSync", opening.prepared.definition)

    async def gather(self, run: SyncRun) -> Mapping[str, int]:
        """Poll, and fold what arrived by polls and by Currents; counts for the report by name.

        Raises:
            TransientError: Braze, the inbox or the ledger cannot be reached; calling again goes on where this stopped.
            ConfigurationError: the key lacks a permission.
        """
        settings, connect = current_settings(), CONNECT.get()
        with contextlib.closing(connect.inbox(settings, run.clock)) as inbox:
            polls = Polls(braze(run.account).engagement, run.clock)
            told = await self._poll(run, inbox, polls)
            run.report.requests += polls.requests
            folded = await fold_inbox(run.name, inbox, run.ledger, run.clock, kinds=self._kinds)
        counts = {**told, **{f"events {name}": count for name, count in folded.events.items()}}
        return {name: count for name, count in counts.items() if count}

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

    async def _poll(self, run: SyncRun, inbox: Inbox, polls: Polls) -> dict[str, int]:
        definition = self._definition
        first = run.clock.now().date() - timedelta(days=FIRST_DAYS)
        told = {f"polled {source}": count for source, count in (await poll_lists(inbox, polls, first=first)).items()}
        if definition.returned.states and definition.people_per_run:
            told["polled states"] = await self._poll_people(run, inbox, polls)
        if definition.campaign_stats is not None:
            days = await polls.campaign_days(days=definition.campaign_stats.days)
            await run.ledger.do(run.ledger.ledger.record_series, run.name, days)
            told["polled campaign days"] = days.height
        return told

    async def _poll_people(self, run: SyncRun, inbox: Inbox, polls: Polls) -> int:
        """The states of the next people in turn, by the row that the profile sync sent them from."""
        profiles = self._definition.returned.profiles
        sync = None if profiles is None else load_sync(current_settings().sync_file(profiles))
        if profiles is None or sync is None or sync.people is None or sync.people.kind != "external_id":
            run.report.notes.append(
                "subscription groups and push states are told by Currents alone: Braze is asked for people by external "
                "id, of whom the profile sync under `consent: profiles` knows which there are"
            )
            return 0
        place, store = f"people of {run.name}", run.ledger.ledger
        after = int(await asyncio.to_thread(inbox.polled, place) or 0)
        due = await run.ledger.do(store.sent_keys, profiles, after=after, limit=self._definition.people_per_run)
        ids = due[KEY].to_list()
        known = await run.ledger.do(known_states, store, run.name, ids)
        told = await poll_people(inbox, polls, ids, known)
        more = due.height == self._definition.people_per_run
        await asyncio.to_thread(inbox.add, [], polled={place: str(due[SOURCE_PK].max() if more else 0)})
        return told
