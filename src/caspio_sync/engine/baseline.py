"""A baseline: the present rows recorded as sent without sending them, for a workspace that holds them already."""

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.engine.recording import close_batch, record_rows
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.sending import without_required_consent
from caspio_sync.ledger.compare import Comparison
from caspio_sync.ledger.verification import BASELINE
from caspio_sync.schemas import Verdict


async def record_baseline(
    run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame, accepted: pl.DataFrame
) -> None:
    """Record accepted rows as sent, although nothing was: the destination is taken to hold them already.

    Rows of which the ledger knows an acknowledged version are left alone: what changed in them since is for a run to
    send. So a baseline that was killed may be repeated, and one by mistake loses no change.
    """
    new = accepted.filter(pl.col("_op") == "new")
    rows, without = without_required_consent(run, new)
    sent = run.report.verdicts.get(Verdict.SENT, 0)
    await run.work.note_taken(run, rows)
    await record_rows(run, batch.number, rows.with_columns(reason=pl.lit(BASELINE)), Verdict.SENT)
    run.report.verdicts[Verdict.SENT] = sent  # a word that is kept for what was taken
    run.report.baseline += rows.height
    run.report.left_to_send += accepted.height - new.height
    await record_rows(run, batch.number, without, Verdict.BLOCKED)
    await close_batch(run, batch, comparison, held, left=accepted.height - new.height)
