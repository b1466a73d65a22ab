"""The Braze emulator's `/users/track` against sections 1 to 3 of the reference."""

from typing import Any

import orjson
import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP
from tests.contract.conftest import KEY, a_user, a_workspace, call, track

# Sections 1.2 and 1.3: authentication, permissions; 2.4: statuses.


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer other", "sandbox-key", 'Bearer "sandbox-key"'])
def test_unknown_or_malformed_key_is_401(authorization: str) -> None:
    assert call(a_workspace(), json={}, headers={"Authorization": authorization}).status_code == 401


def test_missing_key_is_401() -> None:
    assert call(a_workspace(), json={}, headers={}).status_code == 401


def test_a_401_tells_the_key_back_and_no_window() -> None:
    answer = call(a_workspace(), json={}, headers={"Authorization": "Bearer 3f1c0b1e"})
    assert answer.json() == {"message": "Invalid API key: 3f1c0b1e"}
    assert [answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["", "", ""]


def test_inactive_key_is_401() -> None:
    assert track(a_workspace(inactive_keys={"sandbox-key"}), a_user()).status_code == 401


def test_key_without_the_permission_is_403() -> None:
    sandbox = a_workspace(keys={"sandbox-key": {"users.export.ids"}})
    answer = track(sandbox, a_user())
    assert (answer.status_code, answer.json()) == (403, {"message": "Access Denied"})


def test_key_is_judged_before_the_content_type() -> None:
    assert call(a_workspace(), content=b"{}", headers={}).status_code == 401


@pytest.mark.parametrize("path", ["/users/track/", "/users", "/", "/v2/users/track"])
def test_unknown_path_and_trailing_slash_are_404(path: str) -> None:
    assert call(a_workspace(), path=path, json={}).status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_other_content_type_is_415(content_type: str) -> None:
    answer = call(a_workspace(), content=b"{}", headers=KEY | {"Content-Type": content_type})
    assert answer.status_code == 415


def test_content_type_may_carry_a_charset() -> None:
    headers = KEY | {"Content-Type": "application/json; charset=utf-8"}
    assert call(a_workspace(), content=b'{"attributes":[{"external_id":"c"}]}', headers=headers).status_code == 201


# Sections 2.3, 2.4 and 3.1: sizes and the envelope.


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'{"attributes":[],}', b"{'attributes':[]}", b'{"attributes":"\xff"}', b'{"attributes":[NaN]}'],
)
def test_invalid_json_is_400_and_nothing_is_processed(body: bytes) -> None:
    sandbox = a_workspace()
    answer = call(sandbox, content=body, headers=KEY | {"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert sandbox.objects == 0


def test_array_that_is_no_array_is_400() -> None:
    assert call(a_workspace(), json={"attributes": {"external_id": "c-1"}}).status_code == 400


@pytest.mark.parametrize(("status", "limit"), [(413, 1000), (400, 1000)])
def test_body_over_the_limit_is_refused(status: int, limit: int) -> None:
    sandbox = a_workspace(body_limit=limit, body_limit_status=status)
    assert track(sandbox, a_user(notes="x" * 1000)).status_code == status


def test_body_limit_is_four_megabytes() -> None:
    fitting = a_user(notes="x" * (4_000_000 - 100))
    assert track(a_workspace(), fitting).status_code == 201
    assert track(a_workspace(), fitting | {"more": "x" * 200}).status_code == 413


def test_seventy_five_objects_are_counted_over_the_three_arrays() -> None:
    event = {"external_id": "c-1", "name": "visited", "time": "2026-01-01"}
    users = [a_user(number) for number in range(70)]
    assert track(a_workspace(), *users, events=[event] * 5).status_code == 201
    answer = track(a_workspace(), *users, events=[event] * 6)
    assert (answer.status_code, answer.json()["message"]) == (400, "Max Input Length Exceeded")


def test_legacy_contract_counts_each_array() -> None:
    event = {"external_id": "c-1", "name": "visited", "time": "2026-01-01"}
    users = [a_user(number) for number in range(75)]
    assert track(a_workspace(objects_limit="each"), *users, events=[event] * 75).status_code == 201
    assert track(a_workspace(objects_limit="each"), *users, a_user(76)).status_code == 400


@pytest.mark.parametrize(("empty_refused", "status"), [(True, 400), (False, 201)])
def test_empty_arrays_are_refused_unless_the_workspace_takes_them(empty_refused: bool, status: int) -> None:
    sandbox = a_workspace(empty_refused=empty_refused)
    answer = call(sandbox, json={"attributes": []})
    assert (answer.status_code, answer.json().get("attributes_processed", 0)) == (status, 0)
    assert sandbox.profiles() == {}


# Section 3.9: answers.


def test_count_keys_stand_for_the_arrays_that_were_sent() -> None:
    event = {"external_id": "c-1", "name": "visited", "time": "2026-01-01"}
    assert track(a_workspace(), a_user(), a_user(2)).json() == {"message": "success", "attributes_processed": 2}
    assert track(a_workspace(), events=[event]).json() == {"message": "success", "events_processed": 1}


def test_partial_failure_is_2xx_and_names_array_and_index() -> None:
    sandbox = a_workspace()
    answer = track(sandbox, a_user(1), a_user(2, email="nobody"), a_user(3))
    assert answer.status_code == 201
    assert answer.json() == {
        "message": "success",
        "attributes_processed": 2,
        "errors": [{"type": "EMAIL_BAD_FORMAT", "input_array": "attributes", "index": 1}],
    }
    assert sandbox.profiles().keys() == {"c-1", "c-3"}


@pytest.mark.parametrize(
    ("form", "entry"),
    [("bare", "EMAIL_BAD_FORMAT"), ("no_index", {"input_array": "attributes", "type": "EMAIL_BAD_FORMAT"})],
)
def test_error_entries_may_lack_their_index(form: str, entry: object) -> None:
    assert track(a_workspace(error_form=form), a_user(email="nobody")).json()["errors"] == [entry]


def test_request_of_rejected_objects_alone_may_be_400() -> None:
    assert track(a_workspace(), a_user(email="nobody")).status_code == 201
    answer = track(a_workspace(all_rejected_status=400), a_user(email="nobody"))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["index"] == 0


def group(**fields: Any) -> list[dict[str, Any]]:
    return [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed"} | fields]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "a b@example.com"}, "EMAIL_BAD_FORMAT"),
        ({"email": "a@b"}, "EMAIL_BAD_FORMAT"),
        ({"email": ""}, "EMAIL_BAD_FORMAT"),
        ({"email": "a..b@example.com"}, "EMAIL_BAD_FORMAT"),
        ({"email": 7}, "EMAIL_BAD_FORMAT"),
        ({"email_subscribe": "yes"}, "BAD_EMAIL_SUBSCRIPTION_STATE"),
        ({"email_subscribe": None}, "BAD_EMAIL_SUBSCRIPTION_STATE"),
        ({"push_subscribe": "Subscribed"}, "BAD_PUSH_SUBSCRIPTION_STATE"),
        ({"current_location": {"longitude": 1.5}}, "BAD_LOCATION_UPDATE"),
        ({"subscription_groups": {}}, "BAD_SUBSCRIPTION_GROUP_ARRAY"),
        ({"subscription_groups": ["x"]}, "BAD_SUBSCRIPTION_GROUP_HASH"),
        ({"subscription_groups": [{"subscription_group_id": NEWSLETTER_GROUP}]}, "BAD_SUBSCRIPTION_GROUP_HASH"),
        ({"subscription_groups": group(subscription_group_id="x")}, "BAD_SUBSCRIPTION_GROUP_ID"),
        ({"subscription_groups": group(subscription_state="opted_in")}, "BAD_SUBSCRIPTION_GROUP_STATE"),
        ({"push_tokens": "x"}, "BAD_PUSH_TOKEN_VALUE"),
        ({"push_tokens": [{"token": "t"}]}, "BAD_PUSH_TOKEN_APP_ID"),
        ({"push_tokens": [{"app_id": "a", "token": 1}]}, "BAD_PUSH_TOKEN_STRING"),
        ({"push_tokens": [{"app_id": "a", "token": "t", "device_id": "short"}]}, "BAD_DEVICE_ID"),
        ({"push_token_import": True, "push_tokens": [{"app_id": "a", "token": "t"}]}, "BAD_PUSH_TOKEN_IMPORT"),
        ({"email_subscription_info": 1}, "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"),
    ],
)
def test_documented_code_is_told(fields: dict[str, Any], code: str) -> None:
    sandbox = a_workspace()
    assert track(sandbox, a_user(**fields)).json()["errors"][0]["type"] == code
    assert sandbox.profiles() == {}


@pytest.mark.parametrize("email", ["ada@example.com", "Ada.L+x@sub.example.co.uk", "jörg@exämple.de", None])
def test_sound_email_is_taken(email: str | None) -> None:
    assert "errors" not in track(a_workspace(), a_user(email=email)).json()


def test_whitespace_in_an_email_may_refuse_the_whole_request() -> None:
    sandbox = a_workspace(email_whitespace="400")
    assert track(sandbox, a_user(1), a_user(2, email="a b@example.com")).status_code == 400
    assert sandbox.profiles() == {}


def test_bad_email_may_cost_only_the_email() -> None:
    sandbox = a_workspace(bad_email_rejects_object=False)
    track(sandbox, a_user(email="nobody", first_name="Ada"))
    profile = sandbox.profiles()["c-1"]
    assert profile["first_name"] == "Ada"
    assert "email" not in profile


# Section 3.2: identifiers.


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"external_id": ""},
        {"external_id": 17850.5},
        {"external_id": None},
        {"external_id": "c", "braze_id": "0"},
        {"external_id": "c", "user_alias": {"alias_name": "a", "alias_label": "b"}},
        {"user_alias": {"alias_name": "a"}},
        {"user_alias": {"alias_name": "", "alias_label": "b"}},
        {"user_alias": {"alias_name": "a" * 237, "alias_label": "b"}},
    ],
)
def test_object_without_exactly_one_sound_identifier_is_rejected(identity: dict[str, Any]) -> None:
    sandbox = a_workspace()
    answer = track(sandbox, identity | {"first_name": "Ada"})
    assert answer.json()["attributes_processed"] == 0
    assert answer.json()["errors"][0]["index"] == 0


def test_object_that_is_no_object_is_rejected() -> None:
    assert track(a_workspace(), "c-1", None, 3).json()["attributes_processed"] == 0


def test_external_id_may_have_987_bytes() -> None:
    assert "errors" not in track(a_workspace(), {"external_id": "é" * 493 + "x"}).json()
    errors = track(a_workspace(), {"external_id": "é" * 494}).json()["errors"]
    assert errors[0]["type"] == "EXTERNAL_USER_ID_TOO_LARGE"


def test_blocked_external_id_is_rejected() -> None:
    errors = track(a_workspace(blocked_external_ids={"c-1"}), a_user()).json()["errors"]
    assert errors[0]["type"] == "BLACKLISTED_EXTERNAL_USER_ID"


# The emulator's own.


def test_log_holds_what_was_accepted() -> None:
    sandbox = a_workspace(logged_requests=2)
    for number in range(3):
        track(sandbox, a_user(number))
    assert [(entry.request, entry.object["external_id"]) for entry in sandbox.log] == [(2, "c-1"), (3, "c-2")]


def test_state_and_profiles_are_served_without_a_key() -> None:
    sandbox = a_workspace()
    track(sandbox, a_user(1, spend=2), a_user(2))
    state = call(sandbox, "GET", "/sandbox/state", headers={}).json()
    assert (state["requests"], state["objects"], state["profiles"], state["data_points"]) == (1, 2, 2, 1)
    lines = call(sandbox, "GET", "/sandbox/profiles", headers={}).content.splitlines()
    assert [orjson.loads(line)["external_id"] for line in lines] == ["c-1", "c-2"]


def test_reset_forgets() -> None:
    sandbox = a_workspace()
    track(sandbox, a_user())
    call(sandbox, path="/sandbox/reset", headers={})
    assert (sandbox.profiles(), sandbox.requests) == ({}, 0)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_accepted_is_any_2xx(status: int) -> None:
    """2.4: a client treats any 2XX as accepted; 202 was told in maintenance."""
    answer = track(a_workspace(accepted_status=status), a_user())
    assert (answer.status_code, answer.json()["message"]) == (status, "success")


def test_number_of_objects_is_a_term_of_the_contract() -> None:
    """3.1: 75 objects; MAU contracts had 50."""
    users = [a_user(number) for number in range(51)]
    assert track(a_workspace(max_objects=50), *users[:50]).status_code == 201
    assert track(a_workspace(max_objects=50), *users).status_code == 400


def test_name_that_is_not_allowed_rejects_its_object() -> None:
    """3.9: INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO; which names share its fate is not documented."""
    sandbox = a_workspace(refused_names=frozenset({"secret"}))
    answer = track(sandbox, a_user(1, secret=1), a_user(2))
    assert [entry["index"] for entry in answer.json()["errors"]] == [0]
    assert list(sandbox.profiles()) == ["c-2"]
