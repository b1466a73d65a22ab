"""What Braze Currents posts (Braze, 11.1): events of any type, each as a row of `events.EVENTS`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from caspio_sync.characters import trimmed, without_controls
from caspio_sync.destinations.braze.currents_words import CHANNELS, KNOWN_FIELDS, KNOWN_TYPES
from caspio_sync.destinations.braze.lenient_json import Piece, read_lists
from caspio_sync.engagement.events import MOST_BYTES, Malformed

_LATEST_SECONDS = 1 << 32  # `time` has 32 bits; what is larger is no Unix time in seconds
_REDACTED = "[REDACTED]"  # a field that Braze is set to remove (Braze, 11.3)
# Braze's name: our column. An address or number stands under one of several names; the first that has a value holds.
_USER = (("external_user_id", "external_id"), ("user_id", "braze_id"))
_PROPERTIES = (
    ("campaign_id", "campaign_id"),
    ("campaign_name", "campaign_name"),
    ("canvas_id", "canvas_id"),
    ("canvas_name", "canvas_name"),
    ("subscription_group_id", "group_id"),
    ("state_change_source", "source"),
)
_EMAILS = ("email_address", "channel_identifier")
_PHONES = ("to_phone_number", "user_phone_number", "phone_number", "channel_identifier")
_LIST, _MARK = "events", "event_type"  # a post's events, and what each of them has
_TRUE = (True, "true")  # `machine_open` is a text, others are booleans (Braze, 11.5)


class UnreadablePostError(ValueError):
    """The body is no Currents post: it has no list of events."""


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
    """Read a post, leniently. Events that cannot be read are set apart; unknown types and fields are kept and named.

    Raises:
        UnreadablePostError: there is no list of events in it.
    """
    try:
        return _read(_sound(body))
    except (ValueError, TypeError, KeyError, RecursionError):  # no JSON, or nested too deeply to be written again
        pieces = read_lists(body, _LIST, mark=_MARK)
    if pieces is None:
        raise UnreadablePostError("the body is no object with a list of events")
    return _read(pieces)


def _sound(body: bytes) -> list[Piece]:
    """The events of a body that is as it should be, the fast way.

    Raises:
        ValueError, TypeError, KeyError: it is not.
    """
    if body.count(b'"events"') > 1:
        raise ValueError("of a key that stands twice, the last would win")
    found = orjson.loads(body)[_LIST]
    if not isinstance(found, list):
        raise TypeError("no list")
    return [Piece(value, None, readable=True) for value in found]


def _read(pieces: Sequence[Piece]) -> CurrentsPost:
    events: list[dict[str, Any]] = []
    malformed: list[Malformed] = []
    for value, text, readable in pieces:
        reason = "an event is no JSON"
        try:
            if readable:
                events.append(currents_event(value))
                continue
        except MalformedEventError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other events of the post are kept
            reason = f"it cannot be read ({type(error).__name__})"
        raw = orjson.dumps(value) if text is None else text.encode("utf-8", "replace")
        malformed.append(Malformed(reason, raw))
    more = [event["more"] for event in events if "more" in event]
    types = frozenset(event["type"] for event in events) - KNOWN_TYPES
    fields = {name for part in more for name in (*part, *part.get("user", ()), *part.get("properties", ()))}
    return CurrentsPost(events, malformed, types, frozenset(fields) - KNOWN_FIELDS)


def currents_event(raw: Any) -> dict[str, Any]:
    """One event as a row of `EVENTS`, nulls left out; `more` holds what is unknown to us, of unknown types everything.

    Raises:
        MalformedEventError: it has no id, type or time, or a field that counts is not of its type.
    """
    if not isinstance(raw, dict):
        raise MalformedEventError("an event is no object")
    user, properties = _object(raw, "user"), _object(raw, "properties")
    event_id, kind, seconds = _text(raw, "id"), _text(raw, "event_type"), raw.get("time")
    if event_id is None or kind is None:
        raise MalformedEventError("id is missing" if event_id is None else "event_type is missing")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LATEST_SECONDS:
        raise MalformedEventError("time is no Unix time in seconds")
    event: dict[str, Any] = {"event_id": event_id, "type": kind, "at": round(seconds * 1_000_000)}
    _add_columns(event, kind, user, properties)
    for column, most in MOST_BYTES.items():
        if column in event and len(event[column].encode()) > most:
            raise MalformedEventError(f"{column} has more than {most} bytes")
    if more := _more(raw, user, properties, known=kind in KNOWN_TYPES):
        try:
            orjson.dumps(more)
        except TypeError:
            raise MalformedEventError("it is nested too deeply") from None
        event["more"] = more
    return event


def _add_columns(event: dict[str, Any], kind: str, user: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    for part, columns in ((user, _USER), (properties, _PROPERTIES)):
        for theirs, ours in columns:
            if theirs in part and (text := _text(part, theirs)) is not None:
                event[ours] = text
    _add_address(event, properties)
    if properties.get("machine_open") in _TRUE:
        event["machine_open"] = True
    if properties.get("is_suspected_bot_click") in _TRUE:
        event["bot_click"] = True
    if (status := _text(properties, "subscription_status")) is not None:
        event["state"] = trimmed(status).lower().replace(" ", "_")  # `Opted In` becomes opted_in
    if (channel := _channel(kind, _text(properties, "channel"), event)) is not None:
        event["channel"] = channel


def _add_address(event: dict[str, Any], properties: Mapping[str, Any]) -> None:
    """E-mail in lower case, or number. A hash that Braze is set to send in its place is neither (Braze, 11.3)."""
    for name in _EMAILS:
        if name in properties and (email := _text(properties, name)) is not None and "@" in email:
            event["email"] = trimmed(email).lower()
            break
    for name in _PHONES:
        if name in properties and (phone := _text(properties, name)) is not None and "@" not in phone:
            event["phone"] = phone
            break


def _more(raw: Mapping[str, Any], user: Mapping[str, Any], properties: Mapping[str, Any], *, known: bool) -> Any:
    """The parts that have no column. Known fields that nobody needs, such as message texts, are not kept."""
    parts = (raw, user, properties)
    if known and all(part.keys() <= KNOWN_FIELDS for part in parts):
        return None
    left = {name: raw[name] for name in raw.keys() - KNOWN_FIELDS}
    for name, part in (("user", user), ("properties", properties)):
        unknown = {each: part[each] for each in part.keys() - KNOWN_FIELDS} if known else part
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
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedEventError(f"{name} is no text")
    text = value if value.isprintable() else without_controls(value)
    return None if text in {"", _REDACTED} else text


def _channel(kind: str, named: str | None, event: Mapping[str, Any]) -> str | None:
    words = kind.split(".")
    if kind.startswith("users.messages.") and len(words) > 3:
        return CHANNELS.get(words[2], words[2])
    if named is not None:
        return CHANNELS.get(named.strip().lower(), named.strip().lower())
    if not kind.startswith("users.behaviors.subscription"):
        return None
    if "email" in event:
        return "email"
    return "sms" if "phone" in event else None
