"""What Braze Currents posts (Braze, 11.1): events of any type, each as a row of `events.EVENTS`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from caspio_sync.engagement.currents_words import CHANNELS, KNOWN_FIELDS, KNOWN_TYPES
from caspio_sync.engagement.events import Malformed

_LATEST_SECONDS = 1 << 32  # `time` has 32 bits; what is larger is no Unix time in seconds
_REDACTED = "[REDACTED]"  # a field that Braze is set to remove (Braze, 11.3)
# Under which names an address or number stands, by type of event; the first that has a value holds.
_EMAILS = ("email_address", "channel_identifier")
_PHONES = ("to_phone_number", "user_phone_number", "phone_number", "channel_identifier")
_TEXTS = {
    "campaign_id": "campaign_id",
    "campaign_name": "campaign_name",
    "canvas_id": "canvas_id",
    "canvas_name": "canvas_name",
    "subscription_group_id": "group_id",
    "state_change_source": "source",
}


class UnreadablePostError(ValueError):
    """The body is no Currents post: no JSON in UTF-8, or without a list of events."""


class MalformedEventError(ValueError):
    """One event cannot be read; the message says why, without a value."""


class CurrentsPost(NamedTuple):
    """A post, read."""

    events: list[dict[str, Any]]
    """For `event_lines`, in the order in which they were posted."""
    malformed: list[Malformed]
    unknown_types: frozenset[str]
    unknown_fields: frozenset[str]


def read_post(body: bytes) -> CurrentsPost:
    """Read a post. Events that cannot be read are set apart; unknown types and fields are kept and named.

    Raises:
        UnreadablePostError: none of it can be read.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadablePostError("the body is no JSON in UTF-8") from None
    found = document.get("events") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise UnreadablePostError("the body is no object with a list of events")
    events: list[dict[str, Any]] = []
    malformed: list[Malformed] = []
    fields: set[str] = set()
    for raw in found:
        try:
            events.append(currents_event(raw))
        except MalformedEventError as error:
            malformed.append(Malformed(str(error), orjson.dumps(raw)))
        else:
            fields |= raw.keys() - KNOWN_FIELDS
            fields |= (raw.get("user") or {}).keys() - KNOWN_FIELDS
            fields |= (raw.get("properties") or {}).keys() - KNOWN_FIELDS
    types = frozenset(event["type"] for event in events) - KNOWN_TYPES
    return CurrentsPost(events, malformed, types, frozenset(fields))


def currents_event(raw: Any) -> dict[str, Any]:
    """One event as a row of `EVENTS`, nulls left out; `more` holds what is unknown to us, of unknown types everything.

    Raises:
        MalformedEventError: it has no id, type or time, or a field that counts is not of its type.
    """
    if not isinstance(raw, dict):
        raise MalformedEventError("an event is no object")
    user, properties = _object(raw, "user"), _object(raw, "properties")
    kind, seconds = _text(raw, "event_type"), raw.get("time")
    if kind is None:
        raise MalformedEventError("event_type is missing")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LATEST_SECONDS:
        raise MalformedEventError("time is no Unix time in seconds")
    event = {
        "event_id": _text(raw, "id"),
        "type": kind,
        "at": round(seconds * 1_000_000),
        "external_id": _text(user, "external_user_id"),
        "braze_id": _text(user, "user_id"),
        "email": _address(properties),
        "phone": next((each for each in map(_reader(properties), _PHONES) if each and "@" not in each), None),
        **{ours: _text(properties, theirs) for theirs, ours in _TEXTS.items()},
        "machine_open": _flag(properties, "machine_open"),
        "bot_click": _flag(properties, "is_suspected_bot_click"),
        "state": _state(_text(properties, "subscription_status")),
    }
    if event["event_id"] is None:
        raise MalformedEventError("id is missing")
    event["channel"] = _channel(kind, _text(properties, "channel"), event)
    event["more"] = _more(raw, user, properties, whole=kind not in KNOWN_TYPES)
    return {name: value for name, value in event.items() if value is not None and value is not False and value != {}}


def _more(raw: Mapping[str, Any], user: Mapping[str, Any], properties: Mapping[str, Any], *, whole: bool) -> Any:
    """The parts that have no column. Known fields that nobody needs, such as message texts, are not kept."""
    left = {name: raw[name] for name in raw.keys() - KNOWN_FIELDS}
    for name, part in (("user", user), ("properties", properties)):
        unknown = part if whole else {each: part[each] for each in part.keys() - KNOWN_FIELDS}
        if unknown:
            left[name] = unknown
    return left


def _object(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedEventError(f"{name} is no object")
    return value


def _text(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    if value is None or value in ("", _REDACTED):
        return None
    if not isinstance(value, str):
        raise MalformedEventError(f"{name} is no text")
    return value


def _reader(part: Mapping[str, Any]) -> Any:
    return lambda name: _text(part, name)


def _address(properties: Mapping[str, Any]) -> str | None:
    """In lower case; a hash that Braze is set to send in its place is no address (Braze, 11.3)."""
    found = (each for each in map(_reader(properties), _EMAILS) if each and "@" in each)
    address = next(found, None)
    return None if address is None else address.strip().lower()


def _flag(part: Mapping[str, Any], name: str) -> bool:
    """`machine_open` is the text "true", others are booleans (Braze, 11.5)."""
    return part.get(name) in (True, "true")


def _state(status: str | None) -> str | None:
    """`Opted In` becomes opted_in."""
    return None if status is None else status.strip().lower().replace(" ", "_")


def _channel(kind: str, named: str | None, event: Mapping[str, Any]) -> str | None:
    words = kind.split(".")
    if kind.startswith("users.messages.") and len(words) > 3:
        return CHANNELS.get(words[2], words[2])
    if named is not None:
        return CHANNELS.get(named.strip().lower(), named.strip().lower())
    if not kind.startswith("users.behaviors.subscription"):
        return None
    if event["email"] is not None:
        return "email"
    return "sms" if event["phone"] is not None else None
