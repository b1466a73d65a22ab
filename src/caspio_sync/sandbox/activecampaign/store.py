"""What the emulated account holds. Ids are texts, and each sequence begins elsewhere, so that a mix-up is found."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import invalid, missing

_STARTS = {"contact": 1001, "field": 51, "option": 301, "rel": 701, "value": 5001, "membership": 9001, "tag": 201}
_STARTS |= {
    "contactTag": 7001,
    "contactAutomation": 8001,
    "deal": 30001,
    "dealGroup": 41,
    "dealStage": 61,
    "dealField": 81,
    "webhook": 11,
}
CHOICES = frozenset({"dropdown", "radio", "checkbox", "listbox"})
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
ACTIVE, UNSUBSCRIBED, BOUNCED = "1", "2", "3"


@dataclass(slots=True)
class Contact:
    """A contact: its own fields, the values of custom fields by field id, its lists and tags by their ids."""

    id: str
    email: str
    own: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    automations: int = 0  # how often something happened that automations run on
    entered: dict[str, int] = field(default_factory=dict)  # automation id → how often it was enrolled by a call
    bounced: float | None = None  # when mail to it bounced for good
    made: float = 0.0
    changed: float = 0.0


@dataclass(slots=True)
class CustomField:
    """A custom field and the texts of its options."""

    id: str
    title: str
    type: str
    perstag: str
    options: dict[str, str] = field(default_factory=dict)  # id → value
    rels: dict[str, str] = field(default_factory=dict)  # id → list id, "0" for all


def normal(email: object) -> str:
    """An address as it is compared: trimmed, lower case (4)."""
    return str(email or "").strip().lower()


def moment(epoch: float) -> str:
    """As `cdate` and its like tell it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")


class Store:
    """The account's data."""

    def __init__(self, behaviour: ActiveCampaignBehaviour) -> None:
        self._behaviour = behaviour
        self._next = {name: count(start) for name, start in _STARTS.items()}
        self.contacts: dict[str, Contact] = {}
        self._by_email: dict[str, Contact] = {}
        self.fields: dict[str, CustomField] = {}
        self.lists: dict[str, str] = dict(behaviour.lists)
        self.tags: dict[str, str] = {}  # id → name
        self._template_tags: set[str] = set()
        # Joins by their ids: (contact id, id of the tag or the automation, when).
        self.contact_tags: dict[str, tuple[str, str, float]] = {}
        self.enrolments: dict[str, tuple[str, str, float]] = {}

    def number(self, of: str) -> str:
        """The next id of a sequence."""
        return str(next(self._next[of]))

    def contact(self, number: str) -> Contact:
        """By id; raises 404 in the vendor's words."""
        if number not in self.contacts:
            raise missing("Subscriber", number)
        return self.contacts[number]

    def by_email(self, email: object) -> Contact | None:
        """By address; None where nobody has it."""
        wanted = normal(email)
        found = self._by_email.get(wanted)
        is_there = found is not None and self.contacts.get(found.id) is found and found.email == wanted
        return found if is_there else None

    def field(self, number: str) -> CustomField:
        """By id; raises 404."""
        if number not in self.fields:
            raise missing("Field", number)
        return self.fields[number]

    def make(self, email: object, now: float) -> Contact:
        """A new contact."""
        made = Contact(self.number("contact"), normal(email), made=now, changed=now)
        self.contacts[made.id] = self._by_email[made.email] = made
        return made

    def move(self, contact: Contact, email: object) -> None:
        """Give a contact another address."""
        contact.email = normal(email)
        self._by_email[contact.email] = contact

    def check_email(self, email: object) -> None:
        """Raise what the vendor says of an address that is none (4)."""
        if not normal(email):
            raise invalid("Contact Email Address is required.", "field_missing", "/data/attributes/email")
        if not EMAIL.fullmatch(normal(email)):
            raise invalid(
                "Contact Email Address is not valid.",
                "email_invalid",
                "/data/attributes/email",
                status=self._behaviour.bad_email_status,
                error="must_be_valid_email_address",
            )

    def check_values(self, values: Iterable[tuple[str, str]]) -> None:
        """Raise 422 for an option that is none, where the account is strict about them (5.1)."""
        for number, value in values:
            known = self.fields.get(number)
            if known is None or known.type not in CHOICES or self._behaviour.options != "strict":
                continue
            chosen = [each for each in value.split("||") if each]
            if any(each not in known.options.values() for each in chosen):
                raise invalid("The option does not exist.", "field_invalid", f"/data/attributes/fieldValues/{number}")

    def write(self, contact: Contact, own: Mapping[str, Any], values: Iterable[tuple[str, str]], now: float) -> None:
        """Set what is named; an empty text clears, where the account does so (4). Unknown fields are ignored."""
        for name, given in own.items():
            _set(contact.own, name, str(given if given is not None else ""), clears=self._behaviour.empty_clears)
        for number, value in values:
            if number in self.fields:
                _set(contact.values, number, value, clears=self._behaviour.empty_clears)
        contact.changed = now

    def put_on(self, contact: Contact, number: str, status: str, now: float) -> dict[str, str]:
        """The one row of a contact and a list, with this status."""
        row = contact.lists.setdefault(number, {"id": self.number("membership"), "sdate": moment(now)})
        row |= {"status": status, "udate": moment(now)}
        return row

    def tag_type(self, number: str) -> str:
        """Of contacts, or of templates."""
        return "template" if number in self._template_tags else "contact"

    def tag_named(self, name: str, kind: str) -> str | None:
        """The id of the tag with this name; None where there is none."""
        of = self._tag_key(name)
        return next(
            (each for each, it in self.tags.items() if self._tag_key(it) == of and self.tag_type(each) == kind), None
        )

    def make_tag(self, name: str, kind: str = "contact") -> str:
        """A new tag's id."""
        number = self.number("tag")
        self.tags[number] = name
        if kind == "template":
            self._template_tags.add(number)
        return number

    def tag(self, contact: Contact, name: str, now: float) -> None:
        """Apply a tag by its name, which is made where it is missing (6)."""
        self.apply_tag(contact, self.tag_named(name, "contact") or self.make_tag(name), now)

    def apply_tag(self, contact: Contact, number: str, now: float) -> str:
        """The id of the one join of a contact and a tag (7)."""
        if number not in contact.tags:
            contact.tags[number] = self.number("contactTag")
            self.contact_tags[contact.tags[number]] = (contact.id, number, now)
        return contact.tags[number]

    def untag(self, join: str) -> None:
        """Take a tag off the contact, by the id of the join."""
        contact, number, _ = self.contact_tags.pop(join)
        del self.contacts[contact].tags[number]

    def enrol(self, contact: Contact, number: str, now: float) -> str:
        """The id of the row that says that a contact is in an automation (9)."""
        row = self.number("contactAutomation")
        self.enrolments[row] = (contact.id, number, now)
        contact.entered[number] = contact.entered.get(number, 0) + 1
        return row

    def forget(self, number: str) -> None:
        """Delete a contact, and what says that it has a tag or is in an automation."""
        contact = self.contacts[number]
        for join in list(contact.tags.values()):
            self.untag(join)
        for row in [row for row, (of, _, _) in self.enrolments.items() if of == number]:
            del self.enrolments[row]
        del self.contacts[number]

    def _tag_key(self, name: str) -> str:
        return name.lower() if self._behaviour.tags_ignore_case else name


def _set(held: dict[str, str], name: str, value: str, *, clears: bool) -> None:
    if value:
        held[name] = value
    elif clears:
        held.pop(name, None)
