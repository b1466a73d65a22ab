"""Reading from Caspio under Prefect."""

from collections.abc import AsyncIterator

from prefect import task

from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run.context import SyncRun
from tasks.options import REPEATED, without_values


@task(name="extract", **REPEATED)
@without_values
async def extract_batch(run: SyncRun) -> SourceBatch | None:
    """The next batch of the run's source; None after the last. A repeated call reads on where the failed one stood."""
    return await run.next_batch()


async def extract(run: SyncRun) -> AsyncIterator[SourceBatch]:
    """The run's batches, no further ahead than there is room for."""
    while (batch := await extract_batch(run)) is not None:
        yield batch
