"""What a contact's fields take (ActiveCampaign, custom fields: values; data formats).

The vendor documents no lengths; those here keep a contact far below what one import may hold.
"""

from dataclasses import replace
from datetime import date
from types import MappingProxyType

import polars as pl

from caspio_sync.destinations.activecampaign.objects import SEPARATOR
from caspio_sync.mapping.values import RULES, Rule, ValueRules, array_rule, text_rule

NAME_CHARS, TEXT_CHARS, CHOICES, CHOICE_CHARS = 255, 10_000, 200, 255
WORDS, WORD_CHARS = 100, 200
_TITLE_CHARS = 255
# Letters of ASCII: the vendor says no more of an address than that a bad one refuses a whole import.
_LOCAL = r"[a-z0-9+&#_^/$'%*=`~!?{|}-]+"
_EMAIL = rf"^{_LOCAL}(?:\.{_LOCAL})*@(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])$"
_EMAIL_BYTES, _LOCAL_BYTES = 254, 64

# The types of custom fields that a sync may name (ActiveCampaign, create a custom field).
FIELD_TYPES = ("text", "textarea", "hidden", "date", "datetime", "dropdown", "radio", "listbox", "checkbox")
CHOSEN = frozenset({"dropdown", "radio", "listbox", "checkbox"})
STANDARD = MappingProxyType({"firstName": "line", "lastName": "line", "phone": "phone"})
_SPELLED = {"firstname": "firstName", "first_name": "firstName", "lastname": "lastName", "last_name": "lastName"}


def _is_email(value: pl.Expr, _: date) -> pl.Expr:
    local = value.str.split("@").list.first().str.len_bytes()
    return value.str.contains(_EMAIL) & (value.str.len_bytes() <= _EMAIL_BYTES) & (local <= _LOCAL_BYTES)


def _without_separator(chars: int, *, trims: bool) -> Rule:
    """Text that is read there as one value, not as several."""

    def holds(value: pl.Expr, _: date) -> pl.Expr:
        return (value.str.len_chars() <= chars) & ~value.str.contains(SEPARATOR, literal=True)

    why = f"is longer than {chars:,} characters, or holds {SEPARATOR}, which separates choices there"
    return replace(text_rule(chars, trims=trims), why=why, holds=holds, chars=None)


def _choices() -> Rule:
    rule = array_rule(CHOICES, CHOICE_CHARS)
    sized = rule.holds
    assert sized is not None

    def holds(value: pl.Expr, today: date) -> pl.Expr:
        one_each = value.list.eval(~pl.element().str.contains(SEPARATOR, literal=True)).list.all().fill_null(value=True)
        return sized(value, today) & one_each

    return replace(rule, why=f"{rule.why}, or one that holds {SEPARATOR}", holds=holds)


def _tag_words() -> Rule:
    """Words that are tags: a comma would make two of one in the vendor's webhooks."""
    rule = array_rule(WORDS, WORD_CHARS)
    sized = rule.holds
    assert sized is not None

    def holds(value: pl.Expr, today: date) -> pl.Expr:
        word = pl.element()
        sound = ~word.str.contains(r"[,\p{C}]") & (word == word.str.strip_chars()) & (word != "")
        return sized(value, today) & value.list.eval(sound).list.all().fill_null(value=True)

    why = f"{rule.why}, or one that is no tag: it holds a comma, signs that nobody sees, or a blank at an end"
    return replace(rule, code="tag_words", why=why, holds=holds)


def fault_in_name(name: str) -> str | None:
    """What is wrong with the name of a field, and what to do; None for a good one: a title, or a tag."""
    if name in STANDARD:
        return None
    if name == "email":
        return "'email' names the contact: put it under `identity`"
    if (meant := _SPELLED.get(name.lower())) is not None or name.lower() == "phone":
        return f"'{name}' would be a custom field; the contact's own is spelled '{meant or 'phone'}'"
    if not name or name != name.strip() or not name.isprintable() or len(name) > _TITLE_CHARS:
        return f"'{name[:40]}' is no title of a field: it is empty, too long, or holds signs that nobody sees"
    if "," in name:
        return f"'{name}' holds a comma; write the field's personalisation tag (such as CITY_STATE) instead"
    return None


def _fault_in_key(name: str) -> str:
    return f"'{name}': ActiveCampaign's fields hold no objects; map single values"


_TEXT, _CHOICE = _without_separator(TEXT_CHARS, trims=False), _without_separator(CHOICE_CHARS, trims=True)

CONTACT_VALUES = ValueRules(
    title="ActiveCampaign",
    rules={
        **RULES,
        "email": Rule(
            "email_format",
            "is no e-mail address that ActiveCampaign takes",
            {"text": lambda cell, _: cell.str.to_lowercase()},
            _is_email,
        ),
        "line": _without_separator(NAME_CHARS, trims=True),
        "text": _TEXT,
        "textarea": _TEXT,
        "hidden": _TEXT,
        "dropdown": _CHOICE,
        "radio": _CHOICE,
        "array": _choices(),
        "listbox": _choices(),
        "checkbox": _choices(),
        "tag_words": _tag_words(),
    },
    text_chars=TEXT_CHARS,
    json_size="0 KB",
    json_fits=lambda text: text.is_null(),
    fault_in_name=fault_in_name,
    fault_in_key=_fault_in_key,
    standard=STANDARD,
    identities=("email",),
    on_new=("create",),
    states=("lists",),
    tags=True,
    automations=True,
    objects=False,
)
