"""What Braze has told, gathered for one engagement return."""

import asyncio
from datetime import timedelta

from caspio_sync.destinations.braze.account import braze
from caspio_sync.destinations.braze.polls import (
    GROUP_STATES,
    HARD_BOUNCES,
    PROFILES,
    UNSUBSCRIBES,
    Polls,
    poll_lists,
    poll_people,
)
from caspio_sync.engine.run import SyncRun
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.people import known_states
from caspio_sync.kinds.engagement.told import ToldEngagement
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import KEY, SOURCE_PK
from caspio_sync.settings import current_settings

# How far back the lists of unsubscribes and bounces are read the first time.
FIRST_DAYS = 30


class BrazeEngagement(ToldEngagement):
    """What Braze has told of the people of a sync."""

    sources = ("currents", UNSUBSCRIBES, HARD_BOUNCES, GROUP_STATES, PROFILES)

    async def poll(self, run: SyncRun, inbox: Inbox) -> dict[str, int]:
        """As `ToldEngagement.poll`; Currents tells the rest."""
        polls = Polls(braze(run.account).engagement, run.clock)
        told = await self._poll(run, inbox, polls)
        run.report.requests += polls.requests
        return told

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
