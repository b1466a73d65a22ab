"""Items whose row is gone from Caspio: found by a whole read, looked up once more, deleted from the catalog.

The row is gone, or goes by another id; either way no row that was read bears the item's id. A read that was partial,
interrupted, or the first under another condition, decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.clients.caspio_query import and_
from caspio_sync.delivery.outcomes import deliver, outcomes
from caspio_sync.delivery.sender import Answer
from caspio_sync.errors import GateBlockedError
from caspio_sync.extraction.cells import source_frame
from caspio_sync.extraction.records import keys_where
from caspio_sync.run.context import SyncRun
from caspio_sync.run.prepared import read_digest
from caspio_sync.run.steps import filled_requests
from caspio_sync.run.writes import planned_deletes
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

GONE = "its row is gone from Caspio"
RENAMED = "its row goes by another id now"
NEVER_SENT = "its row is gone from Caspio; the catalog never had it"
BORNE = "its row is gone from Caspio; another row bears the id"
_EXAMPLES = 5
_BATCH = 0  # of no batch of rows


@dataclass(frozen=True, slots=True)
class Vanished:
    """Items that are to go.

    Args:
        delete: source_pk (null for an id without a row), key, reason: items to delete. Two rows may have had one id.
        settle: the same of rows that are gone while the catalog has no item of theirs, or another row keeps it.
        blocked: why nothing may be deleted; None where it may.
    """

    delete: pl.DataFrame
    settle: pl.DataFrame
    blocked: str | None = None

    @property
    def ids(self) -> pl.DataFrame:
        """`key` of the items to delete, each once."""
        return self.delete.select(pl.col(KEY).unique(maintain_order=True))


async def find_vanished(run: SyncRun) -> Vanished | None:
    """What this run, having read everything, finds gone; None where it cannot tell.

    Raises:
        As `CaspioClient.records`.
    """
    sync, work = run.items
    if sync.on_missing == "keep" or not await _decides(run):
        return None
    store = run.ledger.ledger
    known = await run.ledger.do(store.known_items, run.name)
    seen = pl.concat([pl.Series(SOURCE_PK, dtype=pl.Int64), *work.seen])
    there = known[SOURCE_PK].is_in(seen.implode())
    present, gone = known.filter(there), known.filter(~there)
    borne = pl.col(KEY).is_in(present[KEY].implode())
    loose = pl.concat([await run.ledger.do(store.abandoned, run.name), *work.given_up]).unique().sort()
    # A row that never had an item of its own may leave one: that of the row that had its id before, or a lost answer's.
    gone = gone.with_columns(sent=(pl.col("sent") == 1) | pl.col(KEY).is_in(loose.implode()))
    renamed = loose.to_frame(KEY).filter(~borne, ~pl.col(KEY).is_in(gone[KEY].implode()))
    items = known.filter(pl.col("sent") == 1)[KEY].n_unique() + renamed.height
    going = gone.filter("sent", ~borne)[KEY].n_unique() + renamed.height
    if going > sync.gate.max_deleted_share * items and not run.options.allow_deletes:
        nothing = renamed.clear().select(pl.lit(None, dtype=pl.Int64).alias(SOURCE_PK), KEY, reason=pl.lit(""))
        return Vanished(nothing, nothing, _too_many(run, going, items, gone, renamed))
    gone = gone.filter(~pl.col(SOURCE_PK).is_in((await _still_there(run, gone[SOURCE_PK])).implode()))
    reason = pl.when(~pl.col("sent")).then(pl.lit(NEVER_SENT)).when(borne).then(pl.lit(BORNE)).otherwise(pl.lit(GONE))
    gone = gone.select(SOURCE_PK, KEY, reason=reason)
    renamed = renamed.select(pl.lit(None, dtype=pl.Int64).alias(SOURCE_PK), KEY, reason=pl.lit(RENAMED))
    vanished = pl.col("reason") == GONE
    return Vanished(pl.concat([gone.filter(vanished), renamed]), gone.filter(~vanished))


async def delete_vanished(run: SyncRun) -> None:
    """Delete the items that `find_vanished` finds; what was deleted is written down as the answers come.

    A repeated call goes on where the failed one stood. Where too many would go, the run is blocked instead.

    Raises:
        TransientError, ConfigurationError: as the sender says.
    """
    found = await find_vanished(run)
    if found is None:
        return
    if found.blocked is not None:
        run.blocked = GateBlockedError(found.blocked)
        return
    unasked = pl.lit(None, dtype=pl.Int64)
    ids, rows = found.ids, found.delete
    # Before the ledger calls a row done with, and before a request leaves: a run that dies here leaves ids to delete.
    kept = found.settle.filter(pl.col("reason") == BORNE)[KEY]
    going = rows[SOURCE_PK].drop_nulls()
    if len(kept) or len(going):
        await run.ledger.do(run.ledger.ledger.abandon, run.name, pl.concat([kept, ids[KEY]]), going=going)
    if not found.settle.is_empty():
        await _record(run, found.settle.with_columns(request=unasked, status=unasked))

    async def commit(answers: Sequence[Answer]) -> None:
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
        requests = filled_requests(run, planned_deletes(run, ids))
        await (await deliver(requests, sender=run.sender, commit=commit)).committed()


async def _decides(run: SyncRun) -> bool:
    """Whether what this run did not meet is gone: it read everything, under the condition of the read before."""
    if run.blocked or not run.whole_read or run.options.baseline:
        return False
    cursor = await run.ledger.do(run.ledger.ledger.cursor, run.name)
    return cursor is not None and cursor.where_digest == read_digest(run.prepared)


async def _still_there(run: SyncRun, source_pks: pl.Series) -> pl.Series:
    """Those of these rows that Caspio has all the same, under the sync's condition: read before they came, or late."""
    key, where = run.prepared.key, run.definition.source.where
    pages = [
        (await run.caspio.records(run.prepared.source, select=[key.name], where=and_(where, some))).rows
        for some in keys_where(key, [str(each) for each in source_pks])
    ]
    return source_frame(pages, [], key.name)[SOURCE_PK]


def _too_many(run: SyncRun, going: int, items: int, gone: pl.DataFrame, renamed: pl.DataFrame) -> str:
    shown = pl.concat([gone.filter("sent")[KEY], renamed[KEY]]).unique(maintain_order=True).head(_EXAMPLES)
    share = run.items[0].gate.max_deleted_share
    return (
        f"{run.name}: {going:,} of {items:,} items have no row in Caspio any more, more than {share:.0%} "
        f"(gate.max_deleted_share), for example {', '.join(shown)}. None was deleted; new and changed items were sent. "
        f"Look at the table and the sync's `where`; if they are to go, run `caspio-sync run {run.name} --allow-deletes`"
    )


async def _record(run: SyncRun, rows: pl.DataFrame) -> None:
    await run.ledger.do(
        run.ledger.ledger.record_deleted,
        sync=run.name,
        run=run.id,
        batch=_BATCH,
        rows=rows,
        mapping_version=run.versions.mapping,
    )
