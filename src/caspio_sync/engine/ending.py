"""The end of a run: what must hold of it before its cursor moves, and its record."""

import contextlib
from datetime import datetime
from enum import StrEnum

from caspio_sync import signals
from caspio_sync.engine.accounting import check_run
from caspio_sync.engine.hinted import note_gone
from caspio_sync.engine.prepared import fields_then, read_digest
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.unfinished import end_shard
from caspio_sync.errors import CaspioSyncError, PausedError, ShortfallError
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.observe.freshness import Freshness, measured, missed_note
from caspio_sync.observe.report import ExitCode

PAST_RUNS = 30


class End(StrEnum):
    """How a run ends, as its record says; a run that nobody wrote the end of is `killed` by the next one.

    ===========  =====================================  ============  ==================================================
    end          where                                  cursor        what the next run does
    ===========  =====================================  ============  ==================================================
    done         no error came out of it                moved         reads what changed since it began to read
    blocked      the gate, or a brake, stopped it       stays         reads the same rows again, from the first
    failed       any other error                        stays         goes on where a whole read broke off
    interrupted  a person, a signal or a pause ended it stays         goes on where a whole read broke off
    ===========  =====================================  ============  ==================================================

    The cursor also stays after a run of chosen rows, and where an answer was lost or rows were left to the next run. A
    whole read that failed because rows got no verdict (`ShortfallError`) is begun anew: nobody knows where they are.
    """

    DONE = "done"
    BLOCKED = "blocked"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def end_of(run: SyncRun, error: BaseException | None, *, interrupted: bool) -> End:
    """How a run ends that this error came out of; None where none did."""
    if error is None:
        return End.DONE
    if interrupted or isinstance(error, PausedError):
        return End.INTERRUPTED
    return End.BLOCKED if run.blocked else End.FAILED


async def conclude(run: SyncRun, known: KnownSource | None) -> None:
    """Move the cursor of a run that came to its end, where each row it read has its verdict.

    Args:
        run: the run.
        known: the source's fields as the last run found them.

    Raises:
        GateBlockedError: it was blocked.
        ShortfallError: rows have no verdict.
        TransientError: nobody knows who answered.
    """
    run.raise_if_blocked()
    check_run(run)
    run.raise_if_in_doubt()
    await _move_cursor(run)
    await _note_unfound(run)
    await note_gone(run)
    await run.reading.conclude()
    run.reading.note_missing()
    await end_shard(run)
    if (found := fields_then(run.prepared, known)) is not None:
        await run.ledger.do(run.ledger.ledger.remember_source, run.name, found.as_json())


async def _note_unfound(run: SyncRun) -> None:
    """Say how many of the held rows that were asked for Caspio did not give."""
    ledger, there = run.ledger.ledger, set(run.work.still_held)
    asked = [each for each in run.selection.asked if each not in there]
    if asked and (unfound := await run.ledger.do(ledger.forget_unfound, run.name, run.id, asked)):
        run.report.notes.append(
            f"{unfound} held rows were not found: they are gone from Caspio, or source.where leaves them out"
        )


async def _move_cursor(run: SyncRun) -> None:
    """Every row read has its verdict: the next run reads from this one's start, unless an answer was lost."""
    report = run.report
    lost = run.sink.repeats and (report.verdicts.get("unknown") or report.objects_unknown)  # what is not, is noted
    if run.options.partial or lost or report.left_to_send:
        return
    watermark, since = run.reading.began_at, run.times.since
    if watermark is not None and since is not None and report.mode == "incremental":
        # What was read before stays read: a clock that is years behind must not have it read at every run from now on.
        watermark = max(watermark, since)
    await run.ledger.do(
        run.ledger.ledger.move_cursor,
        run.name,
        watermark=watermark,
        where_digest=read_digest(run.prepared),
        full_sweep_at=run.reading.began_at if report.mode == "sweep" else None,
    )
    if run.definition.grows and run.reading.began_at is not None:
        await _note_reached(run, run.reading.began_at)


async def _note_reached(run: SyncRun, began_at: datetime) -> None:
    """Up to which PK_ID a source that grows was read."""
    after, high = run.selection.goes_on_from, run.reading.high
    if after is not None:
        high = max(after.high_pk, high or after.high_pk)
    await run.ledger.do(run.ledger.ledger.note_reached, run.name, began_at, high, anew=run.report.mode == "sweep")


async def finish(run: SyncRun, error: BaseException | None, *, interrupted: bool = False) -> None:
    """Write down how the run ended.

    Args:
        run: the run.
        error: what ended it; None where it came to its end.
        interrupted: whether somebody told it to end.
    """
    report = run.report
    report.ended_at = run.clock.now()
    report.caspio_calls = run.caspio.calls
    end = end_of(run, error, interrupted=interrupted)
    report.state = end.value
    if report.mode == "sweep" and (end in {End.DONE, End.BLOCKED} or isinstance(error, ShortfallError)):
        with contextlib.suppress(CaspioSyncError):
            await run.ledger.do(run.ledger.ledger.forget_sweep, run.name)
    code: int = report.exit_code(strict=run.options.strict)
    if error is not None:
        report.error = str(error) if isinstance(error, CaspioSyncError) else type(error).__name__
        code = error.exit_code if isinstance(error, CaspioSyncError) else ExitCode.FAILED
    if interrupted:
        report.error, code = "it was interrupted", signals.exit_code(error)
    with contextlib.suppress(CaspioSyncError):
        await note_freshness(run)
    run.observe()
    with contextlib.suppress(CaspioSyncError):
        await run.ledger.do(
            run.ledger.ledger.finish_run,
            report.run,
            state=report.state,
            exit_code=int(code),
            report=report.model_dump(mode="json"),
        )


async def note_freshness(run: SyncRun) -> None:
    """Measure the freshness at the end of the run, and note a miss."""
    ledger, report = run.ledger, run.report
    past = await ledger.do(ledger.ledger.runs, run.name, limit=PAST_RUNS + 1)
    run.past[:] = [each for each in past if each.id != run.id][:PAST_RUNS]
    cursor = await ledger.do(ledger.ledger.cursor, run.name)
    told = (each.report["freshness"] for each in run.past if each.report and each.report.get("freshness"))
    before = next((Freshness.model_validate(each) for each in told), None)
    report.freshness = measured(
        run.times,
        run.definition.freshness,
        run.clock.now(),
        None if cursor is None else cursor.watermark,
        await ledger.do(ledger.ledger.oldest_held, run.name),
        before,
        sent=report.sent,
        judged=not run.options.partial,
    )
    if report.freshness.missed:
        report.notes.append(missed_note(report.freshness, dated=run.times.known))
