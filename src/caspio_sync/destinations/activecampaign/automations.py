"""Automations of the account: contacts enter them, once, and nothing here takes anybody out.

An enrolment sends people mail, and a repeated one may send it again (ActiveCampaign, automations). So the contact is
looked at first, whoever enrolled it; the call is made once, and one without a known answer is left to the next run.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from caspio_sync.destinations.activecampaign.answers import ForbiddenError, LostAnswerError
from caspio_sync.destinations.activecampaign.client import TITLE, ActiveCampaignClient
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.wire.http import RateLimit, RefusedError

_ACTIVE = "1"
_NOT_ENROLLED = "SubscriberSeries"  # of the words by which an enrolment is refused, with 403 as a bad key is


@dataclass(frozen=True, slots=True)
class Automation:
    """An automation of the account.

    Args:
        id: its id.
        active: whether it is switched on.
    """

    id: str
    active: bool


class Automations:
    """The account's automations by their names, read once a run, and who enters them.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        self._named: dict[str, list[Automation]] | None = None
        self._turn = asyncio.Lock()  # else every request of a run's first batch would read all pages
        self._begun: set[tuple[str, str]] = set()  # contact and automation, of calls that were made or are under way

    async def named(self, name: str) -> Automation:
        """The automation of this name.

        Raises:
            ConfigurationError: there is none, there are several, or it is switched off.
        """
        async with self._turn:
            if self._named is None:
                self._named = {}
                for each in await self._client.rows("/automations", "automations", "reading automations"):
                    one = Automation(str(each["id"]), str(each.get("status")) == _ACTIVE)
                    self._named.setdefault(str(each.get("name")), []).append(one)
        found = self._named.get(name, [])
        if not found:
            there = ", ".join(sorted(self._named)) or "none"
            raise ConfigurationError(
                f"{TITLE} has no automation '{name}'; it has: {there}. They are made there by hand"
            )
        if len(found) > 1:
            raise ConfigurationError(f"{TITLE} has several automations '{name}'; give them names of their own")
        if not found[0].active:
            raise ConfigurationError(f"the automation '{name}' is switched off in {TITLE}: nobody could enter it")
        return found[0]

    async def enter(self, contact: str, names: Sequence[str], waiting: Sequence[str]) -> str:
        """POST /contactAutomations, of a contact that never was in it.

        Args:
            contact: its id.
            names: automations that it enters.
            waiting: those that it may be entering already, by a call of an earlier run.

        Returns:
            "" once it has entered all of them, be it now or before; else why that is not known yet.

        Raises:
            RefusedError: it is not taken into one.
        """
        if not names and not waiting:
            return ""
        entered = await self._entered(contact)
        open_ones = [""]
        for name in (*names, *waiting):
            number = (await self.named(name)).id
            if number not in entered:
                open_ones.append(await self._enter(contact, name, number, may_be_there=name in waiting))
        return max(open_ones)

    async def _enter(self, contact: str, name: str, number: str, *, may_be_there: bool) -> str:
        if may_be_there or (contact, number) in self._begun:
            return f"it may be entering the automation {name}, and is looked for before it is enrolled"
        self._begun.add((contact, number))
        body = {"contactAutomation": {"contact": contact, "automation": number}}
        try:
            answer = await self._client.ask_once("/contactAutomations", "enrolling a contact", body)
        except LostAnswerError as error:
            return f"the answer to its enrolment was lost, and it is looked for before it is enrolled: {error}"
        except (ForbiddenError, TransientError, RefusedError) as error:  # it was not taken
            self._begun.discard((contact, number))
            if not isinstance(error, ForbiddenError) or _NOT_ENROLLED not in str(error):
                raise
            if number not in await self._entered(contact):
                said = f"{TITLE} does not take it into the automation {name}"
                raise RefusedError(said, status=403, message_text=said, rate=RateLimit()) from error
            return ""
        made = isinstance(answer.body.get("contactAutomation"), dict)
        return "" if made else "the answer names no enrolment, and it is looked for before it is enrolled"

    async def _entered(self, contact: str) -> set[str]:
        """GET /contacts/{id}/automationEntryCounts: ids of the automations that it is in, or ever was."""
        doing = "reading which automations a contact entered"
        rows = await self._client.parts(contact, "automationEntryCounts", doing)
        return {str(each["id"]) for each in rows if str(each.get("contactEntryCount")) != "0"}
