"""One message when a run fails or is blocked, by Apprise: for those who do not look at the screen of a cron job.

It holds the sync, the run, its state and counts, and what to do: no text that could name a row, no value, no key.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from pydantic import SecretStr

from caspio_sync.errors import CaspioSyncError, ConfigurationError, GateBlockedError, UnexpectedError
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.run.report import ExitCode, RunReport

# Apprise gives a connection 4 s and an answer 4 s; a run does not wait longer than this for a slow place.
PATIENCE_SECONDS = 20.0
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Failure:
    """What a notification tells of; `report` is None where the run could not be opened."""

    report: RunReport | None = None


@contextlib.asynccontextmanager
async def notified_of_failure(name: str, url: SecretStr | None) -> AsyncIterator[Failure]:
    """Send one message where what happens inside ends with an error. The error is what it was, delivered or not.

    A run that was refused because another one is under way is no failure, nor is one that a person broke off.

    Args:
        name: name of the sync.
        url: an Apprise URL; None sends nothing.
    """
    failure = Failure()
    try:
        yield failure
    except LeaseHeldError:
        raise
    except Exception as error:
        if url is not None and not await _delivered(url.get_secret_value(), *message(name, failure.report, error)):
            undelivered = "the notification could not be delivered; check CASPIO_SYNC_NOTIFY_URL and the place it names"
            _LOG.warning("%s: %s", name, undelivered)
            if failure.report is not None:
                failure.report.notes.append(undelivered)
        raise


def message(name: str, report: RunReport | None, error: Exception) -> tuple[str, str]:
    """Title and text for an error that ended a run."""
    state = "blocked" if isinstance(error, GateBlockedError) else "failed"
    code = error.exit_code if isinstance(error, CaspioSyncError) else ExitCode.FAILED
    lines = [f"Sync: {name}", f"Run: {report.run if report else 'it could not be opened'}", f"State: {state}"]
    lines.append(f"Reason: {type(error).__name__}, exit code {int(code)}")
    if report is not None:
        counts = {"read": report.read, "new": report.new, "changed": report.changed, **report.verdicts}
        lines.append("Rows: " + ", ".join(f"{count!s} {count_of}" for count_of, count in counts.items()))
        lines.append(f"Requests to Braze: {report.requests}")
    lines.append(f"What to do: {_remedy(name, error)}")
    return f"caspio-sync: {name} {state}", "\n".join(lines)


def _remedy(name: str, error: Exception) -> str:
    if isinstance(error, GateBlockedError):
        return (
            f"`caspio-sync status {name}` says why; correct the rows, the mapping or the gate's limits, and run again"
        )
    if isinstance(error, ConfigurationError):
        return f"`caspio-sync check {name}` says what a person has to change"
    if isinstance(error, CaspioSyncError) and not isinstance(error, UnexpectedError):
        return f"`caspio-sync status {name}` says why; the next run goes on where this one stood"
    return f"`caspio-sync status {name}`; this is a bug of caspio-sync, and the log of the run has its trace"


async def _delivered(url: str, title: str, body: str) -> bool:
    """Whether Apprise delivered it in time. A thread that nobody waits for at the end: a dead place holds up no run."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def deliver() -> None:
        sent = _notify(url, title, body)
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was too late
            loop.call_soon_threadsafe(_settle(answer, sent))

    threading.Thread(target=deliver, name="notification", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, PATIENCE_SECONDS)
    except TimeoutError:
        return False


def _settle(answer: asyncio.Future[bool], sent: bool) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_result(sent)


def _notify(url: str, title: str, body: str) -> bool:
    import apprise  # noqa: PLC0415 - 0.3 s, for failed runs alone

    # Both tell of addresses, and an address of this kind is a secret.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    try:
        place = apprise.Apprise()
        return bool(place.add(url) and place.notify(body=body, title=title, notify_type=apprise.NotifyType.FAILURE))
    except Exception:  # noqa: BLE001 - whatever a plugin raises, the run's result stands
        return False
