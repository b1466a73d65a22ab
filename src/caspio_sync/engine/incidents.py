"""What is told of a sync: blocked, failed, late, too much of it not taken. Once when it begins, and once when it ends.

A schedule that fails every minute sends one message, not 1,440 a day: the ledger keeps what is wrong. One that comes
and goes is told again after an hour at the earliest.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from caspio_sync.clock import Clock
from caspio_sync.engine.connect import Connect
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import CaspioSyncError, ConfigurationError, GateBlockedError, PausedError, UnexpectedError
from caspio_sync.ledger.held import WAITS
from caspio_sync.ledger.incidents import Incident
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.freshness import Freshness
from caspio_sync.observe.notification import UNDELIVERED, MessageType, delivered
from caspio_sync.observe.report import ExitCode, RunReport
from caspio_sync.schemas import Verdict
from caspio_sync.settings import Settings
from caspio_sync.spans import duration, seconds_of

QUIET = timedelta(hours=1)  # between two messages of one kind about one sync
SHARE_ROWS = 20  # rows judged, of this run and as many before it as needed, from which a share means something
FAILED, BLOCKED, LATE, SHARE, WEBHOOK = "failed", "blocked", "freshness", "share", "webhook"
_TITLES = {
    FAILED: "failed",
    BLOCKED: "blocked",
    LATE: "is late",
    SHARE: "has many rows not taken",
    WEBHOOK: "is not announced any more",
}
_TYPES: dict[str, MessageType] = {
    FAILED: "failure",
    BLOCKED: "failure",
    LATE: "warning",
    SHARE: "warning",
    WEBHOOK: "warning",
}
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Watch:
    """What messages tell of; `run` is None where it could not be opened."""

    run: SyncRun | None = None

    @property
    def report(self) -> RunReport | None:
        """The run's report."""
        return None if self.run is None else self.run.report


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run shows: what is wrong, with the text of its message, and what is not."""

    wrong: dict[str, str]
    sound: frozenset[str]


@contextlib.asynccontextmanager
async def told(name: str, settings: Settings, connect: Connect) -> AsyncIterator[Watch]:
    """Tell what goes wrong inside, and what is over. The error is what it was, delivered or not.

    A run that was refused because another one is under way is no failure, nor is one that a person broke off.

    Args:
        name: name of the sync.
        settings: where messages go (`notify_url`; None sends nothing), and where the ledger is.
        connect: opens the ledger.
    """
    watch = Watch()
    try:
        yield watch
    except PausedError:  # whoever paused it knows
        raise
    except Exception as error:
        await _tell(name, settings, connect, watch, error)
        raise
    await _tell(name, settings, connect, watch, None)


async def _tell(name: str, settings: Settings, connect: Connect, watch: Watch, error: Exception | None) -> None:
    try:
        await _tell_once(name, settings, connect, watch, error)
    except Exception as bug:  # noqa: BLE001 - whatever it is, the run ended as it did; its words may quote a customer
        _LOG.warning("%s: its messages could not be made: %s", name, UnexpectedError.of(bug))


async def _tell_once(name: str, settings: Settings, connect: Connect, watch: Watch, error: Exception | None) -> None:
    try:
        if not settings.has_ledger:  # none is made for a sync that is refused
            raise ConfigurationError("no ledger yet")
        with contextlib.closing(connect.ledger(settings, connect.clock)) as ledger:
            found = findings(name, settings, connect.clock, ledger, watch, error)
            for kind, text in found.wrong.items():
                incident = ledger.open_incident(name, kind)
                if _is_due(incident, ledger.now()) and await _send(name, settings, watch, kind, text):
                    ledger.note_told(name, kind)
            for incident in ledger.open_incidents(name):
                if incident.kind in found.sound:
                    ledger.end_incident(name, incident.kind)
                    if incident.told:
                        await _send(name, settings, watch, incident.kind, over_text(incident, watch, ledger.now()))
    except CaspioSyncError:
        if error is not None:
            await _tell_without_ledger(name, settings, connect.clock, watch, error)


async def tell_webhook(name: str, settings: Settings, ledger: Ledger, trouble: str | None) -> None:
    """Tell that the webhook of a sync is silent, once, and that this is over.

    Args:
        name: name of the sync.
        settings: where messages go.
        ledger: keeps what was told.
        trouble: what is wrong with the webhook; None: nothing.
    """
    watch = Watch()
    if trouble is None:
        for incident in ledger.open_incidents(name):
            if incident.kind == WEBHOOK:
                ledger.end_incident(name, WEBHOOK)
                if incident.told:
                    await _send(name, settings, watch, WEBHOOK, over_text(incident, watch, ledger.now()))
        return
    incident = ledger.open_incident(name, WEBHOOK)
    text = f"Sync: {name}\nWebhook: {trouble}\nSince: {incident.since:%Y-%m-%d %H:%M} UTC"
    if _is_due(incident, ledger.now()) and await _send(name, settings, watch, WEBHOOK, text):
        ledger.note_told(name, WEBHOOK)


async def _tell_without_ledger(name: str, settings: Settings, clock: Clock, watch: Watch, error: Exception) -> None:
    """Where even the ledger is out of reach, a file says when this was last told."""
    if isinstance(error, LeaseHeldError):
        return
    kind = _kind(error)
    mark = settings.home / "told" / f"{Path(name).stem}-{kind}"
    with contextlib.suppress(OSError, ValueError):
        if clock.now() - datetime.fromisoformat(mark.read_text(encoding="utf-8")) < QUIET:
            return
    if await _send(name, settings, watch, kind, failure_text(name, watch.report, error)):
        with contextlib.suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(clock.now().isoformat(), encoding="utf-8")


def findings(  # noqa: PLR0917 - what is known after a run
    name: str, settings: Settings, clock: Clock, ledger: Ledger, watch: Watch, error: Exception | None
) -> Findings:
    """What is wrong with the sync after this run, and what is known not to be."""
    wrong, report, run = {}, watch.report, watch.run
    if error is not None and not isinstance(error, LeaseHeldError):
        wrong[_kind(error)] = failure_text(name, report, error)
    freshness = report.freshness if report is not None else _by_watermark(name, settings, clock, ledger)
    if freshness is not None and freshness.missed:
        wrong[LATE] = _late_text(name, report, freshness)
    if error is not None or run is None or report is None or run.options.partial:
        return Findings(wrong, frozenset())
    sound = {FAILED, BLOCKED, *([LATE] if LATE not in wrong else [])}
    not_taken, judged = lately([_judged(report.model_dump(mode="json")), *_verdicts_before(run)])
    if judged >= SHARE_ROWS:
        if not_taken > judged * settings.notify_share / 100:
            wrong[SHARE] = _share_text(name, report, not_taken, judged, settings.notify_share)
        else:
            sound.add(SHARE)
    return Findings(wrong, frozenset(sound))


def lately(verdicts: Iterable[dict[str, int]]) -> tuple[int, int]:
    """Rows set aside or refused, and rows judged, of runs newest first: as many of these as it takes to judge."""
    not_taken = judged = 0
    for each in verdicts:
        judged += sum(each.values())
        not_taken += each.get(Verdict.QUARANTINED, 0) + each.get(Verdict.REJECTED, 0)
        if judged >= SHARE_ROWS:
            break
    return not_taken, judged


def _verdicts_before(run: SyncRun) -> Iterator[dict[str, int]]:
    for each in run.past:
        yield _judged(each.report or {})


def _judged(report: Mapping[str, Any]) -> dict[str, int]:
    """A report's rows by verdict, without those that wait for their time or their lines: nobody made a mistake."""
    verdicts = dict(report.get("verdicts", {}))
    waiting = sum(each["rows"] for each in report.get("reasons", ()) if str(each["reason"]).startswith(WAITS))
    if waiting:
        verdicts[Verdict.QUARANTINED.value] = verdicts.get(Verdict.QUARANTINED.value, 0) - waiting
    return verdicts


def _by_watermark(name: str, settings: Settings, clock: Clock, ledger: Ledger) -> Freshness | None:
    """The freshness of a sync whose run could not be opened, or was refused; None where none is promised."""
    try:
        target = seconds_of(load_sync(settings.sync_file(name)).freshness)
    except CaspioSyncError:
        return None
    cursor = ledger.cursor(name)
    if target is None or cursor is None or cursor.watermark is None:
        return None
    age = (clock.now() - cursor.watermark).total_seconds()
    return Freshness(target_seconds=target, read_up_to=cursor.watermark, age_seconds=max(0.0, age), missed=age > target)


def _is_due(incident: Incident, now: datetime) -> bool:
    return not incident.told and (incident.told_at is None or now - incident.told_at >= QUIET)


async def _send(name: str, settings: Settings, watch: Watch, kind: str, text: str) -> bool:
    if settings.notify_url is None:
        return False
    recovered = text.startswith(_OVER)
    title = f"caspio-sync: {name} {'recovered' if recovered else _TITLES[kind]}"
    sent = await delivered(
        settings.notify_url.get_secret_value(), title, text, "success" if recovered else _TYPES[kind]
    )
    if not sent:
        _LOG.warning("%s: %s", name, UNDELIVERED)
        if watch.report is not None:
            watch.report.notes.append(UNDELIVERED)
    return sent


def _kind(error: Exception) -> str:
    return BLOCKED if isinstance(error, GateBlockedError) else FAILED


def failure_text(name: str, report: RunReport | None, error: Exception) -> str:
    """For an error that ended a run."""
    code = error.exit_code if isinstance(error, CaspioSyncError) else ExitCode.FAILED
    return "\n".join(
        [
            *_lines(name, report),
            f"State: {_kind(error)}",
            f"Reason: {type(error).__name__}, exit code {int(code)}",
            *_counts(report),
            f"What to do: {_remedy(name, error)}",
        ]
    )


def _late_text(name: str, report: RunReport | None, freshness: Freshness) -> str:
    return "\n".join(
        [
            *_lines(name, report),
            f"Freshness: changes waited up to {duration(freshness.oldest_seconds)}",
            f"Target: {duration(freshness.target_seconds)} (freshness: in the sync file)",
            f"Read up to: {freshness.read_up_to:%Y-%m-%d %H:%M:%S} UTC" if freshness.read_up_to else "Read up to: -",
            f"What to do: `caspio-sync status {name}` says whether runs fail, take long, or are too seldom",
        ]
    )


def _share_text(name: str, report: RunReport, not_taken: int, judged: int, limit: float) -> str:
    return "\n".join(
        [
            *_lines(name, report),
            f"Set aside or refused: {not_taken} of the last {judged} rows judged ({not_taken / judged:.0%})",
            f"Limit: {limit:g} % (CASPIO_SYNC_NOTIFY_SHARE)",
            *_counts(report),
            f"What to do: `caspio-sync quarantine list {name}` says which, and why",
        ]
    )


_OVER = "Over: "


def over_text(incident: Incident, watch: Watch, now: datetime) -> str:
    """For what is over, by now on the ledger's clock."""
    lasted = duration(now - incident.since)
    what = {
        FAILED: "runs failed",
        BLOCKED: "the gate blocked",
        LATE: "the freshness was missed",
        SHARE: "many rows were not taken",
        WEBHOOK: "its webhook was silent",
    }[incident.kind]
    lines = [f"{_OVER}{what}, for {lasted} since {incident.since:%Y-%m-%d %H:%M:%S} UTC"]
    stays = incident.kind in {BLOCKED, SHARE}
    todo = f"nothing; rows set aside before still are: `caspio-sync quarantine list {incident.sync}`"
    return "\n".join(
        [
            *lines,
            *_lines(incident.sync, watch.report),
            *_counts(watch.report),
            f"What to do: {todo if stays else 'nothing'}",
        ]
    )


def _lines(name: str, report: RunReport | None) -> list[str]:
    return [f"Sync: {name}", f"Run: {report.run if report else 'it could not be opened'}"]


def _counts(report: RunReport | None) -> list[str]:
    if report is None:
        return []
    counts = {"read": report.read, "new": report.new, "changed": report.changed, **report.verdicts}
    rows = ", ".join(f"{count!s} {count_of}" for count_of, count in counts.items())
    return [f"Rows: {rows}", f"Requests to {report.destination}: {report.requests}"]


def _remedy(name: str, error: Exception) -> str:
    if isinstance(error, GateBlockedError):
        return (
            f"`caspio-sync status {name}` says why; correct the rows, the mapping or the gate's limits, or allow what "
            "it names, and run again"
        )
    if isinstance(error, ConfigurationError):
        return f"`caspio-sync check {name}` says what a person has to change"
    if isinstance(error, CaspioSyncError) and not isinstance(error, UnexpectedError):
        return f"`caspio-sync status {name}` says why; the next run goes on where this one stood"
    return f"`caspio-sync status {name}`; this is a bug of caspio-sync, and the log of the run has its trace"
