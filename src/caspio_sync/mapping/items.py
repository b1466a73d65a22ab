"""The rules of catalog items: what Braze takes as an id and as a value of each type (Braze, 9.1).

Items share the readings of attributes; limits differ, and times stand as plain text wherever they are.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import polars as pl

from caspio_sync.mapping.attributes import NO_WHOLE_NUMBER, RULES, WORDS, Rule, ValueRules, array_rule, text_rule

ID_CHARS = 250
VALUE_CHARS = 5_000
ARRAY_ITEMS = 100
OBJECT_DEPTH = 50
ITEM_ID = rf"^[A-Za-z0-9_-]{{1,{ID_CHARS}}}$"

_OF_ATTRIBUTES = ("integer", "number", "boolean", "longitude", "latitude", "phone", "country", "language")

ITEM_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{meaning: RULES[meaning] for meaning in _OF_ATTRIBUTES},
        "text": text_rule(VALUE_CHARS, trims=False),
        "datetime": replace(RULES["datetime"], code="time_value"),
        "array": array_rule(ARRAY_ITEMS, VALUE_CHARS),
        "item_id": Rule(
            "item_id",
            f"is no item id: Braze takes at most {ID_CHARS} letters from A to Z, digits, - and _",
            WORDS,
            lambda value, _: value.str.contains(ITEM_ID),
            unread=NO_WHOLE_NUMBER,
        ),
    }
)
# Braze's page says "value", of whatever type: an object is measured by its whole JSON text, the stricter reading.
ITEM_VALUES = ValueRules(
    ITEM_RULES, VALUE_CHARS, f"{VALUE_CHARS} characters", lambda text: text.str.len_chars() <= VALUE_CHARS
)


def slug(text: pl.Expr) -> pl.Expr:
    """An id that Braze takes, length apart; null where nothing is left.

    Marks come off their letters, letters become small, and every run of signs other than a to z, 0 to 9 and _ becomes
    one hyphen; none leads or ends.
    """
    plain = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    made = plain.str.replace_all("[^a-z0-9_]+", "-").str.strip_chars("-")
    return pl.when(made.str.len_bytes() > 0).then(made)
