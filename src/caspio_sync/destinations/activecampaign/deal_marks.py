"""The mark by which a deal of ours is known there: a deal has no key of its own, and one made twice is two deals.

It stands at the end of the deal's description, where people may write around it. It is a digest: a key may hold signs
that are changed on the way, or a name that is nobody's business.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

_MARK = re.compile(r"\[caspio-sync ([0-9a-f]{24})\]")


def mark_of(table: str, key: str) -> str:
    """The digest of the deal that a row of this table with this key becomes; case and outer blanks are Caspio's."""
    return hashlib.sha256(f"{table.lower()}\0{key.strip().lower()}".encode()).hexdigest()[:24]


def marked(description: str | None, mark: str) -> str:
    """A description with the mark at its end."""
    return f"{description}\n\n[caspio-sync {mark}]" if description else f"[caspio-sync {mark}]"


def unmarked(description: str | None) -> str:
    """A description without marks."""
    return _MARK.sub("", description or "").strip()


def by_mark(deals: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Those of the deals that bear marks, by the mark."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for deal in deals:
        for mark in set(_MARK.findall(str(deal.get("description") or ""))):
            found.setdefault(mark, []).append(deal)
    return found
