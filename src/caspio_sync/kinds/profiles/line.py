"""The line of profiles."""

import polars as pl

from caspio_sync.engine import sending
from caspio_sync.engine.duplicate_consent import read_owners_again, settle_words
from caspio_sync.engine.line import Batch, Line, Step, alike
from caspio_sync.engine.plan import Planning, count_opt_outs
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.steps import BASELINE, BLOCK, COMPARE, GATE, KEEP, MAP, RECORD, SEND, STOP, erase, plan_first
from caspio_sync.engine.writes import ENROL
from caspio_sync.kinds.profiles.enrolling import with_enrolments
from caspio_sync.kinds.profiles.following import with_known_keys
from caspio_sync.kinds.profiles.identifying import identify_new
from caspio_sync.kinds.profiles.segments import with_marks
from caspio_sync.kinds.profiles.words import with_others
from caspio_sync.kinds.profiles.work import ProfileWork
from caspio_sync.schemas import SOURCE_PK
from caspio_sync.verification.step import VERIFY

_KNOWN = pl.col("_op") == "changed"


async def _follow(run: SyncRun[ProfileWork], batch: Batch) -> None:
    """Whose key changed is looked for under the one that is known there."""
    batch.changes = await with_known_keys(run, batch.changes, batch.source.low, batch.source.high)


async def _plan_follow(_: Planning, run: SyncRun[ProfileWork], batch: Batch) -> None:
    if run.sink.follows_keys:
        await _follow(run, batch)


async def _send_opt_outs(run: SyncRun, batch: Batch) -> None:
    """What became more restrictive, alone and ahead of everything else of these users; though the run is blocked.

    A new row's consent travels with it.
    """
    leaving = batch.changes if run.blocked else batch.changes.filter(_KNOWN)
    batch.opt_outs = await sending.send_opt_outs(run, batch.source.number, leaving)


async def _plan_opt_outs(planning: Planning, run: SyncRun, batch: Batch) -> None:
    count_opt_outs(planning, run, batch.changes.filter(_KNOWN))


async def _send_opt_outs_of_staying(run: SyncRun, batch: Batch) -> None:
    """Where a new row has to stay, its opt-out leaves all the same."""
    await sending.send_opt_outs(run, batch.source.number, _staying(run, batch).filter(~_KNOWN))


async def _plan_opt_outs_of_staying(planning: Planning, run: SyncRun, batch: Batch) -> None:
    count_opt_outs(planning, run, _staying(run, batch).filter(~_KNOWN))


def _staying(run: SyncRun, batch: Batch) -> pl.DataFrame:
    """The changes that will not leave: held by the gate, alone or with their batch, or without a required consent."""
    if batch.blocked is not None:
        return batch.changes
    leaving, _ = sending.without_required_consent(run, batch.accepted)
    return batch.changes.join(leaving, on=SOURCE_PK, how="anti", maintain_order="left")


async def _identify(run: SyncRun[ProfileWork], batch: Batch) -> None:
    """New rows' ids, given to the profiles known by their addresses alone; repeating it is harmless."""
    batch.accepted = await identify_new(run, batch.source.number, batch.accepted)


async def _enrol(run: SyncRun[ProfileWork], batch: Batch) -> None:
    """Who enters an automation."""
    batch.accepted = await with_enrolments(run, batch)


async def _plan_enrol(planning: Planning, run: SyncRun[ProfileWork], batch: Batch) -> None:
    await _enrol(run, batch)
    if batch.blocked is None:
        leaving, _ = sending.without_required_consent(run, batch.accepted)
        for name, people in leaving.select(pl.col(ENROL).explode()).drop_nulls().to_series().value_counts().rows():
            planning.plan.enrolled[name] = planning.plan.enrolled.get(name, 0) + people


async def _mark(run: SyncRun[ProfileWork], batch: Batch) -> None:
    """Who goes back to a list that a condition took them off."""
    batch.accepted = await with_marks(run, batch.accepted)


async def _look_for_words(run: SyncRun[ProfileWork], batch: Batch) -> None:
    """Of whom other words may be there."""
    batch.accepted = await with_others(run, batch)


ERASE = Step("erase", erase, plan=plan_first)
FOLLOW = Step("", _follow, plan=_plan_follow, turn="compare", when=lambda run: run.sink.follows_keys)
OPT_OUTS = Step("send opt-outs", _send_opt_outs, plan=_plan_opt_outs, turn="gate")
OPT_OUTS_OF_STAYING = Step("send opt-outs", _send_opt_outs_of_staying, plan=_plan_opt_outs_of_staying, turn="gate")
IDENTIFY = Step(
    "identify",
    _identify,
    turn="send",
    when=lambda run: run.work.definition.identity.on_new == "identify_by_email",
)
ENROLMENTS = Step("", _enrol, plan=_plan_enrol, turn="send", when=lambda run: bool(run.work.definition.automations))
SEGMENTS = Step("", _mark, plan=alike(_mark), turn="send", when=lambda run: bool(run.work.definition.segment_columns))
WORDS = Step(
    "", _look_for_words, plan=alike(_look_for_words), turn="send", when=lambda run: bool(run.work.definition.tag_words)
)
SETTLE = Step("", settle_words, when=lambda run: run.reading.again)

PROFILES = Line(
    before=(ERASE,),
    batch=(
        MAP,
        COMPARE,
        FOLLOW,
        OPT_OUTS,
        STOP,
        GATE,
        OPT_OUTS_OF_STAYING,
        BLOCK,
        BASELINE,
        IDENTIFY,
        KEEP,
        ENROLMENTS,
        SEGMENTS,
        WORDS,
        SEND,
        RECORD,
    ),
    again=read_owners_again,  # of whom another row says "no"
    after=(SETTLE,),
    closed=(VERIFY,),
)
