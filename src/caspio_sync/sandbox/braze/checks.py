"""What `/users/track` refuses in an attributes object before it is queued (reference, sections 3.2, 3.3, 3.9).

Each check answers None or the `type` of the error entry. Codes are Braze's where its page lists one; the wording of
the other texts is not documented, so a client must not lean on it.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour

Check = Callable[[Any], str | None]

EXTERNAL_ID_BYTES = 987
ALIAS_BYTES = 236
STATES = frozenset({"opted_in", "subscribed", "unsubscribed"})
GROUP_STATES = frozenset({"subscribed", "unsubscribed"})
OTHER_PRIMARIES = frozenset({"user_alias", "braze_id"})

_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])?")
LOCAL_PART_CHARS = 64
DOMAIN_CHARS = 253

NO_IDENTIFIER = "one of 'external_id', 'user_alias', 'braze_id', 'email' or 'phone' is required"
MANY_IDENTIFIERS = "only one of 'external_id', 'user_alias' or 'braze_id' may be given"
NOT_AN_OBJECT = "objects must be JSON objects"


def email_problem(value: object) -> str | None:
    """`EMAIL_BAD_FORMAT` unless null or an address; whitespace anywhere is bad (Braze, email validation)."""
    if value is None:
        return None
    if type(value) is str:
        local, at, domain = value.rpartition("@")
        short = len(local) <= LOCAL_PART_CHARS
        if at and short and _is_domain(domain) and (local.isalnum() or _LOCAL_PART.fullmatch(local)):
            return None
    return "EMAIL_BAD_FORMAT"


@lru_cache(maxsize=8192)
def _is_domain(text: str) -> bool:
    return len(text) <= DOMAIN_CHARS and _DOMAIN.fullmatch(text) is not None


def has_whitespace(value: object) -> bool:
    """Whether an e-mail holds whitespace, which Braze may answer with a 400 of the whole request."""
    return type(value) is str and any(character.isspace() for character in value)


def _state(problem: str) -> Check:
    return lambda value: None if type(value) is str and value in STATES else problem


def _boolean(name: str) -> Check:
    return lambda value: None if type(value) is bool else f"'{name}' must be a boolean"


def _number(value: object) -> bool:
    return type(value) in {int, float}


def _location(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is dict and _number(value.get("longitude")) and _number(value.get("latitude")):
        return None
    return "BAD_LOCATION_UPDATE"


def _push_tokens(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is not list:
        return "BAD_PUSH_TOKEN_VALUE"
    return next((problem for problem in map(_push_token, value) if problem), None)


def _push_token(token: object) -> str | None:
    if type(token) is not dict:
        return "BAD_PUSH_TOKEN_VALUE"
    if type(token.get("app_id")) is not str or not token["app_id"]:
        return "BAD_PUSH_TOKEN_APP_ID"
    if type(token.get("token")) is not str or not token["token"]:
        return "BAD_PUSH_TOKEN_STRING"
    device = token.get("device_id")
    if device is not None and (type(device) is not str or not 8 <= len(device.encode()) <= 255):
        return "BAD_DEVICE_ID"
    return None


def _groups(known: Mapping[str, str]) -> Check:
    def check(value: object) -> str | None:
        if type(value) is not list:
            return "BAD_SUBSCRIPTION_GROUP_ARRAY"
        for item in value:
            if type(item) is not dict or "subscription_group_id" not in item or "subscription_state" not in item:
                return "BAD_SUBSCRIPTION_GROUP_HASH"
            group = item["subscription_group_id"]
            if type(group) is not str or group not in known:
                return "BAD_SUBSCRIPTION_GROUP_ID"
            if item["subscription_state"] not in GROUP_STATES:
                return "BAD_SUBSCRIPTION_GROUP_STATE"
        return None

    return check


def id_text(value: Any, behaviour: BrazeBehaviour) -> Any:
    """An external or product id as it is kept: whole numbers were taken in recordings, and stand as their digits."""
    return str(value) if type(value) is int and behaviour.numeric_ids == "accepted" else value


def external_id_problem(value: object, blocked: frozenset[str]) -> str | None:
    """`EXTERNAL_USER_ID_TOO_LARGE` above 987 bytes, `BLACKLISTED_EXTERNAL_USER_ID` where blocked."""
    if type(value) is not str or not value:
        return "'external_id' must be a non-empty string"
    if len(value) * 4 > EXTERNAL_ID_BYTES and len(value.encode()) > EXTERNAL_ID_BYTES:
        return "EXTERNAL_USER_ID_TOO_LARGE"
    if value in blocked:
        return "BLACKLISTED_EXTERNAL_USER_ID"
    return None


def alias_problem(value: object) -> str | None:
    """Name and label are non-empty strings of at most 236 bytes (Braze, user alias object)."""
    if type(value) is not dict:
        return "'user_alias' must be an object"
    for part in ("alias_name", "alias_label"):
        text = value.get(part)
        if type(text) is not str or not text or len(text.encode()) > ALIAS_BYTES:
            return f"'{part}' must be a non-empty string of at most {ALIAS_BYTES} bytes"
    return None


class IdentityChecks:
    """The identifier rules all three arrays share: exactly one primary, or an e-mail or phone to look up by."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour

    def problem(self, item: dict[str, Any]) -> str | None:
        """The error of an object's identifiers, None where they are sound."""
        if "external_id" in item:
            if not OTHER_PRIMARIES.isdisjoint(item):
                return MANY_IDENTIFIERS
            external_id = id_text(item["external_id"], self._behaviour)
            return external_id_problem(external_id, self._behaviour.blocked_external_ids)
        if "user_alias" in item:
            return MANY_IDENTIFIERS if "braze_id" in item else alias_problem(item["user_alias"])
        if "braze_id" in item:
            return None if type(item["braze_id"]) is str else "'braze_id' must be a string"
        return _address_problem(item)


def _address_problem(item: dict[str, Any]) -> str | None:
    if type(item.get("email")) is str:
        return email_problem(item["email"])
    if type(item.get("phone")) is str:
        return None if any(map(str.isdigit, item["phone"])) else "'phone' must be a phone number"
    return NO_IDENTIFIER


class AttributeChecks:
    """All checks of one attributes object, in the order identity, then fields as they stand."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._identity = IdentityChecks(behaviour)
        self._blocked = behaviour.blocked_external_ids
        checks: dict[str, Check] = {
            "email_subscribe": _state("BAD_EMAIL_SUBSCRIPTION_STATE"),
            "push_subscribe": _state("BAD_PUSH_SUBSCRIPTION_STATE"),
            "subscription_groups": _groups(behaviour.subscription_groups),
            "current_location": _location,
            "push_tokens": _push_tokens,
            **{name: _boolean(name) for name in ("_update_existing_only", "_merge_objects")},
        }
        if behaviour.bad_email_rejects_object:
            checks["email"] = email_problem
        checks |= dict.fromkeys(behaviour.refused_names, lambda _value: "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO")
        self._checks = checks
        self._checked = frozenset(checks)
        # An object with none of these and a short external_id needs no look at its identity.
        self._identifying = frozenset({"user_alias", "braze_id", "push_token_import"})

    def problem(self, item: object) -> str | None:
        """The `type` of the error entry, None where the object is queued. On the hot path."""
        if type(item) is not dict:
            return NOT_AN_OBJECT
        external_id = item.get("external_id")
        if (
            type(external_id) is not str
            or not 0 < len(external_id) < 240
            or external_id in self._blocked
            or not self._identifying.isdisjoint(item)
        ):
            problem = self._unusual_identity(item)
            if problem is not None:
                return problem
        checks = self._checks
        for name in self._checked.intersection(item):
            if checks[name](item[name]) is not None:
                return self._first_problem(item)
        return None

    def _first_problem(self, item: dict[str, Any]) -> str | None:
        # Of several problems the one that stands first is told: a set's own order differs from process to process.
        found = (self._checks[name](item[name]) for name in item if name in self._checks)
        return next((problem for problem in found if problem is not None), None)

    def _unusual_identity(self, item: dict[str, Any]) -> str | None:
        if item.get("push_token_import") is True:
            tokens = item.get("push_tokens")
            if "external_id" in item or "braze_id" in item or not tokens:
                return "BAD_PUSH_TOKEN_IMPORT"
            return None
        if "push_token_import" in item and type(item["push_token_import"]) is not bool:
            return "BAD_PUSH_TOKEN_IMPORT"
        return self._identity.problem(item)
