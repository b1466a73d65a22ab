"""What names a person at an endpoint: the key, as requests put it in."""

from collections.abc import Mapping
from typing import Any

from caspio_sync.ledger.erasure import Naming


def _identifier(kind: str, label: str | None, key: str) -> dict[str, Any]:  # noqa: ARG001 - whatever it is called
    return {"key": key}


def _key(named: Mapping[str, Any]) -> str:
    return str(named["key"])


NAMING = Naming(_identifier, _key)
