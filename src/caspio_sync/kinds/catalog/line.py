"""The line of catalogs."""

from caspio_sync.delivery.requests import count_requests
from caspio_sync.engine.line import Batch, Line, Step, alike
from caspio_sync.engine.plan import ItemsPlan, Planning
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.steps import BASELINE, BLOCK, COMPARE, GATE, MAP, RECORD, SEND, STOP, plan_first
from caspio_sync.kinds.catalog import items as catalog_items
from caspio_sync.kinds.catalog import vanished
from caspio_sync.kinds.catalog.work import CatalogWork
from caspio_sync.observe.verify_report import EXAMPLES
from caspio_sync.schemas import KEY
from caspio_sync.verification.step import VERIFY


async def _look_back(run: SyncRun[CatalogWork], batch: Batch) -> None:
    """What the gate holds items against: their last price, and how many rows there were."""
    batch.changes = await catalog_items.with_last_read(run, batch.changes)


async def _plan_vanished(planning: Planning, run: SyncRun[CatalogWork]) -> None:
    """The catalog's part: schema changes, deletions, and how long it takes."""
    work, plan = run.work, planning.plan
    found = None if plan.blocked else await vanished.find_vanished(run)
    plan.blocked = plan.blocked or (found.blocked if found else None)
    going = found.ids if found else None
    if going is not None:
        run.report.requests += sum(
            count_requests(write.encode(write.rows), envelope=write.envelope) for write in run.sink.deletes(going)
        )
    limits = run.sink.limits(run.account)
    run.report.notes += work.change.notes
    plan.items = ItemsPlan(
        schema_changes=work.change.lines,
        write=plan.to_send,
        delete=None if going is None else going.height,
        examples=[] if going is None else going[KEY].head(EXAMPLES).to_list(),
        unchanged=run.report.unchanged,
        requests=run.report.requests,
        seconds=run.report.requests / limits.requests * limits.window_seconds,
    )


KEEP_SCHEMA = Step("keep schema", catalog_items.keep_schema, plan=plan_first)
LOOK_BACK = Step("", _look_back, plan=alike(_look_back), turn="gate")
DELETE_VANISHED = Step("delete vanished", vanished.delete_vanished, plan=_plan_vanished)

CATALOG = Line(
    before=(KEEP_SCHEMA,),
    batch=(MAP, COMPARE, STOP, LOOK_BACK, GATE, BLOCK, BASELINE, SEND, RECORD),
    after=(DELETE_VANISHED,),
    closed=(VERIFY,),
)
