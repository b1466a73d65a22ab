"""Automations of the emulated account, and who was enrolled in them (reference, section 9)."""

from itertools import islice
from typing import Any

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply
from caspio_sync.sandbox.activecampaign.store import Store, moment

_ACTIVE, _UNDER_WAY = "1", "1"


class Automations:
    """Answers calls about automations; none is made by the API."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store

    def list_all(self, call: Call) -> Reply:
        """GET /automations."""
        rows = [self._automation(number) for number in self._behaviour.automations]
        offset, limit = call.page()
        return Reply(200, {"automations": rows[offset : offset + limit], "meta": {"total": self._total(len(rows))}})

    def enrol(self, call: Call) -> Reply:
        """POST /contactAutomations: each call that is taken sends the person everything once more."""
        body = call.json("contactAutomation")
        contact, number = self._store.contacts.get(str(body.get("contact"))), str(body.get("automation"))
        again = contact is not None and number in contact.entered and not self._behaviour.multientry
        if contact is None or again or self._status(number) != _ACTIVE:
            raise RefusedError(403, {"message": "Could not create SubscriberSeries"})
        row = self._store.enrol(contact, number, call.now)
        return Reply(
            201,
            {
                "contacts": [{"id": contact.id, "email": contact.email}],
                "contactAutomation": enrolment(self._store, row),
            },
        )

    def remove(self, call: Call) -> Reply:
        """DELETE /contactAutomations/{id}: what is missing is refused with 403, not with 404."""
        if call.parts[1] not in self._store.enrolments:
            raise RefusedError(403, {"message": f"No Result found for SubscriberSeries with id {call.parts[1]}"})
        del self._store.enrolments[call.parts[1]]
        return Reply(200, {})

    def of_contact(self, call: Call) -> Reply:
        """GET /contacts/{id}/contactAutomations."""
        contact = self._store.contact(call.parts[1])
        return Reply(200, {"contactAutomations": enrolments_of(self._store, contact.id)})

    def counts(self, call: Call) -> Reply:
        """GET /contacts/{id}/automationEntryCounts: how often the contact entered each, those left since included."""
        entered = self._store.contact(call.parts[1]).entered
        told = [self._counted(number, times) for number, times in entered.items()]
        return Reply(200, {"automationEntryCounts": call.part(told, in_pages=self._behaviour.parts_in_pages)})

    def joins(self, call: Call) -> Reply:
        """GET /contactAutomations: those of all contacts; no page of the vendor names it."""
        if not self._behaviour.account_joins:
            raise RefusedError(404, {"message": "Route not found"})
        rows, (offset, limit) = self._store.enrolments, call.page()
        page = [enrolment(self._store, each) for each in islice(rows, offset, offset + limit)]
        return Reply(200, {"contactAutomations": page, "meta": {"total": self._total(len(rows))}})

    def _total(self, count: int) -> object:
        return str(count) if self._behaviour.totals == "text" else count

    def _status(self, number: str) -> str | None:
        if number not in self._behaviour.automations:
            return None
        return self._behaviour.inactive_status if number in self._behaviour.inactive_automations else _ACTIVE

    def _automation(self, number: str) -> dict[str, Any]:
        name, status = self._behaviour.automations[number], self._status(number)
        entered = sum(contact.entered.get(number, 0) for contact in self._store.contacts.values())
        told = {"name": name, "userid": "1", "status": status, "entered": str(entered), "exited": "0", "hidden": "0"}
        return {**told, "links": {}, "id": number}

    def _counted(self, number: str, times: int) -> dict[str, Any]:
        name = self._behaviour.automations[number]
        return {
            "id": number,
            "name": name,
            "status": self._status(number),
            "hidden": "0",
            "contactEntryCount": str(times),
        }


def enrolment(store: Store, row: str) -> dict[str, Any]:
    """A row that says that a contact is in an automation."""
    contact, number, at = store.enrolments[row]
    told = {"contact": contact, "seriesid": number, "startid": "0", "status": _UNDER_WAY, "adddate": moment(at)}
    return {**told, "completed": "0", "completeValue": "0", "links": {}, "id": row, "automation": number}


def enrolments_of(store: Store, contact: str) -> list[dict[str, Any]]:
    """The rows of one contact."""
    return [enrolment(store, row) for row, (of, _, _) in store.enrolments.items() if of == contact]
