"""The line of events and purchases."""

from collections import Counter

import orjson
import polars as pl

from caspio_sync.engine.comparing import count_full
from caspio_sync.engine.line import Batch, Line, Row, Step, alike
from caspio_sync.engine.plan import EventsPlan, Planning
from caspio_sync.engine.recording import POINTS
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.steps import BASELINE, BLOCK, GATE, KEEP, MAP, RECORD, STOP, erase, holding_against
from caspio_sync.kinds.events.comparing import find_alone, find_unsent
from caspio_sync.kinds.events.definition import TIME
from caspio_sync.kinds.events.first_run import refuse_sent_before, sent_before
from caspio_sync.kinds.events.loading import PARTS
from caspio_sync.kinds.events.sending import loaded, send_events
from caspio_sync.kinds.events.work import EventWork, begin, count_leaving, end, read_lines, with_clock, with_people
from caspio_sync.schemas import KEY, Verdict


async def _begin(run: SyncRun[EventWork]) -> None:
    """What former runs left without an answer, told before anything leaves."""
    await begin(run)


async def _plan_begin(planning: Planning, run: SyncRun[EventWork]) -> None:
    await begin(run)
    unknown = (await run.ledger.do(run.ledger.ledger.count_unknown)).get(run.name, 0)
    planning.plan.events = EventsPlan(unknown=unknown)
    if run.sink.ending:
        planning.warnings.append(run.sink.ending)


async def _read_lines(run: SyncRun[EventWork], batch: Batch) -> None:
    """The lines of a batch's orders, joined to them."""
    await read_lines(run, batch)


async def _find_alone(row: Row) -> None:
    """Whether the row's present version left."""
    find_alone(row)


async def _look_at_clock(run: SyncRun[EventWork], batch: Batch) -> None:
    """What the gate holds the time of an event against."""
    batch.changes = with_clock(run, batch.changes)


async def _look_for_people(run: SyncRun[EventWork], batch: Batch) -> None:
    """Who is not known there yet, where events wait for them."""
    batch.changes = await with_people(run, batch.changes)


async def _count_leaving(run: SyncRun[EventWork], batch: Batch) -> None:
    """How many go on their way: what the next ones are held against."""
    await count_leaving(run, batch.accepted.height)


async def _look_for_sent(run: SyncRun[EventWork], batch: Batch) -> None:
    """Whether the first events of a ledger are there already, before any of them leaves."""
    await refuse_sent_before(run, batch.accepted)


async def _plan_look_for_sent(planning: Planning, run: SyncRun[EventWork], batch: Batch) -> None:
    if (said := await sent_before(run, batch.accepted)) is not None:
        planning.warnings.append(said)


async def _plan_send(planning: Planning, run: SyncRun[EventWork], batch: Batch) -> None:
    """How many would go, since when, and what they cost."""
    held = batch.held.with_columns(verdict=pl.lit(Verdict.QUARANTINED.value))
    run.report.count_outcomes(held, name=run.example_column)
    count_full(run, held, -1)
    plan = planning.plan
    assert plan.events is not None
    if batch.blocked is not None:
        return
    rows, departure = loaded(run, batch.accepted)
    run.report.requests += len(departure)
    for envelope, requests in Counter(load.request.envelope for load in departure).items():
        if (priced := run.sink.calls(run.account, envelope, requests)) is not None:
            plan.calls = (plan.calls or 0) + priced[0]
            plan.seconds += priced[1]
    if run.sink.awaits_people:
        calls, seconds = run.sink.questions(run.account, rows[KEY].n_unique())
        plan.calls, plan.seconds = (plan.calls or 0) + calls, plan.seconds + seconds
    run.report.data_points += int(rows[POINTS].sum())
    plan.to_send += rows.height
    plan.events.add(rows[TIME], int(rows[PARTS].sum()))
    missing = max(0, planning.show - len(plan.samples))
    bodies = (orjson.loads(load.request.body)[load.request.envelope.array] for load in departure[:missing])
    plan.samples += [each for body in bodies for each in body][:missing]


async def _end(run: SyncRun[EventWork]) -> None:
    """What was left alone, told."""
    await end(run)


async def _plan_end(_: Planning, run: SyncRun[EventWork]) -> None:
    await end(run)


BEGIN = Step("", _begin, plan=_plan_begin)
ERASE = Step("erase", erase)
READ_LINES = Step(
    "read lines", _read_lines, plan=alike(_read_lines), turn="lines", when=lambda run: run.work.lines is not None
)
FIND_UNSENT = holding_against("find unsent", find_unsent, _find_alone)
LOOK_AT_CLOCK = Step("", _look_at_clock, plan=alike(_look_at_clock), turn="gate")
LOOK_FOR_PEOPLE = Step("", _look_for_people, plan=alike(_look_for_people), turn="gate")
COUNT_LEAVING = Step("", _count_leaving, plan=alike(_count_leaving), turn="gate")
LOOK_FOR_SENT = Step(
    "look for sent events",
    _look_for_sent,
    plan=_plan_look_for_sent,
    turn="send",
    when=lambda run: run.work.is_first and not run.options.not_ours,
)
SEND_EVENTS = Step("send events", send_events, plan=_plan_send, turn="send")
END = Step("", _end, plan=_plan_end)

EVENTS = Line(
    before=(BEGIN, ERASE),
    batch=(
        READ_LINES,
        MAP,
        FIND_UNSENT,
        STOP,
        LOOK_AT_CLOCK,
        LOOK_FOR_PEOPLE,
        GATE,
        BLOCK,
        COUNT_LEAVING,
        BASELINE,
        LOOK_FOR_SENT,
        KEEP,
        SEND_EVENTS,
        RECORD,
    ),
    after=(END,),
)
