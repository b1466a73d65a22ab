"""Two syncs of one folder that write the same thing: refused, unless a file says whose it is."""

from pathlib import Path

import pytest

from caspio_sync.engine.sharing import beside
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import parse_sync

GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
PEOPLE = (
    "kind: profiles\nsource: {table: People}\nidentity: {external_id: Id}\nfields: {first_name: First, email: Mail}\n"
)
CONSENT = f"consent: {{email_subscribe: May, subscription_groups: [{{id: {GROUP}, channel: email, from: News}}]}}\n"
ITEMS = "kind: catalog\nsource: {table: Shoes}\ncatalog: {name: shoes}\nitem_id: Code\nfields: {name: Name}\n"
BACK = "kind: engagement\nsource: {table: People}\nidentity: {external_id: Id}\nfields: {Opened: email_last_open_at}\n"
STATS = "campaign_stats: {table: Stats}\n"


def sync(name: str, text: str) -> Sync:
    return parse_sync(text, Path(f"syncs/{name}.yaml"))


def both(a: str, b: str) -> tuple[Sync, dict[str, Sync]]:
    return sync("a", a), {"b": sync("b", b)}


@pytest.mark.parametrize(
    ("a", "b", "named"),
    [
        (PEOPLE, PEOPLE.replace("People", "Others").replace("first_name: First", "last_name: Last"), "email"),
        (PEOPLE, PEOPLE, "first_name, email"),
        (
            PEOPLE.replace("first_name", "x").replace("email:", "y:") + CONSENT,
            PEOPLE.replace("first_name", "v").replace("email:", "w:") + CONSENT,
            f"email_subscribe, subscription_groups.{GROUP}",
        ),
        (
            PEOPLE.replace("external_id: Id", "user_alias: {name: Id, label: shop}"),
            PEOPLE.replace("external_id: Id", "user_alias: {name: No, label: shop}"),
            "first_name, email",
        ),
        (ITEMS, ITEMS.replace("name: shoes", "name: Shoes").replace("table: Shoes", "table: Boots"), "catalog shoes"),
        (BACK, BACK.replace("Opened", "opened").replace("People", "people"), "Opened"),
        (
            BACK.replace("fields: {Opened: email_last_open_at}\n", "consent: {email_subscribe: {column: May}}\n"),
            BACK.replace("fields: {Opened: email_last_open_at}\n", "consent: {push_subscribe: {column: may}}\n"),
            "May",
        ),
        (BACK + STATS, BACK.replace("Opened", "Other") + STATS, "table Stats"),
    ],
)
def test_both_files_and_what_they_share_are_named(a: str, b: str, named: str) -> None:
    one, others = both(a, b)
    with pytest.raises(ConfigurationError) as caught:
        beside(one, others)
    said = str(caught.value)
    assert said.startswith(f"syncs/a.yaml:1: a and b (syncs/b.yaml:1) both write {named}: ")
    assert "apart_from: [b]" in said


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (PEOPLE, PEOPLE.replace("first_name", "v").replace("email:", "w:")),
        (PEOPLE, PEOPLE.replace("external_id", "email").replace(", email: Mail", "")),  # another identity
        (
            PEOPLE.replace("external_id: Id", "user_alias: {name: Id, label: shop}"),
            PEOPLE.replace("external_id: Id", "user_alias: {name: Id, label: club}"),
        ),
        (ITEMS, ITEMS.replace("name: shoes", "name: boots")),
        (BACK, BACK.replace("People", "Members")),
        (BACK, PEOPLE),
        (PEOPLE, f"enabled: false\n{PEOPLE}"),
    ],
)
def test_what_is_not_shared_may_be_written(a: str, b: str) -> None:
    one, others = both(a, b)
    assert beside(one, others).definition == one


def test_a_sync_that_is_not_enabled_counts_where_a_person_runs_it() -> None:
    one, others = both(f"enabled: false\n{PEOPLE}", PEOPLE)
    with pytest.raises(ConfigurationError, match="both write first_name, email"):
        beside(one, others)


@pytest.mark.parametrize("owner", ["b", "syncs/b.yaml"])
def test_what_another_one_owns_is_left_to_it(owner: str) -> None:
    a = PEOPLE.replace("email: Mail", "email: Mail, score: Score") + CONSENT + f"owner: {owner}\n"
    one, others = both(a, PEOPLE + CONSENT)
    shares = beside(one, others)
    assert list(shares.definition.claims().values()) == ["score"]
    assert shares.notes == (f"left to b, their owner: first_name, email, email_subscribe, subscription_groups.{GROUP}",)
    owned = beside(others["b"], {"a": one})
    assert owned.definition == others["b"]


def test_columns_are_left_to_their_owner_as_well() -> None:
    one, others = both(
        BACK.replace("open_at", "open_at, Clicked: email_last_click_at") + STATS + "owner: b\n", BACK + STATS
    )
    assert list(beside(one, others).definition.claims().values()) == ["Clicked"]


def test_an_owner_owns_while_it_is_paused() -> None:
    """Else a pause would make the other one send, and bill, everything the owner sent before."""
    one, others = both(PEOPLE.replace("first_name", "score") + "owner: b\n", f"enabled: false\n{PEOPLE}")
    assert list(beside(one, others).definition.claims().values()) == ["score"]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (PEOPLE + "owner: c\n", PEOPLE, r"syncs/a\.yaml:5: owner: 'c' is no other sync .* there are: b"),
        (PEOPLE + "owner: a\n", PEOPLE, "'a' is no other sync"),
        (PEOPLE + "apart_from: [b, c]\n", PEOPLE, r"syncs/a\.yaml:5: apart_from: 'c' is no other sync"),
        (PEOPLE + "owner: b\n", PEOPLE, r"syncs/a\.yaml:5: owner: b writes everything that a would"),
        (PEOPLE + "owner: b\n", PEOPLE + "owner: a\n", r"owner: a > b > a: nobody would write what they share"),
        (
            PEOPLE.replace("Id}", "Id, on_new: identify_by_email}").replace("first_name", "score") + "owner: b\n",
            PEOPLE,
            r"a\.yaml:3: identity\.on_new, with what is left to b: identify_by_email gives external ids",
        ),
        (ITEMS + "owner: b\n", ITEMS, "both write catalog shoes: .* give one of them a catalog of its own"),
    ],
)
def test_what_a_file_says_of_another_has_to_hold(a: str, b: str, said: str) -> None:
    one, others = both(a, b)
    with pytest.raises(ConfigurationError, match=said):
        beside(one, others)


@pytest.mark.parametrize("text", [PEOPLE, ITEMS, BACK])
@pytest.mark.parametrize("says", ["a", "b"])
def test_syncs_of_other_people_or_items_say_that_they_are_apart(text: str, says: str) -> None:
    lines = {"a": "apart_from: [b]\n", "b": "apart_from: [a]\n"}
    one, others = both(*(text + (lines[name] if name == says else "") for name in "ab"))
    shares = beside(one, others)
    assert shares.definition == one
    assert [each.name for each in shares.apart] == ["b"]
