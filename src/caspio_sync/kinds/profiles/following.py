"""Rows whose key changed, where a destination knows the same person under another key: under which one it may."""

import polars as pl

from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.writes import KNOWN_AS, LEFT_BEHIND
from caspio_sync.kinds.profiles.work import ProfileWork
from caspio_sync.ledger.compare import MOVED_FROM
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.moved_keys import LEFT
from caspio_sync.schemas import KEY, SOURCE_PK


async def with_known_keys(run: SyncRun[ProfileWork], changes: pl.DataFrame, low: int, high: int) -> pl.DataFrame:
    """The changes with `_known_as`: keys by which the row's person may be known there; null where by its own alone.

    And `_left_behind`: of a row that has another one's key now, those that it gave up; null where there are none.

    Its own is among them, and the first, where the row was sent under it before it had another one for a while: what
    has that other one there may be somebody else, whose address was typed by mistake.

    What is noted is noted before anything is sent: should the run die, the person has the former key, or this one.

    Args:
        run: the run; a plan writes nothing down.
        changes: of a batch.
        low: smallest PK_ID of the batch.
        high: largest.
    """
    store = run.ledger.ledger
    fresh = changes.filter(pl.col(MOVED_FROM).is_not_null())
    noted = await run.ledger.do(store.moved_keys, run.name, low, high)
    was_left = pl.col("was_sent") == LEFT
    left, noted = noted.filter(was_left), noted.filter(~was_left)
    former = fresh.select(SOURCE_PK, pl.col(MOVED_FROM).alias(KEY))
    tried = changes.filter(pl.col(SOURCE_PK).is_in(pl.concat([fresh[SOURCE_PK], noted[SOURCE_PK]]).implode()))
    if not run.planned and not tried.is_empty():
        sent = former.join(noted.select(SOURCE_PK), on=SOURCE_PK, how="anti", maintain_order="left")
        keys = [(sent, True), (former, False), (tried.select(SOURCE_PK, KEY).drop_nulls(), False)]
        named = pl.concat([each.with_columns(was_sent=pl.lit(was)) for each, was in keys])
        await run.persist(store.note_moved, run.name, named.with_columns(key_hashes(named[KEY], run.salt)))
    back = noted.filter(pl.col("was_sent") > 0).join(changes, on=[SOURCE_PK, KEY], how="semi")
    if not run.planned and not back.is_empty():
        await run.persist(store.note_back, run.name, back)
    names = pl.concat([noted.select(former.columns), former]).unique(maintain_order=True)
    others = (
        names.join(changes.select(SOURCE_PK, _own=KEY), on=SOURCE_PK, how="inner", maintain_order="left")
        .join(
            back.select(SOURCE_PK, KEY, is_back=pl.lit(value=True)),
            on=[SOURCE_PK, KEY],
            how="left",
            maintain_order="left",
        )
        .filter((pl.col(KEY) != pl.col("_own")) | pl.col("is_back"))
        .filter((pl.col(KEY) != pl.col("_own")).any().over(SOURCE_PK))
        .group_by(SOURCE_PK, maintain_order=True)
        .agg(pl.col(KEY).alias(KNOWN_AS))
    )
    behind = left.group_by(SOURCE_PK, maintain_order=True).agg(pl.col(KEY).alias(LEFT_BEHIND))
    with_others = changes.join(others, on=SOURCE_PK, how="left", maintain_order="left")
    return with_others.join(behind, on=SOURCE_PK, how="left", maintain_order="left")
