"""The ledger's part of a run under Prefect: comparing before the gate, recording after the send."""

import polars as pl
from prefect import task

from caspio_sync.delivery.outcomes import Outstanding
from caspio_sync.errors import GateBlockedError
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.ledger.compare import Comparison
from caspio_sync.run import baseline, comparing, recording
from caspio_sync.run.context import SyncRun
from expectations.gate import Judgement
from tasks.options import REPEATED, without_values


@task(name="compare", **REPEATED)
@without_values
async def compare(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame) -> Comparison:
    """What is new, what changed, and in which fields."""
    await comparing.open_batch(run, batch)
    return await comparing.compare_batch(run, batch, mapped)


@task(name="record", **REPEATED)
@without_values
async def record(
    run: SyncRun, batch: SourceBatch, comparison: Comparison, held: pl.DataFrame, outstanding: Outstanding
) -> None:
    """The outcomes still on their way, the rows that were not sent, and the batch."""
    await recording.record_batch(run, batch, comparison, held, outstanding)


@task(name="record baseline", **REPEATED)
@without_values
async def record_baseline(run: SyncRun, batch: SourceBatch, comparison: Comparison, judgement: Judgement) -> None:
    """The accepted rows as sent, without sending; the held ones as ever."""
    await baseline.record_baseline(run, batch, comparison, judgement.held, judgement.accepted)


async def block(run: SyncRun, batch: SourceBatch, judgement: Judgement) -> None:
    """Nothing of the batch is sent, opt-outs apart; the cursor stays and the run ends."""
    run.blocked = GateBlockedError(
        f"{run.name}: the gate blocked batch {batch.number} (PK_ID {batch.low} to {batch.high}): {judgement.blocked}. "
        f"Nothing of it was sent, opt-outs apart. Look at `caspio-sync plan {run.name} --show 5`, then correct the "
        "rows in Caspio, the mapping, or the limits under gate: in the sync file, and run again."
    )
    await recording.record_blocked_batch(run, batch, str(judgement.blocked))
