"""`caspio-sync runs` and `show`: what runs did, from the ledger alone."""

import difflib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from caspio_sync.cli.options import AsJson
from caspio_sync.cli.overview import looking_settings, open_overview
from caspio_sync.cli.show import OUT, iso_text, moment, number, show_json, show_table
from caspio_sync.cli.sync_name import AnySyncName, chosen_syncs
from caspio_sync.dashboard.run_state import ABANDONED, mapping_change, mapping_text, not_sent, state_of, took
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.run_record import Run
from caspio_sync.spans import duration

_ROW_COUNTS = ("read", "new", "changed", "unchanged", "deleted", "erased", "opt_outs", "baseline", "left_to_send")
_ALWAYS = _ROW_COUNTS[:4]  # shown though they are 0
_COSTS = ("data_points", "data_points_saved", "requests", "caspio_calls")
_NAMES_OFFERED = 5


def _moment(text: str | datetime) -> datetime | None:
    from caspio_sync.cli.moment_option import parse_moment  # pydantic, for those who give one

    return parse_moment(text)


Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", parser=_moment, metavar="TIME", help="Started then or later (ISO 8601; without a zone UTC)."
    ),
]
Failed = Annotated[
    bool, typer.Option("--failed", help="Only those that did not end with exit code 0, or died without a word.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="So many at the most.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `caspio-sync runs` lists it.")]


def runs(
    sync: AnySyncName = None, since: Since = None, failed: Failed = False, limit: Limit = 20, as_json: AsJson = False
) -> None:
    """List the runs that the ledger knows, newest first: how each ended, and what it did with its rows.

    `set aside` are rows that were to be sent and were not, those held from before included. No call is made to Caspio
    or Braze, and no key is needed. Example: `caspio-sync runs --since 2026-05-01 --failed`
    """
    settings = looking_settings()
    with open_overview(settings) as ledger:
        if sync is not None:
            chosen_syncs(settings, ledger, sync)  # refuses a name that nobody knows
        found = ledger.runs(sync, since=since, failed=failed, limit=limit + 1)
        shown = found[:limit]
        states = {each.id: state_of(each, ledger) for each in shown}
        now = ledger.now()
    if as_json:
        show_json([_line_document(each, states[each.id]) for each in shown])
        return
    if not shown:
        OUT.print("no run" if since is None and not failed else "no such run")
        return
    for name in dict.fromkeys(each.sync for each in shown):
        show_table(
            escape(name),
            ("run", "ended", "took", "read", "sent", "set aside", "data points"),
            [_cells(each, states[each.id], now) for each in shown if each.sync == name],
            right=("took", "read", "sent", "set aside", "data points"),
            whole=("run", "took", "read", "sent"),
        )
    more = f"; older ones: --limit {limit * 5}" if len(found) > limit else ""
    OUT.print(f"times in the names are UTC; `caspio-sync show RUN` tells of one{more}", soft_wrap=True)


def show(run: RunId, as_json: AsJson = False) -> None:
    """Tell what one run did: rows by verdict and reason, its gate, its cost, and changes of the mapping.

    No call is made to Caspio or Braze, and no key is needed. Exit code 2 where no run has this id.

    Example: `caspio-sync show 20260501T040000-3f9a1c`
    """
    with open_overview(looking_settings()) as ledger:
        found = ledger.run(run)
        if found is None:
            raise ConfigurationError(f"{run}: {_unknown(run, ledger.run_ids())}")
        state, mapping = state_of(found, ledger), mapping_change(found, ledger)
        recorded = ledger.rows_recorded(found.id)
        now = ledger.now()
    if as_json:
        report = found.report or {}
        whole = {**report, **_line_document(found, state), "recorded": _recorded_document(recorded), "mapping": mapping}
        show_json(whole)
    else:
        _show(found, state, mapping, recorded, now)


def _unknown(run: str, ids: list[str]) -> str:
    begun = [each for each in ids if each.startswith(run)]
    close = (begun or difflib.get_close_matches(run, ids, n=_NAMES_OFFERED, cutoff=0.5))[:_NAMES_OFFERED]
    if close:
        return f"no run has this id; did you mean {', '.join(close)}?"
    return "no run has this id; `caspio-sync runs` lists them" if ids else "no run has this id: the ledger knows none"


def _cells(run: Run, state: str, now: datetime) -> tuple[object, ...]:
    report, span = run.report, took(run, state, now)
    code = "" if run.exit_code in {None, 0} else f", {run.exit_code}"
    counted: tuple[object, ...] = ("-", "-", "-", "-")
    if report is not None:
        counted = (report.get("read", 0), report.get("sent", 0), not_sent(report), report.get("data_points", 0))
    return (run.id, f"{state}{code}", "-" if span is None else duration(span), *counted)


def _line_document(run: Run, state: str) -> dict[str, Any]:
    report = run.report or {}
    took = None if run.ended_at is None else (run.ended_at - run.started_at).total_seconds()
    return {
        "run": run.id,
        "sync": run.sync,
        "kind": run.kind,
        "mode": run.mode,
        "state": state,
        "exit_code": run.exit_code,
        "started_at": iso_text(run.started_at),
        "ended_at": iso_text(run.ended_at),
        "took_seconds": took,
        "pk_range": None if run.low_pk is None else [run.low_pk, run.high_pk],
        "flow_run": run.flow_run_id,
        "error": report.get("error"),
        "counts": None
        if run.report is None
        else {name: report[name] for name in (*_ROW_COUNTS, "sent", *_COSTS, "verdicts", "held") if name in report},
    }


def _recorded_document(recorded: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("batches", "rows"), recorded, strict=True))


def _show(run: Run, state: str, mapping: dict[str, Any] | None, recorded: tuple[int, int], now: datetime) -> None:
    report = run.report or {}
    OUT.print(f"[bold]{escape(run.id)}[/]  {escape(run.sync)} ({run.kind}), {run.mode}", soft_wrap=True)
    for name, text in _lines(run, state, mapping, recorded, now):
        OUT.print(f"  {name:<14} {escape(text)}", soft_wrap=True)
    if report.get("reasons"):
        OUT.print()
        show_table(
            "not sent, and why",
            ("verdict", "reason", "rows", "for example"),
            [
                (each["verdict"], each["reason"], each["rows"], ", ".join(each["examples"]))
                for each in report["reasons"]
            ],
            right=("rows",),
        )
    if report.get("checks"):
        OUT.print()
        ranked = sorted(report["checks"], key=lambda each: -each["failed"])
        show_table(
            "gate",
            ("expectation", "severity", "failed", "rows", "why"),
            [(each["name"], each["severity"], each["failed"], each["rows"], each["why"]) for each in ranked],
            right=("failed", "rows"),
        )
    for kind, texts in (("schema", report.get("schema_changes")), ("source", report.get("drift"))):
        for text in texts or ():
            OUT.print(f"{kind}: {escape(text)}", soft_wrap=True)
    for note in report.get("notes") or ():
        OUT.print(f"note: {escape(note)}", soft_wrap=True)


def _lines(
    run: Run, state: str, mapping: dict[str, Any] | None, recorded: tuple[int, int], now: datetime
) -> Iterator[tuple[str, str]]:
    report, span = run.report or {}, took(run, state, now)
    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    gone = ": its process ended without a word; the next run takes over" if state == ABANDONED else ""
    yield "ended", f"{state}{code}{gone}"
    if report.get("error"):
        yield "", str(report["error"])
    ended = "" if run.ended_at is None else f", ended {moment(run.ended_at)}"
    yield "began", f"{moment(run.started_at)}{ended}"
    if span is not None:
        stages = _counts((report.get("seconds") or {}).items())
        yield "took", f"{duration(span)}{f' ({stages}, in seconds)' if stages else ''}"
    if run.low_pk is not None:
        yield "PK_ID", f"{run.low_pk} to {run.high_pk}"
    if run.report is None:
        batches, rows = recorded
        yield (
            "rows",
            f"{number(rows)} in {number(batches)} recorded batches; `why` tells what became of each",
        )
    else:
        yield (
            "rows",
            _counts((name, report[name]) for name in _ROW_COUNTS if report.get(name) or name in _ALWAYS),
        )
        yield "verdicts", _counts((report.get("verdicts") or {}).items()) or "none: nothing was to be sent"
        if report.get("held"):
            yield "held before", _counts(report["held"].items())
        yield "cost", _counts((name, report[name]) for name in _COSTS if name in report)
    if report.get("changed_fields"):
        yield "changed fields", _counts(sorted(report["changed_fields"].items()))
    yield "mapping", mapping_text(mapping)
    if run.flow_run_id:
        yield "in Prefect", f"flow run {run.flow_run_id}"


def _counts(pairs: Iterable[tuple[str, Any]]) -> str:
    """As people read them: read 1,200, new 3."""
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in pairs)
