"""What Currents posts becomes rows of `EVENTS`."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.destinations.braze import currents, lenient_json
from caspio_sync.destinations.braze.currents import MalformedEventError, UnreadablePostError, currents_event, read_post
from caspio_sync.destinations.braze.currents_words import KNOWN_TYPES
from caspio_sync.engagement.events import EVENTS, event_lines, read_events

CLICK = "users.messages.email.Click"


def an_event(kind: str = CLICK, *, properties: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    event = {
        "event_type": kind,
        "id": "e-1",
        "time": 1_785_000_000,
        "user": {"user_id": "b-1", "external_user_id": "c-1", "timezone": "Europe/Madrid"},
        "properties": properties or {},
    }
    return {**event, **changed}


def row(event: dict[str, Any]) -> dict[str, Any]:
    return read_events([(7, event_lines([currents_event(event)]))]).row(0, named=True)


def test_a_click_fills_every_column_that_it_tells_of() -> None:
    properties = {
        "campaign_id": "cmp",
        "campaign_name": "Autumn",
        "email_address": " A@Example.com ",
        "url": "https://example.com/x",
        "is_suspected_bot_click": True,
    }
    found = row(an_event(properties=properties))
    assert {name: value for name, value in found.items() if value is not None} == {
        "event_id": "e-1",
        "type": CLICK,
        "at": datetime.fromtimestamp(1_785_000_000, UTC),
        "external_id": "c-1",
        "braze_id": "b-1",
        "email": "a@example.com",
        "channel": "email",
        "campaign_id": "cmp",
        "campaign_name": "Autumn",
        "machine_open": False,
        "bot_click": True,
        "seq": 7,
    }


@pytest.mark.parametrize(
    ("kind", "properties", "channel"),
    [
        ("users.messages.pushnotification.Open", {}, "push"),
        ("users.messages.sms.Delivery", {"to_phone_number": "+15550100"}, "sms"),
        ("users.messages.contentcard.Click", {}, "content_card"),
        ("users.messages.inappmessage.Impression", {}, "in_app"),
        ("users.messages.telepathy.Send", {}, "telepathy"),
        ("users.behaviors.subscription.GlobalStateChange", {"email_address": "a@b.c"}, "email"),
        ("users.behaviors.subscriptiongroup.StateChange", {"phone_number": "+15550100"}, "sms"),
        ("users.behaviors.subscriptiongroup.StateChange", {"channel": "whatsapp", "phone_number": "+1555"}, "whatsapp"),
        ("users.campaigns.Conversion", {}, None),
    ],
)
def test_the_channel(kind: str, properties: dict[str, Any], channel: str | None) -> None:
    assert row(an_event(kind, properties=properties))["channel"] == channel


def test_a_state_change_tells_state_group_and_source() -> None:
    group = {"subscription_group_id": "g", "subscription_status": "Unsubscribed", "state_change_source": "REST API"}
    found = row(an_event("users.behaviors.subscriptiongroup.StateChange", properties=group))
    assert (found["group_id"], found["state"], found["source"]) == ("g", "unsubscribed", "REST API")
    everywhere = {"subscription_status": "Opted In", "channel": "email"}
    assert row(an_event("users.behaviors.subscription.GlobalStateChange", properties=everywhere))["state"] == "opted_in"


@pytest.mark.parametrize(("told", "machine"), [("true", True), ("false", False), (True, True), (None, False)])
def test_machine_open_is_a_text(told: Any, machine: bool) -> None:
    assert row(an_event("users.messages.email.Open", properties={"machine_open": told}))["machine_open"] is machine


def test_removed_and_hashed_fields_are_no_values() -> None:
    properties = {"email_address": "b94d27b9934d3e08a52e52d7da7dabfa", "campaign_name": "[REDACTED]"}
    found = row(an_event(properties=properties))
    assert (found["email"], found["campaign_name"]) == (None, None)


def test_an_anonymous_user_has_no_external_id() -> None:
    found = row(an_event(user={"user_id": "b-1"}))
    assert (found["external_id"], found["braze_id"]) == (None, "b-1")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (7, "an event is no object"),
        (an_event(id=None), "id is missing"),
        (an_event(id=""), "id is missing"),
        (an_event(id=5), "id is no text"),
        (an_event(event_type=None), "event_type is missing"),
        (an_event(time="1785000000"), "time is no Unix time in seconds"),
        (an_event(time=True), "time is no Unix time in seconds"),
        (an_event(time=1_785_000_000_000), "time is no Unix time in seconds"),
        (an_event(time=-1), "time is no Unix time in seconds"),
        (an_event(user=[]), "user is no object"),
        (an_event() | {"properties": ["x"]}, "properties is no object"),
        (an_event(properties={"campaign_id": {"a": 1}}), "campaign_id is no text"),
    ],
)
def test_a_malformed_event_says_why_without_a_value(event: Any, reason: str) -> None:
    with pytest.raises(MalformedEventError, match=f"^{reason}$"):
        currents_event(event)


def test_unknown_types_and_fields_are_kept_whole_and_named() -> None:
    new_type = an_event("users.messages.telepathy.Send", properties={"thought": "hm", "campaign_id": "cmp"}, id="e-2")
    new_field = an_event(properties={"mood": {"x": [1]}, "url": "https://example.com"})
    post = read_post(orjson.dumps({"events": [new_type, new_field], "page": 1}))
    assert post.unknown_types == {"users.messages.telepathy.Send"}
    assert post.unknown_fields == {"thought", "mood"}
    whole, part = post.events
    assert whole["more"]["properties"] == {"thought": "hm", "campaign_id": "cmp"}
    assert part["more"] == {"properties": {"mood": {"x": [1]}}}
    frame = read_events([(1, event_lines(post.events))])
    assert frame["type"].to_list() == ["users.messages.telepathy.Send", CLICK]
    assert frame.schema == EVENTS


def test_texts_that_nobody_needs_are_not_kept() -> None:
    event = currents_event(an_event("users.messages.sms.InboundReceive", properties={"message_body": "call me"}))
    assert "call me" not in repr(event)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events":{}}', b"{}", b"\xff" * 99, b'{"event":[]}'])
def test_what_is_no_post(body: bytes) -> None:
    with pytest.raises(UnreadablePostError):
        read_post(body)


def posted(*parts: str | bytes, before: bytes = b'{"events":[', after: bytes = b"]}") -> bytes:
    """A post of what stands for events, written as it is given."""
    return before + b",".join(part if isinstance(part, bytes) else part.encode() for part in parts) + after


SOUND = orjson.dumps(an_event())
LAST = orjson.dumps(an_event(id="e-last"))
NAMED = SOUND.replace(b'"c-1"', b'"%s"')


@pytest.mark.parametrize(
    ("body", "external_id"),
    [
        (posted(NAMED % rb"c\ud83d", LAST), "c\ufffd"),  # half an emoji
        (posted(NAMED % rb"\udc00\ud83d\ude00c", LAST), "\ufffd\U0001f600c"),
        (posted(NAMED % rb"c\\ud83d", LAST), r"c\ud83d"),  # a backslash, and no escape
        (posted(NAMED % b"c\t1", LAST), "c\t1"),  # a tab as it is
        (posted(NAMED % b"c\x001\x1b", LAST), "c1"),
        (posted(NAMED % rb"c\u00001\u0007\u009b", LAST), "c1"),
        (posted(NAMED % b"c\xff", LAST), "c\ufffd"),
        (posted(SOUND.replace(b'"Europe/Madrid"', b"NaN"), LAST), "c-1"),
        (posted(SOUND.replace(b'"Europe/Madrid"', b"-Infinity"), LAST), "c-1"),
        (posted(SOUND.replace(b'"Europe/Madrid"', b"1e999"), LAST), "c-1"),
        (posted(SOUND.replace(b'"Europe/Madrid"', b"9" * 5000), LAST), "c-1"),
        (posted(SOUND.replace(b'{"event_type"', b'{"id":"x","event_type"'), LAST), "c-1"),  # a key that stands twice
        (posted(SOUND, before=b'\xef\xbb\xbf{"events":[', after=b'],"events":[' + LAST + b"]}"), "c-1"),
        (posted(SOUND, LAST, after=b"]}\r\n--boundary--"), "c-1"),
        (posted(SOUND, LAST, after=b",]}"), "c-1"),
        (posted(SOUND, LAST, after=b""), "c-1"),
    ],
)
def test_what_is_not_quite_json_is_read(body: bytes, external_id: str) -> None:
    post = read_post(body)
    assert [(event["event_id"], event["external_id"]) for event in post.events] == [
        ("e-1", external_id),
        ("e-last", "c-1"),
    ]
    assert post.malformed == []
    assert read_events([(1, event_lines(post.events))])["external_id"].to_list() == [external_id, "c-1"]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b'{"event_type":"x', "an event is no JSON"),
        (b"{]", "an event is no JSON"),
        (b'{"id":"a"b","user":{"x":"y"}}', "an event is no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "an event is no JSON"),
        (SOUND.replace(b'"Europe/Madrid"', b"[" * 300 + b"]" * 300), None),  # known, and not kept
        (SOUND.replace(b'"timezone":"Europe/Madrid"', b'"x":' + b"[" * 300 + b"]" * 300), "it is nested too deeply"),
        (SOUND.replace(b'"timezone":"Europe/Madrid"', b'"x":' + b"[" * 5000 + b"]" * 5000), "an event is no JSON"),
        (b"NaN", "an event is no object"),
        (b'"\xff"', "an event is no object"),
        (NAMED % (b"x" * 1001), "external_id has more than 1000 bytes"),
        (SOUND.replace(b"email", b"e" * 300), "type has more than 200 bytes"),
        (SOUND.replace(b'"time":1785000000', b'"time":1e999'), "time is no Unix time in seconds"),
    ],
)
def test_one_event_that_cannot_be_read_leaves_the_others(part: bytes, reason: str | None) -> None:
    post = read_post(posted(SOUND, part, LAST))
    ids = [event["event_id"] for event in post.events]
    assert ids == (["e-1", "e-last"] if reason else ["e-1", "e-1", "e-last"])
    assert [each.reason for each in post.malformed] == ([reason] if reason else [])
    if post.malformed and b"\xff" not in part and b"e999" not in part and part != b"NaN":
        assert post.malformed[0].event.strip(b",") == part  # as it was written


def test_a_hostile_body_costs_a_few_readings_at_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place where an event might begin, in a text that is cut just before its end, would be read to that end."""
    tried: list[int] = []
    decode = lenient_json.DECODER.raw_decode

    def decoded(text: str, at: int) -> Any:
        tried.append(at)
        return decode(text, at)

    monkeypatch.setattr(lenient_json, "DECODER", SimpleNamespace(raw_decode=decoded))
    post = read_post(posted(b'{"x":[' + b'[[[],{"a":' * 20_000))
    assert (post.events, len(post.malformed)) == ([], 1)
    assert len(tried) < 50


def test_events_of_an_inbox_that_holds_control_characters_and_endless_ids_are_read() -> None:
    events = [
        {"event_id": "e-1", "type": CLICK, "at": 1, "campaign_name": "a\0b", "campaign_id": "c\0", "email": "\0x"},
        {"event_id": "e-2", "type": CLICK, "at": 2, "external_id": "x" * 5000, "channel": "y" * 5000, "email": "a"},
    ]
    found = read_events([(1, event_lines(events))])
    assert found.select("campaign_name", "campaign_id", "email", "external_id", "channel").rows() == [
        ("ab", "c", "x", None, None),
        (None, None, "a", None, None),
    ]


def test_types_have_the_words_of_the_page() -> None:
    assert {"users.messages.email.Open", "users.canvas.exit.PerformedEvent", "users.UserDeleteRequest"} <= KNOWN_TYPES


def test_events_of_several_posts_keep_their_order_and_their_post() -> None:
    posts = [
        (seq, event_lines([currents_event(an_event(id=f"{seq}-{place}")) for place in range(3)])) for seq in (4, 9)
    ]
    frame = read_events([*posts, (12, b"")])
    assert frame.select("event_id", "seq").rows() == [(f"{seq}-{place}", seq) for seq in (4, 9) for place in range(3)]
    assert read_events([]).schema == EVENTS


_TEXTS = st.sampled_from(
    ["a", "Höhe", "a@b.example", "A@B.example ", "", "[REDACTED]", "x" * 201, "half\x00way", "+49170", 7, None]
)
_NAMES = (
    "campaign_id", "campaign_name", "canvas_id", "subscription_group_id", "state_change_source", "email_address",
    "channel_identifier", "to_phone_number", "channel", "subscription_status", "machine_open", "is_suspected_bot_click",
    "url", "new_there",
)  # fmt: skip


@given(
    kind=st.sampled_from(
        ["users.messages.email.Open", "users.messages.sms.Send", "users.behaviors.Purchase", "new.Type"]
    ),
    user=st.dictionaries(st.sampled_from(["external_user_id", "user_id", "timezone"]), _TEXTS),
    properties=st.dictionaries(st.sampled_from(_NAMES), _TEXTS | st.sampled_from(["true", "sms"]), max_size=5),
)
def test_the_texts_of_an_event_are_read_alike_at_once_and_one_by_one(
    kind: str, user: dict[str, Any], properties: dict[str, Any]
) -> None:
    event = an_event(kind, user=user, properties=properties)
    at_once = _outcome(event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(currents, "_add_at_once", lambda *_: False)
        assert _outcome(event) == at_once


def _outcome(event: dict[str, Any]) -> dict[str, Any] | str:
    try:
        return currents_event(event)
    except MalformedEventError as error:
        return str(error)
