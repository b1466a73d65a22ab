"""What ActiveCampaign takes as an event (ActiveCampaign, event tracking)."""

from dataclasses import replace

from caspio_sync.destinations.activecampaign.values import CONTACT_VALUES
from caspio_sync.mapping.values import RULES, WORDS, Rule, array_rule, text_rule, within_chars

EVENT_NAME_CHARS = 32
# More of an event's value may be cut off, which nobody says (ActiveCampaign, event tracking: seen, not documented).
VALUE_BYTES = 255


def _fault_in_property(name: str) -> str | None:
    """What is wrong with a property's name, and what to do; None for a good one."""
    if not name or name != name.strip() or not name.isprintable():
        return f"'{name[:40]}' is empty, or holds signs that nobody sees; rename it"
    return None


def _fault_in_key(name: str) -> str:
    return f"'{name}': an event's value holds no objects; map single values"


EVENT_VALUES = replace(
    CONTACT_VALUES,
    rules={
        **RULES,
        "email": CONTACT_VALUES.rules["email"],
        "event_name": Rule(
            "event_name",
            f"is longer than {EVENT_NAME_CHARS} characters",
            WORDS,
            within_chars(EVENT_NAME_CHARS),
            chars=EVENT_NAME_CHARS,
        ),
        "text": text_rule(VALUE_BYTES, trims=False),
        "array": array_rule(100, VALUE_BYTES),
    },
    text_chars=VALUE_BYTES,
    json_size=f"{VALUE_BYTES} bytes",
    fault_in_name=_fault_in_property,
    fault_in_key=_fault_in_key,
    standard={},
    states=(),
)
