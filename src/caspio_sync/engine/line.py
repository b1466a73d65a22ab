"""A kind's steps in order, written once: the flow under Prefect, a run without it, and a plan go along one line."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.consent import ConsentRules
from caspio_sync.delivery.outcomes import Outstanding
from caspio_sync.engine.gates import Gates
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.plan import Plan, Planning
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import CaspioSyncError, TransientError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.observe.report import RunReport
from caspio_sync.registry import found
from caspio_sync.schemas import CheckResult

# Seconds before a step is tried again. Minutes, not hours: what takes longer belongs to the schedule.
RETRY_DELAYS = (10.0, 30.0, 90.0)

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Batch:
    """A batch on its way, with what the steps make of it; a step lets go of what no later one needs.

    Args:
        source: as it was read.

    Attributes:
        mapped: its mapped frame.
        changes: its rows that are new or changed, with all of their columns.
        compared: the rest of what finding its changes gave; the step that records it knows what it is.
        opt_outs: what became of the opt-outs that left ahead (`sending.send_opt_outs`); None where none can.
        accepted: changes that the gate lets pass.
        held: changes that it sets aside, with `reason`.
        blocked: why nothing of the batch may be sent; None where it may.
        outstanding: outcomes that are still on their way to the ledger.
        written: what became of the rows that were to be written to Caspio.
        ended: it goes no further.
    """

    mapped: pl.DataFrame
    changes: pl.DataFrame
    compared: Any
    accepted: pl.DataFrame
    held: pl.DataFrame
    outstanding: Outstanding
    written: pl.DataFrame

    # No dataclass: Prefect reads every field of one that a task is given, and some are not there yet.
    def __init__(self, source: SourceBatch) -> None:
        self.source = source
        self.opt_outs: pl.DataFrame | None = None
        self.blocked: str | None = None
        self.ended = False


@dataclass(slots=True)
class Row:
    """A row that is looked at alone, without a run, with what the steps make of it.

    Args:
        sync: name of the sync.
        source: source frame of the one row.
        mapping: with the consent columns of former mappings.
        ledger: where the row's past is; nothing is written to it.
        consent: what the destination makes of consent.
        gates: judge it.

    Attributes:
        own: its mapped frame.
        mapped: the same with the most restrictive consent that any row of its key states.
        changes: `mapped` and how it differs from what was acknowledged; where it does not, `_changed` is empty.
        operation: "new" or "changed"; None where all of it was acknowledged.
        words: what other rows of its key say of consent.
        checks: what the gate says of it.
        ended: it goes no further: what its kind makes of a row, only a run can tell.
    """

    sync: str
    source: pl.DataFrame
    mapping: RowMapping
    ledger: Ledger
    consent: ConsentRules
    gates: Gates
    own: pl.DataFrame = field(init=False)
    mapped: pl.DataFrame = field(init=False)
    changes: pl.DataFrame = field(init=False)
    operation: str | None = field(init=False)
    words: pl.DataFrame = field(init=False)
    checks: Sequence[CheckResult] = field(init=False)
    ended: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Step(Generic[P, R_co]):
    """One station.

    Args:
        name: of its task in Prefect; "" for what is too small to be one.
        do: what happens there; harmless where it is repeated.
        plan: what a dry run does instead; None: nothing.
        alone: what becomes of a row here that is looked at alone; None: nothing.
        turn: stations next to each other with the same turn take one batch at a time, in the order of the batches.
        when: whether this run comes by; None: each one does.
        repeated: whether it is tried again after an error that may pass by itself.
    """

    name: str
    do: Callable[Concatenate[SyncRun, P], Awaitable[R_co]]
    plan: Callable[Concatenate[Planning, SyncRun, P], Awaitable[None]] | None = None
    alone: Callable[[Row], Awaitable[None]] | None = None
    turn: str = ""
    when: Callable[[SyncRun], bool] | None = None
    repeated: bool = True

    def is_of(self, run: SyncRun) -> bool:
        """Whether the run comes by."""
        return self.when is None or self.when(run)


def alike(
    do: Callable[Concatenate[SyncRun, P], Awaitable[None]],
) -> Callable[Concatenate[Planning, SyncRun, P], Awaitable[None]]:
    """For a step at which a dry run does what a run does."""

    async def plan(_: Planning, run: SyncRun, /, *args: P.args, **kwargs: P.kwargs) -> None:
        await do(run, *args, **kwargs)

    return plan


@dataclass(frozen=True, slots=True)
class Line:
    """The steps of a kind.

    Args:
        before: once, before the first batch.
        batch: of each batch.
        again: once all batches are recorded: whether there are others now; they go the same way, once.
        after: once, after the last batch.
        closed: once the run has ended well and holds the sync no longer.
    """

    before: Sequence[Step[[], None]]
    batch: Sequence[Step[[Batch], None]]
    again: Callable[[SyncRun], Awaitable[bool]] | None = None
    after: Sequence[Step[[], None]] = ()
    closed: Sequence[Step[[], None]] = ()


def line_of(sync: Sync) -> Line:
    """The line of the sync's kind."""
    line: Line = found(kind_of(sync).line)
    return line


async def _extract(run: SyncRun) -> SourceBatch | None:
    return await run.reading.next_batch()


EXTRACT: Step[[], SourceBatch | None] = Step("extract", _extract)


class Station(Protocol):
    """How a step is called."""

    def __call__(self, step: Step[P, R_co], /) -> Callable[Concatenate[SyncRun, P], Awaitable[R_co]]:
        """The step as a call: its own, or a task that wraps it."""


def bare(step: Step[P, R_co]) -> Callable[Concatenate[SyncRun, P], Awaitable[R_co]]:
    """A step without an orchestrator: where it is repeated, after RETRY_DELAYS."""

    @functools.wraps(step.do)
    async def repeated(run: SyncRun, *args: P.args, **kwargs: P.kwargs) -> R_co:
        for delay in RETRY_DELAYS:
            try:
                return await step.do(run, *args, **kwargs)
            except TransientError:
                await run.clock.sleep(delay)
        return await step.do(run, *args, **kwargs)

    return repeated if step.repeated else step.do


async def run_line(run: SyncRun, line: Line, station: Station = bare) -> None:
    """Take every batch of an open run along the line, each station at its own batch.

    Args:
        run: opened by `open_run`.
        line: of the run's kind.
        station: how steps are called.

    Raises:
        CaspioSyncError: as the first step that failed says.
    """
    run.turns.orchestrated = station is not bare
    await _go_by(run, line.before, station)
    await _move_all(run, line, station)
    if line.again is not None and await line.again(run):
        await _move_all(run, line, station)
    await _go_by(run, line.after, station)


async def run_and_close(
    opening: AbstractAsyncContextManager[SyncRun], line: Line, station: Station = bare
) -> RunReport:
    """As `run_line`, for a run that is opened here, to its report; what comes once it is closed as well."""
    async with opening as run:
        await run_line(run, line, station)
    await _go_by(run, line.closed, station)
    return run.report


async def _go_by(run: SyncRun, steps: Sequence[Step[[], None]], station: Station) -> None:
    """Take those steps of a run that it comes by."""
    for step in steps:
        if step.is_of(run):
            await station(step)(run)


async def _move_all(run: SyncRun, line: Line, station: Station) -> None:
    async with _together() as moving:
        while (batch := await station(EXTRACT)(run)) is not None:
            moving.create_task(move(run, line, Batch(batch), station))


async def move(run: SyncRun, line: Line, batch: Batch, station: Station = bare) -> None:
    """Take one batch from Caspio's columns to the ledger, while the next one is at the stations before."""
    async with run.turns.on_its_way(batch.source):
        steps = [step for step in line.batch if step.is_of(run)]
        for turn, stations in groupby(steps, key=lambda step: step.turn):
            async with run.turns.turn(turn):
                for step in stations:
                    await station(step)(run, batch)
                    if batch.ended:
                        return


async def plan_line(run: SyncRun, line: Line, *, show: int = 0) -> Plan:
    """Go along the line as a run would, writing nothing anywhere.

    Args:
        run: opened by `open_plan`.
        line: of the run's kind.
        show: how many sample objects to keep.
    """
    planning = Planning(run, show)
    await _plan_by(run, line.before, planning)
    while (read := await run.reading.next_batch()) is not None:
        batch = Batch(read)
        async with run.turns.on_its_way(read):
            for step in line.batch:
                if step.plan is not None:
                    await step.plan(planning, run, batch)
    await _plan_by(run, line.after, planning)
    return await planning.concluded(run)


async def _plan_by(run: SyncRun, steps: Sequence[Step[[], None]], planning: Planning) -> None:
    for step in steps:
        if step.plan is not None:
            await step.plan(planning, run)


async def look_at(row: Row, line: Line) -> None:
    """Take a row along the line as a run would, as far as a look at it alone goes."""
    for step in line.batch:
        if step.alone is not None and not row.ended:
            await step.alone(row)


@contextlib.asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the error that broke it instead of a group of one; ours before others."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        ours, others = errors.split(CaspioSyncError)
        raise _first(ours or others or errors) from errors


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
