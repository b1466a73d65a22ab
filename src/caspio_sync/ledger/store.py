"""The ledger: for every row of every sync, what was last acknowledged, what was last seen, and its verdict."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from caspio_sync.ledger.agreed import Agreements
from caspio_sync.ledger.audit import Audit
from caspio_sync.ledger.budgets import Budgets
from caspio_sync.ledger.catalogs import Catalogs
from caspio_sync.ledger.deals import Deals
from caspio_sync.ledger.duplicate_consent import DuplicateConsent
from caspio_sync.ledger.engagement import Engagement
from caspio_sync.ledger.enrolments import Enrolments
from caspio_sync.ledger.erasure import Erasures
from caspio_sync.ledger.event_counts import EventCounts
from caspio_sync.ledger.events import Events
from caspio_sync.ledger.former_keys import FormerKeys
from caspio_sync.ledger.handing_over import HandingOver
from caspio_sync.ledger.held import HeldRows
from caspio_sync.ledger.housekeeping import Housekeeping
from caspio_sync.ledger.incidents import Incidents
from caspio_sync.ledger.leases import Leases
from caspio_sync.ledger.list_marks import ListMarks
from caspio_sync.ledger.moved_keys import MovedKeys
from caspio_sync.ledger.overview import Overview
from caspio_sync.ledger.pauses import Pauses
from caspio_sync.ledger.raw_prints import RawPrints
from caspio_sync.ledger.record import Recording
from caspio_sync.ledger.renaming import Renaming
from caspio_sync.ledger.rows import Rows
from caspio_sync.ledger.runs import Runs
from caspio_sync.ledger.sending import SendingRows
from caspio_sync.ledger.shards import Shards
from caspio_sync.ledger.sharing import Sharing
from caspio_sync.ledger.sources import Sources
from caspio_sync.ledger.story import Stories
from caspio_sync.ledger.sweeps import Sweeps
from caspio_sync.ledger.verification import Verifications
from caspio_sync.ledger.workspaces import Workspaces


class Ledger(
    Rows,
    RawPrints,
    Events,
    Deals,
    Recording,
    SendingRows,
    Runs,
    Sweeps,
    Shards,
    Leases,
    Budgets,
    Stories,
    HeldRows,
    HandingOver,
    Sources,
    Workspaces,
    Verifications,
    Engagement,
    Erasures,
    Audit,
    Catalogs,
    Incidents,
    Agreements,
    DuplicateConsent,
    FormerKeys,
    Housekeeping,
    Renaming,
    Sharing,
    MovedKeys,
    Enrolments,
    EventCounts,
    ListMarks,
    Pauses,
):
    """A ledger on SQLite or PostgreSQL; open it by `Ledger.open(url)`.

    Thread-safe: any thread may call any method; writers take turns. All methods are synchronous.

    Every method raises TransientError where the database is locked or out of reach, and another CaspioSyncError where
    it refuses for good; the message says what to do.
    """

    @cached_property
    def salt(self) -> int:
        """64 bits, made once a ledger: fingerprints of one ledger tell nothing about those of another."""
        with self.reading("read the salt") as connection:
            return self._salt_of(connection)

    @contextlib.contextmanager
    def overview(self, *, inbox: Path | None = None) -> Iterator[Overview]:
        """One state of it, to look at; `inbox` as for `Overview`."""
        turn = self._write_lock if self._in_memory else contextlib.nullcontext()
        with turn, self._translated("read the ledger"), self._engine.connect() as connection:
            overview = Overview(
                connection.connection.driver_connection,
                dialect=connection.dialect.name,
                where=self.location,
                clock=self._clock,
                inbox=inbox,
            )
            with contextlib.closing(overview):
                yield overview
