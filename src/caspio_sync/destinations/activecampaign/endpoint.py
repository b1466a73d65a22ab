"""Where contacts go: one by one by their address, or many by an import that is settled before it counts as taken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.destinations.activecampaign.consent import UNSUBSCRIBED
from caspio_sync.destinations.activecampaign.directory import MULTIPLE
from caspio_sync.destinations.activecampaign.objects import (
    ENTERING,
    ENTERS,
    FORMER,
    LEAVE,
    SEPARATOR,
    STANDARD,
    UNTAG,
    UNWORD,
    WORDS,
)
from caspio_sync.destinations.activecampaign.requests import (
    AFTER,
    IMPORT,
    IMPORT_BYTES,
    IMPORTS,
    MOVE,
    OPT_OUT,
    OPT_OUT_IMPORT,
)
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.wire.http import RateLimit, RefusedError
from caspio_sync.wire.taken import ObjectError, Taken

SETTLE_SECONDS = 600.0  # after which nobody waits for an import any more
_FIRST_LOOK, _LONGEST_LOOK = 2.0, 15.0
_ENDED = frozenset({"failed", "interrupted"})  # seen, not documented
_OK = 200
_MOVE_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)


class ContactsEndpoint:
    """The `Endpoint` of contacts; every call keeps the account's one pace.

    Args:
        account: where they go; it belongs to whoever opened it.
    """

    title = TITLE

    def __init__(self, account: ActiveCampaignAccount) -> None:
        self._client, self._directory, self._clock = account.client, account.directory, account.clock
        self._tags, self._automations, self._memberships = account.tags, account.automations, account.memberships
        # What this run did with addresses: who is written to must not be moved away by another row, nor the other way.
        self._written: set[int] = set()  # hashes of addresses: a run has many
        self._moving: dict[str, str] = {}  # id of the contact that had a former address, by the present one
        self._usual = _FIRST_LOOK  # seconds that an import takes: one look at the right moment is the fewest calls

    async def deliver(self, request: Request, *, seconds: float) -> Taken:  # noqa: ARG002 - calls have their own time
        """As `Endpoint.deliver`; an import has answered once it is settled."""
        contacts = [await self._with_ids(each) for each in orjson.loads(request.body)[request.envelope.array]]
        if request.envelope in IMPORTS:
            self._written.update(hash(each["email"]) for each in contacts)
            if request.envelope == OPT_OUT_IMPORT:
                return await self._import_opt_outs(contacts)
            losing = {each["email"]: each.pop(UNTAG) for each in contacts if UNTAG in each}
            others = {each["email"]: (each.pop(UNWORD), each.get("tags", [])) for each in contacts if UNWORD in each}
            leaving = {place: _lists(each.pop(LEAVE)) for place, each in enumerate(contacts) if LEAVE in each}
            taken = await self._import(contacts, quiet=request.envelope != IMPORT)
            if taken.unsettled or not (losing or others or leaving):
                return taken
            refused = {contacts[each.index]["email"] for each in taken.errors if each.index is not None}
            await self._tags.take_from({email: names for email, names in losing.items() if email not in refused})
            await self._tags.take_others_from({email: kept for email, kept in others.items() if email not in refused})
            marks = [
                (place, name, mark)
                for place, lists in leaving.items()
                for number in await self._client.ids(contacts[place]["email"])
                for name, mark in await self._memberships.leave(number, lists)
            ]
            return replace(taken, marks=tuple(marks))
        (contact,) = contacts
        if request.envelope == OPT_OUT:
            return await self._opt_out(contact)
        number = await self._moved(contact) if request.envelope == MOVE else None
        if request.envelope == AFTER:
            await self._left_by_others(contact["email"])
        self._written.add(hash(contact["email"]))
        number = number or await self._client.sync_contact(_single(contact))
        await self._tags.take(number, contact.get(UNTAG, ()))
        if UNWORD in contact:
            await self._tags.take_others(number, contact[UNWORD], contact.get("tags", ()))
        await self._tags.give(number, contact.get("tags", ()))
        notes, found = await self._memberships.put(number, contact)
        found += await self._memberships.leave(number, _lists(contact.get(LEAVE)))
        entering = await self._automations.enter(number, contact.get(ENTERS, ()), contact.get(ENTERING, ()))
        kept = tuple((0, name, mark) for name, mark in found)
        return Taken(_OK, (), RateLimit(), notes=tuple(notes), unsettled=entering, marks=kept)

    async def ask(self) -> None:
        """As `Endpoint.ask`."""
        await self._client.user()

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:  # noqa: ARG002
        """As `Endpoint.named`: nobody.

        An import's `failureReasons` count from a place that is not documented: who is named there may be the neighbour
        of the contact that is meant. Halving finds the right one.
        """
        return {}

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return error.message_text if isinstance(error, RefusedError) else str(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`: the client is the account's."""

    async def _with_ids(self, contact: dict[str, Any]) -> dict[str, Any]:
        """The contact with ids of fields and lists in place of their names; several choices in the vendor's form."""
        for value in contact.get("fields", ()):
            field = await self._directory.field(value["id"])
            if field is None:
                raise ConfigurationError(
                    f"fields: ActiveCampaign has no custom field '{value['id']}' any more; run the sync "
                    "again: it makes the field anew where `options: {create: true}` lets it"
                )
            text = value["value"]
            if field.type in MULTIPLE and text and not text.startswith(SEPARATOR):
                value["value"] = f"{SEPARATOR}{text}{SEPARATOR}"
            value["id"] = int(field.id)
        if words := contact.pop(WORDS, None):
            await self._tags.make_missing(words)
            contact["tags"] = list(dict.fromkeys([*contact.get("tags", ()), *words]))
        for name in ("subscribe", "unsubscribe", LEAVE):
            for each in contact.get(name, ()):
                each["listid"] = int(await self._directory.list_id(each["listid"]))
        return contact

    async def _moved(self, contact: Mapping[str, Any]) -> str | None:
        """Give the contact that has a former address of the row its present one.

        Returns:
            The contact's id; None where nobody has a former address any more.

        Raises:
            RefusedError: the present address is another contact's, or the former one is another row's by now.
        """
        email = contact["email"]
        if email not in self._moving:  # else the answer was lost, and by now the address may be somebody else's
            for former in contact[FORMER]:
                there = await self._client.ids(former)
                if there and former != email and hash(former) in self._written:
                    raise _refused(
                        "its former address is another row's by now, and was written for that: change the contact's "
                        "address in ActiveCampaign by hand"
                    )
                if there:
                    self._moving[email] = there[0]
                    break
            else:
                return None
        number = self._moving[email]
        others = [each for each in await self._client.ids(email) if each != number]
        if others:
            del self._moving[email]
            raise _refused(
                f"the row has another address now, and both are contacts there: {number} has the former one, "
                f"{others[0]} the present one; merge the two in ActiveCampaign"
            )
        await self._client.change_contact(number, _single(contact))
        return number

    async def _left_by_others(self, email: str) -> None:
        """Wait until the contact that had this address has its new one; else the row would be written over it.

        Raises:
            RefusedError: it keeps the address.
        """
        if hash(email) in self._written:  # this very row was, and its answer lost
            return
        for wait in _MOVE_WAITS:
            if not await self._client.ids(email):
                return
            await self._clock.sleep(wait)
        raise _refused("its address is still that of the contact of another row, which is to get another one")

    async def _opt_out(self, contact: Mapping[str, Any]) -> Taken:
        """Take whoever has this address, or had it before, off the lists; nobody is made for it."""
        for email in dict.fromkeys([contact["email"], *(contact.get(FORMER) or ())]):
            for number in await self._client.ids(email):
                for off in contact.get("unsubscribe", ()):
                    await self._client.put_on(number, str(off["listid"]), UNSUBSCRIBED)
        return Taken(_OK, (), RateLimit())

    async def _import_opt_outs(self, contacts: Sequence[Mapping[str, Any]]) -> Taken:
        """Opt-outs by an import; whom it refuses, for whatever reason, or leaves open, is taken off the lists alone."""
        try:
            taken = await self._import(contacts, quiet=True)
        except RefusedError:
            if len(contacts) > 1:  # halving finds whom it is about
                raise
            return await self._opt_out(contacts[0])
        refused = {each.index for each in taken.errors}
        for place, contact in enumerate(contacts):
            if taken.unsettled or place in refused:
                await self._opt_out(contact)
        return Taken(_OK, (), RateLimit())

    async def _import(self, contacts: Sequence[Mapping[str, Any]], *, quiet: bool) -> Taken:
        body = orjson.dumps({"contacts": contacts, "exclude_automations": quiet})
        if len(body) >= IMPORT_BYTES:
            said = f"an import of {len(body):,} bytes; ActiveCampaign takes fewer than {IMPORT_BYTES:,}"
            raise RefusedError(said, status=413, message_text=said, rate=RateLimit())
        batch = await self._client.import_contacts(body, len(contacts))
        began, wait = self._clock.monotonic(), self._usual
        while True:
            await self._clock.sleep(wait)
            info = await self._client.import_info(batch)
            status, took = str(info.get("status", "")), self._clock.monotonic() - began
            if status == "completed":
                self._usual = max(_FIRST_LOOK, min(_LONGEST_LOOK, took))
                return self._settled(contacts, info)
            if status in _ENDED:
                return Taken(_OK, (), RateLimit(), unsettled=f"ActiveCampaign's import ended as '{status}'")
            if took >= SETTLE_SECONDS:
                late = f"ActiveCampaign's import is not settled after {took:,.0f} s"
                return Taken(_OK, (), RateLimit(), unsettled=late)
            wait = min(_LONGEST_LOOK, 1.5 * wait)

    @staticmethod
    def _settled(contacts: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> Taken:
        """What a completed import says of each contact.

        Raises:
            RefusedError: of some it says nothing; halving finds which ones.
        """
        failed = [str(each).strip().lower() for each in info.get("failure") or ()]
        places = [place for place, each in enumerate(contacts) if each["email"] in failed]
        if len(places) != len(failed) or len(info.get("success") or ()) + len(places) != len(contacts):
            said = "the import was completed, and says nothing of the contact (is its address on the exclusion list?)"
            raise RefusedError(said, status=_OK, message_text=said, rate=RateLimit())
        errors = tuple(ObjectError(place, None, "ActiveCampaign's import refused the contact") for place in places)
        return Taken(_OK, errors, RateLimit())


def _lists(entries: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [str(each["listid"]) for each in entries or ()]


def _refused(said: str) -> RefusedError:
    return RefusedError(f"changing a contact: {said}", status=422, message_text=said, rate=RateLimit())


def _single(contact: Mapping[str, Any]) -> dict[str, Any]:
    """A contact of an import, as every other call takes it."""
    own = {name: contact[other] for name, other in STANDARD.items() if other in contact}
    values = [{"field": str(each["id"]), "value": each["value"]} for each in contact.get("fields", ())]
    return {"email": contact["email"], **own, **({"fieldValues": values} if values else {})}
