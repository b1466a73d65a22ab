"""One run of a sync: made whole when it is opened, handed to every step, and closed at the end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec

import polars as pl
from typing_extensions import TypeVar

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.clock import Clock
from caspio_sync.consent import ConsentRules
from caspio_sync.delivery.sender import Answer, Sender
from caspio_sync.engine.clients import Clients
from caspio_sync.engine.destination import Account, Destination, Sink, destination_of
from caspio_sync.engine.gates import Gates
from caspio_sync.engine.prepared import Prepared
from caspio_sync.engine.quota import CaspioQuota
from caspio_sync.engine.reading import Reading
from caspio_sync.engine.selection import Selection
from caspio_sync.engine.turns import Turns
from caspio_sync.errors import CaspioSyncError, GateBlockedError, LedgerFullError, StoppedError, TransientError
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.run_record import Run
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.observe.freshness import ChangeTimes
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.observe.writeback_report import WritebackReport
from caspio_sync.schemas import KEY, SOURCE_PK

# Seconds that a run waits for a ledger that is away: a database that is restarted, a lock, a disk that is full.
LEDGER_PATIENCE = 300.0
_LEDGER_LOOK = 2.0

P = ParamSpec("P")
T = TypeVar("T")


class Work:
    """What a kind keeps of a run besides what every run does; steps that kinds have in common tell it what happens.

    Attributes:
        sends_all: whether everything is sent, whatever the ledger says was sent before.
        ready: whether what rows need at the destination is known to be there.
        patches: whether what the destination has is edited instead of replaced.
        sifts: whether a row that is nothing but unchanged is of no further interest.
        writeback: what a run reports of its writing to Caspio; None where it does not.
    """

    sends_all: bool = False
    ready: bool = False
    patches: bool = False
    sifts: bool = False
    writeback: WritebackReport | None = None

    @property
    def kept(self) -> tuple[pl.Expr, ...]:
        """Of a changes frame: what the ledger keeps, besides, of a row that was sent."""
        return ()

    @property
    def still_held(self) -> Collection[int]:
        """source_pk of rows that were read and are as they were when they were held: they get no verdict anew."""
        return ()

    @property
    def first(self) -> str | None:
        """What has to change at the destination before the first row may leave, for people; None: nothing."""
        return None

    async def note_read(self, run: "SyncRun", mapped: pl.DataFrame, known: pl.DataFrame, met: pl.Series) -> None:
        """A batch was read, and nothing of it sent yet.

        Args:
            run: the run.
            mapped: its mapped frame.
            known: what the ledger knew of these rows before it (LEDGER_ROW_SCHEMA).
            met: `source_pk` of its other rows, which are as they were.
        """

    async def release_keys(self, run: "SyncRun", former: pl.DataFrame) -> None:
        """Other rows take the keys of these over: source_pk and key, as the ledger has them."""

    async def note_leaving(self, run: "SyncRun", batch: int, rows: pl.DataFrame) -> None:
        """These changes are about to leave."""

    async def note_answers(self, run: "SyncRun", rows: pl.DataFrame, answers: Sequence[Answer]) -> None:
        """These answers came to requests of these rows, and are about to be recorded."""

    async def note_unknown(self, run: "SyncRun", rows: pl.DataFrame) -> None:
        """Nobody knows whether the destination took these changes."""

    async def note_taken(self, run: "SyncRun", rows: pl.DataFrame) -> None:
        """The destination has these changes, and they are about to be recorded: a recorded row is not read again."""

    async def note_left(self, run: "SyncRun", batch: int) -> None:
        """Each row of a batch has its outcome."""


W = TypeVar("W", bound=Work, default=Any)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a kind makes its work of.

    Args:
        name: name of the sync.
        prepared: the sync held against its table.
        ledger: the ledger, in its thread.
        clients: what the run sends and asks with.
        sink: what stands at the other end of the sync.
        clock: the run's clock.
        planned: whether the run only looks, and writes nothing.
    """

    name: str
    prepared: Prepared
    ledger: LedgerThread
    clients: Clients
    sink: Sink[Any]
    clock: Clock
    planned: bool


@dataclass(slots=True)
class Words:
    """What duplicates say of consent.

    Args:
        known: WORDS, of those read in this run and before; None until the ledger was asked.
        heard: of batches that are not recorded yet: which words their rows were compared with.
    """

    known: pl.DataFrame | None = None
    heard: dict[int, pl.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SyncRun(Generic[W]):
    """What the steps of a run share. Nothing is assigned to it once it is made: what changes is in its parts.

    Args:
        name: name of the sync.
        prepared: the sync held against its table.
        options: what to read, and what to send of it.
        selection: which rows that is.
        planned: whether it only looks, and writes nothing.
        ledger: the ledger, in its thread.
        clients: what it sends and asks with.
        sink: what stands at the other end of the sync.
        quota: the account's daily budget of calls.
        versions: what rows are judged under.
        gates: judge what is to be sent.
        times: when the rows it sends were changed.
        reading: the rows it reads.
        turns: the batches under way.
        work: what its kind keeps of it.
        report: its counts.
        clock: its clock.
        observe: shows the report to whoever watches.
        words: what duplicates say of consent.
        opt_outs_in_doubt: source_pk of rows whose opt-out left and was not acknowledged.
        planned_erasures: digests of the keys that a plan finds to be erased.
        past: the runs before it, newest first; filled when it ends.
        blocks: why nothing more is sent (`block`); empty while it may be.
    """

    name: str
    prepared: Prepared
    options: RunOptions
    selection: Selection
    planned: bool
    ledger: LedgerThread
    clients: Clients
    sink: Sink[Any]
    quota: CaspioQuota
    versions: Versions
    gates: Gates
    times: ChangeTimes
    reading: Reading
    turns: Turns
    work: W
    report: RunReport
    clock: Clock
    observe: Callable[[], None]
    words: Words = field(default_factory=Words)
    opt_outs_in_doubt: set[int] = field(default_factory=set)
    planned_erasures: set[str] = field(default_factory=set)
    past: list[Run] = field(default_factory=list)
    blocks: list[GateBlockedError] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The run's id, as in the ledger and in every outcome."""
        return self.report.run

    @property
    def definition(self) -> Sync:
        """The sync file, without what its `owner:` writes."""
        return self.prepared.definition

    @property
    def mapping(self) -> RowMapping:
        """The definition held against the source's fields."""
        return self.prepared.mapping

    @property
    def salt(self) -> int:
        """What fingerprints of this run are salted with."""
        identity = self.mapping.identity
        return identity_salt(self.ledger.ledger.salt, identity.kind, identity.label)

    @property
    def example_column(self) -> str:
        """Column whose values may stand in a report: the key, unless it is an address or a number."""
        return SOURCE_PK if self.mapping.identity.kind in {"email", "phone"} else KEY

    @property
    def caspio(self) -> CaspioClient:
        """The Caspio client."""
        return self.clients.caspio

    @property
    def sender(self) -> Sender:
        """The sender; a run without changes never makes one."""
        return self.clients.sender(self.report.expected, ask_first=self.report.in_doubt)

    @property
    def account(self) -> Account:
        """The account at its destination."""
        return self.clients.account

    @property
    def destination(self) -> Destination:
        """Where its rows go."""
        return destination_of(self.definition)

    @property
    def consent(self) -> ConsentRules:
        """What its destination makes of consent."""
        return self.destination.consent

    @property
    def blocked(self) -> GateBlockedError | None:
        """Why nothing more is sent; None where it may be."""
        return self.blocks[-1] if self.blocks else None

    def block(self, error: GateBlockedError) -> None:
        """From now on nothing is sent, opt-outs apart, and the run ends with this error."""
        self.blocks.append(error)

    async def persist(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `LedgerThread.do`, for what has to be written down: where the ledger is away, nothing is sent meanwhile.

        Args:
            call: harmless where it is repeated.
            args: of the call.
            kwargs: of the call.

        Raises:
            LeaseHeldError: another run took the sync over meanwhile.
            CaspioSyncError: the ledger refuses for good, or was away for `LEDGER_PATIENCE` seconds.
        """
        with contextlib.suppress(TransientError, LedgerFullError):
            return await self.ledger.do(call, *args, **kwargs)
        since = self.clock.monotonic()
        with self.clients.paused():
            while True:
                await self.clock.sleep(_LEDGER_LOOK)
                away = self.clock.monotonic() - since
                try:
                    result = await self.ledger.do(call, *args, **kwargs)
                except (TransientError, LedgerFullError) as error:
                    if away < LEDGER_PATIENCE:
                        continue
                    then = "sent again by" if self.sink.repeats else "unknown to"
                    raise CaspioSyncError(
                        f"{error} The run waited for {away:.0f} seconds, and sent nothing meanwhile. What was sent "
                        f"before and is not written down is {then} the next run"
                    ) from error
                self.report.notes.append(f"waited {away:.0f} seconds for the ledger; nothing was sent meanwhile")
                return result

    async def timed(self, stage: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a thread (polars lets go of the GIL), and count the time as the stage's."""
        started = time.perf_counter()
        result = await asyncio.to_thread(call, *args, **kwargs)
        self.report.add_seconds(stage, time.perf_counter() - started)
        return result

    def raise_if_in_doubt(self) -> None:
        """Raise where rows were sent of which it is not known whether they were taken: they are sent again."""
        report, title = self.report, self.destination.title
        if report.unacknowledged:
            then = (
                "and sends them again"
                if self.sink.repeats
                else f"and leaves these alone: `caspio-sync unknown {self.name}` settles them"
            )
            raise StoppedError(
                f"{report.unacknowledged} of the requests were answered by something that is not known to be {title}: "
                f"{report.doubt}. Their rows are recorded as unknown, and the cursor stays: the next run asks first, "
                f"free of charge, whether {title} answers, {then}"
            )

    def raise_if_blocked(self) -> None:
        """Raise the error of the batch that the gate blocked, where it has blocked one."""
        if self.blocked is not None:
            raise self.blocked


# By these Prefect would know a dataclass, and walk through it and all that it holds, at each call of a task.
del SyncRun.__dataclass_fields__
