"""Contacts of the emulated account: sync, search, read, change, delete (reference, section 4)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from caspio_sync.sandbox.activecampaign.automations import enrolments_of
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, invalid, missing
from caspio_sync.sandbox.activecampaign.store import Contact, Store, moment, normal

_OWN = ("firstName", "lastName", "phone")


class Contacts:
    """Answers calls about contacts."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store
        self._deleted: list[float] = []

    def sync(self, call: Call) -> Reply:
        """POST /contact/sync: make or change by address; lists and tags stay as they are."""
        body = call.json("contact")
        self._store.check_email(body.get("email"))
        own, values = _given(body)
        self._store.check_values(values)
        contact = self._store.by_email(body["email"])
        known = contact is not None
        contact = contact or self._store.make(body["email"], call.now)
        self._store.write(contact, own, values, call.now)
        contact.automations += 1
        return Reply(self._behaviour.updated_status if known else 201, self._told(contact))

    def create(self, call: Call) -> Reply:
        """POST /contacts: refused where the address is known."""
        body = call.json("contact")
        self._store.check_email(body.get("email"))
        if self._store.by_email(body["email"]) is not None:
            raise _taken()
        own, values = _given(body)
        self._store.check_values(values)
        contact = self._store.make(body["email"], call.now)
        self._store.write(contact, own, values, call.now)
        contact.automations += 1
        return Reply(201, self._told(contact))

    def change(self, call: Call) -> Reply:
        """PUT /contacts/{id}: the only way to another address."""
        contact, body = self._store.contact(call.parts[1]), call.json("contact")
        if "email" in body:
            self._store.check_email(body["email"])
            other = self._store.by_email(body["email"])
            if other is not None and other is not contact:
                raise _taken()
        own, values = _given(body)
        self._store.check_values(values)
        if "email" in body:
            self._store.move(contact, body["email"])
        self._store.write(contact, own, values, call.now)
        contact.automations += 1
        return Reply(200, self._told(contact))

    def delete(self, call: Call) -> Reply:
        """DELETE /contacts/{id}, as often a month as the account may (16)."""
        if call.parts[1] not in self._store.contacts:
            raise RefusedError(404, {"message": f"No result found for contact with id {call.parts[1]}"})
        month = datetime.fromtimestamp(call.now, UTC).strftime("%Y-%m")
        spent = [at for at in self._deleted if datetime.fromtimestamp(at, UTC).strftime("%Y-%m") == month]
        if self._behaviour.deletes_a_month is not None and len(spent) >= self._behaviour.deletes_a_month:
            raise invalid("The monthly limit of deleted contacts is reached.", "limit_reached", None)
        self._deleted.append(call.now)
        self._store.forget(call.parts[1])
        return Reply(200, {})

    def search(self, call: Call) -> Reply:
        """GET /contacts."""
        found = sorted(self._store.contacts.values(), key=lambda each: int(each.id))
        email, after = call.asked("email"), call.asked("id_greater")
        on, status, tag = call.asked("listid"), call.asked("status"), call.asked("tagid")
        if email is not None:
            found = [each for each in found if each.email == normal(email)]
        if after is not None:
            found = [each for each in found if int(each.id) > int(after)]
        if on is not None:
            found = [each for each in found if on in each.lists and status in {None, "-1", each.lists[on]["status"]}]
        if tag is not None:
            found = [each for each in found if tag in each.tags]
        if not found and email is not None and self._behaviour.no_match == "missing":
            raise missing("Subscriber", email)
        offset, limit = call.page()
        page = [self._contact(each) for each in found[offset : offset + limit]]
        return Reply(200, {"scoreValues": [], "contacts": page, "meta": self._meta(len(found), call)})

    def read(self, call: Call) -> Reply:
        """GET /contacts/{id}, with what is side-loaded."""
        contact = self._store.contact(call.parts[1])
        return Reply(
            200,
            {
                "contactAutomations": enrolments_of(self._store, contact.id),
                "contactLists": self.memberships(contact),
                "deals": [],
                "fieldValues": self._values(contact),
                "geoIps": [],
                "accountContacts": [],
                "contact": self._contact(contact),
            },
        )

    def read_memberships(self, call: Call) -> Reply:
        """GET /contacts/{id}/contactLists."""
        rows = self.memberships(self._store.contact(call.parts[1]))
        return Reply(200, {"contactLists": call.part(rows, in_pages=self._behaviour.parts_in_pages)})

    def memberships(self, contact: Contact) -> list[dict[str, Any]]:
        """The rows of a contact's lists."""
        return [
            {"contact": contact.id, "list": number, "form": None, "seriesid": "0", **row, "links": {}}
            for number, row in contact.lists.items()
        ]

    def _told(self, contact: Contact) -> dict[str, Any]:
        return {"fieldValues": self._values(contact), "contact": self._contact(contact)}

    def _contact(self, contact: Contact) -> dict[str, Any]:
        never = None if self._behaviour.empty_dates == "null" else "0000-00-00"
        return {
            "email": contact.email,
            "firstName": "",
            "lastName": "",
            "phone": "",
            **contact.own,
            "cdate": moment(contact.made),
            "udate": moment(contact.changed),
            "bounced_hard": "0" if contact.bounced is None else "1",
            "bounced_soft": "0",
            "bounced_date": never if contact.bounced is None else moment(contact.bounced)[:10],
            "deleted": "0",
            "links": {"contactLists": f"https://acme.api-us1.com/api/3/contacts/{contact.id}/contactLists"},
            "id": contact.id,
        }

    @staticmethod
    def _values(contact: Contact) -> list[dict[str, Any]]:
        return [
            {"contact": contact.id, "field": number, "value": value, "owner": contact.id, "id": f"{contact.id}{number}"}
            for number, value in contact.values.items()
        ]

    def _meta(self, total: int, call: Call) -> dict[str, Any]:
        offset, limit = call.page()
        told: object = str(total) if self._behaviour.totals == "text" else total
        return {"page_input": {"limit": limit, "offset": offset, "status": -1}, "total": told, "sortable": True}


def _given(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A body's own fields, and its values of custom fields by the field's id."""
    values = body.get("fieldValues") or []
    if not isinstance(values, list):
        raise RefusedError(400, {})
    return (
        {name: body[name] for name in _OWN if name in body},
        [(str(each.get("field")), str(each.get("value", ""))) for each in values],
    )


def _taken() -> RefusedError:
    return invalid(
        "Email address already exists in the system",
        "duplicate",
        "/data/attributes/email",
    )
