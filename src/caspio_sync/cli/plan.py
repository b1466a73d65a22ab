"""`caspio-sync plan`: what a run would do; writes nothing anywhere."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync.cli.options import AsJson
from caspio_sync.cli.plan_markdown import plan_markdown
from caspio_sync.cli.run import (
    AcceptSchema,
    Full,
    Key,
    Keys,
    Limit,
    Resend,
    Since,
    show_report,
    split_keys,
)
from caspio_sync.cli.show import OUT, number, seconds_text, show_json, write
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.destinations.braze.identifying import identify_seconds
from caspio_sync.engine.duplicates import Duplicates
from caspio_sync.engine.line import line_of, plan_line
from caspio_sync.engine.opening import open_plan
from caspio_sync.engine.plan import EventsPlan, ItemsPlan, Plan
from caspio_sync.errors import ConfigurationError, GateBlockedError
from caspio_sync.observe.report import CheckTotals, RunOptions, RunReport
from caspio_sync.settings import current_settings


def plan(
    sync: SyncName,
    limit: Limit = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Show this many of the objects that would be sent.")] = 1,
    full: Full = False,
    resend: Resend = False,
    keys: Keys = None,
    key: Key = None,
    since: Since = None,
    accept_schema: AcceptSchema = False,
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as Markdown for a pull request: counts alone, no row.")
    ] = False,
) -> None:
    """Say what a run would do: rows, requests, data points, Caspio calls. A dry run: nothing is written anywhere.

    Run it before the first run, and after every change of the sync file. Exit code 2 where the `schedule:` asks for
    more calls than CASPIO_CALLS_PER_DAY, 3 where the run would be blocked.

    Example: `caspio-sync plan customers --limit 1000 --show 3`
    """
    options = RunOptions(
        limit=limit,
        full=full,
        resend=resend,
        row_keys=split_keys(keys, key),
        since=since,
        accept_schema=accept_schema,
    )
    made = made_plan(sync, options, show)
    if as_json:
        show_json(made.model_dump(mode="json"))
    elif markdown:
        write(plan_markdown(made))
    else:
        show_plan(made)
    if made.refused:
        raise ConfigurationError(f"{sync}: {made.refused}")
    if made.blocked:
        raise GateBlockedError(f"{sync}: this run would be blocked: {made.blocked}")


def made_plan(sync: str, options: RunOptions, show: int) -> Plan:
    """What a run with these options would do; nothing is written.

    Raises:
        ConfigurationError, TransientError: as `open_plan`.
    """
    return asyncio.run(_plan(sync, options, show))


async def _plan(sync: str, options: RunOptions, show: int) -> Plan:
    from expectations.suites import Gates

    async with open_plan(sync, options, settings=current_settings(sync), gates=Gates) as run:
        return await plan_line(run, line_of(run.definition), show=show)


def show_plan(made: Plan) -> None:
    """The plan as text and tables."""
    does = "send" if made.report.writeback is None else "write"
    OUT.print(f"[bold]A run would {does} {number(made.to_send)} rows[/] (a dry run: nothing was written)\n")
    if made.items is not None:
        _show_items(made.items, made.report.destination)
    if made.events is not None:
        _show_events(made.events, made.report)
    show_report(made.report)
    for line in gate_lines(made.report.checks):
        OUT.print(escape(line), soft_wrap=True)
    for change in made.mapping_changes:
        OUT.print(f"[bold]mapping:[/] {escape(change)}", soft_wrap=True)
    _show_calls(made)
    for warning in made.warnings:
        OUT.print(f"[yellow]warning:[/] {escape(warning)}")
    for sample in made.samples:
        OUT.print(f"\nwould be {'sent' if made.report.writeback is None else 'written'}, for example:")
        show_json(sample)


def _show_calls(made: Plan) -> None:
    """What is made first, and which calls it takes, at both ends."""
    for line in made.first:
        OUT.print(f"[bold]first, at {made.report.destination}:[/] {escape(line)}", soft_wrap=True)
    for name, people in made.enrolled.items():
        OUT.print(f"{number(people)} people would enter the automation {escape(name)}")
    if made.calls is not None:
        takes = f"{seconds_text(made.seconds)} at the pace set for it"
        OUT.print(f"{number(made.calls)} calls to {made.report.destination}, {takes}")
    if made.calls_a_month is not None:
        OUT.print(
            f"Caspio calls a month at the schedule '{made.schedule}': {number(made.calls_a_month)} = {made.steps}"
        )
    if made.hint_calls_a_month is not None:
        OUT.print(
            f"Caspio calls a month for what webhooks announce, as of the last 7 days: {number(made.hint_calls_a_month)}"
        )
    if made.duplicates is not None:
        OUT.print(duplicates_text(made.duplicates))
    budget = f" of {number(made.calls_per_day)} a day" if made.calls_per_day else ""
    today = f"{number(made.calls_today)}{budget}"
    OUT.print(f"Caspio calls a run, little changed: {number(made.calls_a_run)}; today so far: {today}")


def gate_lines(checks: Sequence[CheckTotals]) -> list[str]:
    """The expectations that are not met, those first that most rows fail."""
    failed = sorted((each for each in checks if each.failed), key=lambda each: -each.failed)
    return [f"gate: {each.name} ({each.severity}): {_failing(each)}: {each.why}" for each in failed]


def _failing(check: CheckTotals) -> str:
    # Of a batch as a whole only this can be said; one row is told in the table of reasons.
    return "not met" if check.failed == 1 else f"{number(check.failed)} of {number(check.rows)} rows fail it"


def _show_items(items: ItemsPlan, title: str) -> None:
    for line in items.schema_changes or ["nothing to change"]:
        OUT.print(f"[bold]schema:[/] {escape(line)}", soft_wrap=True)
    deletes = "not known before a whole read under the present condition" if items.delete is None else items.delete
    shown = f" ({', '.join(items.examples)})" if items.examples else ""
    OUT.print(
        f"items: write {number(items.write)}, delete {deletes}{escape(shown)}, unchanged {number(items.unchanged)}"
    )
    OUT.print(f"{number(items.requests)} requests, {seconds_text(items.seconds)} at {title}'s limit\n")


def _show_events(events: EventsPlan, report: RunReport) -> None:
    since = "" if events.since is None else f", from {events.since} to {events.until}"
    OUT.print(
        f"events: {number(events.objects)} would go{since}, for {number(report.data_points)} data points",
        soft_wrap=True,
    )
    if events.unknown:
        OUT.print(f"unknown: {number(events.unknown)}, settled by `caspio-sync unknown {escape(report.sync)}`")
    OUT.print()


def duplicates_text(found: Duplicates) -> str:
    """What becomes of new rows whose address Braze knows."""
    if not found.duplicates:
        return f"duplicates: none among {number(found.looked_at)} of {number(found.new_rows)} new rows with an address"
    about = "about " if found.sampled else ""
    sample = (
        f", estimated from {number(found.looked_up)} rows that were looked up ({number(found.requests)} requests)"
        if found.sampled
        else ""
    )
    usual, slowest = (seconds_text(seconds) for seconds in identify_seconds(found.new_rows))
    return (
        f"[bold]duplicates: {about}{number(found.of_all(found.duplicates))}[/] of {number(found.new_rows)} new rows "
        f"have the address of another profile{sample}. With identity.on_new: create each becomes a second profile; "
        f"identify_by_email takes over those without an external id ({about}{number(found.of_all(found.anonymous))}), "
        f"and takes {usual} more, or {slowest} where Braze gives 250 exports a minute"
    )
