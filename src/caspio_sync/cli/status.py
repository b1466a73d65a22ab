"""`caspio-sync status`: how each sync stands, from its file and the ledger alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rich.markup import escape

from caspio_sync import registry
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.overview import LookingSettings, looking_settings, open_overview
from caspio_sync.cli.show import OUT, iso_text, moment, number, show_json
from caspio_sync.cli.sync_name import AnySyncName, chosen_syncs
from caspio_sync.cli.webhook_state import Webhook, webhook_of
from caspio_sync.engine.accounts import Accounts, caspio_account, workspace_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.overview import LastingIncident, Overview, RememberedSource
from caspio_sync.ledger.run_record import RUNNING, Cursor, Run
from caspio_sync.plain_settings import PlainSettings, UnusualError
from caspio_sync.spans import DAYS_A_MONTH, duration, seconds_of, utc_day
from caspio_sync.sync_files import bare_name, said_in

_PAST_RUNS = 30  # of which one may know when the newest row that was taken was changed
_COUNTS = ("read", "new", "changed", "unchanged", "sent", "requests", "data_points", "data_points_saved")


@dataclass(frozen=True, slots=True)
class CallsMade:
    """Calls counted to the Caspio account, of all syncs on this ledger, by UTC day.

    Args:
        today: since midnight UTC.
        last_month: of the last thirty days, today included.
        per_day: the budget; None without one.
    """

    today: int
    last_month: int
    per_day: int | None


@dataclass(frozen=True, slots=True)
class SyncState:
    """How a sync stands.

    Args:
        sync: its name.
        now: when it was looked at, by the ledger's clock.
        has_file: whether its sync file is there.
        last_run: the run started last; None before the first.
        abandoned: whether that run is written down as running while no process holds the sync.
        cursor: how far the source has been read.
        rows: rows by their last verdict.
        unknown: events whose answer was lost and which nobody has settled.
        newest_delivered: when a profile was last acknowledged.
        calls: made to the Caspio account, by all syncs; None where no account is named.
        source: the source's fields as the last run found them, and what had changed.
        target_seconds: `freshness:` of its file.
        changed_at: when the newest row that Braze took was changed, as the last run that knew said.
        oldest_held: when the oldest row that waits for a person was first seen.
        incidents: what is wrong with it, and since when.
        accounts: those its rows are of, and those in the settings.
        webhook: what was announced; None where nothing ever was.
    """

    sync: str
    now: datetime
    has_file: bool
    last_run: Run | None
    abandoned: bool
    cursor: Cursor | None
    rows: dict[str, int]
    newest_delivered: datetime | None
    calls: CallsMade | None
    source: RememberedSource | None
    unknown: int = 0
    target_seconds: float | None = None
    changed_at: str | None = None
    oldest_held: datetime | None = None
    incidents: tuple[LastingIncident, ...] = ()
    accounts: Accounts | None = None
    webhook: Webhook | None = None

    @property
    def age(self) -> timedelta | None:
        """How long ago a profile was last acknowledged."""
        return None if self.newest_delivered is None else self.now - self.newest_delivered

    @property
    def read_age(self) -> timedelta | None:
        """How long ago the source was known to be read completely."""
        at = self.cursor.watermark if self.cursor else None
        return None if at is None else max(timedelta(), self.now - at)

    @property
    def late(self) -> bool | None:
        """Whether that is over the target; None without one, and before the first complete read."""
        age = self.read_age
        return None if age is None or self.target_seconds is None else age.total_seconds() > self.target_seconds


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
        calls = _calls(settings, ledger)
        states = [_state(settings, ledger, name, calls) for name in chosen_syncs(settings, ledger, sync)]
    if as_json:
        documents = [_document(each) for each in states]
        show_json(documents[0] if sync else documents)
        return
    if not states:
        OUT.print("no sync yet; write one: `caspio-sync init customers --table T`")
    for each in states:
        _show_state(each)


def _accounts(settings: LookingSettings, ledger: Overview, sync: str, destination: str) -> Accounts | None:
    """The accounts of a sync; without keys in the settings those in the ledger alone, which nobody then contradicts."""
    try:
        return _present(settings, ledger, sync, destination)
    except ConfigurationError:
        known = ledger.workspace(sync)
        return None if known is None else Accounts(known, known)


def _present(settings: LookingSettings, ledger: Overview, sync: str, destination: str) -> Accounts:
    if isinstance(settings, PlainSettings) and destination in registry.PLAIN:
        try:
            address, key = settings.account(registry.found(registry.PLAIN[destination]))
        except UnusualError:
            pass
        else:
            caspio = settings.caspio_integration_url
            present = workspace_of(caspio=caspio, destination=destination, address=address, key=key, salt=ledger.salt)
            return Accounts(present, ledger.workspace(sync))
    from caspio_sync.engine.workspace import accounts
    from caspio_sync.settings import current_settings

    return accounts(sync, current_settings(sync), ledger)


def _title(destination: str) -> str:
    if destination in registry.PLAIN:
        return str(registry.found(registry.PLAIN[destination]).title)
    from caspio_sync.engine.destination import title_of

    return title_of(destination)


def _state(settings: LookingSettings, ledger: Overview, sync: str, calls: CallsMade | None) -> SyncState:
    now, file = ledger.now(), settings.sync_file(sync)
    runs, counts = ledger.runs(sync, limit=_PAST_RUNS), ledger.row_counts(sync)
    said = said_in(file, "freshness", "destination")
    last_run = next(iter(runs), None)
    return SyncState(
        sync=sync,
        now=now,
        has_file=file.is_file(),
        last_run=last_run,
        abandoned=last_run is not None and last_run.state == RUNNING and not ledger.is_held(sync),
        cursor=ledger.cursor(sync),
        rows=counts.verdicts,
        unknown=ledger.unknown_events(sync),
        newest_delivered=counts.newest_delivered,
        calls=calls,
        source=ledger.known_source(sync),
        target_seconds=seconds_of(said.get("freshness")),
        changed_at=_changed_at(runs),
        oldest_held=ledger.oldest_held(sync),
        incidents=tuple(ledger.open_incidents(sync)),
        accounts=_accounts(settings, ledger, sync, said.get("destination", registry.DEFAULT_DESTINATION)),
        webhook=webhook_of(ledger, sync),
    )


def _changed_at(runs: Iterable[Run]) -> str | None:
    told = ((each.report or {}).get("freshness") or {} for each in runs)
    return next((each["newest_delivered_at"] for each in told if each.get("newest_delivered_at")), None)


def _calls(settings: LookingSettings, ledger: Overview) -> CallsMade | None:
    if not settings.caspio_integration_url:
        return None
    account, today = caspio_account(settings.caspio_integration_url), utc_day(ledger.now())
    return CallsMade(
        today=ledger.calls_used(account, today),
        last_month=ledger.calls_used(account, today - timedelta(days=DAYS_A_MONTH - 1)),
        per_day=settings.caspio_calls_per_day,
    )


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


def _workspace_line(found: Accounts | None) -> str:
    if found is None or found.known is None:
        return "none yet: the first run takes those in the settings"
    known, present = found.known, found.present
    title = _title(known.destination)
    line = f"Caspio {known.caspio} to {title} {known.address}"
    if known.destination != present.destination:
        return f"{line}; the sync file names {_title(present.destination)}: runs are refused and say why"
    if replace(known, destination_key=present.destination_key) != present:
        others = f"{present.caspio} to {present.address}"
        return f"{line}; the settings name OTHERS ({others}): runs are refused and say why"
    return f"{line}; the key of {title} is a new one: the next run looks whose it is" if found.changed else line


def _freshness_document(state: SyncState) -> dict[str, Any]:
    age = state.read_age
    return {
        "target_seconds": state.target_seconds,
        "read_up_to_age_seconds": None if age is None else round(age.total_seconds(), 1),
        "newest_delivered_changed_at": state.changed_at,
        "oldest_undelivered_at": iso_text(state.oldest_held),
        "missed": state.late,
    }


def _freshness_line(state: SyncState) -> str:
    age, late = state.read_age, state.late
    target = "no target" if state.target_seconds is None else f"target {duration(state.target_seconds)}"
    if age is None:
        return f"nothing was read completely yet; {target}"
    word = {None: "", True: "MISSED: ", False: "kept: "}[late]
    held = "" if state.oldest_held is None else f"; oldest row that waits: {duration(state.now - state.oldest_held)}"
    return f"{word}changes are read up to {duration(age)} ago, {target}{held}"


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
    if run is None:
        lines.append(("last run", f"none yet; `caspio-sync plan {state.sync}`, then `caspio-sync run {state.sync}`"))
    else:
        lines += _run_lines(run, abandoned=state.abandoned)
    lines.append(("accounts", _workspace_line(state.accounts)))
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
    lines.append(("freshness", _freshness_line(state)))
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
