"""What a run shows of itself in the Prefect UI: a progress bar while it moves, a summary when it ends."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact
from prefect.logging import get_run_logger

from caspio_sync.run.context import SyncRun
from caspio_sync.run.report import RunReport

PROGRESS = "Rows moved"


@contextlib.asynccontextmanager
async def published() -> AsyncIterator[Callable[[SyncRun], Awaitable[None]]]:
    """Gives what keeps a run's progress artifact from then on; at the end it leaves a summary, however the run ended.

    To be entered before the run is opened: how it ended is known once it is closed.
    """
    watched: list[tuple[SyncRun, UUID]] = []

    async def watch(run: SyncRun) -> None:
        progress = await acreate_progress_artifact(0.0, key=_key(run, "progress"), description=PROGRESS)
        run.on_batch(lambda: aupdate_progress_artifact(progress, percent_moved(run.report)))
        watched.append((run, progress))

    try:
        yield watch
    finally:
        for run, progress in watched:
            await aupdate_progress_artifact(progress, percent_moved(run.report))
            await acreate_markdown_artifact(
                markdown="\n".join(summary_lines(run.report)), key=_key(run, "summary"), description=f"Run {run.id}"
            )
            get_run_logger().info("%s: %s", run.name, headline(run.report))


def percent_moved(report: RunReport) -> float:
    """Share of the rows to read that were read and recorded, in percent."""
    return 100.0 if not report.expected else min(100.0, 100.0 * report.read / report.expected)


def headline(report: RunReport) -> str:
    """The run in one line."""
    held = sum(report.held.values())
    return (
        f"{report.read} rows read, {report.new} new, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.sent} sent, {report.verdicts.get('quarantined', 0)} quarantined, "
        f"{report.verdicts.get('rejected', 0)} rejected by Braze, {held} held from before; {report.requests} requests, "
        + (
            f"{report.data_points} data points billed, {report.data_points_saved} saved"
            if report.kind == "profiles"
            else f"{report.deleted} items deleted"
        )
    )


def summary_lines(report: RunReport) -> Iterator[str]:
    """The run as Markdown: counts, reasons ranked, the gate. Keys of rows, never their values."""
    yield f"# {report.sync}: {report.state}"
    yield ""
    if report.error:
        yield f"> {report.error}"
        yield ""
    yield headline(report) + "."
    yield ""
    yield from _table(
        ("Rows", "Count"),
        [
            ("read", report.read),
            ("new", report.new),
            ("changed", report.changed),
            ("unchanged", report.unchanged),
            *((f"held from before: {verdict}", rows) for verdict, rows in report.held.items()),
            *report.verdicts.items(),
            ("opt-outs sent ahead", report.opt_outs) if report.kind == "profiles" else ("deleted", report.deleted),
            ("rows a second", report.rows_per_second),
        ],
    )
    if report.reasons:
        yield "## Not sent"
        yield ""
        yield from _table(
            ("Verdict", "Reason", "Rows", "For example"),
            [(each.verdict, each.reason, each.rows, ", ".join(each.examples)) for each in report.reasons],
        )
    if report.checks:
        yield "## Gate"
        yield ""
        yield from _table(
            ("Expectation", "Severity", "Failed", "Rows", "Why"),
            [(each.name, each.severity, each.failed, each.rows, each.why) for each in report.checks],
        )
    yield from (f"- schema: {change}" for change in report.schema_changes)
    if report.stretched:
        yield f"- Caspio's daily budget: {report.stretched}"
    yield from (f"- source: {line}" for line in report.drift)
    yield from (f"- {note}" for note in report.notes)


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def _key(run: SyncRun, kind: str) -> str:
    return f"{run.name.lower().replace('_', '-')}-{kind}"
