"""Reading back after a baseline, under Prefect."""

from prefect import task

from caspio_sync.run.context import SyncRun
from caspio_sync.run.verification.verifying import verify
from caspio_sync.settings import current_settings
from tasks.options import FRAMES, without_values


async def verify_sample(run: SyncRun) -> None:
    """Verify as many rows as the run's options ask for; nothing where they ask for none."""
    if run.options.verify_sample is not None:
        await verify_rows(run, run.options.verify_sample)


@task(name="verify", **FRAMES)
@without_values
async def verify_rows(run: SyncRun, sample: int) -> None:
    """A sample of what was recorded, held against what Braze has."""
    run.report.verification = await verify(run.name, settings=current_settings(), sample=sample, restart=True)
    run.observe()
