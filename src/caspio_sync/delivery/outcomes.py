"""Answers led back to the rows they came from, and committed while the sending goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.delivery.requests import Request
from caspio_sync.delivery.sender import Answer, Sender
from caspio_sync.schemas import Verdict

# What a kill may repeat at the most.
COMMIT_REQUESTS = 20
COMMIT_SECONDS = 0.5
# Answers that may wait for a commit; while the ledger is slow or locked the sending waits for it.
_WAITING_COMMITS = 5

Commit = Callable[[Sequence[Answer]], Awaitable[None]]


def outcomes(rows: pl.DataFrame, answers: Sequence[Answer]) -> pl.DataFrame:
    """The rows of these answers with what became of each.

    Args:
        rows: the batch's rows in the order of its objects.
        answers: answers to requests that were filled from these rows.

    Returns:
        The answered rows with `verdict`, `reason`, `request` and `status`.
    """
    counts = [answer.count for answer in answers]
    places = np.concatenate([np.arange(answer.start, answer.start + answer.count) for answer in answers])
    answered = rows[places].with_columns(
        verdict=pl.lit(Verdict.SENT.value),
        reason=pl.lit(None, dtype=pl.String),
        request=pl.Series(np.repeat([answer.number for answer in answers], counts), dtype=pl.Int64),
        status=pl.Series(np.repeat([answer.status for answer in answers], counts), dtype=pl.Int64),
    )
    if not any(answer.rejected or answer.unknown for answer in answers):
        return answered
    reasons = {place: reason for answer in answers for place, reason in answer.rejected}
    unknown = pl.Series(np.repeat([answer.unknown for answer in answers], counts), dtype=pl.String)
    reason = pl.Series([reasons.get(int(place)) for place in places], dtype=pl.String)
    return answered.with_columns(
        verdict=pl.when(reason.is_not_null())
        .then(pl.lit(Verdict.REJECTED.value))
        .when(unknown != "")
        .then(pl.lit(Verdict.UNKNOWN.value))
        .otherwise("verdict"),
        reason=pl.when(reason.is_null() & (unknown != "")).then(unknown).otherwise(reason),
    )


async def deliver(
    requests: AsyncIterator[Request], *, sender: Sender, commit: Commit, heard: Callable[[Answer], None] | None = None
) -> "Outstanding":
    """Send requests, committing what became of them as answers arrive.

    Args:
        requests: filled from one batch's objects; taken as the sender has room.
        sender: delivers them.
        commit: makes answers durable; called with 20 of them, or half a second's worth, at a time.
        heard: is told each answer as it comes.

    Returns:
        The commits still under way: the next batch may be sent meanwhile, and whoever ends this one waits for them.

    Raises:
        TransientError, ConfigurationError: as the sender says; what was answered before is committed all the same.
    """
    outstanding = Outstanding(commit)
    try:
        # Closed by name: a commit that fails has to stop the requests now, not when the generator is collected.
        async with contextlib.aclosing(sender.send(requests)) as answers:
            async for answer in answers:
                if heard is not None:
                    heard(answer)
                outstanding.add(answer)
                await outstanding.room()
    except BaseException:
        await outstanding.committed()
        raise
    outstanding.end()
    return outstanding


class Outstanding:
    """Answers on their way into the ledger, gathered and committed in the background, one commit at a time."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._pending: list[Answer] = []
        self._enough = asyncio.Event()
        self._done = False
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def end(self) -> None:
        """No more answers will come."""
        self._done = True
        self._enough.set()

    async def committed(self) -> None:
        """Wait until every answer is committed; raises what a commit raised."""
        self.end()
        await self._task

    def add(self, answer: Answer) -> None:
        """An answer has arrived; raises what a commit raised, which must stop the sending."""
        self._pending.append(answer)
        if len(self._pending) >= COMMIT_REQUESTS:
            self._enough.set()
        if self._task.done():
            self._task.result()

    async def room(self) -> None:
        """Wait until no more answers are uncommitted than a kill may repeat; raises what a commit raised."""
        while len(self._pending) >= _WAITING_COMMITS * COMMIT_REQUESTS:
            self._taken.clear()
            taken = asyncio.create_task(self._taken.wait())
            await asyncio.wait([taken, self._task], return_when=asyncio.FIRST_COMPLETED)
            taken.cancel()
            if self._task.done():
                self._task.result()

    async def _run(self) -> None:
        while not self._done or self._pending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._enough.wait()
            if not self._done:
                self._enough.clear()
            answers, self._pending = self._pending, []
            self._taken.set()
            if answers:
                await self._commit(answers)
