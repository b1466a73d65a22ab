"""Lists that follow a condition: who is put on them and taken off, and that nobody who left is put on again."""

import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.contacts import HOUR, SYNC, Contacts, Shop, shop, verified
from tests.flows.killing import killed_after

__all__ = ["shop"]

SEGMENT = SYNC.replace("options:", '  Offers: {when: "Spend > 20"}\noptions:')
ON, OFF = "1", "2"


def status(contacts: Contacts, number: int) -> str | None:
    found: str | None = contacts.there(number)["lists"].get("Offers")
    return found


def turn(contacts: Contacts, number: int, spend: float | None) -> None:
    contacts.change(number, Spend=spend)
    assert contacts.run().code == 0


def person(contacts: Contacts, number: int, to: str) -> None:
    """The person, or an admin, changes the membership, a while later."""
    contacts.world.clock.advance(HOUR)
    contacts.account.set_status(f"p{number}@example.com", "Offers", to)


def test_a_first_load_puts_on_whom_the_condition_names_by_the_import_alone(shop: Shop) -> None:
    contacts = shop(60, SEGMENT)
    assert contacts.run().code == 0
    assert [status(contacts, number) for number in (1, 8, 9, 60)] == [None, None, ON, ON]
    assert contacts.account.calls["POST contactLists"] == 0
    assert contacts.account.calls["POST import/bulk_import"] == 1


def test_who_is_off_by_the_condition_goes_back_as_it_turns(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    for spend, wanted in ((1, OFF), (50, ON), (2, OFF), (3, OFF), (70, ON), (None, OFF), (99, ON)):
        turn(contacts, 9, spend)
        assert status(contacts, 9) == wanted


def test_who_left_is_never_put_on_again(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    person(contacts, 9, OFF)  # while on it
    turn(contacts, 9, 1)
    turn(contacts, 9, 50)
    assert status(contacts, 9) == OFF
    turn(contacts, 10, 1)
    person(contacts, 10, OFF)  # while off it by the condition
    contacts.change(10, Spend=50)
    ended = contacts.run()
    assert status(contacts, 10) == OFF
    assert any("were not subscribed to Offers again: who left it" in note for note in ended.report.notes)
    turn(contacts, 10, 1)
    turn(contacts, 10, 60)
    assert status(contacts, 10) == OFF


def test_who_came_back_and_left_again_stays_off(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    turn(contacts, 9, 1)
    person(contacts, 9, ON)
    person(contacts, 9, OFF)
    turn(contacts, 9, 50)
    assert status(contacts, 9) == OFF


def test_who_is_on_a_list_by_hand_and_was_never_there_by_us_stays(shop: Shop) -> None:
    contacts = shop(3, SEGMENT)
    contacts.run()
    person(contacts, 1, ON)
    turn(contacts, 1, 2)
    assert contacts.run(full=True, resend=True).code == 0
    assert status(contacts, 1) == ON


def test_many_who_turn_at_once(shop: Shop) -> None:
    contacts = shop(40, SEGMENT)
    contacts.run()
    for number in range(9, 41):
        contacts.change(number, Spend=1)
    made = contacts.world.plan("contacts")
    assert contacts.run().code == 0
    assert {status(contacts, number) for number in range(9, 41)} == {OFF}
    assert sum(contacts.account.calls.values()) <= (made.calls or 0) + 3
    for number in range(9, 41):
        contacts.change(number, Spend=80)
    assert contacts.run().code == 0
    assert {status(contacts, number) for number in range(9, 41)} == {ON}


def test_a_resend_takes_off_and_keeps_the_mark(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    contacts.change(9, Spend=1)
    assert contacts.run(full=True, resend=True).code == 0
    assert status(contacts, 9) == OFF
    turn(contacts, 9, 50)
    assert status(contacts, 9) == ON


def test_a_changed_address_takes_the_mark_along(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    turn(contacts, 9, 1)
    contacts.change(9, Email="new@example.com", Spend=50)
    assert contacts.run().code == 0
    assert contacts.account.contacts()["new@example.com"]["lists"]["Offers"] == ON


@pytest.mark.parametrize("path", ["/api/3/contactLists", "/api/3/contact/sync", "/api/3/contacts/"])
@pytest.mark.parametrize("back", [False, True])
def test_lost_answers_put_nobody_on_who_left(shop: Shop, path: str, back: bool) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    if back:
        turn(contacts, 9, 1)
    contacts.change(9, Spend=50 if back else 1)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1, 2)))
    contacts.run()
    contacts.world.break_activecampaign()
    contacts.run()
    assert status(contacts, 9) == (ON if back else OFF)
    person(contacts, 9, OFF)
    turn(contacts, 9, 60)
    turn(contacts, 9, 1)
    turn(contacts, 9, 70)
    assert status(contacts, 9) == OFF


def test_the_person_leaves_between_a_lost_answer_and_the_next_try(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    turn(contacts, 9, 1)
    contacts.change(9, Spend=50)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path="/api/3/contactLists"))
    contacts.run()  # it is put on, again and again without an answer
    contacts.world.break_activecampaign()
    person(contacts, 9, OFF)
    contacts.run()
    assert status(contacts, 9) == OFF


def test_a_run_that_dies_before_the_mark_is_kept_leaves_people_off(shop: Shop) -> None:
    """Whose word the status is, nobody knows any more: it is taken for the person's."""
    contacts = shop(12, SEGMENT)
    contacts.run()
    contacts.change(9, Spend=1)
    with killed_after(0, "note_list_marks"):
        contacts.run()
    contacts.run()
    assert status(contacts, 9) == OFF
    turn(contacts, 9, 50)
    assert status(contacts, 9) == OFF


def test_verify_tells_who_is_not_where_the_condition_puts_them(shop: Shop) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    person(contacts, 10, OFF)
    contacts.world.clock.advance(HOUR)
    assert {each.field: each.rows for each in verified(contacts).differences} == {"segments.Offers": 1}
    contacts.run()
    assert status(contacts, 10) == OFF


def test_an_erasure_takes_the_mark(shop: Shop) -> None:
    contacts = shop(12, SEGMENT + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    turn(contacts, 9, 1)
    count = "SELECT count(*) FROM list_mark"
    with contacts.world.ledger() as ledger, ledger.reading("look") as connection:
        assert connection.exec_driver_sql(count).scalar() == 1
    contacts.change(9, Erase="yes")
    contacts.run()
    with contacts.world.ledger() as ledger, ledger.reading("look") as connection:
        assert connection.exec_driver_sql(count).scalar() == 0


@pytest.mark.parametrize("names", [True, False])
def test_a_return_of_such_a_list_is_refused(shop: Shop, names: bool) -> None:
    contacts = shop(12, SEGMENT)
    contacts.run()
    back = """\
kind: engagement
destination: activecampaign
source: {table: People}
identity: {email: Email}
consent:
  profiles: contacts
  lists:
    Offers: {column: Erase, map: {yes: subscribed, no: unsubscribed}}
"""
    contacts.world.sync(back if names else back.replace("  profiles: contacts\n", ""), "back")
    ended = contacts.world.ended("back")
    assert ended.code == 2
    assert f"back.yaml:{8 if names else 7}: in 'contacts' a condition decides who is on this list" in ended.message


MANY = {str(number): f"List {number}" for number in range(100, 125)} | {"11": "Newsletter", "12": "Offers"}


def test_who_left_one_of_many_lists_is_not_put_on_again_where_a_contacts_lists_come_in_pages(shop: Shop) -> None:
    contacts = shop(3, SEGMENT, lists=MANY, parts_in_pages=True)
    contacts.run()
    for name in sorted({*MANY.values()} - {"Newsletter", "Offers"}):
        contacts.account.set_status("p1@example.com", name, ON)
    contacts.account.set_status("p1@example.com", "Offers", OFF)
    turn(contacts, 1, 50)
    assert status(contacts, 1) == OFF
