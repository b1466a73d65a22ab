"""Addresses of contacts that go from one row to another within one read, and whom they leave behind."""

from tests.flows.test_contacts import Shop, shop

__all__ = ["shop"]


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
