"""`caspio-sync backfill`: chosen rows once more, in shards; for people and for CI."""

import asyncio
import re
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync import signals
from caspio_sync.cli.moment_option import parse_moment
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.run import STOPPED, NotOurs, Resend, Strict
from caspio_sync.cli.server import named_server, use_server
from caspio_sync.cli.show import OUT, number, progress_bar, show_error, show_json, show_table
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.deployed.backfill import (
    MOST_SHARDS,
    PROGRESS,
    Backfill,
    BackfillError,
    BackfillReport,
    plan_backfill,
)
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.observe.report import RunOptions
from caspio_sync.settings import current_settings

From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        parser=parse_moment,
        metavar="TIME",
        help="Rows changed since this time (ISO; without a zone it is UTC).",
    ),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", parser=parse_moment, metavar="TIME", help="With --from: rows changed no later than this."),
]
Keys = Annotated[str | None, typer.Option("--pk", help="Rows by their PK_ID, both ends included: A..B.")]
Shards = Annotated[int, typer.Option("--shards", min=1, max=MOST_SHARDS, help="Cut the rows into so many runs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; nothing is written anywhere.")]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Wait for a run of this sync that is under way; and, on a server, follow the shards to their end.",
    ),
]


def backfill(
    sync: SyncName,
    since: From = None,
    until: To = None,
    pk: Keys = None,
    shards: Shards = 1,
    dry_run: DryRun = False,
    wait: Wait = False,
    resend: Resend = False,
    not_ours: NotOurs = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Read chosen rows again and send what Braze lacks of them. Never moves the sync's cursor.

    With a Prefect server (found as `caspio-sync run` does) each shard is a run of the sync's deployment, on any worker;
    alone they run here, one after the other. Ends with the worst exit code of its shards. Given again after a failure
    it goes on where they stopped.

    Example: `caspio-sync backfill customers --from 2026-03-01 --to 2026-03-08 --shards 4 --wait`
    """
    options = RunOptions(
        since=since,
        until=until,
        pk_range=_pk_range(pk),
        resend=resend,
        not_ours=not_ours,
        strict=strict,
        wait=wait,
    )
    if until is not None and since is None:
        raise ConfigurationError("--to without --from: say since when, too")
    if dry_run:
        _show_plan(sync, options, shards, as_json=as_json)
        return
    report, error = _backfilled(sync, options, shards, quiet=as_json)
    code = error.exit_code if error is not None else report.exit_code if report is not None else 0
    if report is not None and as_json:
        show_json({**report.model_dump(mode="json"), "exit_code": code})
    elif report is not None:
        _show(report)
    elif as_json:
        show_json({"sync": sync, "error": str(error), "exit_code": code})
    if error is not None:
        show_error(str(error))
    raise typer.Exit(code)


def _backfilled(
    sync: str, options: RunOptions, shards: int, *, quiet: bool
) -> tuple[BackfillReport | None, CaspioSyncError | None]:
    """The backfill, with a progress bar where there is a terminal."""
    signals.remark(STOPPED)
    settings = current_settings(sync)
    server = named_server(settings.home)

    def backfilled() -> BackfillReport:
        if server is None:
            from caspio_sync.cli.bare import run_backfill as run_bare
            from expectations.suites import Gates

            return run_bare(sync, options, shards, settings, Gates)
        use_server(settings.home, server)
        from flows.backfill import BackfillParameters, run_backfill  # imports Prefect, whose settings are read then

        chosen = options.model_dump(include={"since", "until", "pk_range", "resend", "strict", "wait"})
        return run_backfill(
            BackfillParameters(sync=sync, shards=shards, on_workers=True, follow=options.wait, **chosen)
        )

    with progress_bar(quiet=quiet) as progress:
        bar = progress.add_task(f"{sync}: backfill", total=None)
        token = PROGRESS.set(lambda rows, total: progress.update(bar, completed=rows, total=total))
        try:
            return backfilled(), None
        except BackfillError as error:
            return error.report, error
        except CaspioSyncError as error:
            return None, error
        finally:
            PROGRESS.reset(token)


def _pk_range(text: str | None) -> tuple[int, int] | None:
    """`A..B` as two numbers."""
    if text is None:
        return None
    ends = re.fullmatch(r"\s*(-?\d{1,18})\s*\.\.\s*(-?\d{1,18})\s*", text)
    if ends is None:
        raise ConfigurationError(f"--pk {text}: two whole numbers are meant, the smaller first, such as --pk 1..5000")
    return int(ends[1]), int(ends[2])


def _show_plan(sync: str, options: RunOptions, shards: int, *, as_json: bool) -> None:
    from caspio_sync.cli.plan import made_plan, show_plan

    cut = asyncio.run(plan_backfill(sync, options, shards, settings=current_settings(sync), keep=False))
    made = made_plan(sync, options, 1)
    if as_json:
        ranges = [{"low_pk": each.low_pk, "high_pk": each.high_pk, "rows": each.rows} for each in cut.shards]
        show_json({"sync": sync, "shards": ranges, "plan": made.model_dump(mode="json")})
        return
    _show_shards(cut)
    show_plan(made)


def _show_shards(cut: Backfill) -> None:
    for note in cut.notes:
        OUT.print(f"note: {escape(note)}")
    show_table(
        "shards",
        ("PK_ID from", "to", "rows, about"),
        [(each.low_pk, each.high_pk, each.rows) for each in cut.shards],
        right=("PK_ID from", "to", "rows, about"),
    )
    OUT.print()


def _show(report: BackfillReport) -> None:
    for note in report.notes:
        OUT.print(f"note: {escape(note)}")
    if not report.shards:
        OUT.print("no row is meant; nothing was done")
        return
    counted = [each.report for each in report.shards]
    show_table(
        "",
        ("PK_ID from", "to", "state", "read", "sent", "not sent", "unchanged", "flow run"),
        [
            (
                each.low_pk,
                each.high_pk,
                each.state,
                *(("", "", "", "") if run is None else (run.read, run.sent, run.not_sent, run.unchanged)),
                each.flow_run or "",
            )
            for each, run in zip(report.shards, counted, strict=True)
        ],
        right=("PK_ID from", "to", "read", "sent", "not sent", "unchanged"),
    )
    sent = sum(each.sent for each in counted if each is not None)
    OUT.print(f"{number(sent)} rows sent, {number(report.not_sent)} not sent; the cursor stays where it was")
    if report.not_sent:
        OUT.print(f"why: `caspio-sync quarantine list {report.sync}`")
