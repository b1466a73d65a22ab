"""Who a profile is, group states by POST, and names of what was tracked: sections 5, 7.1, 7.2 and 10.1 of the reference."""

from typing import Any

import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, SMS_OFFERS_GROUP
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.contract.conftest import a_workspace, call, track

SHOP = {"alias_label": "shop", "alias_name": "a"}
LATEST = ["most_recently_updated"]


def post(sandbox: BrazeSandbox, path: str, **body: Any) -> Any:
    return call(sandbox, path=path, json=body)


def two_people(**behaviour: Any) -> BrazeSandbox:
    sandbox = a_workspace(**behaviour)
    for number in (1, 2):
        event = {"external_id": f"c-{number}", "name": "visited", "time": "2025-12-31T10:00:00Z"}
        track(sandbox, {"external_id": f"c-{number}", "email": f"c{number}@example.com", "a": number}, events=[event])
    return sandbox


# Section 5.


def test_an_alias_is_added_to_who_is_known_and_makes_nobody_of_an_unknown_id() -> None:
    sandbox = two_people()
    answer = post(
        sandbox, "/users/alias/new", user_aliases=[{"external_id": "c-1", **SHOP}, {"external_id": "c-9", **SHOP}]
    )
    assert (answer.status_code, answer.json()) == (201, {"message": "success", "aliases_processed": 2})
    assert sandbox.profile("c-1")["user_aliases"] == [SHOP]
    assert sandbox.anonymous_profiles() == []


def test_an_alias_without_an_id_is_a_profile_of_its_own_and_taken_once() -> None:
    sandbox = two_people()
    for _ in range(2):
        assert post(sandbox, "/users/alias/new", user_aliases=[SHOP]).json()["aliases_processed"] == 1
    post(sandbox, "/users/alias/new", user_aliases=[{"external_id": "c-1", **SHOP}])  # in use: nothing changes
    (nobody,) = sandbox.anonymous_profiles()
    assert nobody["user_aliases"] == [SHOP]
    assert not sandbox.profile("c-1").get("user_aliases")


def test_an_alias_gets_another_name() -> None:
    sandbox = two_people()
    post(sandbox, "/users/alias/new", user_aliases=[{"external_id": "c-1", **SHOP}])
    update = {"alias_label": "shop", "old_alias_name": "a", "new_alias_name": "b"}
    assert post(sandbox, "/users/alias/update", alias_updates=[update]).json() == {"message": "success"}
    track(sandbox, {"user_alias": {"alias_label": "shop", "alias_name": "b"}, "city": "Bath"})
    assert sandbox.profile("c-1")["custom_attributes"]["city"] == "Bath"


def test_merging_fills_what_is_lacking_and_sums_counts() -> None:
    sandbox = two_people()
    track(sandbox, {"external_id": "c-2", "b": 2})
    pair = {"identifier_to_merge": {"external_id": "c-2"}, "identifier_to_keep": {"external_id": "c-1"}}
    assert post(sandbox, "/users/merge", merge_updates=[pair]).status_code == 202
    kept = sandbox.profile("c-1")
    assert kept["custom_attributes"] == {"a": 1, "b": 2}
    assert kept["custom_events"][0]["count"] == 2
    assert sandbox.profile("c-2") is None


def test_merging_by_alias_and_by_address() -> None:
    sandbox = two_people()
    post(sandbox, "/users/alias/new", user_aliases=[SHOP])
    pair = {
        "identifier_to_merge": {"user_alias": SHOP},
        "identifier_to_keep": {"email": "c1@example.com", "prioritization": LATEST},
    }
    post(sandbox, "/users/merge", merge_updates=[pair])
    assert sandbox.profile("c-1")["user_aliases"] == [SHOP]
    assert sandbox.anonymous_profiles() == []


@pytest.mark.parametrize(
    ("updates", "said"),
    [
        ({}, "'merge_updates' must be an array of objects"),
        (["c-1"], "'merge_updates' must be an array of objects"),
        ([{}] * 51, "a single request may not contain more than 50 merge updates"),
        ([{"identifier_to_keep": {}}], "'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'"),
        (
            [{"identifier_to_keep": {"external_id": 1}, "identifier_to_merge": {"external_id": "c-1"}}],
            "identifiers must be objects with an 'external_id' property that is a string",
        ),
    ],
)
def test_merges_that_are_refused(updates: Any, said: str) -> None:
    answer = post(two_people(), "/users/merge", merge_updates=updates)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(said)


def test_a_renamed_id_still_finds_its_profile_until_it_is_removed() -> None:
    sandbox = two_people()
    renames = [
        {"current_external_id": "c-1", "new_external_id": "n-1"},
        {"current_external_id": "c-2", "new_external_id": "c-1"},  # deprecated, hence in use
        {"current_external_id": "c-9", "new_external_id": "n-9"},
    ]
    answer = post(sandbox, "/users/external_ids/rename", external_id_renames=renames).json()
    assert answer["external_ids"] == ["n-1"]
    assert [each["index"] for each in answer["rename_errors"]] == [1, 2]
    track(sandbox, {"external_id": "c-1", "city": "Bath"})
    assert sandbox.profile("n-1")["custom_attributes"]["city"] == "Bath"
    assert sandbox.data_points == 7  # renaming costs none
    removed = post(sandbox, "/users/external_ids/remove", external_ids=["c-1", "n-1"]).json()
    assert (removed["removed_ids"], [each["index"] for each in removed["removal_errors"]]) == (["c-1"], [1])
    track(sandbox, {"external_id": "c-1", "city": "Hull"})  # somebody new
    assert sandbox.profile("n-1")["custom_attributes"]["city"] == "Bath"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/users/alias/new", "user_aliases"),
        ("/users/alias/update", "alias_updates"),
        ("/users/external_ids/rename", "external_id_renames"),
        ("/users/external_ids/remove", "external_ids"),
        ("/v2/subscription/status/set", "subscription_groups"),
    ],
)
def test_empty_and_large_requests_are_refused(path: str, name: str) -> None:
    refused: tuple[Any, ...] = ([], None, [{}] * 51, "x")
    for entries in refused:
        assert post(two_people(), path, **{name: entries}).status_code == 400


def test_a_pool_of_its_own_for_each() -> None:
    sandbox = two_people(renames_per_minute=1, group_writes_per_minute=1, lists_per_hour=1)
    for path in ("/users/external_ids/rename", "/users/external_ids/remove", "/subscription/status/set"):
        assert [post(sandbox, path).status_code for _ in range(2)] == [400, 429]
    assert [call(sandbox, "GET", "/events/list").status_code for _ in range(2)] == [200, 429]


# Sections 7.1 and 7.2.


def state(sandbox: BrazeSandbox, who: str, group: str = NEWSLETTER_GROUP) -> str | None:
    return sandbox.profile(who)["subscription_groups"].get(group)


def test_a_group_s_state_is_set_by_id_and_by_address() -> None:
    sandbox = two_people()
    told = {"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}
    assert post(sandbox, "/subscription/status/set", external_id=["c-1", "c-9"], **told).status_code == 201
    assert (state(sandbox, "c-1"), state(sandbox, "c-2")) == ("unsubscribed", None)
    post(sandbox, "/subscription/status/set", email="c2@example.com", **told)
    assert state(sandbox, "c-2") == "unsubscribed"


def test_the_second_version_sets_several_groups_at_once() -> None:
    sandbox = two_people()
    track(sandbox, {"external_id": "c-1", "phone": "+447700900123"})
    groups = [
        {"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed", "external_ids": ["c-1", "c-2"]},
        {"subscription_group_id": SMS_OFFERS_GROUP, "subscription_state": "unsubscribed", "phones": ["+447700900123"]},
    ]
    assert post(sandbox, "/v2/subscription/status/set", subscription_groups=groups).status_code == 201
    assert (state(sandbox, "c-1"), state(sandbox, "c-2")) == ("subscribed", "subscribed")
    assert state(sandbox, "c-1", SMS_OFFERS_GROUP) == "unsubscribed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"subscription_group_id": "nobody"},
        {"subscription_state": "opted_in"},
        {"external_id": []},
        {"external_id": ["c"] * 51},
        {"email": "c1@example.com", "phone": "+447700900123"},
        {"external_id": None, "phone": "+447700900123"},
    ],
)
def test_states_that_are_refused(wrong: dict[str, Any]) -> None:
    told = {"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed", "external_id": "c-1"}
    sandbox = two_people()
    assert post(sandbox, "/subscription/status/set", **{**told, **wrong}).status_code == 400
    assert state(sandbox, "c-1") is None


# Section 10.1.


def test_names_of_events_and_products() -> None:
    sandbox = two_people()
    bought = {"external_id": "c-1", "product_id": "p", "currency": "EUR", "price": 1, "time": "2025-12-31T10:00:00Z"}
    track(sandbox, purchases=[bought])
    assert call(sandbox, "GET", "/events/list").json() == {"events": ["visited"], "message": "success"}
    assert call(sandbox, "GET", "/purchases/product_list").json()["products"] == ["p"]
    assert call(sandbox, "GET", "/events/list?page=1").json()["events"] == []
    assert call(sandbox, "GET", "/events/list?page=x").status_code == 400


def test_events_come_by_pages_with_a_link() -> None:
    sandbox = a_workspace()
    for number in range(60):
        track(sandbox, events=[{"external_id": "c", "name": f"e{number:02}", "time": "2025-12-31T10:00:00Z"}])
    first = call(sandbox, "GET", "/events")
    assert [each["name"] for each in first.json()["events"]] == [f"e{number:02}" for number in range(50)]
    assert first.links["next"]["url"] == "/events?cursor=50"
    second = call(sandbox, "GET", first.links["next"]["url"])
    assert (len(second.json()["events"]), second.links) == (10, {})
