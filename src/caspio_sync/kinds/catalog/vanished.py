"""Items whose row is gone from Caspio: found by a whole read, looked up once more, deleted from the catalog.

The row is gone, or goes by another id; either way no row that was read bears the item's id. A read that was partial,
interrupted, or the first under another condition, decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.delivery.outcomes import deliver, outcomes
from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.prepared import read_digest
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.sending import filled_requests
from caspio_sync.errors import GateBlockedError
from caspio_sync.kinds.catalog.work import CatalogWork
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

GONE = "its row is gone from Caspio"
RENAMED = "no row goes by the id any more"
NEVER_SENT = "its row is gone from Caspio; the catalog never had it"
BORNE = "its row is gone from Caspio; another row bears the id"
_EXAMPLES = 5
_BATCH = 0  # of no batch of rows
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Vanished:
    """Items that are to go.

    Args:
        delete: source_pk (null where no row is known with the id), key, reason: items to delete. Two rows may have had
            one id.
        settle: the same of rows that are gone while the catalog has no item of theirs, or another row bears the id.
        blocked: why nothing may be deleted; None where it may.
    """

    delete: pl.DataFrame
    settle: pl.DataFrame
    blocked: str | None = None

    @property
    def ids(self) -> pl.DataFrame:
        """`key` of the items to delete, each once."""
        return self.delete.select(pl.col(KEY).unique(maintain_order=True))


async def find_vanished(run: SyncRun[CatalogWork]) -> Vanished | None:
    """What this run, having read everything, finds gone; None where it cannot tell.

    Raises:
        As `rows_by_key`.
    """
    work = run.work
    if work.definition.on_missing == "keep" or not await _decides(run):
        return None
    store = run.ledger.ledger
    known = await run.ledger.do(store.known_items, run.name)
    noted = pl.concat([await run.ledger.do(store.abandoned, run.name), *work.given_up]).unique().sort()
    seen = pl.concat([pl.Series(SOURCE_PK, dtype=pl.Int64), *work.seen])
    found = _without_row(known, seen, noted)
    if not run.options.allow_deletes and (blocked := _too_many(run, known, noted, found)) is not None:
        return Vanished(found.delete.clear(), found.settle.clear(), blocked)
    gone = pl.concat([found.delete, found.settle])[SOURCE_PK].drop_nulls()
    return _without_row(known, pl.concat([seen, await _still_there(run, gone)]), noted)


def _without_row(known: pl.DataFrame, there: pl.Series, noted: pl.Series) -> Vanished:
    """What is left of the ledger's items once those are taken off whose row is there.

    Args:
        known: as `Ledger.known_items`.
        there: source_pk of the rows that are there.
        noted: ids that the catalog may have besides (`Ledger.abandoned`).
    """
    known = known.with_columns(exists=_exists(noted))
    met = pl.col(SOURCE_PK).is_in(there.implode())
    present, gone = known.filter(met), known.filter(~met)
    borne = pl.col(KEY).is_in(present[KEY].implode())
    reason = pl.when(~pl.col("exists")).then(pl.lit(NEVER_SENT)).when(borne).then(pl.lit(BORNE)).otherwise(pl.lit(GONE))
    gone = gone.select(SOURCE_PK, KEY, reason=reason)
    delete, settle = gone.filter(pl.col("reason") == GONE), gone.filter(pl.col("reason") != GONE)
    renamed = noted.to_frame(KEY).filter(~borne, ~pl.col(KEY).is_in(delete[KEY].implode()))
    renamed = renamed.select(pl.lit(None, dtype=pl.Int64).alias(SOURCE_PK), KEY, reason=pl.lit(RENAMED))
    return Vanished(pl.concat([delete, renamed]), settle)


def _exists(noted: pl.Series) -> pl.Expr:
    """Whether the catalog has, or may have, an item of a row of `Ledger.known_items`."""
    return (pl.col("sent") == 1) | pl.col(KEY).is_in(noted.implode()).fill_null(value=False)


async def find_announced(run: SyncRun[CatalogWork], gone: Sequence[int]) -> Vanished | None:
    """What of the announced rows is gone, where that is little; else it is left to a whole read, which asks a person.

    Counted are the items deleted within a day besides: many small messages must not do what one large one may not.

    Args:
        run: a run that read announced rows.
        gone: `source_pk` of those that it did not find.

    Raises:
        As `rows_by_key`.
    """
    if run.work.definition.on_missing == "keep" or run.work.sends_all or run.blocked or not gone:
        return None
    store = run.ledger.ledger
    absent = pl.Series(gone).filter(~pl.Series(gone).is_in((await _still_there(run, pl.Series(gone))).implode()))
    rows = (await run.ledger.do(store.rows_at, run.name, absent)).filter(
        pl.col("verdict").is_null() | (pl.col("verdict") != Verdict.DELETED.value)
    )
    known = rows.select(SOURCE_PK, KEY, sent=pl.col("sent_fp").is_not_null().cast(pl.Int64))
    claims = await run.ledger.do(store.claims, run.name, rows["key_hash"])
    others = claims.filter(pl.col("holds"), ~pl.col(SOURCE_PK).is_in(absent.implode()))
    others = others.join(known, on=KEY, how="semi").select(SOURCE_PK, KEY, sent=pl.lit(1, dtype=pl.Int64))
    noted = await run.ledger.do(store.abandoned, run.name)
    found = _without_row(pl.concat([known, others]), others[SOURCE_PK], noted.filter(noted.is_in(known[KEY].implode())))
    items, deleted = await run.ledger.do(store.items_and_deleted, run.name, store.now() - _A_DAY)
    share = run.work.definition.gate.max_deleted_share
    if (going := found.ids.height) and going + deleted > share * (items + deleted):
        run.report.notes.append(
            f"{going:,} announced rows are gone, with {deleted:,} items deleted in the last 24 hours more than "
            f"{share:.0%} of the items (gate.max_deleted_share): their items stay, and the next whole read decides"
        )
        return None
    return found


async def delete_vanished(run: SyncRun[CatalogWork]) -> None:
    """Delete the items that `find_vanished` finds; what was deleted is written down as the answers come.

    A repeated call goes on where the failed one stood. Where too many would go, the run is blocked instead.

    Raises:
        TransientError, ConfigurationError: as the sender says.
    """
    gone = run.reading.gone
    found = await find_vanished(run) if gone is None else await find_announced(run, gone)
    if found is None:
        return
    if found.blocked is not None:
        run.block(GateBlockedError(found.blocked))
        return
    unasked = pl.lit(None, dtype=pl.Int64)
    ids, rows = found.ids, found.delete
    # Before the ledger calls a row done with, and before a request leaves: a run that dies here leaves ids to delete.
    kept = found.settle.filter(pl.col("reason") == BORNE)[KEY]
    going = rows[SOURCE_PK].drop_nulls()
    if len(kept) or len(going):
        await run.persist(run.ledger.ledger.abandon, run.name, pl.concat([kept, ids[KEY]]), going=going)
    if not found.settle.is_empty():
        await _record(run, found.settle.with_columns(request=unasked, status=unasked))

    async def commit(answers: Sequence[Answer]) -> None:
        run.report.count_answers(answers)
        answered = outcomes(ids, answers).rename({"reason": "answered"})
        taken = answered.filter(pl.col("verdict") == Verdict.SENT.value)
        await _record(run, rows.join(taken.drop("verdict", "answered"), on=KEY, how="inner", maintain_order="left"))
        run.report.deleted += taken.height
        refused = answered.filter(pl.col("verdict") != Verdict.SENT.value)
        if not refused.is_empty():
            shown = ", ".join(refused[KEY].head(_EXAMPLES))
            run.report.notes.append(
                f"{refused.height} items could not be deleted, for example {shown}: {refused['answered'][0]}"
            )

    if not ids.is_empty():
        requests = filled_requests(run, run.sink.deletes(ids))
        await (await deliver(requests, sender=run.sender, commit=commit)).committed()


async def _decides(run: SyncRun[CatalogWork]) -> bool:
    """Whether what this run did not meet is gone: it read everything, under the condition of the read before."""
    if run.blocked or not run.selection.whole or run.options.baseline or run.work.sends_all:
        return False
    cursor = await run.ledger.do(run.ledger.ledger.cursor, run.name)
    return cursor is not None and cursor.where_digest == read_digest(run.prepared)


async def _still_there(run: SyncRun, source_pks: pl.Series) -> pl.Series:
    """Those of these rows that Caspio has all the same, under the sync's condition: read before they came, or late."""
    prepared, where = run.prepared, run.definition.source.where
    return (await rows_by_key(run.caspio, prepared.source, prepared.key, source_pks, where=where))[SOURCE_PK]


def _too_many(run: SyncRun[CatalogWork], known: pl.DataFrame, noted: pl.Series, found: Vanished) -> str | None:
    """Why so much may not be deleted without a person's word; None where it may."""
    going = found.ids.height
    if not going:
        return None
    work, sync, read = run.work, run.work.definition, run.report.read
    items = pl.concat([known.filter(_exists(noted))[KEY], noted]).n_unique()
    least = sync.gate.min_share_of_last * (work.rows_last or 0)
    share = sync.gate.max_deleted_share
    if going > share * items:
        why = f"{going:,} of {items:,} items have no row in Caspio any more, more than {share:.0%} "
        why += f"(gate.max_deleted_share), for example {', '.join(found.ids[KEY].head(_EXAMPLES))}"
    elif read < least:
        why = f"the source has {read:,} rows, fewer than {sync.gate.min_share_of_last:.0%} (gate.min_share_of_last) "
        why += f"of the {work.rows_last:,} that the last whole read found, and {going:,} items would be deleted"
    else:
        return None
    return (
        f"{run.name}: {why}. None was deleted; new and changed items were sent. Look at the table and the sync's "
        f"`where`; if they are to go, run `caspio-sync run {run.name} --allow-deletes`"
    )


async def _record(run: SyncRun, rows: pl.DataFrame) -> None:
    await run.persist(
        run.ledger.ledger.record_deleted,
        sync=run.name,
        run=run.id,
        batch=_BATCH,
        rows=rows,
        mapping_version=run.versions.mapping,
    )
