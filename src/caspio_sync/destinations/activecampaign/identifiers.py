"""What names a contact: its address (ActiveCampaign, contacts)."""

from collections.abc import Mapping
from typing import Any

from caspio_sync.ledger.erasure import Naming


def _identifier(kind: str, label: str | None, key: str) -> dict[str, Any]:  # noqa: ARG001 - there is but one kind
    return {"email": key}


def _key(named: Mapping[str, Any]) -> str:
    return str(named["email"])


NAMING = Naming(_identifier, _key)
