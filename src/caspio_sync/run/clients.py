"""What a run sends and asks with: each client made when it is first needed, and closed with the run."""

import math
from collections.abc import Callable

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.braze_catalogs import CatalogClient
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.delivery.sender import Sender


class Clients:
    """The clients of a run.

    Args:
        caspio: belongs to whoever opened it.
        sender: makes the sender, for a run that reads so many rows.
        braze: makes the client for everything but sending.
        catalogs: makes the client of catalogs.
    """

    def __init__(
        self,
        caspio: CaspioClient,
        *,
        sender: Callable[[int], Sender],
        braze: Callable[[], BrazeClient],
        catalogs: Callable[[], CatalogClient],
    ) -> None:
        self.caspio = caspio
        self._make_sender = sender
        self._make_braze = braze
        self._make_catalogs = catalogs
        self._sender: Sender | None = None
        self._braze: BrazeClient | None = None
        self._catalogs: CatalogClient | None = None
        self._allowed_until = math.inf
        self._share = 1.0

    def sender(self, rows: int, *, ask_first: bool) -> Sender:
        """The sender; a run without changes never makes one.

        Args:
            rows: that the run reads, about.
            ask_first: whether nobody knows that it was the destination who answered last (`Sender.ask_first`).
        """
        if self._sender is None:
            self._sender = self._make_sender(rows)
            self._sender.allow_until(self._allowed_until)
            self._sender.take_share(self._share)
            if ask_first:
                self._sender.ask_first()
        return self._sender

    @property
    def braze(self) -> BrazeClient:
        """The client for what is no sending: looking profiles up, identifying them."""
        if self._braze is None:
            self._braze = self._make_braze()
        return self._braze

    @property
    def catalogs(self) -> CatalogClient:
        """The client of catalogs, their fields, and single items."""
        if self._catalogs is None:
            self._catalogs = self._make_catalogs()
        return self._catalogs

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`, also for a sender that is not there yet."""
        self._allowed_until = uptime
        if self._sender is not None:
            self._sender.allow_until(uptime)

    def take_share(self, share: float) -> None:
        """Use this part (0 to 1) of the destination's and Caspio's limits at most, nothing while it is 0."""
        self._share = share
        self.caspio.take_share(share)
        if self._sender is not None:
            self._sender.take_share(share)

    async def close(self) -> None:
        """Close what was made."""
        if self._sender is not None:
            await self._sender.close()
        for client in (self._braze, self._catalogs):
            if client is not None:
                await client.aclose()
