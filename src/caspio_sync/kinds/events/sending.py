"""Sending events: noted before they leave, at most 64 requests without a recorded outcome, and none sent twice.

load ─▶ journal ─▶ request ─▶ answer ─▶ outcome, and out of the journal
                               └─ lost ─▶ unknown: it stays there until it is settled
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.delivery.failures import Failure, error_of
from caspio_sync.delivery.outcomes import deliver
from caspio_sync.delivery.requests import Request
from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.line import Batch
from caspio_sync.engine.recording import POINTS, record_outcomes
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.sending import sending_of
from caspio_sync.kinds.events.loading import OBJECT, PARTS, WRITE, Load, in_order, loads
from caspio_sync.kinds.events.work import EventWork
from caspio_sync.ledger.events import LET_GO_SCHEMA
from caspio_sync.ledger.sent_rows import Accepted
from caspio_sync.observe.freshness import CHANGED_AT
from caspio_sync.schemas import SOURCE_PK, Verdict

# What a kill may make unknown at the most; noted a few at a time, for each note is a transaction.
MOST_UNSETTLED = 64
NOTED_TOGETHER = 16


async def send_events(run: SyncRun[EventWork], batch: Batch) -> None:
    """Send a batch's accepted rows; a repeated call sends only rows of which nothing left.

    Raises:
        TransientError, StoppedError, ConfigurationError: as the sender says; what did not leave is not unknown.
    """
    number, ledger = batch.source.number, run.ledger.ledger
    # Of a call that failed: whether what it had on its way arrived, nobody knows.
    lost = await run.persist(ledger.note_lost, run.name, run=run.id, batch=number)
    run.report.count_outcomes(lost, name=run.example_column)
    delivered = await run.persist(ledger.delivered, run.name, run.id, number)
    rows = batch.accepted.join(delivered, on=SOURCE_PK, how="anti", maintain_order="left")
    started = time.perf_counter()
    departure = await run.timed("encode", loaded, run, rows)
    departing = Departing(run, number, *departure)
    outstanding = await deliver(departing.requests(), sender=run.sender, commit=departing.commit, heard=departing.heard)
    run.report.add_seconds("send", time.perf_counter() - started)
    if departing.failure is not None:
        await outstanding.committed()
        raise error_of(departing.failure)
    batch.outstanding = outstanding
    del batch.accepted


def loaded(run: SyncRun[EventWork], rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Load]]:
    """Rows in the order in which they leave, with what they are billed, and the requests that they fill."""
    rows = rows.with_columns(run.sink.price(rows, run.mapping.columns, None).cast(pl.Int64).alias(POINTS))
    writes = run.sink.writes(rows, run.mapping, whole=False)
    encoded = [
        each.rows.with_columns(each.encode(each.rows).alias(OBJECT), pl.lit(place).alias(WRITE))
        for place, each in enumerate(writes)
    ]
    ordered = in_order(pl.concat(encoded).with_columns(run.sink.parts().cast(pl.Int64).alias(PARTS)))
    return ordered.drop(OBJECT), list(loads(ordered, [each.envelope for each in writes], run.report.requests + 1))


class Departing:
    """The requests of a batch on their way.

    Args:
        run: the run.
        batch: number of the batch.
        rows: in the order of the loads.
        departure: the loads; one that follows another waits for its answer.

    Attributes:
        failure: why nothing more leaves; None while all goes well.
    """

    def __init__(self, run: SyncRun[EventWork], batch: int, rows: pl.DataFrame, departure: Sequence[Load]) -> None:
        self._run, self._batch, self._rows = run, batch, rows
        self._ready = deque(each for each in departure if not each.follows)
        self._later = {each.request.number - 1: each for each in departure if each.follows}
        self._unsettled: dict[int, Load] = {}
        self._moved = asyncio.Event()
        self._sending = sending_of(run, batch, rows, journalled=True)
        self._let_go = LET_GO_SCHEMA.to_frame()  # what leaves once more, as it stood before
        self.failure: Failure | None = None

    async def requests(self) -> AsyncIterator[Request]:
        """The requests, each noted before it is given; as answers and outcomes make room for them."""
        while (self._ready or self._later) and self.failure is None:
            while not self._ready or len(self._unsettled) > MOST_UNSETTLED - NOTED_TOGETHER:
                if self.failure is not None:
                    return
                self._moved.clear()
                await self._moved.wait()
            group = [self._ready.popleft() for _ in range(min(NOTED_TOGETHER, len(self._ready)))]
            await self._note(group)
            for place, load in enumerate(group):
                if self.failure is not None:
                    await self._withdraw(group[place:])
                    return
                self._unsettled[load.request.number] = load
                self._run.report.requests += 1
                yield load.request

    def heard(self, answer: Answer) -> None:
        """An answer has come: who follows may leave, unless nothing more does."""
        if answer.withheld is not None:
            self.failure = self.failure or answer.withheld
        elif (follower := self._later.pop(answer.number, None)) is not None:
            self._ready.append(follower)
        self._moved.set()

    async def commit(self, answers: Sequence[Answer]) -> None:
        """Write down what became of these requests."""
        run, withheld = self._run, [each for each in answers if each.withheld is not None]
        if withheld:
            await self._withdraw([self._unsettled[each.number] for each in withheld])
        answered = [each for each in answers if each.withheld is None]
        run.report.count_answers(answered)
        whole = [each for each in answered if not each.rejected and not each.unknown]
        if whole:
            await self._record_taken(whole)
        others = [self._outcomes(each) for each in answered if each.rejected or each.unknown]
        if others:
            await record_outcomes(run, self._batch, pl.concat(others), part="profile", journalled=True)
        for each in answers:
            del self._unsettled[each.number]
        self._moved.set()

    async def _record_taken(self, answers: Sequence[Answer]) -> None:
        run, held = self._run, [self._unsettled[each.number] for each in answers]
        accepted = [
            Accepted(int(load.rows[0]), len(load.rows), each.number, each.status)
            for each, load in zip(answers, held, strict=True)
        ]
        await run.persist(run.ledger.ledger.record_sent, self._sending, accepted)
        run.report.count_sent(sum(each.count for each in accepted))
        rows = self._rows[np.concatenate([load.rows for load in held])]
        run.report.data_points += int(rows[POINTS].sum())
        if run.times.known:
            run.times.sent(rows[CHANGED_AT])

    def _outcomes(self, answer: Answer) -> pl.DataFrame:
        """The rows of a request that was not taken whole, with what became of each; of a row in parts, of them all."""
        load = self._unsettled[answer.number]
        refused: dict[int, list[str]] = {}
        places = load.places()
        for index, words in answer.rejected:
            refused.setdefault(int(places[index]), []).append(words)
        verdicts: list[str] = []
        reasons: list[str | None] = []
        for place, parts in zip(load.rows.tolist(), load.parts.tolist(), strict=True):
            said = refused.get(place, [])
            verdict, reason = _outcome(said, parts, answer.unknown)
            verdicts.append(verdict.value)
            reasons.append(reason)
        return self._rows[load.rows].with_columns(
            pl.Series("verdict", verdicts, dtype=pl.String),
            pl.Series("reason", reasons, dtype=pl.String),
            pl.lit(answer.number, dtype=pl.Int64).alias("request"),
            pl.lit(answer.status, dtype=pl.Int64).alias("status"),
        )

    async def _note(self, group: Sequence[Load]) -> None:
        run = self._run
        numbers = np.repeat([load.request.number for load in group], [len(load.rows) for load in group])
        rows = self._rows[np.concatenate([load.rows for load in group])]
        let_go = await run.persist(
            run.ledger.ledger.note_departure,
            sync=run.name,
            run=run.id,
            batch=self._batch,
            rows=rows.with_columns(pl.Series("request", numbers, dtype=pl.Int64)),
            mapping_version=run.versions.mapping,
            suite_version=run.versions.suite,
        )
        self._let_go = self._let_go.vstack(let_go)

    async def _withdraw(self, group: Sequence[Load]) -> None:
        rows = self._rows[np.concatenate([load.rows for load in group])]
        await self._run.persist(self._run.ledger.ledger.note_not_left, self._run.name, rows, self._let_go)


def _outcome(refused: Sequence[str], parts: int, unknown: str) -> tuple[Verdict, str | None]:
    """What became of a row of so many objects, of which some were refused in these words."""
    if len(refused) == parts:
        return Verdict.REJECTED, refused[0]
    if refused:  # what is there is a part of it: neither sent, nor to be sent again
        return Verdict.UNKNOWN, f"{len(refused)} of its {parts} objects were refused: {refused[0]}"
    return (Verdict.UNKNOWN, unknown) if unknown else (Verdict.SENT, None)
