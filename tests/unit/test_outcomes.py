"""Outcomes name what became of each row, and are committed while the sending goes on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

import polars as pl
import pytest

from caspio_sync.delivery import outcomes as module
from caspio_sync.delivery.outcomes import Commit, outcomes
from caspio_sync.delivery.outcomes import deliver as deliver_ahead
from caspio_sync.delivery.requests import Request
from caspio_sync.delivery.sender import Answer, Sender
from caspio_sync.errors import ConfigurationError, TransientError

ROWS = pl.DataFrame({"source_pk": range(100, 200), "key": [f"k{number}" for number in range(100)]})


def an_answer(number: int, start: int, count: int, **more: object) -> Answer:
    return Answer(number, start, count, 201, **more)  # type: ignore[arg-type]


def told(*answers: Answer) -> list[tuple[object, ...]]:
    return outcomes(ROWS, answers).select("source_pk", "verdict", "reason", "request", "status").rows()


def test_rows_without_an_error_were_sent() -> None:
    assert told(an_answer(7, 3, 2)) == [(103, "sent", None, 7, 201), (104, "sent", None, 7, 201)]


def test_rows_keep_their_other_columns() -> None:
    assert outcomes(ROWS, [an_answer(1, 0, 1)])["key"].to_list() == ["k0"]


def test_answers_may_come_in_any_order() -> None:
    assert [(row[0], row[3]) for row in told(an_answer(2, 2, 2), an_answer(1, 0, 2))] == [
        (102, 2),
        (103, 2),
        (100, 1),
        (101, 1),
    ]


def test_a_rejected_row_has_its_reason_and_the_rest_was_sent() -> None:
    assert [row[:3] for row in told(an_answer(1, 0, 1), an_answer(2, 10, 3, rejected=((11, "bad email"),)))] == [
        (100, "sent", None), (110, "sent", None), (111, "rejected", "bad email"), (112, "sent", None),
    ]  # fmt: skip


def test_rows_of_an_unclear_answer_are_unknown_unless_named() -> None:
    assert [row[1:3] for row in told(an_answer(1, 0, 2, unknown="no answer", rejected=((1, "bad"),)), an_answer(2, 2, 1))] == [
        ("unknown", "no answer"), ("rejected", "bad"), ("sent", None),
    ]  # fmt: skip


def test_the_frame_has_the_same_types_whether_or_not_something_was_refused() -> None:
    assert (
        outcomes(ROWS, [an_answer(1, 0, 2)]).schema == outcomes(ROWS, [an_answer(1, 0, 2, rejected=((0, "x"),))]).schema
    )


class Scripted(Sender):
    """A sender that gives answers as told; an error among them ends it, a number is a wait in turns of the loop."""

    def __init__(self, *script: Answer | Exception | int) -> None:
        self.script = script
        self.given = 0
        self.closed = False

    async def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
        try:
            for each in self.script:
                if isinstance(each, Exception):
                    raise each
                if isinstance(each, int):
                    for _ in range(each):
                        await asyncio.sleep(0)
                else:
                    self.given += 1
                    yield each
        finally:
            self.closed = True

    async def close(self) -> None:
        """Nothing is open."""

    def ask_first(self) -> None:
        """The script is played whatever was before."""

    def allow_until(self, uptime: float) -> None:
        """Nor does it look at the clock,"""

    def take_share(self, share: float) -> None:
        """or at a limit."""

    def stop(self) -> None:
        """It is stopped by its script alone."""


async def taken(requests: Iterable[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


async def deliver(requests: Iterable[Request], *, sender: Sender, commit: Commit) -> None:
    await (await deliver_ahead(taken(requests), sender=sender, commit=commit)).committed()


class Commits:
    """Keeps what was committed; fails from the n-th commit on."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.frames: list[pl.DataFrame] = []
        self.under_way = 0
        self.fails_at = fails_at

    async def __call__(self, answers: Sequence[Answer]) -> None:
        frame = outcomes(ROWS, answers)
        assert self.under_way == 0, "two commits at once"
        self.under_way += 1
        for _ in range(3):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.fails_at is not None and len(self.frames) >= self.fails_at:
            raise OSError("the disk is full")
        self.frames.append(frame)

    @property
    def rows(self) -> list[int]:
        return sorted(pk for frame in self.frames for pk in frame["source_pk"])


def singles(count: int) -> list[Answer]:
    return [an_answer(number, number, 1) for number in range(count)]


def spread(answers: list[Answer], turns: int = 10) -> list[Answer | Exception | int]:
    return [each for answer in answers for each in (answer, turns)]


def test_answers_are_committed_by_twenty_and_the_rest_at_the_end() -> None:
    commits = Commits()
    asyncio.run(deliver([], sender=Scripted(*spread(singles(50))), commit=commits))
    assert [frame.height for frame in commits.frames] == [20, 20, 10]
    assert commits.rows == list(range(100, 150))


def test_what_arrives_during_a_commit_goes_with_the_next() -> None:
    commits = Commits()
    asyncio.run(deliver([], sender=Scripted(*spread(singles(100), turns=1)), commit=commits))
    assert commits.rows == list(range(100, 200))
    assert all(frame.height >= 20 for frame in commits.frames[:-1])


def test_a_slow_trickle_is_committed_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.001)
    commits, committed = Commits(), asyncio.Event()

    class Slow(Scripted):
        async def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
            yield an_answer(1, 0, 1)
            await committed.wait()  # would wait for ever if the end of the sending were what commits

    async def commit(answers: Sequence[Answer]) -> None:
        await commits(answers)
        committed.set()

    asyncio.run(asyncio.wait_for(deliver([], sender=Slow(), commit=commit), 5))
    assert commits.rows == [100]


def test_nothing_answered_is_nothing_committed() -> None:
    commits = Commits()
    asyncio.run(deliver([], sender=Scripted(), commit=commits))
    assert commits.frames == []


@pytest.mark.parametrize("error", [TransientError("gone"), ConfigurationError("wrong key"), asyncio.CancelledError()])
def test_what_was_answered_before_the_sender_failed_is_committed(error: BaseException) -> None:
    commits = Commits()
    with pytest.raises(type(error)):
        asyncio.run(deliver([], sender=_failing(singles(5), error), commit=commits))
    assert commits.rows == [100, 101, 102, 103, 104]


def _failing(answers: list[Answer], error: BaseException) -> Scripted:
    class Failing(Scripted):
        async def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
            for answer in answers:
                yield answer
            raise error

    return Failing()


def test_a_commit_that_fails_stops_the_sending() -> None:
    sender = Scripted(*spread(singles(100)))
    with pytest.raises(OSError, match="disk is full"):
        asyncio.run(deliver([], sender=sender, commit=Commits(fails_at=1)))
    assert 40 <= sender.given <= 42
    assert sender.closed


def test_a_last_commit_that_fails_is_not_passed_over() -> None:
    with pytest.raises(OSError, match="disk is full"):
        asyncio.run(deliver([], sender=Scripted(*singles(3)), commit=Commits(fails_at=0)))
