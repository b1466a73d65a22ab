"""What Braze takes as an event, a purchase and their properties (Braze, 3.6 and 3.7)."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.destinations.braze.ecommerce import ECOMMERCE
from caspio_sync.destinations.braze.names import NAME_CHARS, OPERATORS, fault_in_object_key
from caspio_sync.mapping.values import WORDS, Rule, ValueRules, text_rule, within_chars

EVENT_BYTES = 100 * 1024
PURCHASE_BYTES = 50 * 1024
TRIGGER_BYTES = 50 * 1024  # of trigger_properties, and of a Canvas's context (Braze, 2.3)
MOST_PIECES = 100  # of one purchase (Braze, 3.7)
_TEXT_CHARS = 255


def _fault_in_property(name: str) -> str | None:
    """What is wrong with a property's name, and what to do; None for a good one."""
    if not name or name.startswith("$") or name != name.strip() or not name.isprintable() or {'"', "\\"} & set(name):
        return f"'{name}' is empty, begins with $, ends with a space, or holds a quote or backslash; rename it"
    if len(name) > NAME_CHARS:
        return f"'{name[:40]}…' has {len(name)} characters, Braze takes {NAME_CHARS}; shorten it"
    return None


def _word(code: str, why: str) -> Rule:
    return Rule(code, why, WORDS, within_chars(_TEXT_CHARS))


def _values(size: int, json_fits: Callable[[pl.Expr], pl.Expr]) -> ValueRules:
    """As of attributes, whose names and operators mean nothing here; a time stands as plain text wherever it is."""
    return replace(
        ATTRIBUTE_VALUES,
        rules={
            **ATTRIBUTE_VALUES.rules,
            "text": text_rule(_TEXT_CHARS, trims=False),
            "event_name": _word("event_name", f"is longer than {_TEXT_CHARS} characters"),
            "product_id": _word("product_id", f"is longer than {_TEXT_CHARS} characters"),
        },
        json_size=f"{size // 1024} KB",
        json_fits=json_fits,
        fault_in_name=_fault_in_property,
        fault_in_key=fault_in_object_key,
        standard={},
        time_key=None,
        operators=OPERATORS,
        max_depth=50,
        schemas=ECOMMERCE,
    )


EVENT_VALUES = _values(EVENT_BYTES, lambda text: text.str.len_bytes() <= EVENT_BYTES)
PURCHASE_VALUES = _values(PURCHASE_BYTES, lambda text: text.str.len_bytes() <= PURCHASE_BYTES)
TRIGGER_VALUES = replace(PURCHASE_VALUES, schemas={})
