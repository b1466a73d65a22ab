"""The steps of a sync after extraction, plain functions of the run and a frame; `tasks/` wraps them.

source frame ─▶ map_batch ─▶ compare_batch ─▶ (gate) ─▶ send_batch ─▶ record
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import ParamSpec, TypeVar

import polars as pl

from caspio_sync.delivery.outcomes import Outstanding, deliver, outcomes
from caspio_sync.delivery.requests import OBJECTS_PER_REQUEST, Request, fill_requests
from caspio_sync.delivery.sender import Answer
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.ledger.compare import (
    KEY_UNIQUE,
    ONLY_OPT_OUT,
    OPT_OUT,
    Comparison,
    claim_keys,
    compare,
    send,
)
from caspio_sync.ledger.runs import RECORDED
from caspio_sync.ledger.sending import Accepted, Sending
from caspio_sync.mapping.objects import data_points
from caspio_sync.run.catalog_items import (
    note_leaving,
    note_left,
    note_read,
    note_unknown,
    record_prices,
    release_ids,
    with_price,
)
from caspio_sync.run.context import SyncRun
from caspio_sync.run.erasing import record_erased, withhold_erased
from caspio_sync.run.freshness import CHANGED_AT
from caspio_sync.run.owners import bears_its_key, present_keys
from caspio_sync.run.resuming import note_sweep
from caspio_sync.run.shards import begin_shard, claim_before_others, release_claims
from caspio_sync.run.writes import KNOWN_THERE, Write, planned_opt_outs, planned_writes
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict, ok

P = ParamSpec("P")
T = TypeVar("T")

_POINTS = "_points"
_NO_SUITE = -1
_ANSWERS = pl.Schema(
    {SOURCE_PK: pl.Int64(), "verdict": pl.String(), "reason": pl.String(), "request": pl.Int64(), "status": pl.Int64()}
)


async def map_batch(run: SyncRun, batch: SourceBatch) -> pl.DataFrame:
    """The batch's mapped frame."""
    run.report.read += batch.frame.height
    mapped = await _timed(run, "map", run.mapping.apply, batch.frame)
    cursor = run.definition.source.cursor
    return mapped.with_columns(batch.frame[cursor].alias(CHANGED_AT)) if cursor and run.times.known else mapped


async def open_batch(run: SyncRun, batch: SourceBatch) -> None:
    """Write down that the batch has begun; before the first one, that a sweep has."""
    ledger = run.ledger
    if batch.number == 1:
        await note_sweep(run)
        await begin_shard(run)
    await ledger.do(
        ledger.ledger.open_batch,
        run=run.id,
        number=batch.number,
        low_pk=batch.low,
        high_pk=batch.high,
        rows=batch.frame.height,
    )


async def compare_batch(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame) -> Comparison:
    """New and changed rows of a batch, each key claimed by one row; writes nothing."""
    known = await run.ledger.do(run.ledger.ledger.read_rows, run.name, batch.low, batch.high)
    comparison = await withhold_erased(run, await _timed(run, "compare", _compare, run, mapped, known), known)
    changes = await _claim(run, batch.number, comparison.changes)
    if run.catalog is not None:
        await note_read(run, mapped, known)
    report = run.report
    report.unchanged += comparison.unchanged
    for verdict, rows in comparison.held.items():
        report.held[verdict] = report.held.get(verdict, 0) + rows
    operations = dict(changes["_op"].value_counts().iter_rows())
    report.new += operations.get("new", 0)
    report.changed += operations.get("changed", 0)
    report.unchanged += comparison.settled.height
    held = comparison.held_rows
    count_full(run, mapped if held.is_empty() else mapped.filter(~pl.col(SOURCE_PK).is_in(held.implode())), 1)
    changed = pl.col("_op") == "changed"
    sums = changes.select(
        (pl.col(send(column.name)) & changed).sum().alias(column.name) for column in run.mapping.columns
    )
    for name, rows in sums.row(0, named=True).items():
        if rows:
            report.changed_fields[name] = report.changed_fields.get(name, 0) + rows
    if run.times.known:
        run.times.begin(batch.number, changes[CHANGED_AT])
    return replace(comparison, changes=changes)


def count_full(run: SyncRun, rows: pl.DataFrame, sign: int) -> None:
    """Count what these rows would be billed by a sync that sends all of a row; items are not billed."""
    if run.catalog is not None:
        return
    points = rows.select(data_points(rows, run.mapping.columns, travels=None).sum()).item()
    run.report.data_points_full += sign * int(points or 0)


def _compare(run: SyncRun, mapped: pl.DataFrame, known: pl.DataFrame) -> Comparison:
    return compare(
        mapped,
        known,
        columns=run.mapping.columns,
        # Under no version was a row ever held: what is released is judged again, whatever it was held for.
        versions=replace(run.versions, suite=_NO_SUITE) if run.options.release else run.versions,
        salt=run.salt,
        email_column=run.mapping.email_column,
        phone_column=run.mapping.phone_column,
        resend=run.options.resend or (run.catalog is not None and run.catalog.sends_all),
        stopped=run.mapping.stopped,
    )


async def _claim(run: SyncRun, batch: int, changes: pl.DataFrame) -> pl.DataFrame:
    """Hold the batch's keys against those that other rows hold, in the ledger and in the batches under way."""
    asked = changes.filter(pl.col("_op") == "new", pl.col(KEY).is_not_null())["key_hash"]
    stored = await run.ledger.do(run.ledger.ledger.claims, run.name, asked)
    present = await _still_claimed(run, stored.join(changes.select("key_hash", own=SOURCE_PK), on="key_hash"))
    claimants = pl.concat([present, run.claims_under_way()])
    claimed = claim_keys(changes, claimants)
    if run.options.pk_range is not None:  # other rows of the sync may be under way in another process
        elsewhere = await claim_before_others(run, batch, claimed)
        claimed = claim_keys(changes, pl.concat([claimants, elsewhere]))
    run.claim(batch, claimed.filter(pl.col(KEY).is_not_null(), KEY_UNIQUE).select("key_hash", SOURCE_PK))
    return claimed.with_columns(pl.col(KEY).is_in(stored.filter("holds")[KEY].implode()).alias(KNOWN_THERE))


async def _still_claimed(run: SyncRun, claims: pl.DataFrame) -> pl.DataFrame:
    """The claims whose row still is in Caspio under that key: a table that was filled anew has new PK_IDs.

    Returns:
        key_hash and source_pk; of several rows of one key its owner comes first.
    """
    own = pl.col(SOURCE_PK) == pl.col("own")
    rivals = claims.filter(~own)
    if rivals.is_empty():
        return claims.select("key_hash", SOURCE_PK)
    present = await present_keys(run.caspio, run.prepared, rivals[SOURCE_PK].unique(maintain_order=True))
    kept = rivals.join(present, on=SOURCE_PK, how="inner").filter(bears_its_key())
    if gone := rivals.height - kept.height:
        run.report.notes.append(f"{gone} keys moved to another PK_ID: their former rows are gone from Caspio")
        await release_ids(run, rivals.join(kept, on=SOURCE_PK, how="anti"))
    there = pl.concat([frame.select("key_hash", SOURCE_PK, "holds") for frame in (kept, claims.filter(own))])
    # No join keeps an order by itself.
    return there.sort("key_hash", "holds", SOURCE_PK, descending=[False, True, False]).select("key_hash", SOURCE_PK)


async def send_opt_outs(run: SyncRun, batch: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Send what became more restrictive, alone and before anything else of these users.

    Returns:
        source_pk, reason, verdict, request and status of each row that had something to opt out of.
    """
    leaving = leaving_ahead(rows)
    done: list[pl.DataFrame] = []

    async def commit(answers: Sequence[Answer]) -> None:
        done.append(outcomes(leaving, answers))
        await _record(run, batch, done[-1], part="consent")

    if not leaving.is_empty() and not run.options.baseline:  # to which Braze is not spoken
        requests = filled_requests(run, planned_opt_outs(run, leaving))
        await (await deliver(requests, sender=run.sender, commit=commit)).committed()
        run.report.opt_outs += leaving.height
    return pl.concat([pl.DataFrame(schema=_ANSWERS), *(frame.select(_ANSWERS.names()) for frame in done)])


def leaving_ahead(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose consent became more restrictive, and whose key is sound and theirs."""
    return rows.filter(pl.col(OPT_OUT), pl.col(ok(KEY)), pl.col(KEY_UNIQUE))


async def send_batch(
    run: SyncRun, batch: int, accepted: pl.DataFrame, opt_outs: pl.DataFrame | None = None
) -> Outstanding:
    """Send a batch; its outcomes reach the ledger as they arrive. A repeated call sends only rows without an outcome.

    Args:
        run: the run.
        batch: number of the batch.
        accepted: changes that passed the gate.
        opt_outs: what became of the opt-outs that left ahead, where there are any; a row with nothing else to send is
            done with that.

    Raises:
        TransientError, ConfigurationError: as the sender says.
    """
    delivered = await run.ledger.do(run.ledger.ledger.delivered, run.name, run.id, batch)
    done = delivered.filter(pl.col("part") == "profile").select(SOURCE_PK)
    waiting = accepted.join(done, on=SOURCE_PK, how="anti", maintain_order="left") if done.height else accepted
    if opt_outs is not None:
        answered = waiting.filter(ONLY_OPT_OUT).join(opt_outs, on=SOURCE_PK, how="inner", maintain_order="left")
        if not answered.is_empty():
            await _record(run, batch, answered, part="profile")
            waiting = waiting.join(answered, on=SOURCE_PK, how="anti", maintain_order="left")
    rows, without = without_required_consent(run, waiting)
    await record_rows(run, batch, without, Verdict.BLOCKED)
    started = time.perf_counter()
    rows = rows.with_columns(billed_points(run, rows).alias(_POINTS))
    await note_leaving(run, batch, rows)
    outstanding = await _deliver(run, batch, rows)
    run.report.add_seconds("send", time.perf_counter() - started)
    return outstanding


async def record_batch(
    run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame, outstanding: Outstanding
) -> None:
    """Wait for the outcomes, record what was not sent, and the batch; from here on the ledger knows its keys."""
    await outstanding.committed()
    await close_batch(run, batch, comparison, held)


async def close_batch(run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame) -> None:
    """Record the rows that were not sent, and the batch."""
    ledger = run.ledger
    await record_rows(run, batch.number, held, Verdict.QUARANTINED)
    await record_erased(run, batch.number, comparison.erased)
    await _settle(run, comparison.settled)
    await note_left(run, batch.number)
    await ledger.do(
        ledger.ledger.close_batch, run.id, batch.number, state=RECORDED, counts={"rows": batch.frame.height}
    )
    run.times.end(batch.number)
    await release_claims(run, batch.number)
    run.report.batches += 1


async def record_blocked_batch(run: SyncRun, batch: SourceBatch, reason: str) -> None:
    """Record that a batch was blocked; its rows are read again by the next run."""
    ledger = run.ledger
    await ledger.do(ledger.ledger.close_batch, run.id, batch.number, state="blocked", counts={"reason": reason})


def without_required_consent(run: SyncRun, accepted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accepted rows, and those that lack a consent state the sync requires (with verdict and reason)."""
    required = run.definition.consent.required
    if not required:
        return accepted, accepted.clear().with_columns(reason=pl.lit(""))
    missing = pl.any_horizontal(pl.col(name).is_null() for name in required)
    reason = pl.concat_str(
        [pl.when(pl.col(name).is_null()).then(pl.lit(f"consent required: {name} has no state")) for name in required],
        separator=", ",
        ignore_nulls=True,
    )
    return accepted.filter(~missing), accepted.filter(missing).with_columns(reason=reason)


def billed_points(run: SyncRun, rows: pl.DataFrame) -> pl.Expr:
    """Data points that Braze bills for each row when it is sent; items are not billed."""
    return pl.lit(0) if run.catalog is not None else data_points(rows, run.mapping.columns, travels=send)


async def record_rows(run: SyncRun, batch: int, rows: pl.DataFrame, verdict: Verdict) -> None:
    """Record rows that were not sent: changes with their `reason`."""
    if rows.is_empty():
        return
    unasked = pl.lit(None, dtype=pl.Int64)
    rows = rows.with_columns(verdict=pl.lit(verdict.value), request=unasked, status=unasked)
    await _record(run, batch, rows, part="profile")


async def _settle(run: SyncRun, settled: pl.DataFrame) -> None:
    """Store the new fingerprints of rows with nothing left to send."""
    if settled.is_empty():
        return
    rows = settled.rename({"fields": "sent_fields"}).with_columns(
        mapping_version=pl.lit(run.versions.mapping, dtype=pl.Int64),
        suite_version=pl.lit(run.versions.suite, dtype=pl.Int64),
    )
    await run.ledger.do(run.ledger.ledger.rebase, sync=run.name, rows=rows)


# Encoded at a time: the texts on the way to a body are large, and reused while they are in the processor's cache.
_CHUNK_ROWS = 64 * OBJECTS_PER_REQUEST


async def filled_requests(run: SyncRun, writes: Sequence[Write]) -> AsyncIterator[Request]:
    """The rows as requests, encoded as the sender takes them; places count on from write to write."""
    place = 0
    for write in writes:
        for start in range(0, write.rows.height, _CHUNK_ROWS):
            objects = await _timed(run, "encode", write.encode, write.rows.slice(start, _CHUNK_ROWS))
            requests = list(
                fill_requests(
                    objects,
                    first_number=run.report.requests + 1,
                    first_place=place + start,
                    envelope=write.envelope,
                )
            )
            run.report.requests += len(requests)
            for request in requests:
                yield request
        place += write.rows.height


async def _deliver(run: SyncRun, batch: int, rows: pl.DataFrame) -> Outstanding:
    writes = planned_writes(run, rows)
    rows = rows if len(writes) == 1 else pl.concat([write.rows for write in writes])
    sending = _sending(run, batch, rows)

    async def commit(answers: Sequence[Answer]) -> None:
        whole = [each for each in answers if not each.rejected and not each.unknown]
        if whole:
            accepted = [Accepted(each.start, each.count, each.number, each.status) for each in whole]
            await run.ledger.do(run.ledger.ledger.record_sent, sending, accepted)
            run.report.count_sent(sum(each.count for each in whole))
            points = rows[_POINTS]
            run.report.data_points += sum(int(points[each.start : each.start + each.count].sum()) for each in whole)
            if run.times.known:
                changed_at = rows[CHANGED_AT]
                run.times.sent(pl.concat([changed_at.slice(each.start, each.count) for each in whole]))
        if len(whole) < len(answers):
            others = outcomes(rows, [each for each in answers if each.rejected or each.unknown])
            # The opt-outs of known rows left ahead. A new row had its own in the object that Braze refused, and the
            # profile may be there all the same; recorded first, the row would pass for done with.
            refused = others.filter(pl.col("verdict") == Verdict.REJECTED.value, pl.col("_op") == "new")
            await send_opt_outs(run, batch, refused)
            await note_unknown(run, others)
            await record_prices(run, others.filter(pl.col("verdict") == Verdict.SENT.value))
            await _record(run, batch, others, part="profile")

    return await deliver(filled_requests(run, writes), sender=run.sender, commit=commit)


def _sending(run: SyncRun, batch: int, rows: pl.DataFrame) -> Sending:
    of_items = [] if run.catalog is None or run.items[0].price is None else ["price"]
    prepared = with_price(run, rows).select(
        SOURCE_PK,
        KEY,
        "key_hash",
        "fp",
        "changed",
        *of_items,
        sent_fields="fields",
        moved="_moved",
    )
    versions = run.versions
    return Sending(
        sync=run.name,
        run=run.id,
        batch=batch,
        rows=prepared,
        suite_version=versions.suite,
        mapping_version=versions.mapping,
    )


_RECORDED: Mapping[str, tuple[str, str]] = {
    "profile": ("fields", "changed"),
    "consent": ("consent_fields", "consent_changed"),
}


async def _record(run: SyncRun, batch: int, rows: pl.DataFrame, *, part: str) -> None:
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
        # A key that another row has is that row's matter, which may go: no suite version holds such a row for good.
        pl.when(KEY_UNIQUE).then(run.versions.suite).otherwise(0).cast(pl.Int64).alias("suite_version"),
        pl.lit(run.versions.mapping, dtype=pl.Int64).alias("mapping_version"),
    )
    await run.ledger.do(run.ledger.ledger.record, sync=run.name, run=run.id, batch=batch, rows=record)
    if part == "profile":
        count_full(run, rows.filter(pl.col("verdict") != Verdict.SENT.value), -1)
        run.report.count_outcomes(rows, name=run.example_column)
        _note_times(run, rows)
        if _POINTS in rows.columns:
            sent = rows.filter(pl.col("verdict") == Verdict.SENT.value)
            run.report.data_points += int(sent[_POINTS].sum())


def _note_times(run: SyncRun, rows: pl.DataFrame) -> None:
    """Date rows that got their verdict one by one; a missing consent, and an erasure, is nothing that waits."""
    if not run.times.known or CHANGED_AT not in rows.columns:
        return
    verdict, changed_at = rows["verdict"], rows[CHANGED_AT]
    run.times.sent(changed_at.filter(verdict == Verdict.SENT.value))
    run.times.held(changed_at.filter(~verdict.is_in([Verdict.SENT.value, Verdict.BLOCKED.value])))


async def _timed(run: SyncRun, stage: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread (polars lets go of the GIL), counting the time."""
    started = time.perf_counter()
    result = await asyncio.to_thread(function, *args, **kwargs)
    run.report.add_seconds(stage, time.perf_counter() - started)
    return result
