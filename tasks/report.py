"""What a run shows of itself in the Prefect UI: a progress bar while it moves, a summary when it ends."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact
from prefect.logging import get_run_logger

from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.summary import headline, percent_moved, summary_lines

PROGRESS = "Rows moved"


@contextlib.asynccontextmanager
async def published() -> AsyncIterator[Callable[[SyncRun], Awaitable[None]]]:
    """Gives what keeps a run's progress artifact from then on; at the end it leaves a summary, however the run ended.

    To be entered before the run is opened: how it ended is known once it is closed.
    """
    watched: list[tuple[SyncRun, UUID]] = []

    async def watch(run: SyncRun) -> None:
        progress = await acreate_progress_artifact(0.0, key=_key(run, "progress"), description=PROGRESS)
        run.turns.on_batch(lambda: aupdate_progress_artifact(progress, percent_moved(run.report)))
        watched.append((run, progress))

    try:
        yield watch
    finally:
        for run, progress in watched:
            await aupdate_progress_artifact(progress, percent_moved(run.report))
            await acreate_markdown_artifact(
                markdown="\n".join(summary_lines(run.report, run.past)),
                key=_key(run, "summary"),
                description=f"Run {run.id}",
            )
            get_run_logger().info("%s: %s", run.name, headline(run.report))


def _key(run: SyncRun, kind: str) -> str:
    return f"{run.name.lower().replace('_', '-')}-{kind}"
