"""Where deals go: made once, changed by their numbers.

    number known ─▶ PUT
    else          ─▶ look for the mark ─▶ there: PUT   not there: POST, once   perhaps still on its way: the next run

A repeated POST would be a second deal (ActiveCampaign, the seven facts), so that one without a known answer is not
repeated: the next run looks for the mark, and waits where it is too early to say that nothing is there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson

from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.answers import LostAnswerError, MissingError
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.destinations.activecampaign.deal_directory import MULTIPLE, DealRefusedError
from caspio_sync.destinations.activecampaign.deal_marks import by_mark, mark_of, marked
from caspio_sync.destinations.activecampaign.deal_objects import AT_STAGE, IN_PIPELINE, OWN_FIELDS
from caspio_sync.destinations.activecampaign.objects import SEPARATOR
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.kinds.deals.definition import (
    CONTACT,
    CURRENCY,
    DESCRIPTION,
    OWNER,
    PIPELINE,
    STAGE,
    STATUS,
    VALUE,
)
from caspio_sync.kinds.deals.definition import (
    TITLE as DEAL_TITLE,
)
from caspio_sync.kinds.deals.work import AWAITS_CONTACT, MAY_BE_THERE, NUMBER, UNDER_WAY
from caspio_sync.schemas import KEY
from caspio_sync.wire.http import RateLimit, RefusedError
from caspio_sync.wire.taken import ObjectError, Taken

_BYTES = 100_000
MAKE = Envelope("deals", 1, _BYTES, target="make")
CHANGE = Envelope("deals", 1, _BYTES, "PUT", target="change")
_OK = 200
# What is a deal's own there, by its column.
_PLAIN = {DEAL_TITLE: "title", VALUE: "value", CURRENCY: "currency", OWNER: "owner", STATUS: "status"}


class _NoContactError(Exception):
    """Nobody has the address of a deal's contact."""


class DealsEndpoint:
    """The `Endpoint` of deals; every call keeps the account's one pace.

    Args:
        account: where they go; it belongs to whoever opened it.
        table: that the rows are of.
    """

    title = TITLE

    def __init__(self, account: ActiveCampaignAccount, table: str) -> None:
        self._account, self._client, self._table = account, account.client, table
        self._of_contacts: dict[str, dict[str, str]] = {}  # numbers of marked deals by mark, by the contact's id
        self._of_all: dict[str, str] | None = None  # of the whole account, for what may be there under any contact
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def deliver(self, request: Request, *, seconds: float) -> Taken:  # noqa: ARG002 - calls have their own time
        """As `Endpoint.deliver`."""
        (deal,) = orjson.loads(request.body)[request.envelope.array]
        try:
            return await self._change(deal, deal[NUMBER]) if NUMBER in deal else await self._make(deal)
        except DealRefusedError as error:
            return _rejected(error.message_text)

    async def ask(self) -> None:
        """As `Endpoint.ask`."""
        await self._client.user()

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:  # noqa: ARG002
        """As `Endpoint.named`: a request holds one deal, and it is that."""
        return {}

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return error.message_text if isinstance(error, RefusedError) else str(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`: the client is the account's."""

    async def _make(self, deal: Mapping[str, Any]) -> Taken:
        mark = mark_of(self._table, deal[KEY])
        number: str | None = None
        try:
            if deal.get(MAY_BE_THERE):  # under any contact: its row may have named another one then
                number = (await self._everywhere()).get(mark)
            if number is None and deal.get(UNDER_WAY):
                return _unsettled("it may have been made a moment ago, and is looked for again before one is made")
            body = await self._body(deal, mark)
            number = number or (await self._of_contact(body["contact"])).get(mark)
        except _NoContactError:
            return _without_contact(deal, number or "")
        except DealRefusedError as error:
            return _rejected(error.message_text, number or "")
        except PermanentError as error:  # of a question: it says nothing of the deal, and what was in doubt stays so
            return _unsettled(f"it could not be looked for, and is by the next run: {self.words(error)}", number)
        return await self._post(body, mark) if number is None else await self._adopt(number, body)

    async def _adopt(self, number: str, body: Mapping[str, Any]) -> Taken:
        """Bring a deal that was found up to date."""
        try:
            await self._put(number, body)
        except RefusedError as error:
            return _rejected(error.message_text, number)
        return Taken(_OK, (), RateLimit(), ids=((0, number),))

    async def _post(self, body: Mapping[str, Any], mark: str) -> Taken:
        """Make a deal that is not there; whatever leaves open whether it was made is left to the next run."""
        begun = self._account.deals.begun
        if mark in begun:
            return _unsettled(
                "it was about to be made when the batch was broken off, and is looked for by the next run"
            )
        begun.add(mark)
        try:
            answer = await self._client.ask_once("/deals", "making a deal", {"deal": body})
        except (TransientError, RefusedError):  # nothing was made
            begun.remove(mark)
            raise
        except LostAnswerError as error:
            return _unsettled(f"its answer was lost, and it is looked for before one is made: {error}")
        told = answer.body.get("deal")
        if not isinstance(told, dict) or not told.get("id"):
            return _unsettled("the answer names no deal; it is looked for before one is made")
        number = str(told["id"])
        self._of_contacts[body["contact"]][mark] = number
        return Taken(answer.status, (), RateLimit(), ids=((0, number),))

    async def _change(self, deal: Mapping[str, Any], number: str) -> Taken:
        try:
            await self._put(number, await self._body(deal, mark_of(self._table, deal[KEY])))
        except _NoContactError:
            return _without_contact(deal, number)
        except MissingError:
            gone = f"the deal was deleted in {TITLE}; `caspio-sync quarantine release` makes it anew"
            return _rejected(gone, "")
        return Taken(_OK, (), RateLimit(), ids=((0, number),))

    async def _put(self, number: str, body: Mapping[str, Any]) -> None:
        await self._client.ask("PUT", f"/deals/{number}", "changing a deal", {"deal": body})

    async def _body(self, deal: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """The deal with ids in place of titles.

        Raises:
            DealRefusedError: there is no such pipeline or stage.
            _NoContactError: nobody has the address.
        """
        body: dict[str, Any] = {there: deal[name] for name, there in _PLAIN.items() if deal.get(name) is not None}
        if DESCRIPTION in deal or NUMBER not in deal:
            body["description"] = marked(deal.get(DESCRIPTION), mark)
        if CONTACT in deal:
            number = await self._account.people.number(deal[CONTACT])
            if number is None:
                raise _NoContactError
            body["contact"] = number
        if PIPELINE in deal or STAGE in deal:
            pipeline = await self._account.deals.pipeline(deal.get(PIPELINE, deal.get(IN_PIPELINE)))
            if PIPELINE in deal:
                body["group"] = pipeline.id
            stage = deal.get(STAGE, deal.get(AT_STAGE))  # of another pipeline, the stage is another one as well
            if stage is not None:
                body["stage"] = await self._account.deals.stage(pipeline, stage)
        if deal.get(OWN_FIELDS):
            body["fields"] = [await self._own(label, text) for label, text in deal[OWN_FIELDS].items()]
        return body

    async def _own(self, label: str, text: str) -> dict[str, Any]:
        field = await self._account.deals.field(label)
        if field is None:
            raise ConfigurationError(
                f"fields: {TITLE} has no deal field '{label}' any more, or several; run the sync again: it makes the "
                "field anew where `options: {create: true}` lets it"
            )
        several = str(field.get("fieldType")) in MULTIPLE and text
        told = f"{SEPARATOR}{text}{SEPARATOR}" if several else text.replace(SEPARATOR, ", ")
        return {"customFieldId": int(field["id"]), "fieldValue": told}

    async def _of_contact(self, contact: str) -> dict[str, str]:
        """The marked deals of a contact, read once a run."""
        async with self._turns[contact]:
            if contact not in self._of_contacts:
                doing = "reading the deals of a contact"
                rows = await self._client.rows(f"/contacts/{contact}/deals", "deals", doing)
                self._of_contacts[contact] = _numbers(rows)
            return self._of_contacts[contact]

    async def _everywhere(self) -> dict[str, str]:
        """The marked deals of the account, read once a run, and only where one may be there that we do not know."""
        async with self._turns[""]:
            if self._of_all is None:
                self._of_all = _numbers(await self._client.rows("/deals", "deals", "reading all deals"))
            return self._of_all


def _numbers(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {mark: str(deals[0]["id"]) for mark, deals in by_mark(rows).items()}


def _without_contact(deal: Mapping[str, Any], number: str) -> Taken:
    """Nobody has the address of its contact: perhaps not yet."""
    if deal.get(AWAITS_CONTACT):
        why = "its contact is not there yet, and is looked for again, for an hour"
        return Taken(_OK, (), RateLimit(), unsettled=why, ids=((0, number),))
    why = "no contact has its address; a profile sync brings contacts, and `caspio-sync quarantine release` tries again"
    return _rejected(why, number)


def _rejected(why: str, number: str | None = None) -> Taken:
    """The verdict of one row, and what is known of the number of its deal."""
    ids = () if number is None else ((0, number),)
    return Taken(_OK, (ObjectError(0, None, why),), RateLimit(), ids=ids)


def _unsettled(why: str, number: str | None = None) -> Taken:
    return Taken(_OK, (), RateLimit(), unsettled=why, ids=() if number is None else ((0, number),))
