"""What Braze's REST API tells of engagement, asked from time to time: all there is without Currents.

Polls make the same events as Currents does. The id of an event is made of what it says, so that what is read again,
as the current day always is, is told once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import polars as pl

from caspio_sync.characters import without_controls
from caspio_sync.clock import Clock
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.answers import EXPORT_LIMIT, GENERAL_LIMIT, MAX_EXPORT_IDS
from caspio_sync.destinations.braze.engagement_client import (
    CAMPAIGN_SERIES_LIMIT,
    MAX_CAMPAIGN_DAYS,
    MAX_CANVAS_DAYS,
    MAX_USERS,
    SENDERS_A_PAGE,
    AddressesPage,
    BrazeEngagementClient,
    Senders,
    instant,
)
from caspio_sync.destinations.braze.series import CAMPAIGN_DAYS, series_rows
from caspio_sync.engagement.events import (
    POLLED_GROUP_STATE,
    POLLED_HARD_BOUNCE,
    POLLED_PROFILE,
    POLLED_UNSUBSCRIBE,
    Post,
    event_lines,
    told_once,
)
from caspio_sync.inbox import Inbox

UNSUBSCRIBES, HARD_BOUNCES = "unsubscribes", "hard_bounces"
GROUP_STATES, PROFILES = "subscription_status", "export_ids"
KNOWN_STATES = pl.Schema({"external_id": pl.String(), "scope": pl.String(), "state": pl.String()})
"""States that are known: `scope` is email, push, or the id of a subscription group."""

# Addresses a page repeats of the one before: the list holds the latest state alone, so one that subscribes again
# leaves it and moves the others up while it is being read.
_OVERLAP = 25
_STATE_FIELDS = {"email": "email_subscribe", "push": "push_subscribe"}


class Polls:
    """Asks one workspace, as fast as its limits allow.

    Args:
        braze: the client.
        clock: all waiting goes through it; tells the day, and when a state without a time was seen.
    """

    def __init__(self, braze: BrazeEngagementClient, clock: Clock) -> None:
        self._braze = braze
        self._clock = clock
        self._general = PacedCalls("Braze", GENERAL_LIMIT, clock)
        self._exports = PacedCalls("Braze", EXPORT_LIMIT, clock)
        self._series = PacedCalls("Braze", CAMPAIGN_SERIES_LIMIT, clock)

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._general.requests + self._exports.requests + self._series.requests

    def today(self) -> date:
        """The day that a list read now has to be read from again: later ones of it may follow."""
        return self._clock.now().date()

    def unsubscribes(self, since: date) -> AsyncIterator[Post]:
        """Addresses that unsubscribed since a day, UTC; who subscribed again meanwhile is not among them (Braze, 8)."""
        return self._addresses(self._braze.unsubscribes, since, UNSUBSCRIBES, POLLED_UNSUBSCRIBE)

    def hard_bounces(self, since: date) -> AsyncIterator[Post]:
        """Addresses that bounced for good since a day, UTC."""
        return self._addresses(self._braze.hard_bounces, since, HARD_BOUNCES, POLLED_HARD_BOUNCE)

    async def _addresses(
        self, read: Callable[..., Awaitable[AddressesPage]], since: date, source: str, kind: str
    ) -> AsyncIterator[Post]:
        # Both ends are midnights, so tomorrow is the first end that has all of today within it.
        end = self.today() + timedelta(days=1)
        offset, full = 0, True
        told: set[str] = set()
        while full:
            page = await self._general.ask(partial(read, since, end, offset=offset))
            full, offset = page.full, offset + len(page.addresses) - _OVERLAP
            state = "unsubscribed" if kind == POLLED_UNSUBSCRIBE else None
            events = [
                told_once(
                    kind, each.email.lower(), each.at, {"email": each.email.lower(), "channel": "email", "state": state}
                )
                for each in page.addresses
            ]
            # A page that tells nothing new is the last, whatever it says: else the same one would be read for ever.
            told, before = {event["event_id"] for event in events}, told
            if told <= before:
                return
            if events:
                yield _post(source, events)

    async def group_states(self, external_ids: Sequence[str], known: pl.DataFrame) -> AsyncIterator[Post]:
        """Subscription groups of people whose state is another than the known one; it counts from now on.

        Braze tells no time of a change (Braze, 7.5), so a state that is known already is not told again.

        Args:
            external_ids: whom to ask for.
            known: `KNOWN_STATES`.
        """
        states = _as_set(known)
        for some in _cut(external_ids, MAX_USERS):
            answer = await self._general.ask(partial(self._braze.user_groups, some))
            now = self._clock.now()
            events = [
                told_once(
                    POLLED_GROUP_STATE,
                    f"{user.external_id} {group} {state}",
                    now,
                    {
                        "external_id": user.external_id,
                        "email": _lower(user.email),
                        "phone": user.phone,
                        "channel": channel or None,
                        "group_id": group,
                        "state": state,
                    },
                )
                for user in answer.users
                for group, (channel, state) in user.groups.items()
                if state != "unknown" and (str(user.external_id), group, state) not in states
            ]
            if events:
                yield _post(GROUP_STATES, events)

    async def profiles(self, external_ids: Sequence[str], known: pl.DataFrame) -> AsyncIterator[Post]:
        """Global states of people.

        A state counts from the time that Braze gives with it, else from now on if it is not the known one.

        Args:
            external_ids: whom to ask for.
            known: `KNOWN_STATES`.
        """
        states = _as_set(known)
        fields = ["external_id", "braze_id", "email", "user_aliases", *_STATE_FIELDS.values()]
        for some in _cut(external_ids, MAX_EXPORT_IDS):
            answer = await self._exports.ask(partial(self._braze.export_users, some, fields))
            events = [event for user in answer.users for event in self._profile_events(user, states)]
            if events:
                yield _post(PROFILES, events)

    def _profile_events(self, user: dict[str, Any], states: set[tuple[str, str, str]]) -> Iterable[dict[str, Any]]:
        aliases = user.get("user_aliases")
        alias = next((each for each in (aliases if isinstance(aliases, list) else ()) if isinstance(each, dict)), {})
        who = {
            "external_id": user.get("external_id"),
            "braze_id": user.get("braze_id"),
            "email": _lower(user.get("email")),
            "alias_label": alias.get("alias_label"),
            "alias_name": alias.get("alias_name"),
        }
        key = str(who["external_id"] or who["braze_id"])
        for scope, name in _STATE_FIELDS.items():
            state = user.get(name)
            if not isinstance(state, str):
                continue
            # Timestamps such as push_opted_in_at may accompany (Braze, 6.1).
            at = instant(user.get(f"{scope}_{state}_at"))
            if at is not None or (key, scope, state) not in states:
                says = {**who, "channel": scope, "state": state}
                yield told_once(POLLED_PROFILE, f"{key} {scope} {state}", at or self._clock.now(), says)

    async def campaign_days(self, *, days: int) -> pl.DataFrame:
        """Counts of every campaign and canvas for the last days, today included, with the schema `CAMPAIGN_DAYS`.

        Whole values, not differences: days that are read again replace what was read before. Days are those of the
        company's time zone, and do not match Currents one for one (Braze, 10.2).
        """
        last = self.today()
        rows: list[dict[str, Any]] = []
        async for campaign, name in self._senders(self._braze.campaigns):
            for end, length in _stretches(last, days, MAX_CAMPAIGN_DAYS):
                series = await self._series.ask(partial(self._braze.campaign_series, campaign, last=end, days=length))
                rows += series_rows({"campaign_id": campaign, "campaign_name": name}, series)
        async for canvas, name in self._senders(self._braze.canvases):
            for end, length in _stretches(last, days, MAX_CANVAS_DAYS):
                series = await self._general.ask(partial(self._braze.canvas_series, canvas, last=end, days=length))
                rows += series_rows({"canvas_id": canvas, "canvas_name": name}, series)
        # The company's zone may be a day ahead of UTC; what lies outside was not asked for.
        asked = pl.col("day").is_between(last - timedelta(days=days), last + timedelta(days=1))
        found = pl.DataFrame(rows, CAMPAIGN_DAYS).filter(asked)
        return found.unique(["campaign_id", "canvas_id", "day", "channel"], keep="last", maintain_order=True)

    async def _senders(self, read: Callable[[int], Awaitable[Senders]]) -> AsyncIterator[tuple[str, str]]:
        """Id and name, without control characters, each once; a page without a new one is the last."""
        page, told = 0, set[str]()
        while True:
            answer = await self._general.ask(partial(read, page))
            fresh = {without_controls(sender): name for sender, name in answer.senders}
            fresh = {sender: name for sender, name in fresh.items() if sender not in told}
            for sender, name in fresh.items():
                yield sender, without_controls(name)
            if len(answer.senders) < SENDERS_A_PAGE or not fresh:
                return
            told |= fresh.keys()
            page += 1


async def poll_lists(inbox: Inbox, polls: Polls, *, first: date) -> dict[str, int]:
    """Read who unsubscribed and who bounced since the last time; the day that was then is read once more.

    Args:
        inbox: keeps the events, and up to which day each list was read.
        polls: of the workspace.
        first: from which day on, UTC, where a list was never read.

    Returns:
        Events by source, with those that were told before.

    Raises:
        TransientError: Braze did not answer; what was read is kept, and the next poll begins where this one did.
    """
    told = {}
    for source, read in ((UNSUBSCRIBES, polls.unsubscribes), (HARD_BOUNCES, polls.hard_bounces)):
        position = await asyncio.to_thread(inbox.polled, source)
        until = polls.today()  # before the first page: what happens on this day after it is read the next time
        told[source] = await _keep(inbox, read(first if position is None else date.fromisoformat(position)))
        await asyncio.to_thread(inbox.add, [], polled={source: until.isoformat()})
    return told


async def poll_people(inbox: Inbox, polls: Polls, external_ids: Sequence[str], known: pl.DataFrame) -> int:
    """Read the states of some people; how many events that made.

    Args:
        inbox: keeps the events.
        polls: of the workspace.
        external_ids: whom to ask for.
        known: `KNOWN_STATES`; what is known is not told again.

    Raises:
        TransientError: as `poll_lists`.
    """
    states = await _keep(inbox, polls.group_states(external_ids, known))
    return states + await _keep(inbox, polls.profiles(external_ids, known))


async def _keep(inbox: Inbox, posts: AsyncIterator[Post]) -> int:
    """Page by page: a kill loses at most the one that is being read."""
    told = 0
    async for post in posts:
        await asyncio.to_thread(inbox.add, [post])
        told += post.count
    return told


def _lower(address: Any) -> str | None:
    return address.lower() if isinstance(address, str) else None


def _post(source: str, events: list[dict[str, Any]]) -> Post:
    return Post(source, event_lines(events), len(events))


def _cut(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _as_set(known: pl.DataFrame) -> set[tuple[str, str, str]]:
    return set(known.select(KNOWN_STATES.names()).iter_rows())


def _stretches(last: date, days: int, most: int) -> Iterable[tuple[date, int]]:
    """Last day and length of the requests that together hold so many days."""
    for back in range(0, days, most):
        yield last - timedelta(days=back), min(most, days - back)
