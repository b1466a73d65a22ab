"""The line of catalogs."""

from caspio_sync.run.catalogs import catalog_items, vanished
from caspio_sync.run.catalogs.catalog_work import CatalogWork
from caspio_sync.run.context import SyncRun
from caspio_sync.run.line import Batch, Line, Step, alike
from caspio_sync.run.planning import Planning, count_items
from caspio_sync.run.steps import BASELINE, BLOCK, COMPARE, GATE, MAP, RECORD, SEND, STOP, VERIFY, plan_first


async def _keep_schema(run: SyncRun[CatalogWork]) -> None:
    """Make the catalog, or the fields it lacks; a repeated call looks first what is there."""
    await catalog_items.keep_schema(run)


async def _look_back(run: SyncRun[CatalogWork], batch: Batch) -> None:
    """What the gate holds items against: their last price, and how many rows there were."""
    batch.changes = await catalog_items.with_last_read(run, batch.changes)


async def _delete_vanished(run: SyncRun[CatalogWork]) -> None:
    """Delete the items whose row is gone; a repeated call goes on where the failed one stood."""
    await vanished.delete_vanished(run)


async def _plan_vanished(planning: Planning, run: SyncRun[CatalogWork]) -> None:
    await count_items(run, planning.plan)


KEEP_SCHEMA = Step("keep schema", _keep_schema, plan=plan_first)
LOOK_BACK = Step("", _look_back, plan=alike(_look_back), turn="gate")
DELETE_VANISHED = Step("delete vanished", _delete_vanished, plan=_plan_vanished)

CATALOG = Line(
    before=(KEEP_SCHEMA,),
    batch=(MAP, COMPARE, STOP, LOOK_BACK, GATE, BLOCK, BASELINE, SEND, RECORD),
    after=(DELETE_VANISHED,),
    closed=(VERIFY,),
)
