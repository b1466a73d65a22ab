"""What ActiveCampaign takes as a deal (ActiveCampaign, deals)."""

from dataclasses import replace

from caspio_sync.destinations.activecampaign.values import CONTACT_VALUES
from caspio_sync.mapping.values import RULES, WORDS, Rule, text_rule, within_chars

_KEY_CHARS = 255
_LABEL_CHARS = 255
DESCRIPTION_CHARS = 10_000  # the vendor documents no length


def _fault_in_label(name: str) -> str | None:
    """What is wrong with the label of a field, and what to do; None for a good one."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > _LABEL_CHARS:
        return f"'{name[:40]}' is no label of a field: it is empty, too long, or holds signs that nobody sees"
    return None


DEAL_VALUES = replace(
    CONTACT_VALUES,
    rules={
        **RULES,
        "email": CONTACT_VALUES.rules["email"],
        "line": CONTACT_VALUES.rules["line"],
        "array": CONTACT_VALUES.rules["array"],
        "text": text_rule(DESCRIPTION_CHARS, trims=False),
        "deal": Rule("deal_key", f"is empty, or longer than {_KEY_CHARS} characters", WORDS, within_chars(_KEY_CHARS)),
    },
    text_chars=DESCRIPTION_CHARS,
    fault_in_name=_fault_in_label,
    standard={},
    identities=(),
    states=(),
)
