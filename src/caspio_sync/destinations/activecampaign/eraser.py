"""Deleting contacts, and looking whether they are gone (ActiveCampaign, delete a contact)."""

from collections.abc import Sequence
from typing import Any, TypeVar

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.answers import MissingError
from caspio_sync.destinations.activecampaign.deal_eraser import erase_deals
from caspio_sync.ledger.erasure import Identifier
from caspio_sync.wire.http import RefusedError

T = TypeVar("T")


class ContactEraser:
    """The `Eraser` of contacts: one a call, and a look before it for the id.

    Args:
        account: where they are.
    """

    most = 1
    proves = True

    def __init__(self, account: ActiveCampaignAccount) -> None:
        self._client = account.client

    async def delete(
        self, people: Sequence[tuple[T, Identifier]]
    ) -> tuple[list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]], list[str]]:
        """As `Eraser.delete`."""
        taken: list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]] = []
        refused: list[str] = []
        for person in people:
            numbers = await self._client.ids(str(person[1]["email"]))
            deals: dict[str, Any] = {}
            try:
                for number in numbers:
                    deals |= await erase_deals(self._client, number)
                    await self._delete(number)
            except RefusedError as error:
                refused.append(f"{error.message_text} (an account has a monthly limit of deletions)")
            else:
                taken.append(([person], {"status": 200, "asked": 1, "deleted": len(numbers), **deals}))
        return taken, refused

    async def left(self, identifiers: Sequence[Identifier]) -> list[Identifier]:
        """As `Eraser.left`."""
        return [each for each in identifiers if await self._client.ids(str(each["email"]))]

    async def probe(self) -> str:
        """As `Eraser.probe`: no call tells whether the key's user may delete; that he may ask is all that is known."""
        await self._client.user()
        return "as far as the user that it belongs to may"

    async def _delete(self, number: str) -> None:
        try:
            await self._client.delete_contact(number)
        except MissingError:
            return  # somebody else was faster
