"""What a run sends and asks with: each client made when it is first needed, and closed with the run."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.braze_catalogs import CatalogClient
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.delivery.sender import Sender


@dataclass(slots=True, kw_only=True)
class Clients:
    """The clients of a run.

    Args:
        caspio: belongs to whoever opened it.
        make_sender: makes the sender, for a run that reads so many rows.
        make_braze: makes the client for everything but sending.
        make_catalogs: makes the client of catalogs.
    """

    caspio: CaspioClient
    make_sender: Callable[[int], Sender]
    make_braze: Callable[[], BrazeClient]
    make_catalogs: Callable[[], CatalogClient]
    _sender: Sender | None = None
    _braze: BrazeClient | None = None
    _catalogs: CatalogClient | None = None
    _allowed_until: float = math.inf
    _share: float = 1.0

    def sender(self, rows: int, *, ask_first: bool) -> Sender:
        """The sender; a run without changes never makes one.

        Args:
            rows: that the run reads, about.
            ask_first: whether nobody knows that it was the destination who answered last (`Sender.ask_first`).
        """
        if self._sender is None:
            self._sender = self.make_sender(rows)
            self._sender.allow_until(self._allowed_until)
            self._sender.take_share(self._share)
            if ask_first:
                self._sender.ask_first()
        return self._sender

    @property
    def braze(self) -> BrazeClient:
        """The client for what is no sending: looking profiles up, identifying them."""
        if self._braze is None:
            self._braze = self.make_braze()
        return self._braze

    @property
    def catalogs(self) -> CatalogClient:
        """The client of catalogs, their fields, and single items."""
        if self._catalogs is None:
            self._catalogs = self.make_catalogs()
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
