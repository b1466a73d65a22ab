"""What an attribute may be called: Braze's own names, names it keeps for other uses, and the form of a custom one."""

from types import MappingProxyType
from typing import Literal

Meaning = Literal[
    "text", "line", "email", "phone", "country", "language", "gender", "time_zone", "birth_date", "image_url",
    "integer", "number", "boolean", "date", "datetime", "array", "object", "objects", "location",
]  # fmt: skip

# Braze's standard attributes and the rule each one follows (Braze, user attributes object). Names are case-sensitive:
# any other spelling silently becomes a custom attribute.
STANDARD_ATTRIBUTES: MappingProxyType[str, Meaning] = MappingProxyType(
    {
        "first_name": "line",
        "last_name": "line",
        "home_city": "line",
        "email": "email",
        "phone": "phone",
        "country": "country",
        "language": "language",
        "dob": "birth_date",
        "gender": "gender",
        "time_zone": "time_zone",
        "image_url": "image_url",
        "current_location": "location",
        "date_of_first_session": "datetime",
        "date_of_last_session": "datetime",
        "marked_email_as_spam_at": "datetime",
        "email_open_tracking_disabled": "boolean",
        "email_click_tracking_disabled": "boolean",
    }
)

_IDENTITY = "it names the profile: put it under `identity`"
_CONSENT = "it is consent: put it under `consent`"
_UNSUPPORTED = "profile syncs do not send it: remove the line"
_ENVELOPE = "it is part of the request around the profiles: choose another name"
RESERVED: MappingProxyType[str, str] = MappingProxyType(
    {
        "external_id": _IDENTITY,
        "user_alias": _IDENTITY,
        "alias_name": _IDENTITY,
        "alias_label": _IDENTITY,
        "braze_id": "Braze gives it out itself: remove the line",
        "email_subscribe": _CONSENT,
        "push_subscribe": _CONSENT,
        "subscription_groups": _CONSENT,
        "push_tokens": _UNSUPPORTED,
        "push_token_import": _UNSUPPORTED,
        "facebook": _UNSUPPORTED,
        "twitter": _UNSUPPORTED,
        "bio": "Braze no longer processes it: remove the line",
        **dict.fromkeys(("attributes", "events", "purchases"), _ENVELOPE),
    }
)
# Operators that add to what Braze holds; sent twice they count twice, so profile syncs write whole values only.
OPERATORS = frozenset({"inc", "add", "remove", "$add", "$remove", "$update", "_merge_objects"})
NAME_CHARS = 255
_FORBIDDEN_IN_KEYS = frozenset(' .$"\\')


def fault_in_name(name: str) -> str | None:
    """What is wrong with an attribute's name, and what to do; None for a good one.

    Length, and spaces at the ends, which Braze strips: (Braze, custom attributes).
    """
    if name in STANDARD_ATTRIBUTES:
        return None
    if (why := RESERVED.get(name)) is not None:
        return f"'{name}' is a reserved name; {why}"
    if (meant := _meant(name)) is not None:
        return f"'{name}' would become a custom attribute; the standard one is spelled '{meant}'"
    return _fault_in_form(name)


def fault_in_object_key(name: str) -> str | None:
    """What is wrong with a key inside an object attribute: no spaces, `.` or `$` (Braze, nested custom attributes)."""
    if name in OPERATORS or name.startswith("_"):
        return f"'{name}' is kept for operations on objects; choose another key"
    if any(character in _FORBIDDEN_IN_KEYS or not character.isprintable() for character in name):
        return f"key '{name}' of an object may hold no space, '.', '$', quote or backslash; use '_'"
    return _fault_in_form(name)


def _meant(name: str) -> str | None:
    meaningful = (name for name, why in RESERVED.items() if why in {_IDENTITY, _CONSENT})
    known = {_bare(own): own for own in (*STANDARD_ATTRIBUTES, *meaningful)}
    return known.get(_bare(name))


def _bare(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _fault_in_form(name: str) -> str | None:
    if not name or not (name[0].isalnum()):
        return f"'{name}' must start with a letter or a digit; rename it"
    if name != name.strip() or not name.isprintable() or '"' in name or "\\" in name:
        return f"'{name}' ends with a space, or holds a quote, a backslash or a control character; rename it"
    if len(name) > NAME_CHARS:
        return f"'{name[:40]}…' has {len(name)} characters, Braze takes {NAME_CHARS}; shorten it"
    return None
