"""One writer a sync and range of rows: mutual exclusion is the ledger's lease alone.

A lease lapses by the database's clock: those of two machines may differ by minutes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.processes import has_died, this_process
from caspio_sync.ledger.run_record import RUNNING
from caspio_sync.ledger.runs import insert

LEASE_SECONDS = 60.0
BEAT_SECONDS = 10.0
LOWEST_PK = -(2**63)
HIGHEST_PK = 2**63 - 1
_ASIDE = "\x1f"  # behind the name of a sync: no lease on its rows, but that somebody waits for it, or listens
_ASKED_SECONDS = 10.0


class LeaseHeldError(ConfigurationError):
    """Another run holds the lease.

    Args:
        message: names the holder and what to do.
        holder: who holds it, None where it was let go or taken and let go again.
        expires_at: when it lapses unless the holder renews it.
    """

    def __init__(self, message: str, *, holder: str | None, expires_at: datetime | None) -> None:
        super().__init__(message)
        self.holder = holder
        self.expires_at = expires_at


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a sync's rows from `low_pk` to `high_pk`, both included, until `expires_at`.

    `process` is what `this_process` says of the holder's; `instead_of` names the holder it was taken over from;
    `share` is the part of the accounts' limits that it may use, None where it takes no part.
    """

    sync: str
    low_pk: int
    high_pk: int
    holder: str
    expires_at: datetime
    process: str | None = None
    share: float | None = None
    instead_of: str | None = None


class Leases(LedgerConnection):
    """Taking, keeping and giving back the right to write.

    Once a lease was taken, every write of rows, batches and cursor asks in its own transaction whether it still holds.
    """

    _taken: Lease | None = None

    def acquire_lease(self, sync: str, holder: str, *, low_pk: int = LOWEST_PK, high_pk: int = HIGHEST_PK) -> Lease:
        """Take the lease; it is taken over from a holder that has not renewed it for 60 s, or whose process is dead.

        Args:
            sync: name of the sync.
            holder: one a run, such as "run 7f3a on host web1, process 4711"; the same holder may ask again.
            low_pk: start of the range.
            high_pk: end of the range, included.

        Raises:
            LeaseHeldError: an overlapping range is held by another; the message names the holder.
        """
        table = schema.lease.c
        overlap = sa.and_(table.sync == sync, table.low_pk <= high_pk, table.high_pk >= low_pk)
        with self.writing("take the lease", fold=False) as connection:
            if connection.dialect.name == "postgresql":
                # Rows that are not there yet cannot be locked; the second of two takers waits for the table.
                connection.exec_driver_sql("LOCK TABLE lease IN SHARE ROW EXCLUSIVE MODE")
            now = self._now(connection)
            taken = Lease(sync, low_pk, high_pk, holder, now + timedelta(seconds=LEASE_SECONDS), this_process())
            for found in connection.execute(sa.select(schema.lease).where(overlap)):
                if found.holder == holder:
                    continue
                if found.expires_at > now and not has_died(found.process):
                    raise _held(found, now)
                taken = replace(taken, instead_of=found.holder)
            connection.execute(sa.delete(schema.lease).where(overlap))
            connection.execute(
                sa.insert(schema.lease).values(
                    sync=sync,
                    low_pk=low_pk,
                    high_pk=high_pk,
                    holder=holder,
                    expires_at=taken.expires_at,
                    process=taken.process,
                )
            )
        self._taken = taken
        return taken

    def renew_lease(self, lease: Lease) -> Lease:
        """Keep a lease for another 60 s; to be called every 10 s.

        Raises:
            LeaseHeldError: it lapsed and was taken over; the caller has to stop writing.
        """
        with self.writing("renew the lease", fold=False) as connection:
            now = self._now(connection)
            kept = replace(lease, expires_at=now + timedelta(seconds=LEASE_SECONDS))
            renewed = connection.execute(
                sa.update(schema.lease).where(*_own(lease)).values(expires_at=kept.expires_at)
            ).rowcount
            if not renewed:
                raise _lost(connection, lease, now)
        return kept

    def _check_lease(self, connection: sa.Connection) -> None:
        """Raise LeaseHeldError where the lease was taken over: a process that was paused must not write any more."""
        if self._taken is None:
            return
        # Locked against a take-over until this transaction ends; SQLite has one writer at a time anyway.
        own = sa.select(schema.lease.c.sync).where(*_own(self._taken)).with_for_update(read=True)
        if connection.execute(own).first() is None:
            raise _lost(connection, self._taken, self._now(connection))

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back; nothing happens where another has taken it over."""
        with self.writing("release the lease", fold=False) as connection:
            connection.execute(sa.delete(schema.lease).where(*_own(lease)))
        self._taken = None

    def even_share(self, lease: Lease) -> float:
        """What a holder's share of the accounts' limits should be: as much as that of any other run under way."""
        with self.reading("read leases", fold=False) as connection:
            return 1 / (1 + len(self._other_shares(connection, lease)))

    def take_share(self, lease: Lease) -> float:
        """Take as much of the even share as the others have left: together they never hold more than the whole.

        Whoever is to give something up stops using it first, and asks then.

        Returns:
            The share from now on; 0 until the others have given way.
        """
        with self.writing("take a share of the limits", fold=False) as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE lease IN SHARE ROW EXCLUSIVE MODE")
            others = self._other_shares(connection, lease)
            share = max(0.0, min(1 / (1 + len(others)), 1 - sum(others)))
            connection.execute(sa.update(schema.lease).where(*_own(lease)).values(share=share))
        return share

    def ask_for_turn(self, sync: str, holder: str) -> None:
        """Have whoever takes hints of a sync let go of its lease; to be said again within 10 s, as long as it is so."""
        asked = schema.lease.c
        with self.writing("ask for the lease", fold=False) as connection:
            now = self._now(connection)
            gone = sa.or_(asked.expires_at <= now, asked.holder == holder)
            connection.execute(sa.delete(schema.lease).where(asked.sync == _asked(sync), gone))
            values = {
                "sync": _asked(sync),
                "low_pk": LOWEST_PK,
                "high_pk": HIGHEST_PK,
                "holder": holder,
                "expires_at": now + timedelta(seconds=_ASKED_SECONDS),
                "process": this_process(),
            }
            connection.execute(insert(connection, schema.lease).values(values).on_conflict_do_nothing())

    def withdraw(self, sync: str, holder: str) -> None:
        """The turn has come, or is not waited for any more."""
        asked = schema.lease.c
        with self.writing("withdraw", fold=False) as connection:
            connection.execute(sa.delete(schema.lease).where(asked.sync == _asked(sync), asked.holder == holder))

    def is_asked_for(self, sync: str) -> bool:
        """Whether somebody waits for the lease on a sync (`ask_for_turn`)."""
        return bool(self.leases(_asked(sync)))

    def _other_shares(self, connection: sa.Connection, lease: Lease) -> list[float]:
        table = schema.lease.c
        chosen = sa.select(table.share, table.process).where(
            table.expires_at > self._now(connection), table.share.is_not(None), sa.not_(sa.and_(*_own(lease)))
        )
        return [each.share for each in connection.execute(chosen) if not has_died(each.process)]

    def leases(self, sync: str) -> list[Lease]:
        """The leases on a sync that have not lapsed, and whose process is not known to be dead, by range."""
        table = schema.lease.c
        chosen = sa.select(schema.lease).where(table.sync == sync).order_by(table.low_pk)
        with self.reading("read leases", fold=False) as connection:
            standing = chosen.where(table.expires_at > self._now(connection))
            found = [Lease(**each._mapping) for each in connection.execute(standing)]  # noqa: SLF001 - public name
        return [each for each in found if not has_died(each.process)]

    def runs_under_way(self, sync: str) -> list[str]:
        """Runs that may still record what they sent: written down as running, and their lease stands."""
        held = " ".join(each.holder for each in self.leases(sync))
        running = sa.select(schema.run.c.id).where(schema.run.c.sync == sync, schema.run.c.state == RUNNING)
        with self.reading("read running runs") as connection:
            return [run for run in connection.execute(running).scalars() if run in held]

    def all_leases(self) -> list[Lease]:
        """Every lease that was not given back, lapsed or not, by sync and range."""
        table = schema.lease.c
        with self.reading("read leases", fold=False) as connection:
            found = connection.execute(
                sa.select(schema.lease).where(~table.sync.contains(_ASIDE)).order_by(table.sync, table.low_pk)
            )
            return [Lease(**each._mapping) for each in found]  # noqa: SLF001 - public name


def listener_of(sync: str) -> str:
    """What the resident that listens to a sync's webhook holds a lease on, so that there is one."""
    return f"{sync}{_ASIDE}listener"


def _asked(sync: str) -> str:
    return f"{sync}{_ASIDE}asked"


def _own(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    table = schema.lease.c
    return (
        table.sync == lease.sync,
        table.low_pk == lease.low_pk,
        table.high_pk == lease.high_pk,
        table.holder == lease.holder,
    )


def _lost(connection: sa.Connection, lease: Lease, now: datetime) -> LeaseHeldError:
    table = schema.lease.c
    overlap = sa.and_(table.sync == lease.sync, table.low_pk <= lease.high_pk, table.high_pk >= lease.low_pk)
    other = connection.execute(sa.select(schema.lease).where(overlap)).first()
    if other is None:
        return LeaseHeldError(
            f"The lease on {lease.sync} lapsed and was taken over by a run that has ended since. Start the run again.",
            holder=None,
            expires_at=None,
        )
    return _held(other, now)


def _held(found: Any, now: datetime) -> LeaseHeldError:
    sync, holder, expires_at = found.sync, found.holder, found.expires_at
    whole = found.low_pk == LOWEST_PK and found.high_pk == HIGHEST_PK
    rows = "" if whole else f" (PK_ID {found.low_pk} to {found.high_pk})"
    seconds = max(0, round((expires_at - now).total_seconds()))
    return LeaseHeldError(
        f"The sync {sync} is being written{rows} by {holder}. Wait for that run to end; "
        f"if it is dead, its lease lapses in {seconds} s and the next run takes it over.",
        holder=holder,
        expires_at=expires_at,
    )
