"""The rules of catalog items: what Braze takes as an id and as a value of each type (Braze, 9.1).

Limits differ from those of attributes, and times stand as plain text wherever they are.
"""

import re
from dataclasses import replace

from caspio_sync.kinds.catalog.definition import NAME_CHARS
from caspio_sync.mapping.values import NO_WHOLE_NUMBER, RULES, WORDS, Rule, ValueRules, array_rule, text_rule

VALUE_CHARS = 5_000
ARRAY_ITEMS = 100
_TAKEN = ("integer", "number", "boolean", "longitude", "latitude", "phone", "country", "language")

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_CHARS}}}")
_FORBIDDEN_IN_KEYS = frozenset('.$"\\')


def fault_in_field_name(name: str) -> str | None:
    """What is wrong with a catalog field's name, and what to do; None for a good one."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        return f"'{shown}' must be 1 to {NAME_CHARS} letters from A to Z, digits, - and _; rename it"
    return None


def _fault_in_key(key: str) -> str | None:
    if not key or key == "~" or any(sign in _FORBIDDEN_IN_KEYS or not sign.isprintable() for sign in key):
        return f"key '{key}' of an object may hold no '.', '$', quote, backslash or control character; use '_'"
    return None


ITEM_VALUES = ValueRules(
    title="Braze",
    rules={
        **{meaning: RULES[meaning] for meaning in _TAKEN},
        "text": text_rule(VALUE_CHARS, trims=False),
        "datetime": replace(RULES["datetime"], code="time_value"),
        "array": array_rule(ARRAY_ITEMS, VALUE_CHARS),
        "item_id": Rule(
            "item_id",
            f"is no item id: Braze takes at most {NAME_CHARS} letters from A to Z, digits, - and _",
            WORDS,
            lambda value, _: value.str.contains(f"^{_NAME.pattern}$"),
            unread=NO_WHOLE_NUMBER,
        ),
    },
    text_chars=VALUE_CHARS,
    # Braze's page says "value", of whatever type: an object is measured by its whole JSON text, the stricter reading.
    json_size=f"{VALUE_CHARS} characters",
    json_fits=lambda text: text.str.len_chars() <= VALUE_CHARS,
    fault_in_name=fault_in_field_name,
    fault_in_key=_fault_in_key,
    max_fields=500,
    max_items=ARRAY_ITEMS,
    max_depth=50,
)
