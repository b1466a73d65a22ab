"""The step that verifies what a run sent, where it was asked to."""

from caspio_sync.engine.line import Step
from caspio_sync.engine.run import SyncRun
from caspio_sync.settings import current_settings
from caspio_sync.verification.verifying import verify


async def _verify(run: SyncRun) -> None:
    """A sample of what was recorded, held against what the destination has."""
    run.report.verification = await verify(
        run.name, settings=current_settings(), sample=run.options.verify_sample, restart=True
    )
    run.observe()


VERIFY = Step("verify", _verify, when=lambda run: run.options.verify_sample is not None, repeated=False)
