"""The lease on a sync, or on a range of it: one run at a time, and nothing leaves that it does not cover."""

import asyncio
import contextlib
import math
import os
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import datetime

from caspio_sync.clock import Clock, uptime_seconds
from caspio_sync.engine.clients import Clients
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger import leases
from caspio_sync.ledger.leases import BEAT_SECONDS, Lease, LeaseHeldError
from caspio_sync.ledger.thread import LedgerThread

# Of a lease's length: the share after which its holder sends nothing more before it was renewed.
_TRUSTED_SHARE = 0.8
_WAIT_SECONDS = 2.0
# Of whoever takes hints: it lets go when it is asked to, within a batch.
RUN, HINTS = "run", "hints"
_LETS_GO_SECONDS = 0.2
LOOK_SECONDS = 1.0  # at who else uses the limits
# What others gave up is in the vendors' windows still: 3 s of a destination's, a second of Caspio's.
GROWS_AFTER_SECONDS = 3.0


class HeldLease:
    """The sync's lease, and until when requests may leave under it.

    Args:
        run: id of the run that holds it.
        lease: as the ledger keeps it.
        asked_at: when the ledger was asked, by `uptime_seconds`.
    """

    def __init__(self, run: str, lease: Lease, asked_at: float) -> None:
        self.run = run
        self.lease = lease
        self._clients: Clients | None = None
        self._until = asked_at + leases.LEASE_SECONDS * _TRUSTED_SHARE
        self.taken = 1.0
        self.lost = False  # somebody else has it: whoever held it was cancelled, not interrupted by a person

    def serve(self, clients: Clients) -> None:
        """From now on these send no longer than the lease is known to hold."""
        self._clients = clients
        clients.allow_until(self._until)
        clients.take_share(self.taken)

    def share(self, share: float) -> None:
        """From now on its run uses this part (0 to 1) of the accounts' limits."""
        self.taken = share
        if self._clients is not None:
            self._clients.take_share(share)

    def renewed(self, asked_at: float) -> None:
        """The ledger confirmed the lease; it was asked at that moment of `uptime_seconds`."""
        self._until = asked_at + leases.LEASE_SECONDS * _TRUSTED_SHARE
        if self._clients is not None:
            self._clients.allow_until(self._until)


@contextlib.asynccontextmanager
async def hold_lease(
    sync: str,
    ledger: LedgerThread,
    clock: Clock,
    *,
    of: str = RUN,
    wait_seconds: float = 0.0,
    pk_range: tuple[int, int] | None = None,
) -> AsyncIterator[HeldLease]:
    """Hold the lease on a sync, or on a range of its rows; one that was lost stops its holder before it writes again.

    A process that was paused, or could not reach its ledger, for the length of the lease sends nothing until the ledger
    has confirmed the lease; where another run has taken it over, the run ends instead.

    Who takes hints holds it for a minute at a time, and lets go for whoever asks, who waits for it in any case.

    Args:
        sync: name of the sync.
        ledger: the ledger, in its thread.
        clock: tells the time the run is named by; waiting goes through it.
        of: what holds it, in a word for whoever is refused.
        wait_seconds: wait so long for another holder's end before refusing.
        pk_range: first and last key of the rows, both included; None for all of the sync.

    Raises:
        LeaseHeldError: another process holds it, or took it over.
    """
    run = new_run_id(clock.now())
    holder = f"{of} {run} (process {os.getpid()} on {socket.gethostname()})"
    until = clock.monotonic() + wait_seconds
    low, high = pk_range or (leases.LOWEST_PK, leases.HIGHEST_PK)
    wanted = Lease(sync, low, high, holder, clock.now())
    held = await _acquired(run, wanted, ledger, clock, until, asks=of != HINTS)
    lease = held.lease
    shares = of in {RUN, HINTS}
    if shares:
        held.share(await ledger.do(ledger.ledger.take_share, lease))
    owner = asyncio.current_task()
    lost: list[Exception] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                asked_at = uptime_seconds()
                await ledger.do(ledger.ledger.renew_lease, lease)
                held.renewed(asked_at)
            except LeaseHeldError as error:
                lost.append(error)
                held.lost = True
                assert owner is not None
                owner.cancel()
                return
            except CaspioSyncError:  # a ledger out of reach for a moment; the lease has a minute
                continue

    tasks = [asyncio.create_task(beat())]
    if shares:
        tasks.append(asyncio.create_task(_keep_even(held, ledger)))
    try:
        yield held
    except asyncio.CancelledError:
        if lost:
            raise lost[0] from None
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(CaspioSyncError):
            await ledger.do(ledger.ledger.release_lease, lease)


async def _acquired(
    run: str, wanted: Lease, ledger: LedgerThread, clock: Clock, until: float, *, asks: bool
) -> HeldLease:
    """The lease, as soon as its last holder lets go of it; `until` then it is waited for.

    Args:
        run: id of the run.
        wanted: the lease.
        ledger: where it is.
        clock: all waiting goes through it.
        until: by the monotonic clock.
        asks: whether whoever takes hints is asked to let go, and waited for in any case.
    """
    store, asked = ledger.ledger, False
    try:
        while True:
            asked_at = uptime_seconds()
            try:
                low, high = wanted.low_pk, wanted.high_pk
                lease = await ledger.do(store.acquire_lease, wanted.sync, wanted.holder, low_pk=low, high_pk=high)
                return HeldLease(run, lease, asked_at)
            except LeaseHeldError as error:
                lets_go = asks and (error.holder or "").startswith(f"{HINTS} ")
                if not lets_go and clock.monotonic() >= until:
                    raise
            if asks:
                await ledger.do(store.ask_for_turn, wanted.sync, wanted.holder)
                asked = True
            await clock.sleep(_LETS_GO_SECONDS if lets_go else _WAIT_SECONDS)
    finally:
        if asked:
            with contextlib.suppress(CaspioSyncError):
                await ledger.do(store.withdraw, wanted.sync, wanted.holder)


async def _keep_even(held: HeldLease, ledger: LedgerThread) -> None:
    """Share the accounts' limits with the other runs on the ledger: give way at once, take more a window later."""
    store, now = ledger.ledger, held.taken
    while True:
        with contextlib.suppress(CaspioSyncError):  # a ledger out of reach for a moment: the share stays
            even = await ledger.do(store.even_share, held.lease)
            if even < now and not math.isclose(even, now):
                held.share(even)
            if not math.isclose(even, now):
                now = await ledger.do(store.take_share, held.lease)
                if now > held.taken:
                    await asyncio.sleep(GROWS_AFTER_SECONDS)
                held.share(now)
        await asyncio.sleep(LOOK_SECONDS)


def new_run_id(now: datetime) -> str:
    """An id that sorts by time; runs that begin in one second differ."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
