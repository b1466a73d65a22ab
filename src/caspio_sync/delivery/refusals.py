"""Requests that are refused whole: whether it is their objects, or the sync."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from caspio_sync.errors import ConfigurationError

MANY = 20  # objects


class RefusedAlike:
    """Objects refused each for itself, by what is said of them.

    One bad row must not stop a sync for good, so they are rejected, and the run goes on. Only where many of several
    requests are refused alike and nothing was ever taken in the run is it the sync, and not the rows.

    Args:
        title: of the destination, for people.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._refused: dict[str, list[int]] = {}  # by reason: how many objects each request held that was refused so
        self._taken = False
        self._under_way = self._waiting = 0
        self._changed = asyncio.Event()

    def taken(self) -> None:
        """A request was taken: whatever is refused, the sync is sound."""
        if not self._taken:
            self._taken = True
            self._changed.set()

    def add(self, reasons: Sequence[str], objects: int) -> None:
        """A request was refused until its last object stood alone.

        Args:
            reasons: status and the destination's words, of each object that was refused.
            objects: all objects of the request.

        Raises:
            ConfigurationError: everything of this and of another request is refused alike, and nothing was taken.
        """
        if self._taken or len(reasons) < objects or len(set(reasons)) > 1:
            return
        requests = self._refused.setdefault(reasons[0], [])
        requests.append(objects)
        if len(requests) > 1 and sum(requests) >= MANY:
            raise ConfigurationError(
                f"{self._title} refuses all objects of {len(requests)} requests, each with: {reasons[0]}. This is not "
                "about single rows: look at the identity and the fields of the sync, then run it again; none of these "
                "rows is recorded as refused, and nothing of the rest was sent."
            )

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """While a request is being delivered."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:  # what is sent later may be the same rows: first their opt-outs, then the rest
                self._refused.clear()
            self._changed.set()

    async def settled(self) -> None:
        """Hold a request's refused objects back until another one was taken, or none is left that could tell more."""
        self._waiting += 1
        self._changed.set()
        try:
            await asyncio.sleep(0)  # requests that are ready to leave are under way from then on
            while not self._taken and self._waiting < self._under_way:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiting -= 1
