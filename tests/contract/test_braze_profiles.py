"""What the Braze emulator stores, against sections 3.1 to 3.3 of the reference."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, SMS_OFFERS_GROUP
from tests.contract.conftest import a_workspace, stored, track_each

# 3.2: who is written to.


def test_unknown_external_id_makes_a_profile_unless_update_only() -> None:
    sandbox = a_workspace()
    answer = track_each(sandbox, {"external_id": "a"}, {"external_id": "b", "_update_existing_only": True})
    assert sandbox.profiles().keys() == {"a"}
    assert "errors" not in answer.json()


def test_update_only_writes_to_a_known_profile() -> None:
    profile = stored(a_workspace(), {"spend": 1}, {"spend": 2, "_update_existing_only": True})
    assert profile["custom_attributes"] == {"spend": 2}


def test_alias_is_update_only_unless_told_otherwise() -> None:
    alias = {"user_alias": {"alias_name": "ada", "alias_label": "crm"}}
    sandbox = a_workspace()
    track_each(sandbox, alias | {"spend": 1})
    assert sandbox.anonymous_profiles() == []
    track_each(sandbox, alias | {"spend": 1, "_update_existing_only": False}, alias | {"spend": 2})
    (profile,) = sandbox.anonymous_profiles()
    assert profile["user_aliases"] == [alias["user_alias"]]
    assert profile["custom_attributes"] == {"spend": 2}


def test_braze_id_never_creates() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"braze_id": f"{9:024x}", "spend": 1})
    assert sandbox.anonymous_profiles() == []


def test_email_finds_the_identified_profile_first() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"email": "a@example.com"}, {"external_id": "c", "email": "a@example.com"})
    track_each(sandbox, {"email": "A@example.com", "spend": 1})
    assert sandbox.profiles()["c"]["custom_attributes"] == {"spend": 1}


def test_email_of_several_means_the_most_recently_updated() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"external_id": "a", "email": "a@example.com"}, {"external_id": "b", "email": "a@example.com"})
    track_each(sandbox, {"external_id": "a", "seen": True}, {"email": "a@example.com", "spend": 1})
    assert "spend" in sandbox.profiles()["a"]["custom_attributes"]


def test_unknown_email_makes_an_email_only_profile() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"email": "a@example.com", "spend": 1})
    (profile,) = sandbox.anonymous_profiles()
    assert (profile["email"], "user_aliases" in profile) == ("a@example.com", False)


def test_unknown_external_id_with_a_known_email_makes_a_duplicate() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"external_id": "a", "email": "a@example.com"}, {"external_id": "b", "email": "a@example.com"})
    assert sandbox.profiles().keys() == {"a", "b"}


def test_phone_lookup_needs_a_valid_number() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"phone": "+44 20 7946 0018"}, {"phone": "+1"})
    assert [profile["phone"] for profile in sandbox.anonymous_profiles()] == ["+44 20 7946 0018"]


def test_known_push_token_is_ignored() -> None:
    sandbox = a_workspace()
    token = {"push_token_import": True, "push_tokens": [{"app_id": "a", "token": "t"}]}
    track_each(sandbox, token, token)
    assert len(sandbox.anonymous_profiles()) == 1


# 3.3: standard fields.


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("first_name", "Ada", "Ada"),
        ("first_name", 7, None),
        ("last_name", "x" * 300, "x" * 255),
        ("country", "gb", "GB"),
        ("country", "Australia", "AU"),
        ("country", "Atlantis", None),
        ("language", "de", "de"),
        ("language", "English", None),
        ("dob", "1990-02-28", "1990-02-28"),
        ("dob", "1990-02-30", None),
        ("dob", "28/02/1990", None),
        ("gender", "F", "F"),
        ("gender", "female", None),
        ("time_zone", "Europe/London", "Europe/London"),
        ("time_zone", "GMT Standard Time", None),
        ("time_zone", "../etc/passwd", None),
        ("image_url", "https://example.com/" + "x" * 1024, None),
        ("phone", "020 7946 0018", "020 7946 0018"),
        ("email_open_tracking_disabled", "yes", None),
        ("date_of_first_session", "2025-01-01", "2025-01-01"),
    ],
)
def test_standard_field_keeps_what_fits_and_drops_the_rest_in_silence(field: str, value: Any, kept: Any) -> None:
    sandbox = a_workspace()
    answer = track_each(sandbox, {"external_id": "c", field: value})
    assert "errors" not in answer.json()
    assert sandbox.profiles()["c"].get(field) == kept


def test_unfitting_value_leaves_the_old_one_but_an_unmappable_country_clears() -> None:
    profile = stored(a_workspace(), {"gender": "F", "country": "GB"}, {"gender": "x", "country": "Atlantis"})
    assert profile["gender"] == "F"
    assert "country" not in profile


def test_null_removes_a_field() -> None:
    profile = stored(a_workspace(), {"first_name": "Ada", "spend": 1}, {"first_name": None, "spend": None})
    assert "first_name" not in profile
    assert profile["custom_attributes"] == {}


def test_other_spelling_is_a_custom_attribute() -> None:
    profile = stored(a_workspace(), {"First_Name": "Ada", "Email": "a@example.com"})
    assert profile["custom_attributes"] == {"First_Name": "Ada", "Email": "a@example.com"}


def test_bio_is_not_processed() -> None:
    assert stored(a_workspace(), {"bio": "x"})["custom_attributes"] == {}


def test_invalid_phone_is_kept_and_flagged() -> None:
    sandbox = a_workspace()
    stored(sandbox, {"phone": "12"})
    assert sandbox.invalid_phones() == {"c": "12"}


def test_location_is_stored_as_coordinates() -> None:
    profile = stored(a_workspace(), {"current_location": {"longitude": 1.5, "latitude": 2}})
    assert profile["last_coordinates"] == [1.5, 2]


# 3.3: subscription side effects.


def test_new_profile_is_subscribed() -> None:
    assert stored(a_workspace(), {})["email_subscribe"] == "subscribed"


def test_new_address_resets_the_state_and_the_email_groups() -> None:
    groups = [
        {"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"},
        {"subscription_group_id": SMS_OFFERS_GROUP, "subscription_state": "unsubscribed"},
    ]
    first = {"email": "a@example.com", "email_subscribe": "unsubscribed", "subscription_groups": groups}
    profile = stored(a_workspace(), first, {"email": "b@example.com"})
    assert profile["email_subscribe"] == "subscribed"
    assert profile["subscription_groups"] == {SMS_OFFERS_GROUP: "unsubscribed"}


def test_state_sent_with_the_new_address_stands() -> None:
    first = {"email": "a@example.com", "email_subscribe": "unsubscribed"}
    profile = stored(a_workspace(), first, {"email_subscribe": "unsubscribed", "email": "b@example.com"})
    assert profile["email_subscribe"] == "unsubscribed"


def test_same_address_in_another_case_resets_nothing() -> None:
    profile = stored(
        a_workspace(), {"email": "a@example.com", "email_subscribe": "opted_in"}, {"email": "A@example.com"}
    )
    assert profile["email_subscribe"] == "opted_in"


@pytest.mark.parametrize(("resubscribe", "state"), [(False, "unsubscribed"), (True, "subscribed")])
def test_known_address_passes_its_state_on(resubscribe: bool, state: str) -> None:
    sandbox = a_workspace(resubscribe_on_update=resubscribe)
    track_each(sandbox, {"external_id": "a", "email": "a@example.com", "email_subscribe": "unsubscribed"})
    assert stored(sandbox, {"email": "a@example.com"})["email_subscribe"] == state


def test_state_change_reaches_profiles_with_the_same_address() -> None:
    sandbox = a_workspace()
    track_each(sandbox, {"external_id": "a", "email": "a@example.com"}, {"external_id": "b", "email": "a@example.com"})
    track_each(sandbox, {"external_id": "a", "email_subscribe": "unsubscribed"})
    assert sandbox.profiles()["b"]["email_subscribe"] == "unsubscribed"


def test_state_change_reaches_at_most_a_hundred_other_profiles() -> None:
    """Braze 3.3: a global state change propagates to profiles with the same address, up to 100."""
    sandbox = a_workspace()
    track_each(sandbox, *({"external_id": f"c{number}", "email": "x@example.com"} for number in range(103)))
    track_each(sandbox, {"external_id": "c0", "email_subscribe": "unsubscribed"})
    states = [profile["email_subscribe"] for profile in sandbox.profiles().values()]
    assert (states.count("unsubscribed"), states.count("subscribed")) == (101, 2)


@pytest.mark.parametrize(
    "identity", [{"external_id": None}, {"user_alias": None}, {"external_id": "c", "user_alias": None}]
)
def test_identifier_cannot_be_removed(identity: dict[str, Any]) -> None:
    """Braze 3.3: null removes a field, but never external_id and user_alias."""
    sandbox = a_workspace()
    stored(sandbox, {"first_name": "Ada"})
    answer = track_each(sandbox, {**identity, "first_name": None})
    assert (len(answer.json()["errors"]), sandbox.profiles()["c"]["first_name"]) == (1, "Ada")


def test_the_address_comes_before_the_states_of_the_same_object() -> None:
    """Braze 3.3: a new address resets the states; what travels with it stands, whatever the order of the keys."""
    sandbox = a_workspace()
    profile = stored(
        sandbox,
        {"email": "a@example.com"},
        {"push_subscribe": "unsubscribed", "email_subscribe": "unsubscribed", "email": "b@example.com"},
    )
    assert (profile["email"], profile["email_subscribe"], profile["push_subscribe"]) == (
        "b@example.com",
        "unsubscribed",
        "unsubscribed",
    )


def test_group_change_reaches_profiles_with_the_same_address() -> None:
    sandbox = a_workspace()
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed"}]
    track_each(sandbox, {"external_id": "a", "email": "a@example.com"}, {"external_id": "b", "email": "a@example.com"})
    track_each(sandbox, {"external_id": "a", "subscription_groups": groups})
    assert sandbox.profiles()["b"]["subscription_groups"] == {NEWSLETTER_GROUP: "subscribed"}


def test_new_number_resets_the_sms_groups() -> None:
    groups = [{"subscription_group_id": SMS_OFFERS_GROUP, "subscription_state": "subscribed"}]
    profile = stored(
        a_workspace(), {"phone": "+442079460018", "subscription_groups": groups}, {"phone": "+442079460019"}
    )
    assert profile["subscription_groups"] == {}


# 3.1: writes are queued, and their order is not kept.


def test_whole_values_sent_twice_leave_the_same_profile() -> None:
    fields = {"first_name": "Ada", "interests": ["a", "b"], "address": {"city": "London"}}
    assert stored(a_workspace(), fields) == stored(a_workspace(), fields, fields)


def test_delayed_requests_may_overtake_each_other() -> None:
    seen = set()
    for seed in range(8):
        sandbox = a_workspace(effect_jitter_seconds=10, seed=seed)
        seen.add(stored(sandbox, {"x": "old"}, {"x": "new"})["custom_attributes"]["x"])
    assert seen == {"old", "new"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(), st.text(max_size=20))), max_size=12))
def test_last_value_of_each_attribute_stands(writes: list[tuple[int, Any]]) -> None:
    sandbox = a_workspace(first_value_fixes_type=False)
    expected: dict[str, Any] = {}
    for number, value in writes:
        expected |= {f"a{number}": value}
    profile = stored(sandbox, {}, *({f"a{number}": value} for number, value in writes))
    assert profile["custom_attributes"] == {name: value for name, value in expected.items() if value is not None}


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["inc", "add", "remove", "$add", "$remove", "$update", "$time", "k"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
names = st.sampled_from(
    [
        *("email", "phone", "country", "language", "dob", "gender", "time_zone", "image_url", "first_name"),
        *("email_subscribe", "subscription_groups", "current_location", "push_tokens", "push_token_import"),
        *(
            "_merge_objects",
            "_update_existing_only",
            "date_of_first_session",
            "facebook",
            "x",
            "user_alias",
            "braze_id",
        ),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(names, json_values, max_size=4), min_size=1, max_size=4))
def test_no_value_at_all_breaks_the_emulator(items: list[dict[str, Any]]) -> None:
    sandbox = a_workspace()
    track_each(sandbox, *({"external_id": "c"} | item for item in items), *items)
    sandbox.settle()
    assert sandbox.data_points >= 0


@pytest.mark.parametrize(("ignores", "profiles"), [(True, 1), (False, 2)])
def test_case_of_an_address_at_lookup_is_a_switch(ignores: bool, profiles: int) -> None:
    """Section 18: the case handling of e-mails at lookup is not established."""
    sandbox = a_workspace(email_lookup_ignores_case=ignores)
    track_each(sandbox, {"email": "Ada@example.com"}, {"email": "ada@example.com"})
    assert len(sandbox.anonymous_profiles()) == profiles
