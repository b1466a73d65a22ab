"""Random histories of rows, addresses, consent, held rows, lost answers and people who leave in ActiveCampaign."""

import random
from dataclasses import dataclass, field

import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.contacts import Contacts, Shop, shop

__all__ = ["shop"]

SEEDS = 10
ROWS = 3


@dataclass
class Person:
    """What is true of a row, beside the product."""

    number: int
    newsletter: str = "yes"
    emails: int = 0
    spend: float = 0.0
    held: bool = False
    left: bool = False  # by themselves, in ActiveCampaign
    told_no: bool = False  # Caspio has said "no" in some run
    emails_had: list[str] = field(default_factory=list)

    @property
    def email(self) -> str:
        return f"p{self.number}.{self.emails}@example.com"


def mine(contacts: Contacts, person: Person) -> list[str]:
    """The addresses under which a row is there, whatever it is called by now."""
    had = {*person.emails_had, person.email, f"p{person.number}@example.com"}
    return [email for email in contacts.account.contacts() if email in had]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_person_is_one_contact_and_a_no_stands(shop: Shop, seed: int) -> None:
    dice = random.Random(seed)
    contacts = shop(ROWS)
    people = [Person(number, spend=number * 2.5) for number in range(1, ROWS + 1)]
    contacts.run()
    for step in range(8):
        person = dice.choice(people)
        for happens in dice.sample([_consents, _moves, _is_held, _spends, _leaves], 3):
            happens(contacts, person, dice)
        if dice.random() < 0.3:
            path = dice.choice(["/api/3/contact/sync", "/api/3/contactLists", "/api/3/contacts/"])
            contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1,)))
        contacts.run(full=step % 3 == 0, resend=dice.random() < 0.1)
        contacts.world.break_activecampaign()
        for each in people:
            each.told_no |= each.newsletter == "no"
            check(contacts, each)


def _consents(contacts: Contacts, person: Person, dice: random.Random) -> None:
    person.newsletter = dice.choice(["yes", "yes", "no", ""])
    contacts.change(person.number, Newsletter=person.newsletter)


def _moves(contacts: Contacts, person: Person, _: random.Random) -> None:
    person.emails_had.append(person.email)
    person.emails += 1
    contacts.change(person.number, Email=person.email)


def _is_held(contacts: Contacts, person: Person, _: random.Random) -> None:
    person.held = not person.held
    contacts.change(person.number, Phone="n/a" if person.held else "")


def _spends(contacts: Contacts, person: Person, dice: random.Random) -> None:
    person.spend = float(dice.randrange(10_000))
    contacts.change(person.number, Spend=person.spend)


def _leaves(contacts: Contacts, person: Person, _: random.Random) -> None:
    for email in mine(contacts, person):
        if "Newsletter" in contacts.account.contacts()[email]["lists"]:
            contacts.account.set_status(email, "Newsletter", "2")
            person.left = True


def check(contacts: Contacts, person: Person) -> None:
    found = mine(contacts, person)
    assert len(found) == 1, person
    there = contacts.account.contacts()[found[0]]
    if person.left or person.told_no:
        assert there["lists"].get("Newsletter") in {None, "2"}, person
    if person.newsletter == "no":
        assert there["lists"]["Newsletter"] == "2", person
    if not person.held:
        refused = contacts.held("rejected")
        assert found == [person.email] or person.emails == 0, person
        assert float(there["fields"]["Spend"]) == person.spend, (person, refused)
