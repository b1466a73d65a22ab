"""`caspio-sync status`: how each sync stands, from its file and the ledger alone."""

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from caspio_sync.cli.options import AsJson
from caspio_sync.cli.overview import looking_settings, open_overview
from caspio_sync.cli.show import OUT, iso_text, moment, number, show_json
from caspio_sync.cli.sync_name import AnySyncName, chosen_syncs
from caspio_sync.dashboard.sync_state import (
    SyncState,
    calls_made,
    freshness_line,
    pause_line,
    sync_state,
    workspace_line,
)
from caspio_sync.engine.accounts import Accounts
from caspio_sync.ledger.run_record import Run
from caspio_sync.spans import duration
from caspio_sync.sync_files import bare_name

_COUNTS = ("read", "new", "changed", "unchanged", "sent", "requests", "data_points", "data_points_saved")


def status(
    sync: AnySyncName = None,
    as_json: AsJson = False,
) -> None:
    """Say how each sync stands: its last run, how far it has read, its rows by verdict, its newest delivered row.

    Syncs are the files in syncs/ and those the ledger knows. No call is made to Caspio or Braze, no key is needed, and
    nothing is written or waited for: while a run sends, rows count as sent once their answer is recorded.

    Example: `caspio-sync status customers`
    """
    settings = looking_settings()
    with open_overview(settings) as ledger:
        calls = calls_made(settings, ledger)
        states = [sync_state(settings, ledger, name, calls) for name in chosen_syncs(settings, ledger, sync)]
    if as_json:
        documents = [_document(each) for each in states]
        show_json(documents[0] if sync else documents)
        return
    if not states:
        OUT.print("no sync yet; write one: `caspio-sync init customers --table T`")
    for each in states:
        _show_state(each)


def _document(state: SyncState) -> dict[str, Any]:
    run, cursor = state.last_run, state.cursor
    return {
        "sync": state.sync,
        "has_file": state.has_file,
        "workspace": _workspace_document(state.accounts),
        "last_run": None if run is None else _run_document(run, abandoned=state.abandoned),
        "cursor": None if cursor is None else iso_text(cursor.watermark),
        "full_sweep_at": None if cursor is None else iso_text(cursor.full_sweep_at),
        "rows": state.rows,
        "unknown_events": state.unknown,
        "newest_delivered_at": iso_text(state.newest_delivered),
        "newest_delivered_age_seconds": None if state.age is None else round(state.age.total_seconds(), 1),
        "freshness": _freshness_document(state),
        "paused": None
        if state.pause is None
        else {**state.pause._asdict(), "at": iso_text(state.pause.at), "everything": bool(state.pause.everything)},
        "incidents": [{"kind": each.kind, "since": iso_text(each.since)} for each in state.incidents],
        "webhook": None if state.webhook is None else state.webhook.document,
        "caspio_calls_today": None if state.calls is None else state.calls.today,
        "caspio_calls_30_days": None if state.calls is None else state.calls.last_month,
        "caspio_calls_per_day": None if state.calls is None else state.calls.per_day,
        "source": None
        if state.source is None
        else {name: state.source.fields[name] for name in ("drift", "stopped")} | {"since": iso_text(state.source.at)},
    }


def _workspace_document(found: Accounts | None) -> dict[str, Any] | None:
    if found is None or found.known is None:
        return None
    return {
        "caspio": found.known.caspio,
        found.known.destination: found.known.address,
        "same_in_settings": not found.changed,
    }


def _freshness_document(state: SyncState) -> dict[str, Any]:
    age = state.read_age
    return {
        "target_seconds": state.target_seconds,
        "read_up_to_age_seconds": None if age is None else round(age.total_seconds(), 1),
        "newest_delivered_changed_at": state.changed_at,
        "oldest_undelivered_at": iso_text(state.oldest_held),
        "missed": state.late,
    }


def _run_document(run: Run, *, abandoned: bool) -> dict[str, Any]:
    report = run.report or {}
    return {
        "run": run.id,
        "started_at": iso_text(run.started_at),
        "ended_at": iso_text(run.ended_at),
        "mode": run.mode,
        "state": "abandoned" if abandoned else run.state,
        "exit_code": run.exit_code,
        "error": report.get("error"),
        "counts": {name: report[name] for name in (*_COUNTS, "verdicts", "held") if name in report},
        "caspio_calls": report.get("caspio_calls"),
    }


def _show_state(state: SyncState) -> None:
    run = state.last_run
    gone = "its sync file is gone"
    if (name := bare_name(state.sync)) != state.sync:
        gone = f"a path that an older version took for a name; {name} has a state of its own, or no file"
    OUT.print(f"[bold]{escape(state.sync)}[/]{'' if state.has_file else escape(f'  ({gone})')}")
    lines: list[tuple[str, str]] = []
    if state.pause is not None:
        lines.append(("PAUSED", pause_line(state.sync, state.pause)))
    if run is None:
        lines.append(("last run", f"none yet; `caspio-sync plan {state.sync}`, then `caspio-sync run {state.sync}`"))
    else:
        lines += _run_lines(run, abandoned=state.abandoned)
    lines.append(("accounts", workspace_line(state.accounts)))
    if state.cursor is None or state.cursor.watermark is None:
        lines.append(("read up to", "no cursor yet: the next run reads all rows"))
    else:
        lines.append(("read up to", moment(state.cursor.watermark)))
    rows = ", ".join(f"{verdict} {number(count)}" for verdict, count in state.rows.items())
    lines.append(("rows", rows or "none"))
    if state.unknown:
        lines.append(("unknown", f"{number(state.unknown)} events: `caspio-sync unknown {state.sync}` settles them"))
    newest = "none" if state.age is None else f"{duration(state.age)} ago ({moment(state.newest_delivered)})"
    lines.append(("newest delivered", newest))
    lines.append(("freshness", freshness_line(state)))
    lines += [("incident", f"{each.kind} since {moment(each.since)}") for each in state.incidents]
    if (hook := state.webhook) is not None:
        lines += zip(("webhook", ""), hook.lines, strict=True)
    if (calls := state.calls) is not None:
        budget = f" of {number(calls.per_day)} ({calls.today / calls.per_day:.0%})" if calls.per_day else ""
        made = f"{number(calls.today)} calls today (UTC){budget}, {number(calls.last_month)} in 30 days"
        lines.append(("Caspio, all syncs", made))
    if state.source is not None and state.source.fields["drift"]:
        lines.append(("source", f"changed, seen {moment(state.source.at)}:"))
        lines += [("", line) for line in state.source.fields["drift"]]
    for name, text in lines:
        OUT.print(f"  {name:<17} {escape(text)}", soft_wrap=True)


def _run_lines(run: Run, *, abandoned: bool) -> Iterator[tuple[str, str]]:
    report = run.report or {}
    state = "abandoned: its process ended without a word; the next run takes over" if abandoned else run.state
    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    yield "last run", f"{moment(run.started_at)}, {run.mode}, {state}{code} ({run.id})"
    if report.get("error"):
        yield "", str(report["error"])
    counts = [f"{name.replace('_', ' ')} {number(report[name])}" for name in _COUNTS if name in report]
    if counts:
        yield "counts", ", ".join(counts)
    if "caspio_calls" in report:
        yield "calls to Caspio", number(report["caspio_calls"])
