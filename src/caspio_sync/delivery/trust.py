"""Whether it is the vendor who answers: until that is known one request at a time leaves, and soon none."""

import asyncio
from collections.abc import Awaitable, Callable

from caspio_sync.errors import StoppedError
from caspio_sync.wire.answers import ForeignAnswerError

MOST_DOUBTS = 3  # answers in a row that are not the vendor's; what they answered may have been taken, and billed


class Trust:
    """Lets requests leave one by one until an answer was the vendor's own, and again after one that was not.

    Args:
        ask: asks the vendor for something that writes nothing and costs nothing.
        title: of the destination, for people.
        repeats: whether what was answered so is sent again by the next run.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], title: str, *, repeats: bool = True) -> None:
        self._repeats = repeats
        self._ask = ask
        self._title = title
        self._asks_first = False
        self._heard = False
        self._doubts: list[str] = []
        self._turn = asyncio.Lock()
        self._ended = ""  # why nothing leaves any more; else those that wait for their turn would ask as well

    def ask_first(self) -> None:
        """The run before ended in doubt: let nothing leave before the vendor has answered what costs nothing."""
        self._asks_first = True

    async def admit(self) -> bool:
        """Wait until a request may leave; whether it leaves alone, and `release` is to be called after its answer.

        Raises:
            StoppedError: too many answers were not the vendor's.
        """
        if self._heard and not self._doubts:
            return False
        await self._turn.acquire()
        if self._ended:
            self._turn.release()
            raise StoppedError(self._ended)
        if len(self._doubts) >= MOST_DOUBTS:
            self._turn.release()
            raise StoppedError(self._stopped(f"{MOST_DOUBTS} answers in a row are not", self._doubts[-1]))
        if self._heard and not self._doubts:  # while this one waited
            self._turn.release()
            return False
        return True

    def release(self) -> None:
        """The request that left alone has its answer, or has failed."""
        self._turn.release()

    async def first(self) -> None:
        """Where the run before ended in doubt: ask, before anything is sent that is billed.

        Raises:
            StoppedError: what answered is still not known to be the vendor.
            TransientError, ConfigurationError: as the question says.
        """
        if not self._asks_first:
            return
        try:
            await self._ask()
        except ForeignAnswerError as error:
            self._ended = self._stopped("as in the run before, an answer is not", str(error))
            raise StoppedError(self._ended) from None
        self._asks_first = False

    def heard(self) -> None:
        """An answer was the vendor's own."""
        self._heard = True
        if self._doubts:
            self._doubts = []

    def doubted(self, why: str) -> None:
        """An answer was not, or counted other than what was sent."""
        self._doubts.append(why)

    def lost(self, why: str, *, alone: bool) -> None:
        """An answer was lost: nothing more leaves until the vendor has answered what costs nothing.

        Those that were in flight together and are lost together count as one.
        """
        self._asks_first = True
        if alone or not self._doubts:
            self._doubts.append(why)

    def _stopped(self, what: str, why: str) -> str:
        return (
            f"{what} known to be {self._title}'s own, and nothing more was sent: {why}. What they answered is recorded "
            f"as unknown; the next run asks first, free of charge, whether {self._title} answers, and "
            + ("sends it again" if self._repeats else "sends the rest")
        )
