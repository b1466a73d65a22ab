"""Rows whose key changed, where a destination knows the same person under another key: under which one it does."""

import polars as pl

from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.profiles.work import ProfileWork
from caspio_sync.ledger.compare import MOVED_FROM
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.schemas import KEY, SOURCE_PK


async def with_sent_keys(run: SyncRun[ProfileWork], changes: pl.DataFrame, low: int, high: int) -> pl.DataFrame:
    """The changes, each with the key under which its person is known there, in `_moved_from`; null where as now.

    A row that was held since its key changed is known there under the key before.

    Args:
        run: the run; a plan writes nothing down.
        changes: of a batch.
        low: smallest PK_ID of the batch.
        high: largest.
    """
    store = run.ledger.ledger
    fresh = changes.filter(pl.col(MOVED_FROM).is_not_null()).select(SOURCE_PK, pl.col(MOVED_FROM).alias(KEY))
    if not run.planned and not fresh.is_empty():
        await run.persist(store.note_moved, run.name, fresh.with_columns(key_hashes(fresh[KEY], run.salt)))
    noted = await run.ledger.do(store.moved_keys, run.name, low, high)
    if noted.is_empty():
        return changes
    noted = noted.rename({KEY: "_noted"})
    known = pl.coalesce("_noted", MOVED_FROM)
    joined = changes.join(noted, on=SOURCE_PK, how="left", maintain_order="left")
    return joined.with_columns(pl.when(known != pl.col(KEY)).then(known).alias(MOVED_FROM)).drop("_noted")
