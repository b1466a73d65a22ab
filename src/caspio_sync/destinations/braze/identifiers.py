"""What names a profile in Braze's calls (Braze, identifiers of /users/track)."""

from collections.abc import Mapping
from typing import Any

from caspio_sync.ledger.erasure import Naming


def identifier(kind: str, label: str | None, key: str) -> dict[str, Any]:
    """A key as Braze's identifier.

    Args:
        kind: external_id, user_alias, email or phone.
        label: the alias label.
        key: as the mapping gives it.
    """
    alias = {"alias_name": key, "alias_label": label}
    return {kind: alias if kind == "user_alias" else key}


def key_of(named: Mapping[str, Any]) -> str:
    """The inverse of `identifier`."""
    ((kind, value),) = named.items()
    return str(value["alias_name"] if kind == "user_alias" else value)


NAMING = Naming(identifier, key_of)
