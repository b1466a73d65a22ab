"""A resident run: it waits for what webhooks announce, and has it taken down the line in sessions of a minute.

While nothing is announced it holds nothing: no client, no run, and of leases only the one by which a second resident of
the sync ends at once. A session holds the sync's lease and lets go of it for whoever asks; before the next one begins,
whoever has asked goes first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from pydantic import BaseModel

from caspio_sync.deployed.webhook import trouble_of
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.incidents import tell_webhook
from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.quota import count_calls
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.leases import LeaseHeldError, listener_of
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import ExitCode, RunOptions, RunReport
from caspio_sync.settings import Settings

LISTENS_SECONDS = 3600.0
SESSION_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_REFUSED_SECONDS = 1.0
# Between two looks at the webhook itself, of four calls each: whether somebody has paused or deleted it.
_WEBHOOK_SECONDS, _WEBHOOK_SECONDS_ON_BUDGET = 600.0, 3600.0
_SWEEP_SECONDS = 45.0  # with a read and a send, what was not announced is there within a minute
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 5.0, 300.0  # after a session that failed

Session = Callable[[RunOptions], Awaitable[RunReport]]


class ListeningReport(BaseModel):
    """What a resident run did, in all of its sessions.

    Args:
        sync: name of the sync.
        sessions: that ended well.
        sweeps: that ended well, for what was not announced.
        failed: those of either that did not.
        hints: rows that messages announced.
        told: of these, rows that were taken from their messages instead of being read.
        sent: rows that were accepted.
        not_sent: rows that were to be sent and were not.
        error: why the last session that failed did.
    """

    sync: str
    sessions: int = 0
    sweeps: int = 0
    failed: int = 0
    hints: int = 0
    told: int = 0
    sent: int = 0
    not_sent: int = 0
    error: str | None = None

    @property
    def exit_code(self) -> int:
        """Failed where no session was any good."""
        return int(ExitCode.FAILED if self.failed and not self.sessions + self.sweeps else ExitCode.DONE)

    def add(self, report: RunReport, *, is_sweep: bool) -> None:
        """Count a session, or a sweep, that ended well."""
        self.sessions += not is_sweep
        self.sweeps += is_sweep
        self.hints += report.hints
        self.told += report.told
        self.sent += report.sent
        self.not_sent += report.not_sent


async def listen(
    name: str,
    session: Session,
    *,
    settings: Settings,
    seconds: float = LISTENS_SECONDS,
    sweep_seconds: float | None = None,
) -> ListeningReport:
    """Take what is announced, for an hour.

    A session that failed is begun again after 5 s, then twice as long, up to 5 minutes: its hints wait meanwhile, and
    the schedule finds what they announced.

    Args:
        name: name of the sync.
        session: takes what is announced, for as long as its options say, along the sync's line.
        settings: places.
        seconds: how long.
        sweep_seconds: from the begin of one ordinary run, for what was not announced, to the next; None where a
            schedule has them run.

    Raises:
        LeaseHeldError: the sync has a resident already.
        ConfigurationError: a session says what a person has to set right; repeating it would not.
    """
    connect, report = CONNECT.get(), ListeningReport(sync=name)
    clock = connect.clock
    async with AsyncExitStack() as stack:
        hints = connect.hints(settings, clock)
        stack.callback(hints.close)
        ledger = LedgerThread(connect.ledger(settings, clock))
        stack.callback(ledger.close)
        await stack.enter_async_context(hold_lease(listener_of(name), ledger, clock, of="listener"))
        until, wait, looked_at = clock.monotonic() + seconds, _FIRST_WAIT_SECONDS, float("-inf")
        sweep_at = clock.monotonic() if sweep_seconds is not None else float("inf")
        while (left := until - clock.monotonic()) > 0:
            try:
                if clock.monotonic() >= looked_at + _interval(settings):
                    looked_at = clock.monotonic()
                    await _look_at_webhook(name, settings, ledger)
                if await ledger.do(ledger.ledger.is_asked_for, name):
                    await clock.sleep(_LOOK_SECONDS)
                elif sweep_seconds is not None and clock.monotonic() >= sweep_at:
                    sweep_at = clock.monotonic() + sweep_seconds
                    report.add(await session(RunOptions()), is_sweep=True)
                    wait = _FIRST_WAIT_SECONDS
                elif await asyncio.to_thread(hints.waiting, name, limit=1):
                    seconds_left = min(SESSION_SECONDS, left, sweep_at - clock.monotonic())
                    options = RunOptions(hints=True, listen_seconds=max(1.0, seconds_left))
                    report.add(await session(options), is_sweep=False)
                    wait = _FIRST_WAIT_SECONDS
                else:
                    await clock.sleep(_LOOK_SECONDS)
            except LeaseHeldError:  # another run of the sync is under way: it goes first
                await clock.sleep(_REFUSED_SECONDS)
            except ConfigurationError:
                raise
            except CaspioSyncError as error:
                report.failed += 1
                report.error = str(error)
                await clock.sleep(min(wait, max(0.0, until - clock.monotonic())))
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
    return report


def sweep_seconds(name: str, settings: Settings) -> float | None:
    """How often a resident that no schedule stands beside reads what was not announced.

    None where each such read would be of the whole table, or where calls are on a budget that is better left to hints.
    """
    definition = load_sync(settings.sync_file(name))
    reads_changes = definition.source.cursor is not None or definition.grows
    return _SWEEP_SECONDS if reads_changes and settings.caspio_calls_per_day is None else None


def _interval(settings: Settings) -> float:
    return _WEBHOOK_SECONDS if settings.caspio_calls_per_day is None else _WEBHOOK_SECONDS_ON_BUDGET


async def _look_at_webhook(name: str, settings: Settings, ledger: LedgerThread) -> None:
    """Tell, by whatever tells of incidents, that nothing is announced any more."""
    connect = CONNECT.get()
    table = str(load_sync(settings.sync_file(name)).source.table)
    async with connect.caspio(settings, connect.clock) as caspio:
        trouble = await trouble_of(caspio, name, table)
        await ledger.do(count_calls, ledger.ledger, settings.caspio_integration_url, caspio.calls)
    await tell_webhook(name, settings, ledger.ledger, trouble)
