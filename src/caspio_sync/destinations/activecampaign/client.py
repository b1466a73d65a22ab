"""Calls to one ActiveCampaign account: all of them at one pace, each repeated where that may help.

An account has 5 calls a second, whatever they are for (ActiveCampaign, rate limits). So one client makes all calls of a
process, and a process takes its share of them. Every call here may be repeated: contacts, memberships and options are
set, not added to; a field that an answer was lost of is found again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.activecampaign.access import base_url, checked_key
from caspio_sync.destinations.activecampaign.answers import (
    ForbiddenError,
    Heard,
    LostAnswerError,
    MissingError,
    code,
    heard,
    imports_a_minute,
    is_throttled,
    refused,
    words,
)
from caspio_sync.destinations.activecampaign.plain import PLAIN
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.wire.answers import parsed
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import USER_AGENT, ConnectionPool, RateLimit, RefusedError, UnavailableError

TITLE = PLAIN.title
PAGE = 100  # of any collection (ActiveCampaign, pagination)
_USUAL_PAGE = 20  # where a limit is not heeded
MOST_PAGES = 1_000  # of fields or lists: whoever has more answers the same page again and again
IMPORTS, SINGLE_IMPORTS = (90, 60.0), (18, 60.0)  # of 100, and of 20 with a single contact, in a minute (bulk import)
_MINUTE = 60.0
_FORBIDDEN_TRIES = 3
CONNECTIONS = 16

Method = Literal["GET", "POST", "PUT", "DELETE"]
Ask = Callable[[], Awaitable[Heard]]


class ActiveCampaignClient(Closing):
    """The account's API.

    Args:
        url: API URL; `/api/3` is added where it lacks it.
        key: API key.
        clock: all waiting goes through it.
        calls_per_second: of the account's 5.
        transport: answers instead of the network.
        timeout_seconds: for one call.

    Every method raises:
        MissingError: nothing has that id.
        RefusedError: the call was refused; its words are masked.
        ConfigurationError: the key or the account is not taken.
        TransientError: it kept failing; whoever repeats it does no harm.
        StoppedError: refused for five minutes for being asked too often.
    """

    def __init__(
        self,
        *,
        url: str,
        key: SecretStr,
        clock: Clock | None = None,
        calls_per_second: float = 4.0,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._clock = clock or SystemClock()
        self._base = base_url(url)
        self._headers = httpx.Headers(
            {
                "Api-Token": checked_key(key),
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": USER_AGENT,
            }
        )
        self._pool = ConnectionPool(
            url=self._base, clients=1, connections=CONNECTIONS, timeout_seconds=timeout_seconds, transport=transport
        )
        # Of seconds, not of one: a rate below one a second is a rate as well.
        self._paced = PacedCalls(TITLE, (max(1, round(calls_per_second * 10)), 10.0), self._clock)
        self._imports = {
            single: PacedCalls(TITLE, SINGLE_IMPORTS if single else IMPORTS, self._clock) for single in (True, False)
        }

    @property
    def requests(self) -> int:
        """Calls made so far."""
        return self._paced.requests

    def take_share(self, share: float) -> None:
        """From now on make this part of the calls, none while it is 0."""
        for each in (self._paced, *self._imports.values()):
            each.take_share(share)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    # The account.

    async def user(self) -> str:
        """GET /users/me: the name that the key belongs to."""
        answer = await self._ask("GET", "/users/me", "checking the ActiveCampaign key")
        named = answer.body.get("user")
        return str(named.get("username", "")) if isinstance(named, dict) else ""

    # Contacts.

    async def sync_contact(self, contact: Mapping[str, Any]) -> str:
        """POST /contact/sync: make or change the contact with this address; its id."""
        answer = await self._ask("POST", "/contact/sync", "sending a contact", {"contact": contact})
        return _id(answer, "contact", "sending a contact")

    async def change_contact(self, number: str, contact: Mapping[str, Any]) -> None:
        """PUT /contacts/{id}: change what is named, its address too."""
        await self._ask("PUT", f"/contacts/{number}", "changing a contact", {"contact": contact})

    async def ids(self, email: str) -> list[str]:
        """GET /contacts?email=: the ids of everybody with this address."""
        try:
            answer = await self._ask("GET", "/contacts", "looking for a contact", email=email)
        except MissingError:  # an empty search of some accounts
            return []
        rows = _rows(answer, "contacts", "looking for a contact")
        return [str(each["id"]) for each in rows if str(each.get("email", "")).strip().lower() == email]

    async def contacts(self, doing: str, /, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        """GET /contacts, in the order of their ids: none is left out or told twice where others come and go meanwhile.

        Raises:
            ConfigurationError: the account gives the same ones again and again.
        """
        after = 0
        while True:
            page = {"orders[id]": "ASC", "id_greater": str(after), "limit": str(PAGE), **query}
            try:
                answer = await self._ask("GET", "/contacts", doing, **page)
            except MissingError:  # an empty search of some accounts
                return
            rows = _rows(answer, "contacts", doing)
            if not rows:
                return
            ids = [int(each["id"]) for each in rows if str(each.get("id")).isdecimal()]
            if len(ids) < len(rows) or min(ids) <= after:
                raise ConfigurationError(
                    f"{doing}: ActiveCampaign's pages of contacts are not in the order of their ids"
                )
            yield rows
            after = max(ids)

    async def contact(self, number: str) -> Mapping[str, Any]:
        """GET /contacts/{id}, with `fieldValues` and `contactLists` beside it."""
        return (await self._ask("GET", f"/contacts/{number}", "reading a contact")).body

    async def delete_contact(self, number: str) -> None:
        """DELETE /contacts/{id}."""
        await self._ask("DELETE", f"/contacts/{number}", "deleting a contact")

    async def memberships(self, number: str) -> dict[str, Mapping[str, Any]]:
        """GET /contacts/{id}/contactLists: the row of each list, with its `status`, by the list's id."""
        rows = await self.parts(number, "contactLists", "reading the lists of a contact")
        return {str(each["list"]): each for each in rows}

    async def parts(self, number: str, name: str, doing: str) -> list[dict[str, Any]]:
        """GET /contacts/{id}/{name}: all that a contact has of something, such as lists.

        Whether they come in pages is not documented: all may come at once, and again. One that was overlooked may be a
        list that the person left.
        """
        found: dict[str, dict[str, Any]] = {}
        while True:
            known = len(found)
            path, query = f"/contacts/{number}/{name}", {"limit": str(PAGE), "offset": str(known)}
            rows = await self.page(path, name, doing, **query)
            found |= {str(each["id"]): each for each in rows}
            if len(rows) < _USUAL_PAGE or len(found) == known:
                return list(found.values())

    async def put_on(self, number: str, on: str, status: str) -> None:
        """POST /contactLists. It re-subscribes whoever left (ActiveCampaign, lists): for that there is `subscribe`.

        Args:
            number: the contact's id.
            on: the list's id.
            status: "2" unsubscribed.
        """
        body = {"contactList": {"list": on, "contact": number, "status": status}}
        await self._ask("POST", "/contactLists", "writing the status on a list", body)

    async def subscribe(self, number: str, on: str, may: Callable[[Mapping[str, Any] | None], bool]) -> None:
        """POST /contactLists, status "1", of a contact whose row of the list is one that may be.

        Before it is tried again, the row is looked at again: the first try may have been taken, and the person have
        left since.

        Args:
            number: the contact's id.
            on: the list's id.
            may: says whether the row, None where there is none, lets the contact be subscribed.
        """
        doing = "writing the status on a list"
        content = orjson.dumps({"contactList": {"list": on, "contact": number, "status": "1"}})
        tried = False

        async def once() -> Heard:
            nonlocal tried
            if tried and not may((await self.memberships(number)).get(on)):
                return Heard({}, HTTPStatus.OK)
            tried = True
            return await self._answered("POST", "/contactLists", doing, content)

        await self._patiently(once)

    # Fields and lists.

    async def fields(self) -> list[dict[str, Any]]:
        """GET /fields: every custom field, with its options' texts under `choices`."""
        fields: list[dict[str, Any]] = []
        async for answer in self._pages("/fields", "fields", "reading custom fields"):
            options = answer.get("fieldOptions") or []
            for field in answer["fields"]:
                field["choices"] = [
                    str(each["value"]) for each in options if str(each.get("field")) == str(field["id"])
                ]
                fields.append(field)
        return fields

    async def lists(self) -> list[dict[str, Any]]:
        """GET /lists: every list."""
        return [each async for answer in self._pages("/lists", "lists", "reading lists") for each in answer["lists"]]

    async def make_field(self, title: str, kind: str) -> bool:
        """POST /fields; False where one of this title is there already, made by somebody else meanwhile."""
        try:
            await self._ask("POST", "/fields", "making a custom field", {"field": {"title": title, "type": kind}})
        except RefusedError as error:
            if getattr(error, "code", "") != "duplicate":
                raise
            return False
        return True

    async def add_options(self, number: str, options: Sequence[str], first: int) -> None:
        """POST /fieldOption/bulk: more options of a field; the first is at place `first`."""
        given = [
            {"field": number, "value": each, "label": each, "orderid": place, "isdefault": False}
            for place, each in enumerate(options, start=first)
        ]
        await self._ask("POST", "/fieldOption/bulk", "adding the options of a field", {"fieldOptions": given})

    async def show_field(self, number: str) -> None:
        """POST /fieldRels: let contacts of all lists show the field; unrelated it is invisible there."""
        body = {"fieldRel": {"field": int(number), "relid": 0}}
        await self._ask("POST", "/fieldRels", "making a field visible", body)

    # Bulk import.

    async def import_contacts(self, body: bytes, count: int) -> str:
        """POST /import/bulk_import: queue so many contacts; the job's id. All of them are taken, or none."""
        doing = "importing contacts"

        async def ask() -> Heard:
            answer = await self._paced.ask(lambda: self._answered("POST", "/import/bulk_import", doing, body))
            if is_throttled(answer.body):
                what = f"{doing}: {answer.body.get('told')} (400)"
                rate = RateLimit(imports_a_minute(answer.body), 0, _MINUTE)
                raise UnavailableError(what, status=429, retry_after=_MINUTE, rate=rate)
            return answer

        answer = await self._imports[count == 1].ask(ask)
        if answer.status != HTTPStatus.OK or not answer.body.get("batchId"):
            raise RefusedError(
                f"{doing}: {answer.status}: {answer.body.get('told', '')}",
                status=answer.status,
                message_text=str(answer.body.get("told") or "it gives no reason"),
                rate=RateLimit(),
            )
        return str(answer.body["batchId"])

    async def import_info(self, batch: str) -> Mapping[str, Any]:
        """GET /import/info: `status`, and once it is "completed" `success` (ids) and `failure` (addresses)."""
        return (await self._ask("GET", "/import/info", "settling an import", batchId=batch)).body

    # Whatever else: what has a module of its own names its paths there.

    async def ask(self, method: Method, path: str, doing: str, body: Any = None, /, **query: str) -> Heard:
        """A call that may be repeated."""
        return await self._ask(method, path, doing, body, **query)

    async def ask_once(self, path: str, doing: str, body: Any) -> Heard:
        """POST of what makes one thing more each time: again only where it surely did not arrive.

        Raises:
            LostAnswerError: nobody knows whether it was taken.
        """
        content = orjson.dumps(body)

        async def once() -> Heard:
            try:
                return await self._answered("POST", path, doing, content)
            except TransientError as error:
                if error.rate_limited or (error.status is None and not error.ambiguous):
                    raise
                raise LostAnswerError(str(error), status=error.status) from error

        return await self._patiently(once)

    async def page(self, path: str, name: str, doing: str, **query: str) -> list[dict[str, Any]]:
        """Some rows of a collection, as the query has it."""
        return _rows(await self._ask("GET", path, doing, **query), name, doing)

    async def rows(self, path: str, name: str, doing: str) -> list[dict[str, Any]]:
        """All rows of a collection, whatever number of pages they are."""
        return [row async for answer in self._pages(path, name, doing) for row in answer[name]]

    async def _pages(self, path: str, name: str, doing: str) -> Any:
        """The pages of a collection; the end is an empty one, or the total."""
        read = 0
        for _ in range(MOST_PAGES):
            answer = await self._ask("GET", path, doing, limit=str(PAGE), offset=str(read))
            rows = _rows(answer, name, doing)
            yield answer.body
            read += len(rows)
            meta = answer.body.get("meta")
            total = str(meta.get("total", "")) if isinstance(meta, dict) else ""
            if not rows or (total.isdecimal() and read >= int(total)):
                return
        raise ConfigurationError(f"{doing}: ActiveCampaign gives more than {MOST_PAGES * PAGE:,} of them, or no end")

    async def _ask(self, method: Method, path: str, doing: str, body: Any = None, /, **query: str) -> Heard:
        content = b"" if body is None else orjson.dumps(body)

        async def once() -> Heard:
            return await self._answered(method, path, doing, content, query)

        return await self._patiently(once)

    async def _patiently(self, once: Ask) -> Heard:
        for _ in range(_FORBIDDEN_TRIES - 1):
            try:
                return await self._paced.ask(once)
            except ForbiddenError:  # seen to pass by itself (ActiveCampaign, authentication)
                await self._clock.sleep(1.0)
        return await self._paced.ask(once)

    async def _answered(
        self, method: Method, path: str, doing: str, content: bytes, query: Mapping[str, str] | None = None
    ) -> Heard:
        url = httpx.URL(f"{self._base}{path}", params=query or None)
        request = httpx.Request(method, url, headers=self._headers, content=content, extensions=self._pool.extensions())
        response = await self._pool.send(request, doing)
        if response.is_success:
            return heard(response, doing)
        body = parsed(response.content)
        if path == "/import/bulk_import" and response.status_code == HTTPStatus.BAD_REQUEST and isinstance(body, dict):
            # Also for being one too many, which whoever paces imports has to hear.
            return Heard({**body, "told": words(response)}, response.status_code)
        error = refused(response, doing, self._clock.now())
        if isinstance(error, RefusedError):
            error.code = code(response)  # type: ignore[attr-defined]
        raise error


def _rows(answer: Heard, name: str, doing: str) -> list[dict[str, Any]]:
    rows = answer.body.get(name)
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise ConfigurationError(f"{doing}: ActiveCampaign's answer has no list of {name}; check ACTIVECAMPAIGN_URL")
    return rows


def _id(answer: Heard, name: str, doing: str) -> str:
    named = answer.body.get(name)
    if not isinstance(named, dict) or not named.get("id"):
        raise ConfigurationError(f"{doing}: ActiveCampaign's answer names no {name}; check ACTIVECAMPAIGN_URL")
    return str(named["id"])
