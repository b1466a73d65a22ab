"""How a sync stands, from its file and the ledger alone: what `status` prints and the page shows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Union

from caspio_sync import registry
from caspio_sync.dashboard.webhook_state import Webhook, webhook_of
from caspio_sync.engine.accounts import Accounts, caspio_account, workspace_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.figures import RowCounts
from caspio_sync.ledger.overview import LastingIncident, LastingPause, Overview, RememberedSource
from caspio_sync.ledger.run_record import RUNNING, Cursor, Run
from caspio_sync.plain_settings import PlainSettings, UnusualError
from caspio_sync.spans import DAYS_A_MONTH, duration, seconds_of, utc_day
from caspio_sync.sync_files import said_in

if TYPE_CHECKING:
    from caspio_sync.settings import LocalSettings

LookingSettings = Union[PlainSettings, "LocalSettings"]
_PAST_RUNS = 30  # of which one may know when the newest row that was taken was changed


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
        changed_at: when the newest row that was taken was changed, as the last run that knew said.
        oldest_held: when the oldest row that waits for a person was first seen.
        incidents: what is wrong with it, and since when.
        accounts: those its rows are of, and those in the settings.
        webhook: what was announced; None where nothing ever was.
        pause: since when nothing is sent, and why; None where it is not paused.
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
    pause: LastingPause | None = None

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
    from caspio_sync.engine.workspace import accounts  # noqa: PLC0415 - what is not plain
    from caspio_sync.settings import current_settings  # noqa: PLC0415 - what is not plain

    return accounts(sync, current_settings(sync), ledger)


def _title(destination: str) -> str:
    if destination in registry.PLAIN:
        return str(registry.found(registry.PLAIN[destination]).title)
    from caspio_sync.engine.destination import title_of  # noqa: PLC0415 - what is not plain

    return title_of(destination)


def sync_state(
    settings: LookingSettings, ledger: Overview, sync: str, calls: CallsMade | None, counts: RowCounts | None = None
) -> SyncState:
    """How one sync stands.

    Args:
        settings: where sync files are, and the accounts.
        ledger: to read.
        sync: name of the sync.
        calls: as `calls_made` says.
        counts: its rows, where they were counted already.
    """
    now, file = ledger.now(), settings.sync_file(sync)
    runs, counts = ledger.runs(sync, limit=_PAST_RUNS), counts or ledger.row_counts(sync)
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
        pause=ledger.paused(sync),
    )


def _changed_at(runs: Iterable[Run]) -> str | None:
    told = ((each.report or {}).get("freshness") or {} for each in runs)
    return next((each["newest_delivered_at"] for each in told if each.get("newest_delivered_at")), None)


def calls_made(settings: LookingSettings, ledger: Overview) -> CallsMade | None:
    """Calls to the account in the settings; None where they name none."""
    if not settings.caspio_integration_url:
        return None
    account, today = caspio_account(settings.caspio_integration_url), utc_day(ledger.now())
    return CallsMade(
        today=ledger.calls_used(account, today),
        last_month=ledger.calls_used(account, today - timedelta(days=DAYS_A_MONTH - 1)),
        per_day=settings.caspio_calls_per_day,
    )


def workspace_line(found: Accounts | None) -> str:
    """Whose data it is, in a sentence."""
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


def freshness_line(state: SyncState) -> str:
    """How late it is, beside its promise."""
    age, late = state.read_age, state.late
    target = "no target" if state.target_seconds is None else f"target {duration(state.target_seconds)}"
    if age is None:
        return f"nothing was read completely yet; {target}"
    word = {None: "", True: "MISSED: ", False: "kept: "}[late]
    held = "" if state.oldest_held is None else f"; oldest row that waits: {duration(state.now - state.oldest_held)}"
    return f"{word}changes are read up to {duration(age)} ago, {target}{held}"


def pause_line(sync: str, pause: LastingPause) -> str:
    """A pause in a sentence, with what ends it."""
    why = f" ({pause.reason})" if pause.reason else ""
    kept = "nothing is read or sent" if pause.everything else "opt-outs and erasures alone are sent"
    ends = f"`caspio-sync resume {'--all' if pause.of_all else sync}` ends it"
    return f"since {pause.at:%Y-%m-%d %H:%M} UTC{why}: {kept}; {ends}"
