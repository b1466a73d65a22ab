"""What became of a batch, in the ledger: rows that were not sent, outcomes one by one, and the batch itself."""

from collections.abc import Mapping

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.delivery.outcomes import Outstanding
from caspio_sync.engine.accounting import check_batch
from caspio_sync.engine.comparing import count_full
from caspio_sync.engine.duplicate_consent import note_heard
from caspio_sync.engine.erasing import record_erased
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.unfinished import release_claims
from caspio_sync.ledger.compare import KEY_UNIQUE, OF_A_DUPLICATE, Comparison
from caspio_sync.ledger.run_record import RECORDED
from caspio_sync.observe.freshness import CHANGED_AT
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

POINTS = "_points"  # units that the destination bills for a row
_RECORDED: Mapping[str, tuple[str, str]] = {
    "profile": ("fields", "changed"),
    "consent": ("consent_fields", "consent_changed"),
}


async def record_batch(
    run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame, outstanding: Outstanding
) -> None:
    """Wait for the outcomes, record what was not sent, and the batch; from here on the ledger knows its keys."""
    await outstanding.committed()
    await close_batch(run, batch, comparison, held)


async def close_batch(
    run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame, *, left: int = 0
) -> None:
    """Record the rows that were not sent, and the batch; `left` rows are for the next run.

    Raises:
        ShortfallError: a row has no verdict.
    """
    ledger = run.ledger
    await record_rows(run, batch.number, held, Verdict.QUARANTINED)
    await record_erased(run, batch.number, comparison.erased)
    await _settle(run, comparison.settled)
    await run.work.note_left(run, batch.number)
    await check_batch(run, batch, comparison, left=left)
    await run.persist(ledger.ledger.close_batch, run.id, batch.number, state=RECORDED, counts={"rows": batch.rows})
    await note_heard(run, batch.number)
    run.times.end(batch.number)
    await release_claims(run, batch.number)
    run.report.batches += 1


async def record_blocked_batch(run: SyncRun, batch: SourceBatch, reason: str) -> None:
    """Record that a batch was blocked; its rows are read again by the next run."""
    ledger = run.ledger
    await run.persist(ledger.ledger.close_batch, run.id, batch.number, state="blocked", counts={"reason": reason})


async def record_rows(run: SyncRun, batch: int, rows: pl.DataFrame, verdict: Verdict) -> None:
    """Record rows that were not sent: changes with their `reason`.

    A row whose opt-out nobody acknowledged is unknown whatever else holds it: held, its "no" would not leave again.
    """
    if rows.is_empty():
        return
    unasked = pl.lit(None, dtype=pl.Int64)
    doubtful = pl.col(SOURCE_PK).is_in(list(run.opt_outs_in_doubt))
    rows = rows.with_columns(
        verdict=pl.when(doubtful).then(pl.lit(Verdict.UNKNOWN.value)).otherwise(pl.lit(verdict.value)),
        reason=pl.when(doubtful).then(pl.format("opt-out: no known answer; then: {}", "reason")).otherwise("reason"),
        request=unasked,
        status=unasked,
    )
    await record_outcomes(run, batch, rows, part="profile")


async def record_outcomes(run: SyncRun, batch: int, rows: pl.DataFrame, *, part: str, journalled: bool = False) -> None:
    """Record verdicts one by one.

    Args:
        run: the run.
        batch: number of the batch.
        rows: changes with verdict, reason, request and status.
        part: "profile", or "consent" for opt-outs that left ahead.
        journalled: as for `Ledger.record`.
    """
    fields, changed = _RECORDED[part]
    record = rows.select(
        SOURCE_PK,
        KEY,
        "key_hash",
        "fp",
        pl.col(fields).alias("sent_fields"),
        pl.col(changed).alias("changed"),
        pl.lit(part).alias("part"),
        "verdict",
        "reason",
        "request",
        "status",
        pl.when(KEY_UNIQUE).then(run.versions.suite).otherwise(OF_A_DUPLICATE).cast(pl.Int64).alias("suite_version"),
        pl.lit(run.versions.mapping, dtype=pl.Int64).alias("mapping_version"),
    )
    ledger = run.ledger.ledger
    await run.persist(ledger.record, sync=run.name, run=run.id, batch=batch, rows=record, journalled=journalled)
    if part == "profile":
        count_full(run, rows.filter(pl.col("verdict") != Verdict.SENT.value), -1)
        run.report.count_outcomes(rows, name=run.example_column)
        _note_times(run, rows)
        if POINTS in rows.columns:
            sent = rows.filter(pl.col("verdict") == Verdict.SENT.value)
            run.report.data_points += int(sent[POINTS].sum())


async def _settle(run: SyncRun, settled: pl.DataFrame) -> None:
    """Store the new fingerprints of rows with nothing left to send."""
    if settled.is_empty():
        return
    rows = settled.rename({"fields": "sent_fields"}).with_columns(
        mapping_version=pl.lit(run.versions.mapping, dtype=pl.Int64),
        suite_version=pl.lit(run.versions.suite, dtype=pl.Int64),
    )
    await run.persist(run.ledger.ledger.rebase, sync=run.name, rows=rows)


def _note_times(run: SyncRun, rows: pl.DataFrame) -> None:
    """Date rows that got their verdict one by one; a missing consent, and an erasure, is nothing that waits."""
    if not run.times.known or CHANGED_AT not in rows.columns:
        return
    verdict, changed_at = rows["verdict"], rows[CHANGED_AT]
    run.times.sent(changed_at.filter(verdict == Verdict.SENT.value))
    run.times.held(changed_at.filter(~verdict.is_in([Verdict.SENT.value, Verdict.BLOCKED.value])))
