"""`caspio-sync run`: one run, here and now: a flow run where a Prefect server is named, else bare."""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Never

import typer
from pydantic import SecretStr
from rich.markup import escape

from caspio_sync import signals
from caspio_sync.characters import trimmed
from caspio_sync.cli.accuracy import show_verification
from caspio_sync.cli.moment_option import parse_moment
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.server import named_server, use_server
from caspio_sync.cli.show import ERR, OUT, number, progress_bar, show_error, show_json, show_table
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.kind import kind_named
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import Settings, current_settings

if TYPE_CHECKING:
    from caspio_sync.deployed.listening import ListeningReport

Full = Annotated[
    bool, typer.Option("--full", help="Read every row, ignoring the cursor; what was sent is not sent again.")
]
Resend = Annotated[bool, typer.Option("--resend", help="Send every field of every row again. Braze bills all of it.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Read this many rows at most; the cursor stays.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--keys", help="Only these rows, by their identity: a,b,c; the cursor stays. Can be given again."),
]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", help="Only the row with this identity, commas and all; the cursor stays. Can be given again."
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", parser=parse_moment, metavar="TIME", help="Rows changed since this UTC time (ISO); the cursor stays."
    ),
]
Baseline = Annotated[
    bool,
    typer.Option(
        "--baseline",
        help="Record all rows as sent WITHOUT sending anything, opt-outs neither: Braze holds them already.",
    ),
]
VerifySample = Annotated[
    int | None, typer.Option("--verify-sample", min=1, help="With --baseline: then read so many profiles back.")
]
AcceptSchema = Annotated[
    bool, typer.Option("--accept-schema", help="Take the source's fields as they are now, though they changed.")
]
SameWorkspace = Annotated[
    bool,
    typer.Option("--same-workspace", help="The accounts are those of before, under another host or key."),
]
NotOurs = Annotated[
    bool,
    typer.Option(
        "--not-ours", help="Of a first run of events: what the destination has of them came from somewhere else."
    ),
]
Hints = Annotated[
    bool, typer.Option("--hints", help="Only rows that Caspio's webhooks announced, read again now; the cursor stays.")
]
Listen = Annotated[
    float,
    typer.Option(
        "--listen",
        min=0,
        max=86_400,
        help="With --hints: stay for so many seconds, take what arrives, and read what was not announced between.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit code 5 where rows were quarantined, rejected or blocked.")]
AllowDeletes = Annotated[
    bool,
    typer.Option("--allow-deletes", help="Of a catalog: delete vanished items, though more than max_deleted_share."),
]
AllowErasures = Annotated[
    bool,
    typer.Option("--allow-erasures", help="Erase whoever is named, though it is more than 5 % of the rows at once."),
]
Prefect = Annotated[
    bool,
    typer.Option(
        "--prefect", help="Where no Prefect server is named, run with one of its own, which ends with the run."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for a run of this sync that is under way.")]

WITHOUT_SERVER = (
    "without Prefect: no server is named. To have runs in its UI: `caspio-sync serve`, PREFECT_API_URL, or --prefect"
)
# What a person reads who breaks a run off.
STOPPED = "what Braze acknowledged is in the ledger, and the next run goes on from there"


def run(
    sync: SyncName,
    full: Full = False,
    resend: Resend = False,
    limit: Limit = None,
    keys: Keys = None,
    key: Key = None,
    since: Since = None,
    baseline: Baseline = False,
    verify_sample: VerifySample = None,
    accept_schema: AcceptSchema = False,
    allow_deletes: AllowDeletes = False,
    allow_erasures: AllowErasures = False,
    same_workspace: SameWorkspace = False,
    not_ours: NotOurs = False,
    hints: Hints = False,
    listen: Listen = 0,
    strict: Strict = False,
    wait: Wait = False,
    prefect: Prefect = False,
    as_json: AsJson = False,
) -> None:
    """Send what is new or changed to Braze, and record what became of each row.

    A first run reads everything; later ones read what changed since (with a cursor field). Of profiles the changed
    fields alone are sent; items of a catalog are replaced whole, and deleted when their row is gone. Rows that fail the
    gate are set aside with a reason: `caspio-sync quarantine list SYNC`.

    It is a flow run of the Prefect server that PREFECT_API_URL, or Prefect's profile, names, or that `serve` runs on
    this state folder. Without one the same steps run here alone, and are tried again in the same way.

    Example: `caspio-sync run customers --limit 100`
    """
    options = RunOptions(
        full=full,
        resend=resend,
        limit=limit,
        row_keys=split_keys(keys, key),
        since=since,
        baseline=baseline,
        verify_sample=verify_sample,
        accept_schema=accept_schema,
        allow_deletes=allow_deletes,
        allow_erasures=allow_erasures,
        same_workspace=same_workspace,
        not_ours=not_ours,
        hints=hints,
        listen_seconds=listen,
        strict=strict,
        wait=wait,
    )
    if listen and hints:
        end_listening(listen_here(sync, options, quiet=as_json), as_json=as_json)
    end(*run_shown(sync, options, quiet=as_json, private=prefect), strict=strict, as_json=as_json)


def listen_here(sync: str, options: RunOptions, *, quiet: bool) -> "ListeningReport":
    """Stay in this process, without a server, for as long as the options say; Ctrl-C ends it as it ends a run."""
    from caspio_sync.cli.bare import run_listening
    from expectations.gate import warm
    from expectations.suites import Gates

    signals.remark(STOPPED)
    threading.Thread(target=warm, name="gate").start()  # else what is announced first waits two seconds for it
    if not quiet:
        ERR.print(f"{escape(sync)}: listening for {number(int(options.listen_seconds))} s", soft_wrap=True)
    return run_listening(sync, options, current_settings(sync), Gates)


def end_listening(report: "ListeningReport", *, as_json: bool) -> Never:
    """Show what was taken while listening, and end the command with its exit code."""
    if as_json:
        show_json({**report.model_dump(mode="json"), "exit_code": report.exit_code})
    else:
        show_table(
            "",
            ("while listening", "rows"),
            [
                ("announced, and read again", report.hints - report.told),
                *([("announced, and taken from their messages", report.told)] if report.told else []),
                ("sent", report.sent),
                ("not sent", report.not_sent),
                ("sessions, sweeps", f"{number(report.sessions)}, {number(report.sweeps)}"),
                *([("failed", report.failed)] if report.failed else []),
            ],
            right=("rows",),
        )
        if report.error is not None:
            show_error(report.error)
    raise typer.Exit(report.exit_code)


def end(report: RunReport | None, error: CaspioSyncError | None, *, strict: bool, as_json: bool) -> Never:
    """Show how a run ended, and end the command with its exit code."""
    if as_json and report is not None:
        show_json({**report.model_dump(mode="json"), "exit_code": exit_code(report, error, strict=strict)})
    elif report is not None:
        show_report(report)
    if error is not None:
        show_error(str(error))
    raise typer.Exit(exit_code(report, error, strict=strict))


def run_shown(
    sync: str, options: RunOptions, *, quiet: bool = False, private: bool = False
) -> tuple[RunReport | None, CaspioSyncError | None]:
    """Run with a progress bar where there is a terminal, on the server that is named; bare where there is none.

    Args:
        sync: its name.
        options: what to read, and what to send of it.
        quiet: show nothing.
        private: where no server is named, start one for this run.

    Returns:
        The last report (None where the run could not be opened), and the error that ended the run.
    """
    settings = current_settings(sync)
    signals.remark(STOPPED)
    server = named_server(settings.home)
    if server is None and not private:
        if not quiet:
            ERR.print(WITHOUT_SERVER, soft_wrap=True)
        run_sync = bare_runner()
    else:
        use_server(settings.home, server)
        from flows.kinds import run_sync  # imports Prefect, whose settings are read then

    latest: list[RunReport] = []
    with progress_bar(quiet=quiet) as progress:
        bar = progress.add_task(f"{sync}: starting", total=None)

        def watch(report: RunReport) -> None:
            latest[:] = [report]
            described = f"{sync}: {report.stretched}" if report.stretched else sync
            progress.update(bar, description=described, total=report.expected or None, completed=report.read)

        token = CONNECT.set(replace(CONNECT.get(), observer=watch))
        try:
            return run_sync(sync, options, settings), None
        except CaspioSyncError as error:
            return (latest[0] if latest else None), error
        finally:
            CONNECT.reset(token)


def bare_runner() -> Callable[[str, RunOptions, Settings], RunReport]:
    """What runs a sync in this process without Prefect."""
    from caspio_sync.cli.bare import run_sync
    from expectations.suites import Gates

    return functools.partial(run_sync, gates=Gates)


def exit_code(report: RunReport | None, error: CaspioSyncError | None, *, strict: bool) -> int:
    """How the command ends."""
    if error is not None:
        return error.exit_code
    assert report is not None
    return int(report.exit_code(strict=strict))


def split_keys(lists: Sequence[str] | None, single: Sequence[str] | None) -> tuple[SecretStr, ...]:
    """`--keys "a,b , c"` as three keys, and each `--key "a,b"` as one.

    Raises:
        ConfigurationError: keys were asked for, and none is there: a run without keys would take every row.
    """
    given = [*(key for listed in lists or () for key in listed.split(",")), *(single or ())]
    keys = tuple(SecretStr(key) for each in given if (key := trimmed(each)))
    if given and not keys:
        raise ConfigurationError("--keys or --key names no key; give the values of the identity field")
    return keys


def show_report(report: RunReport) -> None:
    """The run as tables."""
    for change in report.schema_changes:
        OUT.print(f"[bold]schema:[/] {escape(change)}", soft_wrap=True)
    quarantined = report.verdicts.get("quarantined", 0) + report.held.get("quarantined", 0)
    rejected = report.verdicts.get("rejected", 0) + report.held.get("rejected", 0)
    known = f" ({number(sum(report.held.values()))} of these known from before)" if report.held else ""
    seconds = report.seconds
    words, title = kind_named(report.kind).words, report.destination
    show_table(
        "",
        ("rows", "", "cost", ""),
        [
            ("read", report.read, f"requests to {title}", report.requests),
            ("new", report.new, "calls to Caspio", report.caspio_calls),
            ("changed", report.changed, "data points billed", words.free or report.data_points),
            (
                "unchanged",
                report.unchanged,
                "saved by the field diff",
                report.data_points_saved if words.billed else "",
            ),
            ("sent", report.sent, "rows a second", report.rows_per_second),
            *([("deleted", report.deleted, "", "")] if words.deletes else []),
            ("quarantined", quarantined, "gate, seconds", f"{seconds.get('gate', 0.0):.2f}"),
            (f"rejected by {title}", rejected, "moving, seconds", f"{seconds.get('moving', 0.0):.2f}"),
        ],
        right=("",),
    )
    if report.mode == "sweep" and report.baseline:
        OUT.print(
            f"[bold]baseline: {number(report.baseline)} rows recorded as sent; nothing was sent to {title}, opt-outs "
            f"neither.[/] Where {title} may hold another consent: `caspio-sync verify {report.sync} --all`"
        )
    if report.left_to_send:
        OUT.print(f"changed since they were recorded, left to the next run: {number(report.left_to_send)} rows")
    if report.changed_fields:
        fields = ", ".join(f"{name} {number(rows)}" for name, rows in sorted(report.changed_fields.items()))
        OUT.print(f"fields that changed: {escape(fields)}")
    if report.identified:
        OUT.print(f"new rows offered to the profile with their address: {number(report.identified)}")
    if report.opt_outs:
        OUT.print(f"opt-outs sent ahead of the gate: {number(report.opt_outs)}")
    if report.reasons:
        OUT.print()
        show_table(
            f"not sent, and why{known}",
            ("verdict", "reason", "rows", "for example"),
            [(each.verdict, each.reason, each.rows, ", ".join(each.examples)) for each in report.reasons],
            right=("rows",),
        )
    _show_notes(report)


def _show_notes(report: RunReport) -> None:
    if report.stretched:
        OUT.print(f"Caspio's daily budget: {escape(report.stretched)}")
    for line in report.drift:
        OUT.print(f"[bold yellow]source:[/] {escape(line)}", soft_wrap=True)
    for line in report.writeback.lines() if report.writeback else ():
        OUT.print(escape(line), soft_wrap=True)
    for note in report.notes:
        OUT.print(f"note: {escape(note)}")
    if report.verification is not None:
        OUT.print()
        show_verification(report.verification)
