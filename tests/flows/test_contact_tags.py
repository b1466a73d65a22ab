"""Tags of contacts: given and taken as conditions turn, by few calls, and nothing of what others gave."""

import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.contacts import HOUR, SYNC, Contacts, Shop, shop, verified

__all__ = ["shop"]

TAGS = """\
tags:
  VIP: {when: "Spend > 20"}
  Gold: {when: "Level = 'g'"}
  Yes or no: {when: "Newsletter IN ('yes', 'no') AND Level IS NOT NULL"}
"""
TAGGED = SYNC.replace("lists:\n", f"{TAGS}lists:\n")


def names(contacts: Contacts, number: int) -> set[str]:
    return set(contacts.there(number)["tags"])


def tagged(contacts: Contacts, tag: str) -> int:
    return sum(tag in each["tags"] for each in contacts.account.contacts().values())


def by_hand(contacts: Contacts, number: int, tag: str) -> None:
    store = contacts.account.store
    store.tag(store.contacts[contacts.there(number)["id"]], tag, contacts.world.clock.now().timestamp())


def test_a_first_load_gives_tags_by_the_import_alone(shop: Shop) -> None:
    contacts = shop(600, TAGGED)
    assert contacts.run().code == 0
    assert names(contacts, 8) == {"Gold", "Yes or no"}
    assert names(contacts, 9) == {"VIP", "Gold", "Yes or no"}
    assert tagged(contacts, "VIP") == 592
    calls = contacts.account.calls
    assert (calls["POST import/bulk_import"], calls["GET import/info"], calls["POST tags"]) == (3, 3, 3)
    assert calls["POST contactTags"] == 0
    assert sum(calls.values()) <= 40  # of which fields and tags are made


def test_few_that_turn_are_given_and_taken_one_by_one(shop: Shop) -> None:
    contacts = shop(30, TAGGED)
    contacts.run()
    contacts.change(1, Spend=50)
    contacts.change(20, Spend=1)
    assert contacts.run().code == 0
    assert names(contacts, 1) == {"VIP", "Gold", "Yes or no"}
    assert names(contacts, 20) == {"Gold", "Yes or no"}
    calls = contacts.account.calls
    joins = {path: calls[path] for path in ("POST contactTags", "DELETE contactTags/*", "POST import/bulk_import")}
    assert joins == {"POST contactTags": 1, "DELETE contactTags/*": 1, "POST import/bulk_import": 0}


def test_a_thousand_changed_contacts_with_added_tags_take_few_calls(shop: Shop) -> None:
    contacts = shop(1000, TAGGED.replace("Spend > 20", "Spend > 100000"))
    contacts.run()
    for number in range(1, 1001):
        contacts.change(number, Spend=200_000 + number)
    assert contacts.run().code == 0
    assert tagged(contacts, "VIP") == 1000
    calls = dict(contacts.account.calls)
    assert (calls["POST import/bulk_import"], calls["GET import/info"]) == (4, 4)
    assert sum(calls.values()) <= 11, calls  # fields, lists and tags are read once a run


def test_many_who_lose_a_tag_are_found_among_those_who_have_it(shop: Shop) -> None:
    contacts = shop(300, TAGGED)
    contacts.run()
    for number in range(100, 150):
        contacts.change(number, Spend=0)
    assert contacts.run().code == 0
    assert tagged(contacts, "VIP") == 292 - 50
    assert all("VIP" not in names(contacts, number) for number in range(100, 150))
    calls = contacts.account.calls
    assert calls["GET contacts"] == 4  # a hundred of them a page, and the empty one that ends it
    assert (calls["GET contacts/*/contactTags"], calls["DELETE contactTags/*"]) == (50, 50)


def test_what_others_gave_stays(shop: Shop) -> None:
    contacts = shop(3, TAGGED)
    contacts.run()
    by_hand(contacts, 1, "Met at the fair")
    by_hand(contacts, 1, "VIP")  # which the row never had
    contacts.change(1, FirstName="Name1", Level="s")
    contacts.run()
    assert names(contacts, 1) == {"Met at the fair", "VIP", "Yes or no"}
    assert contacts.run(full=True, resend=True).code == 0
    assert names(contacts, 1) == {"Met at the fair", "VIP", "Yes or no"}


def test_a_condition_that_turns_back_and_forth_is_followed(shop: Shop) -> None:
    contacts = shop(3, TAGGED)
    contacts.run()
    for spend, has in ((50, True), (1, False), (51, True), (1, False), (None, False), (70, True)):
        contacts.change(1, Spend=spend)
        assert contacts.run().code == 0
        assert ("VIP" in names(contacts, 1)) is has


@pytest.mark.parametrize("spend", [1, 60])
def test_a_moved_contact_has_what_its_row_says(shop: Shop, spend: int) -> None:
    contacts = shop(30, TAGGED)
    contacts.run()
    before = contacts.there(20)["id"]
    contacts.change(20, Email="new@example.com", Spend=spend)
    assert contacts.run().code == 0
    there = contacts.account.contacts()["new@example.com"]
    assert there["id"] == before
    assert ("VIP" in there["tags"]) is (spend == 60)


def test_an_import_whose_end_is_unknown_leaves_no_tag_behind(shop: Shop) -> None:
    contacts = shop(20, TAGGED, import_ends="never")
    contacts.run()
    contacts.account.behaviour.import_ends = "completed"  # the jobs end after all
    for number in range(1, 21):
        contacts.change(number, Spend=0)
    assert contacts.run().code == 0
    assert tagged(contacts, "VIP") == 0
    assert tagged(contacts, "Gold") == 20


@pytest.mark.parametrize("path", ["/api/3/contactTags", "/api/3/contact/sync", "/api/3/tags"])
def test_lost_answers_leave_the_tags_that_the_rows_say(shop: Shop, path: str) -> None:
    contacts = shop(5, TAGGED)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1, 2)))
    contacts.run()
    contacts.change(1, Spend=50)
    contacts.change(2, Level="s")
    contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1, 2)))
    contacts.run()
    contacts.world.break_activecampaign()
    contacts.run()
    assert names(contacts, 1) == {"VIP", "Gold", "Yes or no"}
    assert names(contacts, 2) == {"Yes or no"}


@pytest.mark.parametrize("duplicate_tag", ["refused", "known"])
def test_a_tag_that_is_there_is_taken(shop: Shop, duplicate_tag: str) -> None:
    contacts = shop(3, TAGGED, duplicate_tag=duplicate_tag, tags_ignore_case=True)
    contacts.account.store.make_tag("VIP", "contact")
    assert contacts.run().code == 0
    assert sorted(contacts.account.store.tags.values()) == ["Gold", "VIP", "Yes or no"]


def test_a_tag_in_another_case_is_named(shop: Shop) -> None:
    contacts = shop(3, TAGGED, tags_ignore_case=True)
    contacts.account.store.make_tag("vip", "contact")
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "tags.VIP: ActiveCampaign has a tag of a name like it in another case" in ended.message


def test_without_leave_no_tag_is_made(shop: Shop) -> None:
    contacts = shop(3, TAGGED.replace("options: {create: true}\n", ""))
    ended = contacts.run()
    assert (ended.code, contacts.account.store.tags) == (2, {})
    assert "make the tag VIP" in ended.message


def test_a_tag_that_was_deleted_is_made_anew(shop: Shop) -> None:
    contacts = shop(3, TAGGED)
    contacts.run()
    store = contacts.account.store
    number = next(each for each, name in store.tags.items() if name == "VIP")
    for contact in store.contacts.values():
        if number in contact.tags:
            store.untag(contact.tags[number])
    del store.tags[number]
    contacts.change(1, Spend=50)
    assert contacts.run().code == 0
    assert "VIP" in names(contacts, 1)


def test_verify_tells_of_tags_and_the_next_run_mends_them(shop: Shop) -> None:
    contacts = shop(12, TAGGED)
    contacts.run()
    contacts.change(12, Spend=1)
    contacts.run()
    by_hand(contacts, 12, "VIP")  # taken from it by us, and given again by hand
    by_hand(contacts, 1, "VIP")  # never given by us
    store = contacts.account.store
    contact = store.contacts[contacts.there(11)["id"]]
    store.untag(next(join for number, join in contact.tags.items() if store.tags[number] == "VIP"))
    contacts.world.clock.advance(HOUR)
    assert {each.field: each.rows for each in verified(contacts).differences} == {"tags.VIP": 2}
    assert contacts.run().code == 0
    assert [("VIP" in names(contacts, number)) for number in (1, 11, 12)] == [True, True, False]
