"""What an endpoint takes as values: what JSON has. Lengths are ours, to keep a row far below what one body may hold."""

from datetime import date

import polars as pl

from caspio_sync.mapping.values import NO_WHOLE_NUMBER, RULES, WORDS, Rule, ValueRules, array_rule, text_rule

TITLE = "the endpoint"
TEXT_CHARS, ITEMS, NAME_CHARS, KEY_BYTES = 64_000, 1_000, 255, 255
# One @ with something around it, and no blanks: which addresses an endpoint takes beyond that, it says itself.
_EMAIL = r"^[^\s@]{1,64}@[^\s@.]+(?:\.[^\s@.]+)+$"


def _is_email(value: pl.Expr, _: date) -> pl.Expr:
    return value.str.contains(_EMAIL) & (value.str.len_bytes() <= KEY_BYTES)


def _key_fits(value: pl.Expr, _: date) -> pl.Expr:
    return value.str.len_bytes() <= KEY_BYTES


def fault_in_name(name: str) -> str | None:
    """What is wrong with the name of a field, and what to do; None for a good one."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > NAME_CHARS:
        return f"'{name[:40]}' is no name of a field: it is empty, too long, or holds signs that nobody sees"
    return None


def _fault_in_key(name: str) -> str:
    return f"'{name}': objects are not built yet for {TITLE}; map single values, and build the object in a template"


HTTP_VALUES = ValueRules(
    title=TITLE,
    rules={
        **RULES,
        "email": Rule(
            "email_format",
            "is no e-mail address",
            {"text": lambda cell, _: cell.str.to_lowercase()},
            _is_email,
        ),
        "line": text_rule(TEXT_CHARS, trims=True),
        "text": text_rule(TEXT_CHARS, trims=False),
        "array": array_rule(ITEMS, TEXT_CHARS),
        "external_id": Rule(
            "key_bytes", f"is empty or over {KEY_BYTES} bytes", WORDS, _key_fits, unread=NO_WHOLE_NUMBER
        ),
    },
    text_chars=TEXT_CHARS,
    json_size="0 KB",
    json_fits=lambda text: text.is_null(),
    fault_in_name=fault_in_name,
    fault_in_key=_fault_in_key,
    identities=("external_id", "email", "phone"),
    on_new=("create",),
    states=("email_subscribe", "push_subscribe"),
    objects=False,
)
