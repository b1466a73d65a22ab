"""Words of a list field as tags under a prefix: given as rows hold them, and nobody's tags but these are taken."""

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.contacts import HOUR, SYNC, Contacts, Shop, shop, verified
from tests.flows.test_contact_tags import by_hand, names

__all__ = ["shop"]

WORDS = SYNC.replace("lists:\n", 'tags: {from: Interests, prefix: "shop: "}\nlists:\n')
YOGA, PILATES, RUNNING = "shop: Yoga", "shop: Pilates", "shop: Running"


def change(contacts: Contacts, number: int, *words: int) -> None:
    contacts.change(number, Interests=list(words))


def test_a_first_load_gives_words_by_the_import_alone(shop: Shop) -> None:
    contacts = shop(300, WORDS)
    assert contacts.run().code == 0
    assert names(contacts, 7) == {YOGA, RUNNING}
    calls = contacts.account.calls
    assert (calls["POST import/bulk_import"], calls["POST tags"], calls["POST contactTags"]) == (2, 2, 0)
    assert calls["GET contacts/*/contactTags"] == 0


def test_what_the_row_no_longer_holds_is_taken_and_nothing_else(shop: Shop) -> None:
    contacts = shop(3, WORDS)
    contacts.run()
    by_hand(contacts, 1, "Met at the fair")
    by_hand(contacts, 1, "shopping")
    for words, wanted in (((2,), {PILATES}), ((2, 3), {PILATES, RUNNING}), ((), set()), ((1,), {YOGA})):
        change(contacts, 1, *words)
        assert contacts.run().code == 0
        assert names(contacts, 1) == wanted | {"Met at the fair", "shopping"}
    assert names(contacts, 2) == {YOGA, RUNNING}


def test_many_who_changed_are_looked_for_by_tag(shop: Shop) -> None:
    contacts = shop(250, WORDS)
    contacts.run()
    for number in range(1, 101):
        change(contacts, number, *((2, 3) if number <= 20 else (1, 2, 3)))
    assert contacts.run().code == 0
    assert {frozenset(names(contacts, number)) for number in range(1, 21)} == {frozenset({PILATES, RUNNING})}
    assert {frozenset(names(contacts, number)) for number in range(21, 101)} == {frozenset({YOGA, PILATES, RUNNING})}
    calls = contacts.account.calls
    assert calls["DELETE contactTags/*"] == 20  # and nobody else is looked at alone
    assert calls["GET contacts/*/contactTags"] == 20
    assert calls["GET contacts"] <= 12


@pytest.mark.parametrize("path", ["/api/3/contactTags", "/api/3/contact/sync", "/api/3/tags", "/api/3/contacts/"])
def test_lost_answers_leave_the_words_that_the_rows_hold(shop: Shop, path: str) -> None:
    contacts = shop(5, WORDS)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1, 2)))
    contacts.run()
    change(contacts, 1, 2)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path=path, nth=(1, 2)))
    contacts.run()
    contacts.world.break_activecampaign()
    contacts.run()
    assert names(contacts, 1) == {PILATES}


def test_an_import_whose_end_is_unknown_leaves_no_word_behind(shop: Shop) -> None:
    contacts = shop(20, WORDS, import_ends="never")
    contacts.run()
    contacts.account.behaviour.import_ends = "completed"  # the jobs end after all
    for number in range(1, 21):
        change(contacts, number, 2)
    assert contacts.run().code == 0
    assert {frozenset(names(contacts, number)) for number in range(1, 21)} == {frozenset({PILATES})}


def test_a_moved_contact_has_the_words_of_its_row(shop: Shop) -> None:
    contacts = shop(5, WORDS)
    contacts.run()
    contacts.change(2, Email="new@example.com", Interests=[2])
    assert contacts.run().code == 0
    assert set(contacts.account.contacts()["new@example.com"]["tags"]) == {PILATES}


def test_verify_tells_of_words_and_the_next_run_mends_them(shop: Shop) -> None:
    contacts = shop(5, WORDS)
    contacts.run()
    by_hand(contacts, 1, PILATES)
    by_hand(contacts, 2, "Met at the fair")
    contacts.world.clock.advance(HOUR)
    assert {each.field: each.rows for each in verified(contacts).differences} == {"tag_words.shop: ": 1}
    assert contacts.run().code == 0
    assert names(contacts, 1) == {YOGA, RUNNING}


def test_a_word_that_is_no_tag_holds_the_row(shop: Shop) -> None:
    contacts = shop(1, SYNC)
    words = {"Name": "Words", "Type": "LIST-STRING", "ListField": ["Good", "Bad, worse"]}
    contacts.world.caspio.create_table("Clubs", [{"Name": "Email", "Type": "STRING"}, words])
    contacts.world.caspio.insert_rows(
        "Clubs", [{"Email": "a@example.com", "Words": [1]}, {"Email": "b@example.com", "Words": [1, 2]}]
    )
    contacts.world.sync(
        "kind: profiles\ndestination: activecampaign\nsource: {table: Clubs}\nidentity: {email: Email}\n"
        'tags: {from: Words, prefix: "club: "}\noptions: {create: true}\n',
        "clubs",
    )
    assert contacts.world.ended("clubs").report.verdicts == {"sent": 1, "quarantined": 1}
    assert set(contacts.account.contacts()["a@example.com"]["tags"]) == {"club: Good"}
    assert "b@example.com" not in contacts.account.contacts()


def test_words_of_a_field_that_is_no_list_are_refused(shop: Shop) -> None:
    contacts = shop(3, WORDS)
    contacts.world.sync(WORDS.replace("from: Interests, prefix", "from: Level, prefix"), "contacts")
    ended = contacts.run()
    assert (ended.code, contacts.account.contacts()) == (2, {})
    assert "contacts.yaml:12: tags.from: 'Level' is of type STRING" in ended.message


def test_without_leave_no_tags_are_made_of_words(shop: Shop) -> None:
    contacts = shop(3, WORDS.replace("options: {create: true}\n", ""))
    ended = contacts.run()
    assert (ended.code, contacts.account.store.tags) == (2, {})
    assert "contacts.yaml:12: tags.from: words of rows become tags" in ended.message


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ("{from: Interests}", "tags.from: needs `prefix` beside it"),
        ('{prefix: "shop: "}', "tags.prefix: needs `from` beside it"),
        ('{from: Interests, prefix: ""}', "tags.prefix: is over 50 characters, empty"),
        ('{from: Interests, prefix: "a,b"}', "tags.prefix: is over 50 characters, empty"),
        ('{from: Interests, prefix: "shop: ", "Shop: VIP": {when: "Spend > 1"}}', "begins with `prefix`"),
        ("{VIP: Spend}", "tags.VIP: is a tag, and needs a condition"),
        ('{from: {when: "Spend > 1"}, prefix: x}', "call no tag so"),
    ],
)
def test_bad_files_are_refused_with_their_line(shop: Shop, tags: str, word: str) -> None:
    contacts = shop(1, SYNC)
    contacts.world.sync(WORDS.replace('{from: Interests, prefix: "shop: "}', tags), "contacts")
    with pytest.raises(ConfigurationError, match=r"contacts\.yaml:12") as error:
        load_sync(current_settings().sync_file("contacts"))
    assert word in str(error.value)
