"""What recordings of other clients show and no page says: reference, sections 2.2, 2.4, 3.2, 5, 6.1, 7.4, 9.2, 10.1, 10.2.

A switch of `BrazeBehaviour` plays the page's own reading where the two differ.
"""

import re
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, SANDBOX_KEY
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.contract.conftest import KEY, a_user, a_workspace, call, track

GROUP = {"subscription_group_id": NEWSLETTER_GROUP}
RATE = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def get(sandbox: BrazeSandbox, path: str, **query: Any) -> httpx.Response:
    return call(sandbox, "GET", path, params=query)


def a_group_member(**behaviour: Any) -> BrazeSandbox:
    sandbox = a_workspace(**behaviour)
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}]
    phone = {"phone": "+442079460018"}
    track(sandbox, a_user(1, email="Ada@example.com", subscription_groups=groups, **phone), a_user(2))
    return sandbox


# 2.2: a refusal has drawn from the limit, and tells of it.


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("POST", "/users/track", {"json": {"attributes": []}}),
        ("POST", "/users/track", {"content": b"{"}),
        ("POST", "/users/export/ids", {"json": {"external_ids": []}}),
        ("POST", "/users/export/ids", {"content": b"\xff"}),
        ("POST", "/users/export/ids", {"json": [1]}),
        ("POST", "/users/export/ids", {"json": {"external_ids": ["a"], "fields_to_export": 7}}),
        ("POST", "/users/identify", {"json": {}}),
        ("POST", "/users/delete", {"json": {}}),
        ("GET", "/subscription/status/get", {"params": {"subscription_group_id": "x", "external_id": "a"}}),
        ("GET", "/subscription/user/status", {}),
        ("GET", "/email/unsubscribes", {}),
        ("GET", "/email/hard_bounces", {}),
        ("GET", "/campaigns/list", {"params": {"page": "-1"}}),
        ("GET", "/campaigns/data_series", {}),
        ("POST", "/catalogs", {"json": {}}),
    ],
)
def test_a_400_carries_the_rate_headers_and_counts(method: str, path: str, request_: dict[str, Any]) -> None:
    sandbox = a_workspace()
    headers = KEY | {"Content-Type": "application/json"}
    answers = [call(sandbox, method, path, headers=headers, **request_) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {400}, answers[0].text
    assert all(answer.headers.get(name) for answer in answers for name in RATE)
    first, second = (int(answer.headers["x-ratelimit-remaining"]) for answer in answers)
    assert second == first - 1


def test_a_body_over_the_limit_counts_too() -> None:
    answer = call(a_workspace(body_limit=10), json={"attributes": [a_user()]})
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (413, "2999")


# 2.4: statuses and what every answer carries.


@pytest.mark.parametrize(
    ("path", "status", "message"), [("/users/trak", 404, "Invalid URL"), ("/users/track/", 404, "Invalid URL")]
)
def test_an_address_that_is_none(path: str, status: int, message: str) -> None:
    answer = call(a_workspace(), "POST", path, json={"attributes": [a_user()]})
    assert (answer.status_code, answer.json()) == (status, {"message": message})


@pytest.mark.parametrize(("key", "status"), [(SANDBOX_KEY, 201), ("nobody's", 401)])
def test_every_answer_has_an_id_of_its_own_and_its_time(key: str, status: int) -> None:
    sandbox = a_workspace()
    headers = {"Authorization": f"Bearer {key}"}
    answers = [call(sandbox, json={"attributes": [a_user()]}, headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2
    assert all(re.fullmatch(r"\d+\.\d{6}", answer.headers["x-runtime"]) for answer in answers)


# 3.2, 3.7, 5 and 6.1: whole numbers for ids.

EVENT = {"name": "visited", "time": "2026-01-01"}
PURCHASE = {"currency": "EUR", "price": 2, "time": "2026-01-01"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/track", {"attributes": [{"external_id": 7}]}),
        ("/users/track", {"events": [{"external_id": 7, **EVENT}]}),
        ("/users/track", {"purchases": [{"external_id": "7", "product_id": 9, **PURCHASE}]}),
        ("/users/export/ids", {"external_ids": [7], "fields_to_export": ["external_id"]}),
        ("/users/delete", {"external_ids": [7]}),
        ("/users/identify", {"aliases_to_identify": [{"external_id": 7, "user_alias": {"alias_name": "a", "alias_label": "b"}}]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("numeric_ids", ["accepted", "refused"])
def test_whole_numbers_are_taken_for_ids_unless_refused(path: str, body: dict[str, Any], numeric_ids: str) -> None:
    answer = call(a_workspace(numeric_ids=numeric_ids), "POST", path, json=body)
    refused = answer.status_code == 400 or bool(answer.json().get("errors"))
    assert refused == (numeric_ids == "refused"), answer.text


def test_a_number_and_its_digits_are_one_id() -> None:
    sandbox = a_workspace()
    track(sandbox, {"external_id": 7, "spend": 1}, purchases=[{"external_id": "7", "product_id": 9, **PURCHASE}])
    body = {"external_ids": [7, 8], "fields_to_export": ["external_id", "purchases"]}
    answer = call(sandbox, path="/users/export/ids", json=body).json()
    ((user,), missing) = answer["users"], answer["invalid_user_ids"]
    assert (user["external_id"], user["purchases"][0]["name"], missing) == ("7", "9", [8])
    call(sandbox, path="/users/delete", json={"external_ids": [7]})
    assert sandbox.profiles() == {}


# 6.1: an exported profile.

EXPORTED = ["braze_id", "created_at", "total_revenue", "user_aliases"]


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (
            {},
            {
                "appboy_id": f"{1:024x}",
                "braze_id": f"{1:024x}",
                "created_at": "2026-01-01T00:00:00.000Z",
                "total_revenue": 0.0,
                "user_aliases": [],
            },
        ),
        (
            {"export_created": "sample", "export_empty": "omitted"},
            {"braze_id": f"{1:024x}", "created_at": "2026-01-01 00:00:00.000 UTC"},
        ),
    ],
)
def test_an_export_as_recorded_or_as_the_page_has_it(behaviour: dict[str, str], expected: dict[str, Any]) -> None:
    sandbox = a_workspace(**behaviour)
    track(sandbox, a_user())
    body = {"external_ids": ["c-1"], "fields_to_export": EXPORTED}
    assert call(sandbox, path="/users/export/ids", json=body).json()["users"] == [expected]


# 7.4: group states.


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ({"external_id[]": ["c-1", "c-2"]}, {"c-1": "Unsubscribed", "c-2": "unknown"}),
        ({"external_id": "c-3"}, {"c-3": "unknown"}),
        ({"email": "ada@example.com"}, {"ada@example.com": "Unsubscribed"}),
        ({"email[]": ["nobody@example.com"]}, {"nobody@example.com": "unknown"}),
        ({"phone": "+442079460018"}, {"+442079460018": "Unsubscribed"}),
        ({"external_id": "c-2", "email": "a@b.eu", "phone": "+44"}, {"c-2": "unknown"}),
    ],
)
def test_states_by_id_address_or_number(query: dict[str, Any], states: dict[str, str]) -> None:
    answer = get(a_group_member(), "/subscription/status/get", **GROUP, **query)
    assert (answer.status_code, answer.json()) == (200, {"status": states, "message": "success"})


def test_the_page_writes_unknown_with_a_capital() -> None:
    sandbox = a_group_member(unknown_state="Unknown")
    assert get(sandbox, "/subscription/status/get", **GROUP, external_id="c-2").json()["status"] == {"c-2": "Unknown"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"subscription_group_id": "x", "external_id": "c-1"}, "Invalid subscription group ID"),
        (GROUP | {"email": "a@b.eu", "phone": "+44"}, "Either an email address or a phone number should be provided"),
        (GROUP, "1 to 50"),
        (GROUP | {"external_id[]": [f"{number}" for number in range(51)]}, "1 to 50"),
    ],
)
def test_states_are_refused(query: dict[str, Any], message: str) -> None:
    answer = get(a_group_member(), "/subscription/status/get", **query)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


# 9.2: catalogs as they are listed.


def test_a_listed_catalog_tells_its_tokens_selections_and_storage() -> None:
    sandbox = a_workspace(catalog_delay_seconds=0)
    fields = [{"name": "id", "type": "string"}, {"name": "a", "type": "string"}, {"name": "b", "type": "number"}]
    call(sandbox, path="/catalogs", json={"catalogs": [{"name": "shop", "fields": fields}]})
    call(sandbox, "DELETE", "/catalogs/shop/fields/b")
    call(sandbox, path="/catalogs/shop/fields", json={"fields": [{"name": "c", "type": "time"}]})
    call(sandbox, "PUT", "/catalogs/shop/items", json={"items": [{"id": "1", "a": "x"}]})
    selection = {"name": "all", "external_id": "s-1", "source": "custom"}
    call(sandbox, path="/catalogs/shop/selections", json={"selection": selection})
    (catalog,) = get(sandbox, "/catalogs").json()["catalogs"]
    assert [(each["name"], each["token"]) for each in catalog["fields"]] == [("id", "-1"), ("a", "0"), ("c", "2")]
    assert (catalog["source"], catalog["storage_size"]) == ("Braze", len(b'{"id":"1","a":"x"}'))
    assert (catalog["selections"], catalog["selections_size"]) == ([selection], 1)


# 10.1 and 10.2: lists and series.


def a_workspace_with_senders() -> BrazeSandbox:
    sandbox = a_workspace()
    senders = {
        "old": {"name": "Old", "edited": "2026-01-01T00:00:00+00:00"},
        "new": {"name": "New", "edited": "2026-02-01T00:00:00+00:00"},
        "gone": {"name": "Gone", "edited": "2026-03-01T00:00:00+00:00", "archived": True},
    }
    assert call(sandbox, path="/sandbox/messages", json={"campaigns": senders, "canvases": senders}).status_code == 200
    return sandbox


@pytest.mark.parametrize("kind", ["campaigns", "canvases"])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["old", "new"]),
        ({"include_archived": "true"}, ["old", "new", "gone"]),
        ({"include_archived": "false", "sort_direction": "desc"}, ["new", "old"]),
        ({"last_edit.time[gt]": "2026-01-01T00:00:00"}, ["new"]),
        ({"last_edit.time[gt]": "2025-12-31T23:59:59", "include_archived": "true"}, ["old", "new", "gone"]),
        ({"last_edit.time[gt]": "2026-02-01T00:00:00"}, []),
    ],
)
def test_lists_by_last_edit_and_with_what_is_archived(kind: str, query: dict[str, str], found: list[str]) -> None:
    path = "/campaigns/list" if kind == "campaigns" else "/canvas/list"
    assert [each["id"] for each in get(a_workspace_with_senders(), path, **query).json()[kind]] == found


@pytest.mark.parametrize("query", [{"last_edit.time[gt]": "yesterday"}, {"include_archived": "perhaps"}])
def test_a_list_asked_for_in_other_words_is_refused(query: dict[str, str]) -> None:
    assert get(a_workspace(), "/campaigns/list", **query).status_code == 400


def test_a_campaign_row_has_the_counters_of_every_conversion() -> None:
    sandbox = a_workspace_with_senders()
    (row,) = get(sandbox, "/campaigns/data_series", campaign_id="new", length=1).json()["data"]
    conversions = {f"conversions{number}{way}" for number in ("", 1, 2, 3) for way in ("", "_by_send_time")}
    assert row.keys() == conversions | {"time", "unique_recipients", "revenue", "messages"}


def test_a_canvas_is_made_and_sends_through_the_sandboxs_own_route() -> None:
    sandbox = a_group_member()
    message = {"kind": "email.Open", "external_id": "c-1", "at": "2026-01-01T00:00:00+00:00", "canvas_id": "cnv"}
    made = call(sandbox, path="/sandbox/messages", json={"canvases": {"cnv": "Welcome"}, "messages": [message]})
    assert made.status_code == 200
    query = {"canvas_id": "cnv", "ending_at": "2026-01-01", "length": 1, "include_step_breakdown": "true"}
    data = get(sandbox, "/canvas/data_series", **query).json()["data"]
    assert (data["name"], data["stats"][0]["step_stats"]["cnv-step-1"]["messages"]["email"][0]["opens"]) == (
        "Welcome",
        1,
    )
