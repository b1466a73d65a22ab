"""`caspio-sync status`, `why` and `schema`: looking, without changing anything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from caspio_sync.characters import trimmed
from caspio_sync.cli.run import AsJson
from caspio_sync.cli.show import OUT, moment, number, show_json
from caspio_sync.cli.sync_name import AnySyncName, SyncName
from caspio_sync.cli.webhook_state import Webhook, webhook_of
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import title_of
from caspio_sync.engine.ending import PAST_RUNS
from caspio_sync.engine.quota import caspio_account, utc_day
from caspio_sync.engine.schedules import DAYS_A_MONTH
from caspio_sync.engine.workspace import Accounts, accounts
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.incidents import Incident
from caspio_sync.ledger.runs import RUNNING, Cursor, Run
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.definition import seconds_of
from caspio_sync.mapping.sync_file import load_sync, sync_json_schema
from caspio_sync.observe.freshness import duration
from caspio_sync.settings import LocalSettings, current_settings, local_settings
from caspio_sync.sync_files import bare_name

# Of the ledger's runs, those that are looked through for syncs whose file is gone.
_RUNS_LOOKED_AT = 1000
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
    source: KnownSource | None
    unknown: int = 0
    target_seconds: float | None = None
    changed_at: str | None = None
    oldest_held: datetime | None = None
    incidents: tuple[Incident, ...] = ()
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

    Syncs are the files in syncs/ and those the ledger knows. No call is made to Caspio or Braze, and no key is needed.

    Example: `caspio-sync status customers`
    """
    settings = local_settings()
    with open_ledger(settings) as ledger:
        states = [_state(settings, ledger, name) for name in chosen_syncs(settings, ledger, sync)]
    if as_json:
        documents = [_document(each) for each in states]
        show_json(documents[0] if sync else documents)
        return
    if not states:
        OUT.print("no sync yet; write one: `caspio-sync init customers --table T`")
    for each in states:
        _show_state(each)


def why(
    sync: SyncName,
    key: Annotated[str, typer.Argument(help="Value of the row's identity field, such as a customer number.")],
    pk: Annotated[
        int | None, typer.Option("--pk", help="PK_ID of the row that is meant, where several bear the key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell a row's story: its values now, mapped and judged, and when each version was sent and what Braze answered.

    The row is read from Caspio again, for the ledger keeps no values: they are shown here and nowhere else. Where
    Caspio cannot be reached, the ledger's part is shown. Exit code 2 where nobody knows the key.

    Example: `caspio-sync why customers 17850`
    """
    from caspio_sync.cli.why import as_document, show, tell  # the engine's whole line, of which a status needs nothing

    if not trimmed(key):
        raise ConfigurationError("the key is empty; give the value of the row's identity field")
    settings = current_settings()
    with open_ledger(settings) as ledger:
        told = tell(settings, ledger, sync, key, pk=pk)
    if as_json:
        show_json(as_document(told))
    else:
        show(told)


def schema() -> None:
    """Print the JSON Schema of the sync file, by which editors complete and check it.

    Example: `caspio-sync schema > syncs/sync.schema.json`, and as the first line of a sync file
    `# yaml-language-server: $schema=sync.schema.json`
    """
    show_json(sync_json_schema())


def open_ledger(settings: LocalSettings) -> Ledger:
    """The ledger of this process's connections."""
    connect = CONNECT.get()
    return connect.ledger(settings, connect.clock)


def chosen_syncs(settings: LocalSettings, ledger: Ledger, sync: str | None) -> list[str]:
    """The one asked for, or all.

    Raises:
        ConfigurationError: it has neither a file nor a run.
    """
    if sync is not None and (settings.sync_file(sync).is_file() or ledger.last_run(sync) is not None):
        return [sync]
    known = sorted({*settings.sync_files.names, *(each.sync for each in ledger.runs(limit=_RUNS_LOOKED_AT))})
    if sync is None:
        return known
    there = f"there are: {', '.join(known)}" if known else f"write one with `caspio-sync init {sync} --table T`"
    raise ConfigurationError(f"{sync}: no sync of this name, neither in {settings.syncs} nor in the ledger; {there}")


def _accounts(ledger: Ledger, sync: str) -> Accounts | None:
    """The accounts of a sync; without keys in the settings those in the ledger alone, which nobody then contradicts."""
    try:
        return accounts(sync, current_settings(sync), ledger)
    except ConfigurationError:
        known = ledger.workspace(sync)
        return None if known is None else Accounts(known, known)


def _state(settings: LocalSettings, ledger: Ledger, sync: str) -> SyncState:
    now = ledger.now()
    last_run = ledger.last_run(sync)
    held = bool(ledger.leases(sync))
    return SyncState(
        sync=sync,
        now=now,
        has_file=settings.sync_file(sync).is_file(),
        last_run=last_run,
        abandoned=last_run is not None and last_run.state == RUNNING and not held,
        cursor=ledger.cursor(sync),
        rows=ledger.verdict_counts(sync),
        unknown=ledger.unknown_events(sync).height,
        newest_delivered=ledger.newest_delivered(sync),
        calls=_calls(settings, ledger, now),
        source=ledger.known_source(sync),
        target_seconds=_target(settings, sync),
        changed_at=_changed_at(ledger, sync),
        oldest_held=ledger.oldest_held(sync),
        incidents=tuple(ledger.open_incidents(sync)),
        accounts=_accounts(ledger, sync),
        webhook=webhook_of(settings, ledger, sync, now),
    )


def _target(settings: LocalSettings, sync: str) -> float | None:
    try:
        return seconds_of(load_sync(settings.sync_file(sync)).freshness)
    except (CaspioSyncError, OSError):  # `check` says what is wrong with it
        return None


def _changed_at(ledger: Ledger, sync: str) -> str | None:
    told = ((each.report or {}).get("freshness") or {} for each in ledger.runs(sync, limit=PAST_RUNS))
    return next((each["newest_delivered_at"] for each in told if each.get("newest_delivered_at")), None)


def _calls(settings: LocalSettings, ledger: Ledger, now: datetime) -> CallsMade | None:
    if not settings.caspio_integration_url:
        return None
    account, today = caspio_account(settings.caspio_integration_url), utc_day(now)
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
    title = title_of(known.destination)
    line = f"Caspio {known.caspio} to {title} {known.address}"
    if known.destination != present.destination:
        return f"{line}; the sync file names {title_of(present.destination)}: runs are refused and say why"
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


def iso_text(at: datetime | None) -> str | None:
    """An instant in JSON."""
    return None if at is None else at.isoformat()
