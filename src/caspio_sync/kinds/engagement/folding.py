"""Folding the inbox into the ledger: a part of its posts at a time, each recorded with the cursor behind it.

    posts ─▶ read (20,000 events) ─▶ fold ─▶ together (150,000) ─▶ record, while the next ones are read and folded

A run that is killed between two steps goes on after the last part that was recorded; what it was at adds nothing until
then, and everything once.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.engagement.duplicates import EVENT_IDS, with_id_hashes
from caspio_sync.engagement.events import read_events
from caspio_sync.engagement.fold import Folded, fold, together
from caspio_sync.engagement.identity import KINDS, Digests, identified
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread

# As many as fit in memory beside the next ones, which are read meanwhile.
READ_AT_ONCE = 20_000
# Every record writes to most pages of the state: the fewer the better.
RECORDED_AT_ONCE = 150_000
_ADDRESSES = 200_000  # whose hashes are remembered, 70 bytes each

Spread = Callable[[pl.DataFrame], pl.DataFrame]


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
    sync: str,
    inbox: Inbox,
    ledger: LedgerThread,
    clock: Clock,
    *,
    kinds: Sequence[str] = KINDS,
    sources: Collection[str] | None = None,
    spread: Spread | None = None,
) -> FoldReport:
    """Fold what has arrived since the last time; the caller holds the sync's lease.

    Args:
        sync: name of the sync.
        inbox: where posts wait.
        ledger: the ledger, in its thread.
        clock: tells which events cannot have happened yet.
        kinds: which identifier is better than which (see `identity.identified`).
        sources: of the posts to fold; the cursor passes the others. None: all.
        spread: makes several of an event that is about several things, once it is known to be new.

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
        own = [post for post in posts if sources is None or post.source in sources]
        events = with_id_hashes(read_events([(post.seq, post.lines) for post in own]), store.salt)
        return _Part(posts[-1].seq, len(own), events)

    identify = functools.partial(identified, digests=_remembered(store.address_digests), kinds=kinds)
    fold_part = functools.partial(_fold, sync, store, spread or _as_they_are, identify, clock.now)
    recording: asyncio.Task[None] | None = None
    recorded = _Work(to=report.to, erasures=(0, 0))
    # A thread each, besides the ledger's, which records: of any of a dozen, each would keep the memory it took once.
    with ThreadPoolExecutor(1, "read inbox") as reader, ThreadPoolExecutor(1, "fold") as folder:
        in_thread = asyncio.get_running_loop().run_in_executor
        coming = in_thread(reader, read)
        try:
            while True:
                work = _Work(to=recorded.to, erasures=await in_thread(folder, store.erasures))
                began = work.to
                while work.events < RECORDED_AT_ONCE and (part := await coming) is not None:
                    coming = in_thread(reader, read)  # while this part is folded
                    await in_thread(folder, fold_part, part, work, recorded.ids)
                    part = None  # its memory is the next one's
                if recording is not None:
                    await recording
                if work.to == began:
                    return report
                recording = asyncio.create_task(_record(sync, ledger, work, report))
                recorded = work
        finally:
            await asyncio.gather(coming, *([recording] if recording else []), return_exceptions=True)


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


async def _record(sync: str, ledger: LedgerThread, work: _Work, report: FoldReport) -> None:
    after = report.to

    def record() -> Folded:
        folded, ids = together(work.folded), pl.concat(work.ids)
        ledger.ledger.record_fold(sync, folded, ids, after=after, to=work.to, erasures=work.erasures)
        work.folded.clear()  # its memory is the next one's
        return folded

    report.take(work, await ledger.do(record))


def _fold(  # noqa: PLR0917 - what a part is folded by
    sync: str,
    store: Ledger,
    spread: Spread,
    identify: Spread,
    now: Callable[[], datetime],
    part: _Part,
    work: _Work,
    before: Sequence[pl.DataFrame],
) -> None:
    """Fold a part; `before`: the ids of what is being recorded, which the ledger may not know yet."""
    fresh = store.not_seen(sync, part.events)
    for ids in (*before, *work.ids):
        fresh = fresh.join(ids, on=EVENT_IDS.names(), how="anti")
    kept = fresh.filter(~store.erased_events(fresh))
    work.folded.append(fold(identify(spread(kept)), now=now()))
    work.ids.append(fresh.select(EVENT_IDS.names()))
    work.to = part.to
    work.posts += part.posts
    work.events += part.events.height
    work.duplicates += part.events.height - fresh.height
    work.erased += fresh.height - kept.height


def _as_they_are(events: pl.DataFrame) -> pl.DataFrame:
    return events


def _remembered(digests: Digests) -> Digests:
    """The same; an address that comes again is not hashed again."""
    known = pl.DataFrame(schema={"email": pl.String, "address": pl.String})

    def remembered(emails: pl.Series) -> pl.Series:
        nonlocal known
        asked = emails.to_frame("email")
        fresh = asked.join(known, on="email", how="anti").unique()["email"]
        before = known if known.height < _ADDRESSES else known.clear()
        found = pl.DataFrame({"email": fresh, "address": digests(fresh)})
        known = pl.concat([known, found])
        result = asked.join(known, on="email", how="left", maintain_order="left")["address"]
        known = pl.concat([before, found], rechunk=True)
        return result

    return remembered
