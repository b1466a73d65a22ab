"""Which contacts there are, by their addresses: asked once for each, and kept for the run."""

import asyncio

from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient


class KnownPeople:
    """Finds contacts.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        self._found: dict[str, str] = {}
        self._under_way: dict[str, asyncio.Task[list[str]]] = {}

    async def number(self, email: str) -> str | None:
        """The id of the contact with this address; None where nobody has it, which is asked for again next time."""
        if email in self._found:
            return self._found[email]
        if email not in self._under_way:  # else each row of a person who comes first would ask
            self._under_way[email] = asyncio.create_task(self._client.ids(email))
        try:
            ids = await self._under_way[email]
        finally:
            self._under_way.pop(email, None)
        if ids:
            self._found[email] = ids[0]
        return ids[0] if ids else None

    def forget(self, email: str) -> None:
        """It is not there any more."""
        self._found.pop(email, None)
