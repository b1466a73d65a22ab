"""What a run sends and asks with: made when it is first needed, and closed with the run."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.delivery.sender import Sender
from caspio_sync.engine.destination import Account


@dataclass(slots=True, kw_only=True)
class Clients:
    """The clients of a run.

    Args:
        caspio: belongs to whoever opened it.
        account: at the destination; closed with the run.
        make_sender: makes the sender, for a run that reads so many rows.
    """

    caspio: CaspioClient
    account: Account
    make_sender: Callable[[int], Sender]
    _sender: Sender | None = None
    _allowed_until: float = math.inf
    _share: float = 1.0
    _pauses: int = 0
    _stopped: bool = False

    def sender(self, rows: int, *, ask_first: bool) -> Sender:
        """The sender; a run without changes never makes one.

        Args:
            rows: that the run reads, about.
            ask_first: whether nobody knows that it was the destination who answered last (`Sender.ask_first`).
        """
        if self._sender is None:
            self._sender = self.make_sender(rows)
            self._sender.allow_until(self._allowed_until)
            self._tell()
            if ask_first:
                self._sender.ask_first()
        return self._sender

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`, also for a sender that is not there yet."""
        self._allowed_until = uptime
        if self._sender is not None:
            self._sender.allow_until(uptime)

    def take_share(self, share: float) -> None:
        """Use this part (0 to 1) of the destination's and Caspio's limits at most, nothing while it is 0."""
        self._share = share
        self._tell()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Send and ask nothing in the block; afterwards the share is what it was."""
        self._pauses += 1
        self._tell()
        try:
            yield
        finally:
            self._pauses -= 1
            self._tell()

    def stop(self) -> None:
        """Nothing more is sent: what waits for its turn is told so, though it is paused, instead of waiting on."""
        self._stopped = True
        self._tell()

    @property
    def _usable(self) -> float:
        return 0.0 if self._pauses else self._share

    def _tell(self) -> None:
        self.caspio.take_share(self._usable)
        self.account.take_share(self._usable)
        if self._sender is not None:
            if self._stopped:
                self._sender.stop()
            self._sender.take_share(self._share if self._stopped else self._usable)

    async def close(self) -> None:
        """Close what was made."""
        if self._sender is not None:
            await self._sender.close()
        await self.account.aclose()
