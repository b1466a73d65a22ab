"""Folding the inbox into the ledger: a part of its posts at a time, each recorded with the cursor behind it.

A run that is killed between two steps goes on after the last part that was recorded; the part it was at adds nothing
until then, and everything once.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.engagement.duplicates import EVENT_IDS, with_id_hashes
from caspio_sync.engagement.events import read_events
from caspio_sync.engagement.fold import Folded, fold, together
from caspio_sync.engagement.identity import KINDS, identified
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.thread import LedgerThread

# As many as fit in memory beside the next ones, which are read meanwhile.
READ_AT_ONCE = 25_000
# Every record writes to most pages of the state: the fewer the better.
RECORDED_AT_ONCE = 200_000


@dataclass(slots=True)
class FoldReport:
    """What became of the events in the inbox.

    Args:
        posts: how many were folded.
        events: by what became of them: folded, other_types (nothing is kept of them here), nobody (folded, without any
            identity), future (more than a day ahead), duplicates, erased.
        other_types: the types of which nothing is kept.
        to: `seq` of the last post.
    """

    posts: int = 0
    events: Counter[str] = field(default_factory=Counter)
    other_types: Counter[str] = field(default_factory=Counter)
    to: int = 0

    def take(self, work: "_Work", folded: Folded) -> None:
        """Count what was recorded."""
        self.posts += work.posts
        self.to = work.to
        self.events.update(folded.counts, duplicates=work.duplicates, erased=work.erased)
        self.other_types.update(folded.other_types)


async def fold_inbox(
    sync: str, inbox: Inbox, ledger: LedgerThread, clock: Clock, *, kinds: Sequence[str] = KINDS
) -> FoldReport:
    """Fold what has arrived since the last time; the caller holds the sync's lease.

    Args:
        sync: name of the sync.
        inbox: where posts wait.
        ledger: the ledger, in its thread.
        clock: tells which events cannot have happened yet.
        kinds: which identifier is better than which (see `identity.identified`).

    Raises:
        LeaseHeldError: the lease was taken over.
        TransientError: inbox or ledger cannot be reached, or meanwhile somebody was erased or another run folded;
            calling again goes on from the last part that was recorded.
    """
    store, report = ledger.ledger, FoldReport()
    report.to = await ledger.do(store.folded_to, sync)
    parts = inbox.posts(report.to, events=READ_AT_ONCE)

    def read() -> _Part | None:
        posts = next(parts, None)
        if posts is None:
            return None
        events = with_id_hashes(read_events([(post.seq, post.lines) for post in posts]), store.salt)
        return _Part(posts[-1].seq, len(posts), events)

    coming = asyncio.create_task(asyncio.to_thread(read))
    try:
        while True:
            work = _Work(to=report.to, erasures=await ledger.do(store.erasures))
            while work.events < RECORDED_AT_ONCE and (part := await coming) is not None:
                coming = asyncio.create_task(asyncio.to_thread(read))  # while this part is folded and recorded
                await _fold(sync, part, ledger, clock, work, kinds=kinds)
                part = None  # its memory is the next one's
            if not work.posts:
                return report
            folded, ids = together(work.folded), pl.concat(work.ids)
            await ledger.do(store.record_fold, sync, folded, ids, after=report.to, to=work.to, erasures=work.erasures)
            report.take(work, folded)
    finally:
        await asyncio.gather(coming, return_exceptions=True)  # a thread cannot be stopped


@dataclass(slots=True)
class _Part:
    """Some posts, read."""

    to: int
    posts: int
    events: pl.DataFrame


@dataclass(slots=True)
class _Work:
    """What is folded and not recorded."""

    to: int
    erasures: tuple[int, int]
    posts: int = 0
    events: int = 0
    duplicates: int = 0
    erased: int = 0
    folded: list[Folded] = field(default_factory=list)
    ids: list[pl.DataFrame] = field(default_factory=list)


async def _fold(
    sync: str,
    part: _Part,
    ledger: LedgerThread,
    clock: Clock,
    work: _Work,
    *,
    kinds: Sequence[str],
) -> None:
    store, now = ledger.ledger, clock.now()
    fresh = await ledger.do(store.not_seen, sync, part.events)
    for ids in work.ids:
        fresh = fresh.join(ids, on=EVENT_IDS.names(), how="anti")
    erased = await ledger.do(store.erased_events, fresh)
    kept = fresh.filter(~erased)
    work.folded.append(
        await asyncio.to_thread(lambda: fold(identified(kept, store.address_digests, kinds=kinds), now=now))
    )
    work.ids.append(fresh.select(EVENT_IDS.names()))
    work.to = part.to
    work.posts += part.posts
    work.events += part.events.height
    work.duplicates += part.events.height - fresh.height
    work.erased += fresh.height - kept.height
