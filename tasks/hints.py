"""What webhooks announced, under Prefect: a task a session, which is a run of its own in the ledger."""

from prefect import task
from prefect.logging import get_run_logger

from caspio_sync.engine.line import line_of, run_and_close
from caspio_sync.engine.opening import open_run
from caspio_sync.engine.summary import headline
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import current_settings
from expectations.suites import Gates
from tasks.options import FRAMES, without_values
from tasks.server import mark_killed


@task(name="take hints", **FRAMES)
@without_values
async def take_hints(sync: str, options: RunOptions, flow_run: str | None) -> RunReport:
    """A session of a minute: rows that webhooks announce, as they arrive, down the line of the sync's kind.

    Its steps are no tasks of their own: there are hundreds in a minute.
    """
    settings = current_settings(sync)
    line = line_of(load_sync(settings.sync_file(sync)))
    opening = open_run(sync, options, settings=settings, gates=Gates, flow_run=flow_run, on_killed=mark_killed)
    report = await run_and_close(opening, line)
    get_run_logger().info("%s: %s", sync, headline(report))
    return report
