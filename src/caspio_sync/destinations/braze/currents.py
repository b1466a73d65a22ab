"""What Braze Currents posts (Braze, 11.1): events of any type, each as a row of `events.EVENTS`."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from caspio_sync.characters import trimmed, without_controls
from caspio_sync.destinations.braze.currents_words import CHANNELS, KNOWN_FIELDS, KNOWN_TYPES
from caspio_sync.destinations.braze.lenient_json import Piece, read_lists
from caspio_sync.engagement.events import MOST_BYTES, Malformed

_LATEST_SECONDS = 1 << 32  # `time` has 32 bits; what is larger is no Unix time in seconds
_NOTHING = frozenset({"", "[REDACTED]"})  # the latter: a field that Braze is set to remove (Braze, 11.3)
_SHORT = min(MOST_BYTES.values())
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
_TOLD_OTHERWISE = frozenset({"channel", "subscription_status"})
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
    event_id, kind, seconds = _text(raw.get("id"), "id"), _text(raw.get("event_type"), "event_type"), raw.get("time")
    if event_id is None or kind is None:
        raise MalformedEventError("id is missing" if event_id is None else "event_type is missing")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LATEST_SECONDS:
        raise MalformedEventError("time is no Unix time in seconds")
    event: dict[str, Any] = {"event_id": event_id, "type": kind, "at": round(seconds * 1_000_000)}
    form = _form(kind, tuple(raw), tuple(user), tuple(properties))
    if not _add_at_once(event, form, user, properties):
        _add_columns(event, form, user, properties)
        for column, most in MOST_BYTES.items():
            if column in event and len(event[column].encode()) > most:
                raise MalformedEventError(f"{column} has more than {most} bytes")
    if not form.is_known and (more := _more(raw, user, properties, known=kind in KNOWN_TYPES)):
        try:
            orjson.dumps(more)
        except TypeError:
            raise MalformedEventError("it is nested too deeply") from None
        event["more"] = more
    return event


class _Form(NamedTuple):
    """What all events of one type have in common that have the same fields.

    Args:
        user: which fields of the user become which columns.
        properties: the same of the properties.
        emails: fields that may hold the address, in their order.
        phones: fields that may hold the number.
        channel: that its type tells; None where the event tells it.
        is_state: whether an event that names no channel is about the one that its address belongs to.
        is_known: whether neither the type nor any field is new to us.
        of_user: gives the values of `user`, `of_properties` those of `properties` and the address or number.
        columns: which these become; None where it takes more to tell.
    """

    user: tuple[tuple[str, str], ...]
    properties: tuple[tuple[str, str], ...]
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    channel: str | None
    is_state: bool
    is_known: bool
    of_user: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    of_properties: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    columns: tuple[str, ...] | None


@lru_cache(maxsize=2_000)
def _form(kind: str, fields: tuple[str, ...], user: tuple[str, ...], properties: tuple[str, ...]) -> _Form:
    words, names = kind.split("."), (*fields, *user, *properties)
    of_user = tuple(pair for pair in _USER if pair[0] in user)
    of_properties = tuple(pair for pair in _PROPERTIES if pair[0] in properties)
    emails = tuple(name for name in _EMAILS if name in properties)
    phones = tuple(name for name in _PHONES if name in properties)
    channel = CHANNELS.get(words[2], words[2]) if kind.startswith("users.messages.") and len(words) > 3 else None
    told = (*of_properties, *((name, "email") for name in emails), *((name, "phone") for name in phones))
    simple = channel is not None and len(emails) + len(phones) <= 1 and not _TOLD_OTHERWISE.intersection(properties)
    simple = simple and len(kind.encode()) <= _SHORT
    return _Form(
        user=of_user,
        properties=of_properties,
        emails=emails,
        phones=phones,
        channel=channel,
        is_state=kind.startswith("users.behaviors.subscription"),
        is_known=kind in KNOWN_TYPES and KNOWN_FIELDS.issuperset(names),
        of_user=_values_of([name for name, _ in of_user]),
        of_properties=_values_of([name for name, _ in told]),
        columns=tuple(column for _, column in (*of_user, *told)) if simple else None,
    )


def _values_of(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda part: tuple(part[name] for name in names)


def _add_at_once(event: dict[str, Any], form: _Form, user: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """As `_add_columns`, in a third of the time, for the texts of nearly all events: plain, short, none of them empty.

    Returns:
        Whether they are so; where not, nothing was added.
    """
    if form.columns is None:
        return False
    values = (*form.of_user(user), *form.of_properties(properties))
    try:
        together = "".join(values)
    except TypeError:
        return False
    plain = len(together) <= _SHORT and together.isascii() and together.isprintable()
    told = dict(zip(form.columns, values, strict=True))
    if not plain or not _NOTHING.isdisjoint(values) or "@" in told.get("phone", ""):
        return False
    if "email" in told:
        if "@" not in told["email"]:
            return False
        told["email"] = trimmed(told["email"]).lower()
    event.update(told, channel=form.channel)
    _add_flags(event, properties)
    return True


def _add_columns(event: dict[str, Any], form: _Form, user: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    for part, columns in ((user, form.user), (properties, form.properties)):
        for theirs, ours in columns:
            if (text := _text(part[theirs], theirs)) is not None:
                event[ours] = text
    _add_address(event, form, properties)
    _add_flags(event, properties)
    if (status := _text(properties.get("subscription_status"), "subscription_status")) is not None:
        event["state"] = trimmed(status).lower().replace(" ", "_")  # `Opted In` becomes opted_in
    if (channel := _channel(form, properties, event)) is not None:
        event["channel"] = channel


def _add_flags(event: dict[str, Any], properties: Mapping[str, Any]) -> None:
    if properties.get("machine_open") in _TRUE:
        event["machine_open"] = True
    if properties.get("is_suspected_bot_click") in _TRUE:
        event["bot_click"] = True


def _add_address(event: dict[str, Any], form: _Form, properties: Mapping[str, Any]) -> None:
    """E-mail in lower case, or number. A hash that Braze is set to send in its place is neither (Braze, 11.3)."""
    for name in form.emails:
        if (email := _text(properties[name], name)) is not None and "@" in email:
            event["email"] = trimmed(email).lower()
            break
    for name in form.phones:
        if (phone := _text(properties[name], name)) is not None and "@" not in phone:
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


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedEventError(f"{name} is no text")
    text = value if value.isprintable() else without_controls(value)
    return None if text in _NOTHING else text


def _channel(form: _Form, properties: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    named = _text(properties.get("channel"), "channel")
    if form.channel is not None:
        return form.channel
    if named is not None:
        word = named.strip().lower()
        return CHANNELS.get(word, word)
    if not form.is_state:
        return None
    if "email" in event:
        return "email"
    return "sms" if "phone" in event else None
