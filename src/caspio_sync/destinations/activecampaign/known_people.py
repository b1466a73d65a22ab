"""Which contacts there are, by their addresses: asked once for each, and kept for the run."""

import asyncio
from collections import defaultdict

from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient


class KnownPeople:
    """Finds contacts.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        self._found: dict[str, str | None] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # else each row of a person would ask

    async def number(self, email: str) -> str | None:
        """The id of the contact with this address; None where nobody has it: who comes later, the next run finds."""
        async with self._turns[email]:
            if email not in self._found:
                self._found[email] = next(iter(await self._client.ids(email)), None)
            return self._found[email]
