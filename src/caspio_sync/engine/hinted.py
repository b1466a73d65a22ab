"""Reading what Caspio's webhooks announced: hints, taken as they arrive, their rows read again by PK_ID.

A message says which row to look at, and nothing that is believed of it: so its order, its age and its repetition do no
harm, and what is there now is what is sent. Hints of a moment are read together, about a hundred rows a call. Rows that
were added may be taken from their messages, where their kind can tell that they are new (`told_rows.py`).
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta

import polars as pl

from caspio_sync import registry
from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.records import SourceBatch
from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.clock import Clock
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.prepared import Prepared
from caspio_sync.engine.quota import CaspioQuota
from caspio_sync.engine.reading import Reading
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.told_rows import ToldRows
from caspio_sync.errors import ConfigurationError
from caspio_sync.hints import BESIDE, Hints, WaitingHint
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.definition import Sync
from caspio_sync.schemas import SOURCE_PK
from caspio_sync.sealed import Sealer
from caspio_sync.spans import utc_day

SHORTEST_WINDOW = 0.2
LONGEST_WINDOW = 30.0
# Of what is left of a day's calls, the part that hints may use; the schedule needs the rest.
HINTS_SHARE = 0.5
# From one batch to the next: each is a run of Great Expectations, of which a sync has three a second at the most.
_JUDGED_SECONDS = 1 / 3
_LOOK_SECONDS = 0.2  # between two looks at what has arrived
_MOST_HINTS = 2_000  # a batch: twenty calls
_CATCHES_UP_SECONDS = 300.0  # a run that only reads what has arrived, where more arrives all the time


@dataclass(slots=True, kw_only=True)
class HintedReading(Reading):
    """Reads rows that were announced; a batch only once the one before is recorded, for a row may be in both.

    Args:
        prepared: the sync.
        caspio: is asked for the rows.
        hints: what has arrived.
        clock: all waiting goes through it.
        listen_seconds: goes on so long, taking what arrives; 0: only what has arrived.
        is_asked_for: whether another run waits for this one's end.
        told: finds rows that messages tell whole; None where every announced row is read.
        window: how long hints are gathered before they are read.
        stopped: whether nothing more is sent.
    """

    prepared: Prepared
    caspio: CaspioClient
    hints: Hints
    clock: Clock
    listen_seconds: float
    is_asked_for: Callable[[], Awaitable[bool]]
    told: ToldRows | None
    window: Callable[[], Awaitable[float]]
    stopped: Callable[[], bool] = lambda: False
    _gone: set[int] = field(default_factory=set)
    _gone_hints: list[int] = field(default_factory=list)
    _under_way: list[int] = field(default_factory=list)
    _last: int = 0
    _until: float | None = None
    _read_at: float = float("-inf")

    @property
    def gone(self) -> list[int]:
        """See there."""
        return sorted(self._gone)

    async def _next(self) -> SourceBatch | None:
        if not self.again and (batch := await self._announced()) is not None:
            return batch
        return await super(HintedReading, self)._next()  # the owners of duplicates (`read_again`)

    async def _announced(self) -> SourceBatch | None:
        """The next batch of announced rows; None once nothing more is to be waited for."""
        await self._recorded()
        if self._until is None:
            self._until = self.clock.monotonic() + (self.listen_seconds or _CATCHES_UP_SECONDS)
        while not self.stopped():
            if self.clock.monotonic() >= self._until or await self.is_asked_for():
                return None
            if found := await self._arrived():
                batch = await self._read(found)
                if batch is not None:
                    return batch
            elif not self.listen_seconds:
                return None
            else:
                await self.clock.sleep(_LOOK_SECONDS)
        return None

    async def _arrived(self) -> list[WaitingHint]:
        """Hints that this run has not read; where there are any, those of a whole window."""
        found = await self._waiting()
        if found and self.listen_seconds:
            wait = self._read_at + max(await self.window(), _JUDGED_SECONDS) - self.clock.monotonic()
            if wait > 0:
                await self.clock.sleep(wait)
                found = await self._waiting()
        return found

    async def _waiting(self) -> list[WaitingHint]:
        name = self.prepared.definition.name
        return await asyncio.to_thread(self.hints.waiting, name, limit=_MOST_HINTS, after=self._last)

    async def _read(self, found: Sequence[WaitingHint]) -> SourceBatch | None:
        """The rows as they are now; None where all of them are gone. A call that failed may be repeated."""
        prepared, where = self.prepared, self.prepared.definition.source.where
        own = [each for each in found if each.type != BESIDE]
        others = [each for each in found if each.type == BESIDE]
        wanted = sorted({each.source_pk for each in own})
        theirs = set(await self._of_others(sorted({each.source_pk for each in others})))
        told = source_frame([], prepared.read_fields, prepared.key.name)
        if self.told is not None:
            told = await self.told.of([each for each in own if each.source_pk not in theirs])
        asked = sorted(({*wanted} | theirs) - {*told[SOURCE_PK]})
        rows = await rows_by_key(
            self.caspio, prepared.source, prepared.key, asked, fields=prepared.read_fields, where=where
        )
        rows = pl.concat([told, rows]).unique(SOURCE_PK).sort(SOURCE_PK)
        self.report.told += told.height
        there = set(rows[SOURCE_PK])
        self._read_at, self._last = self.clock.monotonic(), found[-1].number
        self.report.hints += len(found)
        self._gone |= {each for each in wanted if each not in there}
        self._gone -= there
        # What is gone is done with once the run has drawn its conclusion, at its end.
        self._gone_hints += [each.number for each in own if each.source_pk not in there]
        self._under_way = [each.number for each in own if each.source_pk in there]
        if rows.is_empty():
            self._gone_hints += [each.number for each in others]
        else:
            self._under_way += [each.number for each in others]
        if rows.is_empty():
            return None
        self.report.expected += rows.height
        self.report.counted += rows.height
        self.handed += rows.height
        self.batches += 1
        return SourceBatch(self.batches, rows[SOURCE_PK][0], rows[SOURCE_PK][-1], rows, scattered=True)

    async def _of_others(self, source_pks: Sequence[int]) -> list[int]:
        """The rows that those of other tables are a matter of (`Sync.tables_beside`)."""
        place = kind_of(self.prepared.definition).announced
        if not source_pks or not place:
            return []
        find: Callable[..., Awaitable[list[int]]] = registry.found(place)
        return await find(self.prepared, self.caspio, source_pks)

    async def _recorded(self) -> None:
        """The batch before is recorded: its hints are done with."""
        await self.turns.all_done()
        if self._under_way and not self.stopped():
            await asyncio.to_thread(self.hints.mark_read, self._under_way)
            self._under_way = []

    async def conclude(self) -> None:
        """The run ended well: hints of rows that are gone are done with too."""
        await self._recorded()
        await asyncio.to_thread(self.hints.mark_read, self._gone_hints)


def can_be_hinted(definition: Sync) -> bool:
    """Whether webhooks can say which rows of a sync to read: those of a table, which travel to a destination."""
    return definition.source.table is not None and not kind_of(definition).returns


def refuse_hints(prepared: Prepared) -> None:
    """Raise where webhooks cannot say which rows of a sync to read.

    Raises:
        ConfigurationError: it reads a view, or brings back what a destination tells.
    """
    definition = prepared.definition
    if definition.source.posts is not None:
        raise ConfigurationError(
            f"{definition.where('source', 'posts')}: posts are read by their number as they come; leave --hints out"
        )
    if definition.source.view is not None:
        raise ConfigurationError(
            f"{definition.where('source', 'view')}: Caspio's webhooks tell of tables, and name rows by their PK_ID; "
            "read the table with a `where`, or let the schedule find what changed"
        )
    if kind_of(definition).returns:
        raise ConfigurationError(f"{definition.name}: rows of this kind come back to Caspio; no webhook announces them")


def window_seconds(left: int | None, until_midnight: float) -> float:
    """How long hints are gathered before their rows are read.

    Args:
        left: of the day's calls to Caspio; None without a budget.
        until_midnight: seconds, UTC.

    Returns:
        0.2 to 30 s: so long that a call a window until midnight is half of what is left. Batches follow each other less
        often where the gate asks for it (`_JUDGED_SECONDS`).
    """
    if left is None:
        return SHORTEST_WINDOW
    calls = max(1.0, left * HINTS_SHARE)
    return min(LONGEST_WINDOW, max(SHORTEST_WINDOW, until_midnight / calls))


async def _present_window(quota: CaspioQuota, ledger: LedgerThread) -> float:
    """As `window_seconds`, by what was used today."""
    budget, now = quota.calls_per_day, ledger.ledger.now()
    if budget is None:
        return SHORTEST_WINDOW
    midnight = (utc_day(now) + timedelta(days=1) - now).total_seconds()
    return window_seconds(max(0, budget - await quota.used_today()), midnight)


def hinted(
    reading: Reading,
    prepared: Prepared,
    *,
    hints: Hints,
    ledger: LedgerThread,
    caspio: CaspioClient,
    sealer: Sealer | None,
    clock: Clock,
    stopped: Callable[[], bool],
) -> HintedReading:
    """As that reading, of the rows that were announced.

    Args:
        reading: without conditions of its own.
        prepared: the sync.
        hints: what has arrived.
        ledger: tells who waits for the lease.
        caspio: is asked for the rows.
        sealer: decrypts rows that messages tell; None: there is no key.
        clock: all waiting goes through it.
        stopped: whether nothing more is sent.
    """
    name, believes = prepared.definition.name, prepared.definition.trusts_payload
    return HintedReading(
        **{each.name: getattr(reading, each.name) for each in fields(Reading)},
        prepared=prepared,
        caspio=caspio,
        hints=hints,
        clock=clock,
        listen_seconds=reading.options.listen_seconds,
        is_asked_for=functools.partial(ledger.do, ledger.ledger.is_asked_for, name),
        told=ToldRows(prepared, hints, ledger, sealer) if sealer is not None and believes else None,
        window=functools.partial(_present_window, reading.quota, ledger),
        stopped=stopped,
    )


async def note_gone(run: SyncRun) -> None:
    """Say how many announced rows are gone; those of them that were held are not asked for again."""
    gone = run.reading.gone
    if not gone:
        return
    await run.ledger.do(run.ledger.ledger.forget_unfound, run.name, run.id, gone)
    stays = "" if kind_of(run.definition).words.deletes else "; what was sent of them stays"
    run.report.notes.append(f"{len(gone)} announced rows are gone from Caspio, or source.where leaves them out{stays}")
