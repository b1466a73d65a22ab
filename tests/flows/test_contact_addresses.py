"""Addresses of contacts: changed, mistyped, gone from one row to another, and whom they leave behind."""

import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.contacts import HOUR, SYNC, Contacts, Shop, row, shop
from tests.flows.killing import killed_after

__all__ = ["shop"]


@pytest.mark.parametrize("step", ["record_sent", "close_batch"])
def test_an_address_that_changes_after_a_run_died_makes_no_second_contact(shop: Shop, step: str) -> None:
    contacts = shop(15)
    with killed_after(0, step):
        contacts.run()
    assert len(contacts.account.contacts()) == 15
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert (len(there), "new@example.com" in there, "p2@example.com" in there) == (15, True, False)
    with contacts.world.ledger() as ledger:
        assert ledger.moved_keys("contacts", 0, 1000).is_empty()


def test_an_erasure_reaches_whom_a_run_died_over(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    with killed_after(0, "record_sent"):
        contacts.run()
    contacts.world.clock.advance(HOUR)
    contacts.change(2, Erase="yes")
    contacts.run()
    contacts.run()
    with contacts.world.ledger() as ledger:
        assert "p2@example.com" not in ledger.moved_keys("contacts", 0, 1000)["key"].to_list()
    assert "p2@example.com" not in contacts.account.contacts()


def test_a_changed_address_moves_the_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    before = contacts.there(2)["id"]
    contacts.change(2, Email="new@example.com", Spend=7)
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "new@example.com", "p3@example.com"}
    assert (there["new@example.com"]["id"], there["new@example.com"]["fields"]["Spend"]) == (before, "7")
    assert there["new@example.com"]["lists"] == {"Newsletter": "1"}


def test_a_row_that_was_held_since_its_address_changed_keeps_its_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    before = contacts.there(2)["id"]
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    contacts.change(2, Email="newer@example.com")
    contacts.run()
    assert contacts.there(2)["id"] == before
    contacts.change(2, Phone="")
    assert contacts.run().code == 0
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "newer@example.com", "p3@example.com"}
    assert there["newer@example.com"]["id"] == before
    contacts.change(2, Email="last@example.com")
    contacts.run()
    assert contacts.account.contacts()["last@example.com"]["id"] == before


def held_with_another_address(contacts: Contacts) -> str:
    """The second row has another address and is held for its phone; the id of its contact."""
    contacts.run()
    before = str(contacts.there(2)["id"])
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    return before


def first_names(contacts: Contacts) -> dict[str, str]:
    return {email: each["firstName"] for email, each in contacts.account.contacts().items()}


def test_an_address_that_another_row_has_by_now_is_not_moved_away_from_it(shop: Shop) -> None:
    contacts = shop()
    held_with_another_address(contacts)
    contacts.world.caspio.insert_rows("People", [row(9, Email="p2@example.com")])
    contacts.run()
    contacts.change(2, Phone="")
    contacts.run()
    everybody = {"p1@example.com": "Name1", "p2@example.com": "Name9", "p3@example.com": "Name3"}
    assert first_names(contacts) == everybody | {"new@example.com": "Name2"}


def test_an_address_is_free_before_another_row_gets_it(shop: Shop) -> None:
    contacts = shop()
    before = held_with_another_address(contacts)
    contacts.world.caspio.insert_rows("People", [row(9, Email="p2@example.com")])
    contacts.change(2, Phone="")
    contacts.world.break_activecampaign(Fault(kind="status", path="/api/3/contacts/", method="PUT", nth=(1,)))
    contacts.run()
    everybody = {"p1@example.com": "Name1", "p2@example.com": "Name9", "p3@example.com": "Name3"}
    assert first_names(contacts) == everybody | {"new@example.com": "Name2"}
    assert contacts.account.contacts()["new@example.com"]["id"] == before


def test_addresses_that_go_round_leave_each_row_its_own(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    contacts.change(1, Email="p2@example.com")
    contacts.change(2, Email="p3@example.com")
    contacts.change(3, Email="other@example.com")
    contacts.run()
    there = first_names(contacts)
    assert {email: there[email] for email in ("p2@example.com", "p3@example.com", "other@example.com")} == {
        "p2@example.com": "Name1",
        "p3@example.com": "Name2",
        "other@example.com": "Name3",
    }


@pytest.mark.parametrize("phone", ["", "n/a"])
def test_an_address_that_was_mistyped_and_corrected_is_the_contact_it_was(shop: Shop, phone: str) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    before = contacts.there(2)["id"]
    stranger = contacts.account.store.make("somebody.else@example.com", 0.0).id
    contacts.change(2, Email="somebody.else@example.com", Phone=phone)  # of a contact that the table does not have
    contacts.run()
    contacts.change(2, Email="p2@example.com", Phone="", Spend=7)
    assert contacts.run().code == 0
    assert (contacts.there(2)["id"], contacts.there(2)["fields"]["Spend"]) == (before, "7")
    contacts.change(2, Erase="yes")
    contacts.run()
    there = contacts.account.contacts()
    assert there.keys() == {"p1@example.com", "p3@example.com", "somebody.else@example.com"}
    assert there["somebody.else@example.com"]["id"] == stranger


def test_who_is_erased_while_a_changed_address_is_held_is_gone_there(shop: Shop) -> None:
    contacts = shop(3, SYNC + "erasure: {where: \"Erase='yes'\"}\n")
    contacts.run()
    contacts.change(2, Email="new@example.com", Phone="n/a")
    contacts.run()
    contacts.change(2, Erase="yes")
    contacts.run()
    assert contacts.account.contacts().keys() == {"p1@example.com", "p3@example.com"}


def test_a_move_whose_answer_was_lost_makes_no_second_contact(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    contacts.change(2, Email="new@example.com")
    contacts.world.break_activecampaign(Fault(kind="reset_after", path="/api/3/contacts/", method="PUT", nth=(1,)))
    assert contacts.run().code == 0
    assert contacts.account.contacts().keys() == {"p1@example.com", "new@example.com", "p3@example.com"}


def test_an_address_that_is_another_contacts_is_told_with_both(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    other = contacts.account.store.make("taken@example.com", 0.0).id
    contacts.change(2, Email="taken@example.com")
    contacts.run()
    (reason,) = contacts.held("rejected").values()
    assert contacts.there(2)["id"] in reason
    assert other in reason
    assert "taken@example.com" not in reason


def test_a_contact_that_was_deleted_by_hand_is_made_anew(shop: Shop) -> None:
    contacts = shop()
    contacts.run()
    del contacts.account.store.contacts[contacts.there(2)["id"]]
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    assert contacts.account.contacts()["new@example.com"]["fields"]["Spend"] == "5"


def test_addresses_that_differ_by_case_and_blanks_are_one_contact(shop: Shop) -> None:
    contacts = shop(1)
    contacts.world.caspio.insert_rows("People", [row(2, Email=" P1@Example.com ")])
    contacts.run()
    assert list(contacts.account.contacts()) == ["p1@example.com"]
    assert len(contacts.held("quarantined")) == 1


@pytest.mark.parametrize("no_match", ["empty", "missing"])
def test_an_empty_search_is_nobody_however_it_is_told(shop: Shop, no_match: str) -> None:
    contacts = shop(no_match=no_match, forbidden_at=frozenset({1}))
    contacts.run()
    contacts.account.store.contacts.clear()
    contacts.change(2, Email="new@example.com")
    assert contacts.run().code == 0
    assert "new@example.com" in contacts.account.contacts()


# Consent.


def test_whom_a_chain_of_addresses_leaves_behind_is_told(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    before = {number: contacts.there(number)["id"] for number in (1, 2)}
    contacts.change(2, Email="new@example.com")
    contacts.change(1, Email="p2@example.com")
    ended = contacts.run()
    assert ended.code == 0
    assert any("their own former one is no row's now (PK_ID 1)" in note for note in ended.report.notes)
    assert not any("@" in note for note in ended.report.notes)
    assert {number: contacts.there(number)["id"] for number in (1, 2)} == before
    assert contacts.account.contacts()["new@example.com"]["firstName"] == "Name2"


def test_a_no_reaches_the_address_that_a_chain_left_behind(shop: Shop) -> None:
    contacts = shop(4)
    contacts.run()
    contacts.change(2, Email="new@example.com")
    contacts.change(1, Email="p2@example.com")
    assert contacts.run().code == 0
    assert contacts.account.contacts()["p1@example.com"]["lists"] == {"Newsletter": "1"}
    contacts.change(1, Newsletter="no")
    assert contacts.world.plan("contacts").report.opt_outs == 1
    assert contacts.run().code == 0
    for address in ("p1@example.com", "p2@example.com"):
        assert contacts.account.contacts()[address]["lists"] == {"Newsletter": "2"}, address
    assert contacts.account.contacts()["new@example.com"]["lists"] == {"Newsletter": "1"}
    assert contacts.account.contacts()["p4@example.com"]["lists"] == {"Newsletter": "1"}


def test_a_no_of_the_very_read_that_leaves_an_address_behind_reaches_it(shop: Shop) -> None:
    contacts = shop(4)
    contacts.change(2, Newsletter="no")
    contacts.run()
    contacts.change(2, Email="new@example.com")
    contacts.change(1, Email="p2@example.com", Newsletter="no")  # as the row before it said of the address
    assert contacts.run().code == 0
    assert contacts.account.contacts()["p1@example.com"]["lists"] == {"Newsletter": "2"}


def test_an_address_left_behind_that_is_a_row_s_again_is_heard_by_that_row_alone(shop: Shop) -> None:
    contacts = shop(4)
    contacts.run()
    contacts.change(2, Email="new@example.com")
    contacts.change(1, Email="p2@example.com")
    contacts.run()
    contacts.change(3, Email="p1@example.com")
    contacts.run()
    contacts.change(1, Newsletter="no")
    contacts.run()
    assert contacts.account.contacts()["p1@example.com"]["lists"] == {"Newsletter": "1"}
    assert contacts.account.contacts()["p2@example.com"]["lists"] == {"Newsletter": "2"}


def test_a_swap_of_addresses_leaves_nobody_behind(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    contacts.change(2, Email="between@example.com")
    contacts.change(1, Email="p2@example.com")
    contacts.change(2, Email="p1@example.com")
    ended = contacts.run()
    assert (ended.code, contacts.there(1)["firstName"], contacts.there(2)["firstName"]) == (0, "Name2", "Name1")
    assert not any("no row's now" in note for note in ended.report.notes)


def test_a_move_that_was_refused_is_released_by_hand(shop: Shop) -> None:
    contacts = shop(3)
    contacts.run()
    contacts.account.store.make("taken@example.com", 0.0)
    contacts.change(2, Email="taken@example.com")
    contacts.run()
    del contacts.account.store.contacts[contacts.account.contacts()["taken@example.com"]["id"]]
    before = contacts.there(2)["id"]
    contacts.run(release=("rejected",))
    assert contacts.account.contacts()["taken@example.com"]["id"] == before
