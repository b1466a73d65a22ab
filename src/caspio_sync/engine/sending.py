"""Sending a batch: opt-outs ahead of everything, then what the gate accepted; outcomes recorded as they arrive."""

import time
from collections.abc import AsyncIterator, Sequence

import polars as pl

from caspio_sync.delivery.outcomes import Outstanding, deliver, outcomes
from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.recording import POINTS, record_outcomes, record_rows
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.writes import QUIET, Write
from caspio_sync.ledger.compare import KEY_UNIQUE, ONLY_OPT_OUT, OPT_OUT, send
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.observe.freshness import CHANGED_AT
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict, ok

_ANSWERS = pl.Schema(
    {SOURCE_PK: pl.Int64(), "verdict": pl.String(), "reason": pl.String(), "request": pl.Int64(), "status": pl.Int64()}
)
# Encoded at a time: the texts on the way to a body are large, and reused while they are in the processor's cache.
_CHUNK_REQUESTS = 64


async def send_opt_outs(run: SyncRun, batch: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Send what became more restrictive, alone and before anything else of these users.

    Returns:
        source_pk, reason, verdict, request and status of each row that had something to opt out of.
    """
    leaving = leaving_ahead(rows)
    done: list[pl.DataFrame] = []

    async def commit(answers: Sequence[Answer]) -> None:
        run.report.count_answers(answers)
        done.append(outcomes(leaving, answers))
        unknown = done[-1].filter(pl.col("verdict") == Verdict.UNKNOWN.value)
        run.opt_outs_in_doubt.update(unknown[SOURCE_PK])
        await record_outcomes(run, batch, done[-1], part="consent")

    if not leaving.is_empty() and not run.options.baseline:  # of which the destination hears nothing
        requests = filled_requests(run, run.sink.opt_outs(leaving, run.mapping))
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
    delivered = await run.persist(run.ledger.ledger.delivered, run.name, run.id, batch)
    done = delivered.filter(pl.col("part") == "profile").select(SOURCE_PK)
    waiting = accepted.join(done, on=SOURCE_PK, how="anti", maintain_order="left") if done.height else accepted
    if opt_outs is not None:
        alone = waiting.filter(ONLY_OPT_OUT)
        # A field may be called `status` as well; what is recorded is the answer's.
        named = set(opt_outs.columns) & set(alone.columns) - {SOURCE_PK}
        answered = alone.drop(named).join(opt_outs, on=SOURCE_PK, how="inner", maintain_order="left")
        if not answered.is_empty():
            await record_outcomes(run, batch, answered, part="profile")
            waiting = waiting.join(answered, on=SOURCE_PK, how="anti", maintain_order="left")
    rows, without = without_required_consent(run, waiting)
    await record_rows(run, batch, without, Verdict.BLOCKED)
    started = time.perf_counter()
    rows = rows.with_columns(run.sink.price(rows, run.mapping.columns, send).alias(POINTS))
    await run.work.note_leaving(run, batch, rows)
    outstanding = await _deliver(run, batch, rows)
    run.report.add_seconds("send", time.perf_counter() - started)
    return outstanding


def without_required_consent(run: SyncRun, accepted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accepted rows, and those that lack a consent state the sync requires (with verdict and reason)."""
    required = run.definition.required_states
    if not required:
        return accepted, accepted.clear().with_columns(reason=pl.lit(""))
    missing = pl.any_horizontal(pl.col(name).is_null() for name in required)
    reason = pl.concat_str(
        [pl.when(pl.col(name).is_null()).then(pl.lit(f"consent required: {name} has no state")) for name in required],
        separator=", ",
        ignore_nulls=True,
    )
    return accepted.filter(~missing), accepted.filter(missing).with_columns(reason=reason)


def planned_writes(run: SyncRun, rows: pl.DataFrame) -> list[Write]:
    """How these changes travel; together their rows are all of them."""
    return run.sink.writes(rows.with_columns(quiet(run).alias(QUIET)), run.mapping, whole=not run.work.patches)


def sends_again(run: SyncRun) -> bool:
    """Whether the run sends what was sent before, or may have been."""
    options = run.options
    return options.resend or options.since is not None or options.pk_range is not None


def quiet(run: SyncRun) -> pl.Expr:
    """Whether nobody waits for a change (`QUIET`)."""
    # Without a cursor each read is one of everything, and who is new may have been there for years; so may who is new
    # to the rest of a read that was interrupted, and to a chosen part. What webhooks announce has just changed.
    reads_old = run.selection.mode == "sweep" or (run.options.partial and not run.options.hints)
    return pl.lit(sends_again(run)) | (pl.lit(reads_old) & (pl.col("_op") == "new"))


async def filled_requests(run: SyncRun, writes: Sequence[Write]) -> AsyncIterator[Request]:
    """The rows as requests, encoded as the sender takes them; places count on from write to write."""
    place = 0
    for write in writes:
        chunk = _CHUNK_REQUESTS * write.envelope.objects
        for start in range(0, write.rows.height, chunk):
            objects = await run.timed("encode", write.encode, write.rows.slice(start, chunk))
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
    rows = pl.concat([write.rows for write in writes]) if len(writes) > 1 else rows
    sending = sending_of(run, batch, rows)

    async def commit(answers: Sequence[Answer]) -> None:
        run.report.count_answers(answers)
        await run.work.note_answers(run, rows, answers)
        whole = [each for each in answers if not each.rejected and not each.unknown]
        if whole:
            accepted = [Accepted(each.start, each.count, each.number, each.status) for each in whole]
            await run.persist(run.ledger.ledger.record_sent, sending, accepted)
            run.report.count_sent(sum(each.count for each in whole))
            points = rows[POINTS]
            run.report.data_points += sum(int(points[each.start : each.start + each.count].sum()) for each in whole)
            if run.times.known:
                changed_at = rows[CHANGED_AT]
                run.times.sent(pl.concat([changed_at.slice(each.start, each.count) for each in whole]))
        if len(whole) < len(answers):
            others = outcomes(rows, [each for each in answers if each.rejected or each.unknown])
            # The opt-outs of known rows left ahead. A new row had its own in the object that was refused, and the
            # profile may be there all the same; recorded first, the row would pass for done with.
            refused = others.filter(pl.col("verdict") == Verdict.REJECTED.value, pl.col("_op") == "new")
            await send_opt_outs(run, batch, refused)
            await run.work.note_unknown(run, others.filter(pl.col("verdict") == Verdict.UNKNOWN.value))
            await run.work.note_taken(run, others.filter(pl.col("verdict") == Verdict.SENT.value))
            await record_outcomes(run, batch, others, part="profile")

    return await deliver(filled_requests(run, writes), sender=run.sender, commit=commit)


def sending_of(run: SyncRun, batch: int, rows: pl.DataFrame, *, journalled: bool = False) -> Sending:
    """The changes of a batch, in the order of their requests, ready to be recorded as sent.

    Args:
        run: the run.
        batch: number of the batch.
        rows: changes.
        journalled: as for `Sending`.
    """
    prepared = rows.select(
        SOURCE_PK,
        KEY,
        "key_hash",
        "fp",
        "changed",
        *run.work.kept,
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
        journalled=journalled,
    )
