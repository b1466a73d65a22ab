"""The line of deals."""

from caspio_sync.engine.line import Batch, Line, Step
from caspio_sync.engine.plan import Planning
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.steps import BLOCK, COMPARE, GATE, KEEP, MAP, RECORD, SEND, STOP, plan_first
from caspio_sync.kinds.deals.work import DealWork, begin, with_numbers, withhold_erased_people
from caspio_sync.verification.step import VERIFY


async def _begin(run: SyncRun[DealWork]) -> None:
    """What cannot be done with deals is refused before anything is read."""
    await begin(run)


async def _plan_begin(planning: Planning, run: SyncRun[DealWork]) -> None:
    await begin(run)
    await plan_first(planning, run)


async def _withhold(run: SyncRun[DealWork], batch: Batch) -> None:
    """The deals of people who were erased."""
    await withhold_erased_people(run, batch)


async def _plan_withhold(_: Planning, run: SyncRun[DealWork], batch: Batch) -> None:
    await withhold_erased_people(run, batch)


async def _find_numbers(run: SyncRun[DealWork], batch: Batch) -> None:
    """Under which numbers the deals are there; what is about to be made is noted, so that it is never made twice."""
    batch.accepted = await with_numbers(run, batch.accepted)


async def _plan_find_numbers(_: Planning, run: SyncRun[DealWork], batch: Batch) -> None:
    await _find_numbers(run, batch)


BEGIN = Step("", _begin, plan=_plan_begin)
WITHHOLD = Step("", _withhold, plan=_plan_withhold, turn="compare")
FIND_NUMBERS = Step("find numbers", _find_numbers, plan=_plan_find_numbers, turn="send")

DEALS = Line(
    before=(BEGIN,),
    batch=(MAP, COMPARE, WITHHOLD, STOP, GATE, BLOCK, KEEP, FIND_NUMBERS, SEND, RECORD),
    after=(),
    closed=(VERIFY,),
)
