"""Group commit: posts that arrive while the disk is busy are committed together, and answered after that."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Self, TypeVar

from caspio_sync.errors import CaspioSyncError, UnexpectedError

_LOG = logging.getLogger(__name__)
QUEUE_BYTES = 64 * 1024 * 1024
_GROUP_POSTS = 200  # one commit holds so many at the most, so that the first of them does not wait for a long one

T = TypeVar("T")
R = TypeVar("R")


class QueueFullError(CaspioSyncError):
    """More is waiting than may wait; the sender is asked to come again."""


class _Waiting(NamedTuple):
    post: Any
    size: int
    done: asyncio.Future[Any]


class GroupCommit(Generic[T, R]):
    """Writes posts down, one commit at a time in a thread of its own; a context manager.

    Args:
        keep: writes some down, all or none, and says what became of each.
        queue_bytes: of the posts that wait, at the most.
    """

    def __init__(self, keep: Callable[[Sequence[T]], Sequence[R]], *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._keep = keep
        self._limit = queue_bytes
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why the last commit failed, None after one that did not."""

    @property
    def waiting(self) -> int:
        """Posts that are not on the disk yet."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._thread.shutdown()

    async def add(self, post: T, size: int) -> R:
        """Keep one post of so many bytes; it is on the disk when this returns, with what became of it.

        Raises:
            QueueFullError: too much is waiting already.
            CaspioSyncError: the inbox cannot be written now.
        """
        if self._bytes + size > self._limit:
            raise QueueFullError(f"{self._bytes // 1_000_000} MB wait for the disk, {len(self._waiting)} posts")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(post, size, done))
        self._bytes += size
        self._wake.set()
        outcome: R = await done
        return outcome

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            group = self._waiting[:_GROUP_POSTS]
            failure: CaspioSyncError | None = None
            outcomes: Sequence[Any] = [None] * len(group)
            try:
                outcomes = await loop.run_in_executor(self._thread, self._keep, [each.post for each in group])
            except CaspioSyncError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, these posts are not kept and the next may be
                failure = UnexpectedError.of(error)
            del self._waiting[: len(group)]
            self._bytes -= sum(each.size for each in group)
            if not self._waiting:
                self._wake.clear()
            self._tell(failure)
            for each, outcome in zip(group, outcomes, strict=True):
                if each.done.done():  # its sender has gone
                    continue
                if failure is None:
                    each.done.set_result(outcome)
                else:
                    each.done.set_exception(failure)

    def _tell(self, failure: CaspioSyncError | None) -> None:
        """Log the first failure of several, and the end of them."""
        if failure is not None and self.failure is None:
            _LOG.error("posts are answered 503: %s", failure)
        elif failure is None and self.failure is not None:
            _LOG.warning("posts are kept again")
        self.failure = None if failure is None else str(failure)
