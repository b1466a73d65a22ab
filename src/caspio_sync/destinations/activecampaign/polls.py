"""What ActiveCampaign tells when it is asked: who left which list, and whose mail bounced for good.

Its webhooks are posted once and never again (ActiveCampaign, webhooks), and say nothing of what happened before there
were any. So every run asks for whoever is not on a list any more, all pages: they are few, and what is known already is
not told again. Who joined a list again is not asked for: a poll tells that somebody is on it, not that they said so.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from caspio_sync.characters import trimmed
from caspio_sync.clock import Clock
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.activecampaign.consent import BOUNCED, UNSUBSCRIBED
from caspio_sync.engagement.events import POLLED_GROUP_STATE, POLLED_HARD_BOUNCE, Post, event_lines, told_once
from caspio_sync.errors import ConfigurationError
from caspio_sync.inbox import Inbox

OPT_OUTS, BOUNCES = "activecampaign_opt_outs", "activecampaign_bounces"
_ASKED_ALONE = 3  # of a list: contacts that are looked at by themselves before an answer about many is believed
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}")

# Which of these addresses are known to have left a list, by its id.
Known = Callable[[Collection[str], str], Awaitable[Collection[str]]]


class Polls:
    """Asks one account; its client keeps the pace.

    Args:
        client: of the account.
        inbox: keeps the events, page by page: a kill loses at most the one that is being read.
        clock: tells when a state without a time was seen.
    """

    def __init__(self, client: ActiveCampaignClient, inbox: Inbox, clock: Clock) -> None:
        self._client, self._inbox, self._clock = client, inbox, clock

    async def opt_outs(self, lists: Mapping[str, str], known: Known) -> int:
        """Whoever left one of these lists, as far as it is news; how many events that made.

        A contact tells no time of it in such an answer, so the state counts from now on.

        Args:
            lists: names by id.
            known: who is not told again.

        Raises:
            ConfigurationError: the account answers with contacts that are on the list: as opt-outs they would be
                written into Caspio.
        """
        told = 0
        for number, name in lists.items():
            proven = False
            async for rows in self._client.contacts(f"reading who left {name}", listid=number, status=UNSUBSCRIBED):
                now, here = self._clock.now(), _by_address(rows)
                fresh = sorted(here.keys() - set(await known(here.keys(), number)))
                if fresh and not proven:
                    asked = fresh[:: max(1, len(fresh) // _ASKED_ALONE)][:_ASKED_ALONE]
                    still_on = [each for each in asked if not await self._left(here[each], number)]
                    if len(still_on) == len(asked):
                        raise ConfigurationError(
                            f"lists: asked for who left {name}, ActiveCampaign answers with contacts that did not: "
                            "nothing of it is taken over. Run the sync again; should it stay so, tell its support "
                            "that GET /contacts does not keep to listid and status"
                        )
                    fresh = [each for each in fresh if each not in still_on]  # who came back this very moment
                    proven = True
                told += await self._keep(OPT_OUTS, [_opt_out(each, number, now) for each in fresh])
        return told

    async def bounces(self, lists: Sequence[str]) -> int:
        """Whose mail bounced for good, on any of these lists by id, and the day of it; how many events that made."""
        told = 0
        for number in lists:
            async for rows in self._client.contacts("reading whose mail bounced", listid=number, status=BOUNCED):
                events = [event for row in rows if (event := self._bounce(row)) is not None]
                told += await self._keep(BOUNCES, events)
        return told

    async def _left(self, row: Mapping[str, Any], number: str) -> bool:
        return str((await self._client.memberships(str(row["id"]))).get(number, {}).get("status")) == UNSUBSCRIBED

    def _bounce(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The bounce of a contact; None where it tells of none, or not when."""
        email, day = _address(row), _day(row.get("bounced_date"))
        if email is None or day is None or str(row.get("bounced_hard") or "0").strip() == "0":
            return None
        # Noon is on the account's day in nearly every zone; what is still to come has not happened.
        at = min(datetime.combine(day, time(12), UTC), self._clock.now())
        return told_once(POLLED_HARD_BOUNCE, f"{email} {day:%Y-%m-%d}", at, {"email": email, "channel": "email"})

    async def _keep(self, source: str, events: Sequence[Mapping[str, Any]]) -> int:
        if events:
            await asyncio.to_thread(self._inbox.add, [Post(source, event_lines(events), len(events))])
        return len(events)


def _opt_out(email: str, number: str, at: datetime) -> dict[str, Any]:
    says = {"email": email, "channel": "email", "group_id": number, "state": "unsubscribed"}
    return told_once(POLLED_GROUP_STATE, f"{email} {number}", at, says)


def _by_address(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {email: row for row in rows if (email := _address(row)) is not None}


def _address(row: Mapping[str, Any]) -> str | None:
    """A contact's address as it is compared; None for one that is known by its number alone."""
    email = trimmed(str(row.get("email") or "")).lower()
    return email if "@" in email else None


def _day(given: Any) -> date | None:
    """The day of a date; None for an empty one, which is null or zeros."""
    found = _DAY.match(str(given or ""))
    try:
        return None if found is None else date.fromisoformat(found[0])
    except ValueError:  # 0000-00-00
        return None
