"""What ActiveCampaign's webhooks post, as events: what is told, what is not kept, and what cannot be read."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.destinations.activecampaign.hooks import HookPost, read_hook
from caspio_sync.engagement.events import event_lines, read_events

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def posted(*more: tuple[str, str], **fields: str) -> HookPost:
    return arrived(NOW, *more, **fields)


def arrived(now: datetime, *more: tuple[str, str], **fields: str) -> HookPost:
    form = {
        "type": "open",
        "date_time": "2026-03-02T06:00:00-06:00",
        "initiated_from": "public",
        "contact[id]": "52",
        "contact[email]": " Maria@Example.net",
        **fields,
    }
    return read_hook(urlencode([*form.items(), *more]).encode(), now)


def only(post: HookPost) -> dict[str, Any]:
    (event,) = post.events
    assert not post.malformed
    return {name: value for name, value in event.items() if name != "event_id"}


@pytest.mark.parametrize(
    ("told", "more", "kind"),
    [
        ("sent", {}, "users.messages.email.Send"),
        ("open", {}, "users.messages.email.Open"),
        ("click", {}, "users.messages.email.Click"),
        ("bounce", {"bounce[type]": "hard"}, "users.messages.email.Bounce"),
        ("bounce", {"bounce[type]": "soft"}, "users.messages.email.SoftBounce"),
    ],
)
def test_what_became_of_a_mail(told: str, more: dict[str, str], kind: str) -> None:
    campaign = {"campaign[id]": "3", "campaign[name]": "Spring", "contact[phone]": "+1", "contact[first_name]": "Ann"}
    assert only(posted(type=told, **more, **campaign)) == {
        "type": kind,
        "at": int(NOW.timestamp() * 1e6),
        "email": "maria@example.net",
        "channel": "email",
        "campaign_id": "3",
        "campaign_name": "Spring",
    }


@pytest.mark.parametrize("key", ["list", "list[]", "list[][id]", "list[0][id]", "list[id]"])
def test_an_opt_out_names_its_list_in_any_of_the_forms(key: str) -> None:
    event = only(posted((key, "6"), type="unsubscribe"))
    assert (event["group_id"], event["state"], event["source"]) == ("6", "unsubscribed", "unsubscribe")


def test_who_leaves_several_lists_leaves_each() -> None:
    post = posted(("list[][id]", "6"), ("list[][id]", "7"), ("list[][id]", "6"), type="unsubscribe")
    assert [each["group_id"] for each in post.events] == ["6", "7"]
    assert len({each["event_id"] for each in post.events}) == 2


@pytest.mark.parametrize("lists", [[], [("list", "0")], [("list", "")]])
def test_an_opt_out_that_names_no_list_is_of_all(lists: list[tuple[str, str]]) -> None:
    event = only(posted(*lists, type="unsubscribe"))
    assert (event["type"], event["state"], event.get("group_id")) == (
        "users.behaviors.subscription.GlobalStateChange",
        "unsubscribed",
        None,
    )


def test_a_yes_that_names_no_list_is_none() -> None:
    event = only(posted(("list", "0"), type="subscribe"))
    assert (event["type"], event.get("state")) == ("activecampaign.subscribe", None)


@pytest.mark.parametrize("who", ["initiated_from", "initiated_by"])
def test_what_a_call_did_is_told_as_such(who: str) -> None:
    assert only(posted(("list", "6"), type="subscribe", **{who: "api"}))["source"] == "REST API"


@pytest.mark.parametrize(
    "told", ["reply", "contact_tag_added", "subscriber_note", "deal_update", "hard", "bounce", "x"]
)
def test_of_other_types_the_type_is_kept_alone(told: str) -> None:
    post = posted(("note", "a secret"), ("tag", "VIP"), ("deal[title]", "Big"), type=told)
    assert only(post).keys() == {"type", "at", "email", "channel"}
    assert b"secret" not in event_lines(post.events)


def test_the_same_post_is_one_event_and_another_one_is_not() -> None:
    one, again = posted(("link[id]", "1"), type="click"), posted(("link[id]", "1"), type="click")
    other = posted(("link[id]", "2"), type="click")
    ids = [each.events[0]["event_id"] for each in (one, again, other)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


@pytest.mark.parametrize("hours", [-11, -6, 0, 5.75, 14])
def test_a_time_without_an_offset_is_of_the_zone_by_which_it_was_just_now(hours: float) -> None:
    happened = NOW - timedelta(seconds=20)
    wall = (happened + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")
    first, again = (arrived(NOW + timedelta(seconds=late), date_time=wall) for late in (0, 60))
    assert only(first)["at"] == int(happened.timestamp() * 1e6)
    assert first.events == again.events


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": ""}, "no type"),
        ({"date_time": ""}, "no type, or no date_time"),
        ({"date_time": "soon"}, "is no time"),
        ({"date_time": "2019-03-02 06:00:00"}, "of another day"),
        ({"type": "unsubscribe", "list": "six"}, "by no number"),
    ],
)
def test_what_cannot_be_read_is_kept_apart(fields: dict[str, str], reason: str) -> None:
    post = posted(**fields)
    assert (list(post.events), len(post.malformed)) == ([], 1)
    assert reason in post.malformed[0].reason
    assert "maria" not in post.malformed[0].reason.lower()
    assert "Maria" in orjson.loads(post.malformed[0].event)["form"]


@given(st.binary(max_size=400) | st.text(alphabet="type=&date_list[]%0123456789-:T+", max_size=200).map(str.encode))
def test_whatever_is_posted_becomes_events_or_is_kept_apart(body: bytes) -> None:
    post = read_hook(body, NOW)
    assert len(post.events) + len(post.malformed) >= 1
    assert read_events([(1, event_lines(post.events))]).height == len(post.events)
