"""What Braze takes as a value of a profile (Braze, user attributes object; custom attributes: types and limits)."""

from datetime import date

import polars as pl

from caspio_sync.characters import trimmed
from caspio_sync.destinations.braze.names import OPERATORS, STANDARD_ATTRIBUTES, fault_in_name, fault_in_object_key
from caspio_sync.mapping.values import (
    NO_WHOLE_NUMBER,
    RULES,
    TEXT,
    WORDS,
    Rule,
    ValueRules,
    array_rule,
    text_rule,
    within_chars,
)

TEXT_CHARS = 255
URL_CHARS = 1024
ARRAY_ITEMS = 500
OBJECT_BYTES = 100 * 1024

# Letters, digits and these signs before the @, letters of any script included; a host in ASCII, punycode where it needs
# it (Braze, e-mail validation). Lengths are those of RFC 5321.
_LOCAL = r"[\p{L}\p{M}\p{N}+&#_^/$'%*=`~!?-]+"
EMAIL = rf"^{_LOCAL}(?:\.{_LOCAL})*@(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])$"
_LONG_LOCAL = r"^[^@]{65}"
_EMAIL_BYTES = 254

_GENDERS = {
    "m": "M", "male": "M", "man": "M", "f": "F", "female": "F", "woman": "F", "w": "F", "o": "O", "other": "O",
    "n": "N", "not applicable": "N", "p": "P", "prefer not to say": "P",
}  # fmt: skip


def gender_code(value: str) -> str | None:
    """M, F, O, N or P."""
    return _GENDERS.get(trimmed(value).lower())


def _is_email(value: pl.Expr, _: date) -> pl.Expr:
    return value.str.contains(EMAIL) & (value.str.len_bytes() <= _EMAIL_BYTES) & ~value.str.contains(_LONG_LOCAL)


def _key_rule(limit: int) -> Rule:
    def holds(value: pl.Expr, _: date) -> pl.Expr:
        return value.str.len_bytes() <= limit

    return Rule("key_bytes", f"is empty or over {limit} bytes", WORDS, holds, unread=NO_WHOLE_NUMBER)


ATTRIBUTE_VALUES = ValueRules(
    title="Braze",
    rules={
        **RULES,
        "email": Rule(
            "email_format",
            "is no e-mail address that Braze takes",
            {"text": lambda cell, _: cell.str.to_lowercase()},
            _is_email,
        ),
        "gender": Rule("gender_code", "is none of M, F, O, N, P", TEXT, lookup=gender_code),
        "image_url": Rule("url_length", f"is longer than {URL_CHARS} characters", TEXT, within_chars(URL_CHARS)),
        # Text of Braze's own attributes never begins with a blank.
        "line": text_rule(TEXT_CHARS, trims=True),
        "text": text_rule(TEXT_CHARS, trims=False),
        "array": array_rule(ARRAY_ITEMS, TEXT_CHARS),
        # The key of a row; addresses and numbers follow their own rules.
        "external_id": _key_rule(987),
        "user_alias": _key_rule(236),
    },
    text_chars=TEXT_CHARS,
    json_size=f"{OBJECT_BYTES // 1024} KB",
    json_fits=lambda text: text.str.len_bytes() <= OBJECT_BYTES,
    fault_in_name=fault_in_name,
    fault_in_key=fault_in_object_key,
    standard=STANDARD_ATTRIBUTES,
    time_key="$time",
    operators=OPERATORS,
)
