"""Deleting profiles in Braze, and looking whether they are gone."""

from collections.abc import Sequence
from typing import Any, TypeVar

from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.answers import (
    EXPORT_LIMIT,
    IDENTITY_LIMIT,
    MAX_DELETED_IDS,
    ids_an_export,
    refusal_text,
)
from caspio_sync.ledger.erasure import Identifier

T = TypeVar("T")


class UserEraser:
    """The `Eraser` of profiles, as fast as Braze allows.

    Args:
        account: the workspace.
        kind: of the identifiers.
    """

    most = MAX_DELETED_IDS
    proves = True

    def __init__(self, account: BrazeAccount, kind: str) -> None:
        self._account = account
        self._size = ids_an_export(kind)
        self._deletes = PacedCalls("Braze", IDENTITY_LIMIT, account.clock)
        self._exports = PacedCalls("Braze", EXPORT_LIMIT, account.clock)

    async def delete(
        self, people: Sequence[tuple[T, Identifier]]
    ) -> tuple[list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]], list[str]]:
        """As `Eraser.delete`."""
        answers, refused = await self._deletes.ask_for(
            people, lambda some: self._account.users.delete_users([identifier for _, identifier in some])
        )
        told = [
            (some, {"status": answer.status, "asked": len(some), "queued": answer.deleted}) for some, answer in answers
        ]
        return told, [refusal_text(error) for _, error in refused]

    async def left(self, identifiers: Sequence[Identifier]) -> list[Identifier]:
        """As `Eraser.left`."""
        found: list[Identifier] = []
        for start in range(0, len(identifiers), self._size):
            some = identifiers[start : start + self._size]
            answers, refused = await self._exports.ask_for(some, self._account.users.find_users)
            found += [each for _, answer in answers for each in answer.found]
            found += [each for each, _ in refused]  # whoever cannot be looked for is not proven to be gone
        return found

    async def probe(self) -> str:
        """As `Eraser.probe`."""
        await self._account.users.probe_delete()
        return "users.delete"
