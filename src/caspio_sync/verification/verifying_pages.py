"""A catalog verified page by page: what is on the pages is looked at, what is not is left to be looked for.

pages ─▶ ids ─▶ rows of the ledger ─▶ looked at as rows are; ids of no row: not ours, or deleted in vain
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.read_back import CursorRefusedError, Held, PagedReadBack
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.pk_sets import pack_pks
from caspio_sync.ledger.verification import ALL_READ, Progress, Verification
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict
from caspio_sync.verification.looking import SETTLE_SECONDS
from caspio_sync.verification.stretches import LEASE_WAIT_SECONDS, HeldBy, Stretches


@dataclass(slots=True, eq=False)
class PageWalk:
    """Reads a catalog from its first page to its last, some pages together.

    Args:
        looks: looks at the rows, and writes down how far the walk came.
        read_back: reads the pages.
        salt: what hashes of keys are salted with.
        cursor: where to go on; None for the start.
        seen: rows whose items have been on a page before; no row is looked at twice.
    """

    looks: Stretches
    read_back: PagedReadBack
    salt: int
    cursor: str | None
    seen: pl.Series

    def unseen(self, source_pks: pl.Series) -> pl.Series:
        """Those of these rows whose items have been on no page."""
        return source_pks.filter(~source_pks.is_in(self.seen.implode()))

    async def stretches(self) -> AsyncIterator[None]:
        """Read all pages; comes back whenever some are written down."""
        report = self.looks.findings.report
        while self.cursor != ALL_READ:
            asked_at = self.looks.clock.now()
            try:
                pages = await self.read_back.some_pages(self.cursor)
            except CursorRefusedError:  # after a long interruption: again from the start, past what was seen
                self.cursor, report.pages, report.extra, report.undeleted = None, 0, 0, 0
                continue
            ids = pl.Series(KEY, list(pages.items), dtype=pl.String)
            hashes = key_hashes(ids, self.salt)
            bearers = await self._bearers(ids, hashes)
            rows = self.unseen(bearers.filter("sent")[SOURCE_PK].sort())
            report.pages += len(pages.read)
            await self._count_others(ids, hashes, bearers, microseconds(asked_at - timedelta(seconds=SETTLE_SECONDS)))
            cursor = pages.next_cursor or ALL_READ
            seen = pl.concat([self.seen, rows])
            held = HeldBy(pages.held, self.read_back.again(pages), absence_counts=False)

            def done(left: pl.Series, seen: pl.Series = seen, cursor: str = cursor) -> Progress:
                self.seen = seen.filter(~seen.is_in(left.implode()))
                return Progress(page_cursor=cursor, seen=pack_pks(self.seen))

            await self.looks.look_at(rows, held=held, done=done)
            self.cursor = cursor
            yield

    async def _bearers(self, ids: pl.Series, hashes: pl.Series) -> pl.DataFrame:
        ledger = self.looks.ledger
        found = await ledger.do(ledger.ledger.bearers, self.looks.name, hashes)
        return found.filter(pl.col(KEY).is_in(ids.implode()))

    async def _count_others(self, ids: pl.Series, hashes: pl.Series, bearers: pl.DataFrame, settled: int) -> None:
        """Count items that no row bears. One whose deletion came to nothing is to be deleted again."""
        store, name, report = self.looks.ledger, self.looks.name, self.looks.findings.report
        abandoned = await store.do(store.ledger.abandoned, name)
        report.extra += len(ids.filter(~ids.is_in(bearers[KEY].implode()) & ~ids.is_in(abandoned.implode())))
        if _deleted(bearers, settled).is_empty():
            return
        async with hold_lease(name, store, self.looks.clock, of="verification", wait_seconds=LEASE_WAIT_SECONDS):
            again = _deleted(await self._bearers(ids, hashes), settled)
            report.undeleted += len(again)
            if len(again):
                await store.do(store.ledger.abandon, name, again)


def never_shown(begun: Verification) -> HeldBy:
    """Of rows whose items were on no page: nothing. Those sent since the reading began are not judged by it."""

    async def nothing(keys: Sequence[str]) -> list[Held]:
        return ["missing" for _ in keys]

    return HeldBy(nothing, nothing, settled_at=begun.started_at - timedelta(seconds=SETTLE_SECONDS))


def _deleted(bearers: pl.DataFrame, settled: int) -> pl.Series:
    """Ids whose item was deleted a while ago, and that no row bears now."""
    deleted = pl.col("verdict").eq_missing(pl.lit(Verdict.DELETED.value))
    gone = (deleted & (pl.col("seen_at") < settled)).all()
    return bearers.group_by(KEY).agg(gone=gone).filter("gone")[KEY]
