"""A run counts itself: each row that was read has a verdict before its batch is recorded and the cursor moves."""

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ShortfallError
from caspio_sync.ledger.compare import Comparison

_NEXT = (
    "The cursor stays: `caspio-sync run {name}` reads these rows again. Should it end so once more, report this line; "
    "it holds no values"
)


async def check_batch(run: SyncRun, batch: SourceBatch, compared: Comparison, *, left: int = 0) -> None:
    """Hold the rows of a batch against what became of each, by the ledger itself; before the batch is recorded.

    Args:
        run: the run.
        batch: as it was read.
        compared: its rows that are as they were sent, or held from before.
        left: rows that are left to the next run on purpose.

    Raises:
        ShortfallError: a row has no verdict. The batch stays open, so that no later run goes on behind it.
    """
    delivered = await run.ledger.do(run.ledger.ledger.delivered, run.name, run.id, batch.number)
    told = delivered.filter(pl.col("part") == "profile").height
    settled = compared.unchanged + sum(compared.held.values()) + compared.settled.height
    if (missing := batch.rows - settled - told - left) > 0:
        raise ShortfallError(
            f"{run.name}: {missing:,} of the {batch.rows:,} rows with PK_ID {batch.low:,} to {batch.high:,} "
            f"got no verdict. {_NEXT.format(name=run.name)}"
        )


def check_run(run: SyncRun) -> None:
    """Hold the rows that Caspio gave against those that were mapped, and these against what became of them.

    Raises:
        ShortfallError: a row was lost between two steps.
    """
    report = run.report
    for missing, what in (
        (run.reading.handed - report.read, "that Caspio gave were not looked at"),
        (report.read - report.accounted, "that were read got no verdict"),
    ):
        if missing > 0:
            raise ShortfallError(f"{run.name}: {missing:,} rows {what}. {_NEXT.format(name=run.name)}")
