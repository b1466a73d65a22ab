"""What ActiveCampaign's webhooks post: a form, one event each (ActiveCampaign, webhooks), as rows of `EVENTS`.

The keys bear brackets (`contact[email]`). Nothing is signed and no event has an id: it is known again by what it says.
What nobody needs is not kept: names, numbers, tags, notes, custom fields, links.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from caspio_sync.characters import trimmed
from caspio_sync.engagement.events import Malformed, told_once

HOOKS = "activecampaign"
_MOST_FIELDS = 5_000
_KEPT_BYTES = 20_000  # of a post that cannot be read
# What the fold calls it; of the other types it keeps nothing.
_MESSAGES = {
    "sent": "users.messages.email.Send",
    "open": "users.messages.email.Open",
    "click": "users.messages.email.Click",
}
_BOUNCES = {
    "hard": "users.messages.email.Bounce",
    "soft": "users.messages.email.SoftBounce",  # tried again, and no bounce yet
}
_OF_A_LIST, _OF_ALL = "users.behaviors.subscriptiongroup.StateChange", "users.behaviors.subscription.GlobalStateChange"
_STATES = {"subscribe": "subscribed", "unsubscribe": "unsubscribed"}
_LIST = re.compile(r"list(?:\[\d*\])?(?:\[id\])?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ALL = "0"
_OUR_KIND = "REST API"  # what `own_sources` of a sync file calls a call's doing
# By which one event is told from others of its type and moment.
_TELLING = (
    "contact[id]",
    "contact[email]",
    "campaign[id]",
    "link[id]",
    "tag",
    "deal[id]",
    "bounce[code]",
    "form[id]",
)
_ZONE_STEP, _FARTHEST_ZONE = timedelta(minutes=15), timedelta(hours=15)


class HookPost(NamedTuple):
    """What a post holds: the events, or why they could not be read."""

    events: Sequence[Mapping[str, Any]]
    malformed: Sequence[Malformed] = ()


def read_hook(body: bytes, now: datetime) -> HookPost:
    """The events of a post: one, or one for each list that somebody left at once.

    Args:
        body: a form, UTF-8.
        now: when it arrived, aware.
    """
    try:
        return HookPost(_events(body, now))
    except (ValueError, OverflowError) as error:
        kept = {"form": body[:_KEPT_BYTES].decode("utf-8", "replace")}
        return HookPost((), (Malformed(_reason(error), orjson.dumps(kept)),))


class _UnreadableError(ValueError):
    """A post that tells nothing; its words bear no value of it."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _UnreadableError) else "date_time is no time, or the form is cut"


def _events(body: bytes, now: datetime) -> list[dict[str, Any]]:
    pairs = parse_qsl(
        body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace"
    )
    given = dict(reversed(pairs))  # of a key that stands twice, the first
    told, when = trimmed(given.get("type", "")), trimmed(given.get("date_time", ""))
    if not told or not when:
        raise _UnreadableError("it bears no type, or no date_time")
    at = _instant(when, now)
    email = trimmed(given.get("contact[email]") or given.get("deal[contact_email]") or "").lower()
    who = {"email": email if "@" in email else None, "channel": "email"}
    lists = sorted({value.strip() for key, value in pairs if _LIST.fullmatch(key) and value.strip()})
    says = "\x1f".join([when, *(given.get(name, "") for name in _TELLING), *lists])
    if told in _STATES and (told == "unsubscribe" or set(lists) - {_ALL}):
        if not all(map(_NUMBER.fullmatch, lists)):
            raise _UnreadableError("it names a list by no number")
        source = _OUR_KIND if "api" in {given.get("initiated_from"), given.get("initiated_by")} else told
        state = {**who, "state": _STATES[told], "source": source}
        numbers = [each for each in lists if each != _ALL]
        if not numbers:
            return [told_once(_OF_ALL, says, at, state)]
        return [told_once(_OF_A_LIST, f"{says}\x1f{each}", at, {**state, "group_id": each}) for each in numbers]
    kind = _MESSAGES.get(told)
    if told == "bounce":
        kind = _BOUNCES.get(given.get("bounce[type]", "").strip().lower())
    if kind is None:
        return [told_once(f"{HOOKS}.{told[:60]}", says, at, who)]
    campaign = {"campaign_id": given.get("campaign[id]"), "campaign_name": given.get("campaign[name]")}
    return [told_once(kind, says, at, {**who, **campaign})]


def _instant(text: str, now: datetime) -> datetime:
    """When it happened. Without an offset it is the account's wall clock: in the zone by which it happened just now.

    A post is made once, at once. So the zone that brings its time nearest to its arrival is the account's.

    Raises:
        ValueError: it is no time, or none that can have been just now.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        return at
    at = at.replace(tzinfo=UTC)
    behind = _ZONE_STEP * round((now - at) / _ZONE_STEP)
    if abs(behind) > _FARTHEST_ZONE:
        raise _UnreadableError("date_time bears no offset, and is of another day")
    return at + behind
