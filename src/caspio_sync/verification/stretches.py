"""Rows looked at together: all of them once, those that differ a second time, and what came of it written down."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.ledger.verification import Progress, Verification
from caspio_sync.schemas import SOURCE_PK
from caspio_sync.verification.findings import Findings
from caspio_sync.verification.looking import Look, Looking, ReadHeld

LEASE_WAIT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class HeldBy:
    """What the destination holds, where it was read otherwise than key by key.

    Args:
        first: as it was read.
        again: reads it a second time.
        settled_at: rows sent later are not judged by it; None for five minutes before now.
        absence_counts: whether what the second look does not find is missing; else it is left to another look.
    """

    first: ReadHeld
    again: ReadHeld
    settled_at: datetime | None = None
    absence_counts: bool = True


@dataclass(eq=False)
class Stretches:
    """Looks at one stretch after the other.

    Args:
        name: name of the sync.
        ledger: the ledger, in its thread.
        clock: waiting for a run's end goes through it.
        read_back: counts the requests.
        looking: looks at rows.
        findings: what was found so far.
        begun: the verification, as it began or goes on.
        version: number of the present mapping.
    """

    name: str
    ledger: LedgerThread
    clock: Clock
    read_back: ReadBack
    looking: Looking
    findings: Findings
    begun: Verification
    version: int

    def __post_init__(self) -> None:
        self._counted, self._number = self.read_back.requests, 0

    async def look_at(
        self, source_pks: pl.Series, *, held: HeldBy | None = None, done: Callable[[pl.Series], Progress] | None = None
    ) -> None:
        """Look at rows, and write down what was found.

        Args:
            source_pks: the rows, sorted.
            held: what is held of them there; by default it is asked key by key.
            done: how far the verification came with them, given the rows that are left to another look; by default,
                all up to the last of them.

        Raises:
            LeaseHeldError: a run of this sync is under way, and has been for an hour.
        """
        done = done or (lambda _: Progress(done_pk=int(source_pks[-1])))
        first = await self._look(source_pks, held, None if held is None else held.first)
        doubtful = first.rows["state"].is_in(["differing", "missing"])
        self.findings.count(first.only(~doubtful))
        if not doubtful.any():
            await self._record(first.only(doubtful), done(source_pks.clear()))
            return
        # Again, with no run beside it: a row that was just being sent is none that drifted.
        async with hold_lease(self.name, self.ledger, self.clock, of="verification", wait_seconds=LEASE_WAIT_SECONDS):
            second = await self._look(
                first.rows.filter(doubtful)[SOURCE_PK], held, None if held is None else held.again
            )
            absent = second.rows["state"] == "missing"
            if held is not None and not held.absence_counts:
                left = second.rows.filter(absent)[SOURCE_PK]
                second = second.only(~absent)
            else:
                left = source_pks.clear()
            self.findings.count(second)
            await self._record(second.only(second.rows["state"].is_in(["differing", "missing"])), done(left))

    async def end(self) -> None:
        """Write down that everything has been looked at."""
        report = self.findings.report
        report.ended_at = self.clock.now()
        await self.ledger.do(self.ledger.ledger.end_verification, self.name, report.model_dump(mode="json"))

    async def _look(self, source_pks: pl.Series, held: HeldBy | None, read: ReadHeld | None) -> Look:
        known = await self.ledger.do(self.ledger.ledger.sent_rows, self.name, source_pks)
        return await self.looking.at(known, read, settled_at=None if held is None else held.settled_at)

    async def _record(self, drifted: Look, progress: Progress) -> None:
        report = self.findings.report
        self._number += 1
        rows = self.findings.taken_back(drifted)
        report.requests += self.read_back.requests - self._counted
        self._counted = self.read_back.requests
        await self.ledger.do(
            self.ledger.ledger.record_verified,
            self.name,
            name=f"verify {self.begun.started_at:%Y%m%dT%H%M%S}",
            number=self._number,
            progress=progress,
            counts=report.model_dump(mode="json"),
            drifted=rows,
            mapping_version=self.version,
        )
