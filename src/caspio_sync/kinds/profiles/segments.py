"""Who goes back to a list that a condition took them off: while nothing was changed there since."""

from collections.abc import Sequence

import polars as pl

from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.writes import MARKED
from caspio_sync.kinds.profiles.enrolling import former_hashes
from caspio_sync.ledger.compare import send
from caspio_sync.ledger.list_marks import LIST_MARK_SCHEMA
from caspio_sync.mapping.segments import SEGMENT_PREFIX, is_segment


async def with_marks(run: SyncRun, rows: pl.DataFrame) -> pl.DataFrame:
    """The accepted rows with MARKED and the name of each segment: null where the row does not go back to it."""
    names = [each.name for each in run.mapping.columns if is_segment(each.name)]
    back = {name: pl.col(send(name)) & pl.col(name).is_not_null() for name in names}
    asking = rows.filter(pl.any_horizontal(pl.lit(value=False), *back.values()))
    store = run.ledger.ledger
    formers = former_hashes(run, asking)
    if formers.height and not run.planned:
        await run.persist(store.rename_marked, run.name, formers)
    known = LIST_MARK_SCHEMA.to_frame()
    if asking.height:
        known = await run.ledger.do(store.list_marks, run.name, asking["key_hash"])
    for name in names:
        marks = known.filter(pl.col("list") == name.removeprefix(SEGMENT_PREFIX)).select("key_hash", _mark="mark")
        rows = rows.join(marks, on="key_hash", how="left", maintain_order="left")
        rows = rows.with_columns(pl.when(back[name]).then("_mark").alias(f"{MARKED}{name}")).drop("_mark")
    return rows


async def record_marks(run: SyncRun, rows: pl.DataFrame, answers: Sequence[Answer]) -> None:
    """Remember the memberships that were ended, or taken up again, by the answers to the requests of these rows."""
    told = [mark for each in answers for mark in each.marks]
    if told:
        marks = pl.DataFrame(told, ["place", "list", "mark"], orient="row")
        noted = marks.with_columns(rows["key_hash"].gather(marks["place"])).select(LIST_MARK_SCHEMA.names())
        await run.persist(run.ledger.ledger.note_list_marks, run.name, noted)
