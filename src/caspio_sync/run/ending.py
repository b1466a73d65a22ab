"""What a run adds to its report when it ends: the runs before it, and how fresh the sync is."""

from caspio_sync.run.context import SyncRun
from caspio_sync.run.freshness import Freshness, measured, missed_note

PAST_RUNS = 30


async def note_freshness(run: SyncRun) -> None:
    """Measure the freshness at the end of the run, and note a miss."""
    ledger, report = run.ledger, run.report
    past = await ledger.do(ledger.ledger.runs, run.name, limit=PAST_RUNS + 1)
    run.past = [each for each in past if each.id != run.id][:PAST_RUNS]
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
