"""`verify`: does the destination hold what was sent? A difference is taken back in the ledger; the next run repairs it.

A stretch of rows at a time: look at them; look a second time at those that differ, alone with the ledger; then write
down what was found and how far it came. A killed verification goes on there. A catalog may be read page by page instead
(see verifying_pages.py); what was on no page is then looked at as rows are.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from caspio_sync.caspio.client import MAX_PAGE_ROWS
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.prepared import Prepared, prepare
from caspio_sync.engine.read_back import PagedReadBack, ReadBack
from caspio_sync.engine.workspace import known_accounts
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.pk_sets import unpack_pks
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.ledger.verification import Verification
from caspio_sync.observe.verify_report import Estimate, VerifyReport
from caspio_sync.schemas import SOURCE_PK
from caspio_sync.settings import Settings
from caspio_sync.verification.findings import Findings
from caspio_sync.verification.looking import DENSE, Looking
from caspio_sync.verification.stretches import Stretches
from caspio_sync.verification.verifying_pages import PageWalk, never_shown

STRETCH_ROWS = 1_000  # at the most
_LISTED_ROWS = 90  # keys that fit into one call, about

Announce = Callable[[Estimate], None]
Observe = Callable[[VerifyReport], None]


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told: `announce` before the first request, `observe` after every stretch that is written down."""

    announce: Announce = lambda _: None
    observe: Observe = lambda _: None


async def verify(
    name: str,
    *,
    settings: Settings,
    sample: int | Literal["usual"] | None = "usual",
    restart: bool = False,
    watching: Watching | None = None,
) -> VerifyReport:
    """Hold what the destination has against what was sent to it.

    Args:
        name: name of the sync.
        settings: accounts and places.
        sample: so many rows, drawn evenly from all that were sent; as many as is usual for the kind of sync; None for
            all. Of a catalog that is read with fewer calls as a whole, all.
        restart: begin anew where an interrupted verification would go on.
        watching: who is told of its going.

    Returns:
        The counts; of the whole verification, where it went on from an earlier one.

    Raises:
        LeaseHeldError: a run of this sync is under way; the message names it.
        ConfigurationError, TransientError: as Caspio, destination, ledger or sync file say; a catalog is gone, or
            lacks fields. What was written down stays.
    """
    connect = CONNECT.get()
    async with contextlib.AsyncExitStack() as stack:
        caspio = await stack.enter_async_context(connect.caspio(settings, connect.clock))
        ledger = LedgerThread(connect.ledger(settings, connect.clock))
        stack.callback(ledger.close)
        await known_accounts(name, settings, ledger.ledger, connect)
        known = await ledger.do(ledger.ledger.known_source, name)
        prepared = await prepare(settings, name, caspio, known)
        prepared = prepared.keeping(await ledger.do(ledger.ledger.mapping_fields, name))
        destination = destination_of(prepared.definition)
        account = await stack.enter_async_context(connect.account(destination, connect.clock))
        read_back = await destination.sink(prepared.definition).read_back(account, prepared.mapping)
        wanted = read_back.usual_sample if sample == "usual" else sample
        async with hold_lease(name, ledger, connect.clock, of="verification"):  # refuses while a run is under way
            begun, layouts, version = await ledger.do(_begin, ledger, name, prepared, read_back, wanted, restart)
        identity = prepared.definition.identity
        salt = fp.identity_salt(ledger.ledger.salt, identity.kind, identity.label)
        looking = Looking(
            prepared,
            caspio=caspio,
            read_back=read_back,
            salt=salt,
            layouts=layouts,
            words=await ledger.do(ledger.ledger.duplicate_words, name),
            clock=connect.clock,
        )
        about = {"sync": name, "thing": read_back.thing, "started_at": begun.started_at, "sample": begun.sample}
        about["destination"] = destination.title
        report = VerifyReport.model_validate({**begun.counts, **about, "unreadable": list(read_back.unreadable)})
        by_key = identity.kind not in {"email", "phone"}
        findings = Findings(report, prepared.mapping.columns, destination.title, by_key=by_key)
        stretches = Stretches(name, ledger, connect.clock, read_back, looking, findings, begun, version)
        return await _all_rows(stretches, read_back, salt, watching or Watching())


def _begin(  # noqa: PLR0917 - what decides it
    ledger: LedgerThread, name: str, prepared: Prepared, read_back: ReadBack, sample: int | None, restart: bool
) -> tuple[Verification, dict[int, tuple[str, ...]], int]:
    """The verification to go on with, or a new one; and the ledger's layouts with the present one among them."""
    store, mapping = ledger.ledger, prepared.mapping
    version = store.mapping_version(name, mapping.digest, tuple(column.name for column in mapping.columns))
    last = store.verification(name)
    if last is not None and last.ended_at is None and last.sample == sample and not restart:
        begun = last
    else:
        by_pages = isinstance(read_back, PagedReadBack) and (
            sample is None or read_back.pages < min(sample, len(store.sent_pks(name)))
        )
        begun = store.start_verification(name, sample=sample, by_pages=by_pages)
    return begun, dict(store.mapping_fields(name)), version


async def _all_rows(stretches: Stretches, read_back: ReadBack, salt: int, watching: Watching) -> VerifyReport:
    report, begun, ledger = stretches.findings.report, stretches.begun, stretches.ledger
    sent = await ledger.do(ledger.ledger.sent_pks, stretches.name)
    if begun.seen is None:
        drawn = drawn_rows(sent, begun)
        left = drawn.filter(drawn > begun.done_pk)
        report.rows = report.looked_at + len(left)
        watching.announce(_estimate(report, left, read_back))
        held = None
    else:
        assert isinstance(read_back, PagedReadBack)
        walk = PageWalk(stretches, read_back, salt, begun.page_cursor, unpack_pks(begun.seen))
        report.rows = report.looked_at + len(walk.unseen(sent))
        watching.announce(_estimate_of_pages(report, walk.unseen(sent), read_back))
        async for _ in walk.stretches():
            watching.observe(report)
        left = walk.unseen(await ledger.do(ledger.ledger.sent_pks, stretches.name))
        left = left.filter(left > begun.done_pk)
        report.rows = report.looked_at + len(left)
        # So many that reading them one by one takes longer than the whole catalog did: they were on none of its pages.
        # Pages that ended before all that is counted were shown tell nothing of the rest.
        shown = report.pages >= read_back.pages
        held = never_shown(begun) if shown and len(left) > max(report.pages, read_back.stretch_rows) else None
        if len(left) and held is None:
            watching.announce(_estimate(report, left, read_back))
    rows = min(STRETCH_ROWS, read_back.stretch_rows) if held is None else STRETCH_ROWS
    for start in range(0, len(left), rows):
        await stretches.look_at(left[start : start + rows], held=held)
        watching.observe(report)
    await stretches.end()
    return report


def _estimate(report: VerifyReport, left: pl.Series, read_back: ReadBack) -> Estimate:
    requests, seconds, slowest = read_back.planned(len(left))
    dense = len(left) and int(left[-1]) - int(left[0]) < DENSE * len(left)
    return Estimate(
        thing=read_back.thing,
        destination=report.destination,
        rows=len(left),
        requests=requests,
        seconds=seconds,
        slowest_seconds=slowest,
        caspio_calls=-(-len(left) // (MAX_PAGE_ROWS if dense else _LISTED_ROWS)),
        resumed=report.looked_at,
    )


def _estimate_of_pages(report: VerifyReport, unseen: pl.Series, read_back: PagedReadBack) -> Estimate:
    """Of a whole catalog; rows stand on its pages in an order of their own, and are asked of Caspio by their keys."""
    pages = max(1, read_back.pages - report.pages)
    requests, seconds, slowest = read_back.planned(pages)
    return _estimate(report, unseen, read_back).model_copy(
        update={"pages": pages, "requests": requests, "seconds": seconds, "slowest_seconds": slowest}
    )


def drawn_rows(source_pks: pl.Series, begun: Verification) -> pl.Series:
    """The sample, drawn evenly and the same again when it goes on: the rows with the smallest hashes, by PK_ID."""
    if begun.sample is None or begun.sample >= len(source_pks):
        return source_pks
    seed = microseconds(begun.started_at) % 2**32
    hashed = pl.DataFrame({SOURCE_PK: source_pks, "drawn": source_pks.hash(seed)})
    return hashed.bottom_k(begun.sample, by=["drawn", SOURCE_PK])[SOURCE_PK].sort()
