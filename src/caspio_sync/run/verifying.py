"""`verify`: is what Braze holds what was sent? A difference is taken back in the ledger, and the next run repairs it.

A stretch of rows at a time: look at them; look a second time at those that differ, alone with the ledger; then write
down what was found and how far it came. A killed verification goes on there.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.ledger.schema import microseconds
from caspio_sync.ledger.verification import Verification
from caspio_sync.run.connect import CONNECT, Connect
from caspio_sync.run.context import LedgerThread
from caspio_sync.run.lease import hold_lease
from caspio_sync.run.looking import DENSE, Look, Looking
from caspio_sync.run.prepared import Prepared, prepare
from caspio_sync.run.reading_back import ReadBack
from caspio_sync.run.verify_report import Estimate, VerifyReport
from caspio_sync.schemas import KEY, SOURCE_PK
from caspio_sync.settings import Settings

DEFAULT_SAMPLE = 1_000
STRETCH_ROWS = 1_000  # what a kill repeats at the most: twenty exports
LEASE_WAIT_SECONDS = 3_600.0
_LISTED_ROWS = 90  # keys that fit into one call, about
_PAGE_ROWS = 1_000

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
    sample: int | None = DEFAULT_SAMPLE,
    restart: bool = False,
    watching: Watching | None = None,
) -> VerifyReport:
    """Hold what Braze has against what was sent to it.

    Args:
        name: name of the sync.
        settings: accounts and places.
        sample: so many rows, drawn evenly from all that were sent; None for all.
        restart: begin anew where an interrupted verification would go on.
        watching: who is told of its going.

    Returns:
        The counts; of the whole verification, where it went on from an earlier one.

    Raises:
        LeaseHeldError: a run of this sync is under way; the message names it.
        ConfigurationError, TransientError: as Caspio, Braze, ledger or sync file say. What was written down stays.
    """
    connect = CONNECT.get()
    async with contextlib.AsyncExitStack() as stack:
        caspio = await stack.enter_async_context(connect.caspio(settings, connect.clock))
        braze = await stack.enter_async_context(connect.braze(settings, connect.clock))
        ledger = LedgerThread(connect.ledger(settings, connect.clock))
        stack.callback(ledger.close)
        known = await ledger.do(ledger.ledger.known_source, name)
        prepared = await prepare(settings, name, caspio, known)
        prepared = prepared.keeping(await ledger.do(ledger.ledger.mapping_fields, name))
        async with hold_lease(name, ledger, connect.clock, of="verification"):  # refuses while a run is under way
            begun, layouts, version = await ledger.do(_begin, ledger, name, prepared, sample, restart)
        read_back = ReadBack(braze, prepared.definition.identity, prepared.mapping.columns, connect.clock)
        identity = prepared.definition.identity
        salt = fp.identity_salt(ledger.ledger.salt, identity.kind, identity.label)
        looking = Looking(prepared, caspio=caspio, read_back=read_back, salt=salt, layouts=layouts, clock=connect.clock)
        under_way = _UnderWay(name, prepared, ledger, connect, read_back, looking, begun, version)
        return await under_way.all_stretches(watching or Watching())


def _begin(
    ledger: LedgerThread, name: str, prepared: Prepared, sample: int | None, restart: bool
) -> tuple[Verification, dict[int, tuple[str, ...]], int]:
    """The verification to go on with, or a new one; and the ledger's layouts with the present one among them."""
    store, mapping = ledger.ledger, prepared.mapping
    version = store.mapping_version(name, mapping.digest, tuple(column.name for column in mapping.columns))
    last = store.verification(name)
    goes_on = last is not None and last.ended_at is None and last.sample == sample and not restart
    begun = last if goes_on and last is not None else store.start_verification(name, sample=sample)
    return begun, dict(store.mapping_fields(name)), version


class _UnderWay:
    """A verification under way."""

    def __init__(  # noqa: PLR0917 - its parts, each once
        self,
        name: str,
        prepared: Prepared,
        ledger: LedgerThread,
        connect: Connect,
        read_back: ReadBack,
        looking: Looking,
        begun: Verification,
        version: int,
    ) -> None:
        self._name = name
        self._columns = prepared.mapping.columns
        self._by_key = prepared.definition.identity.kind in {"external_id", "user_alias"}
        self._ledger = ledger
        self._connect = connect
        self._read_back = read_back
        self._looking = looking
        self._begun = begun
        self._version = version
        about = {"sync": name, "started_at": begun.started_at, "sample": begun.sample}
        self._report = VerifyReport.model_validate({**begun.counts, **about})
        self._report.unreadable = list(read_back.unreadable)
        self._number = 0

    async def all_stretches(self, watching: Watching) -> VerifyReport:
        report, ledger = self._report, self._ledger
        chosen = _drawn(await ledger.do(ledger.ledger.sent_pks, self._name), self._begun)
        left = chosen.filter(chosen > self._begun.done_pk)
        report.rows = report.looked_at + len(left)
        watching.announce(self._estimate(left))
        for start in range(0, len(left), STRETCH_ROWS):
            await self._stretch(left[start : start + STRETCH_ROWS])
            watching.observe(report)
        report.ended_at = self._connect.clock.now()
        await ledger.do(ledger.ledger.end_verification, self._name, report.model_dump(mode="json"))
        return report

    def _estimate(self, left: pl.Series) -> Estimate:
        requests, seconds, slowest = self._read_back.planned(len(left))
        dense = len(left) and int(left[-1]) - int(left[0]) < DENSE * len(left)
        calls = -(-len(left) // (_PAGE_ROWS if dense else _LISTED_ROWS))
        return Estimate(
            rows=len(left),
            requests=requests,
            seconds=seconds,
            slowest_seconds=slowest,
            caspio_calls=calls,
            resumed=self._report.looked_at,
        )

    async def _stretch(self, source_pks: pl.Series) -> None:
        first = await self._look(source_pks)
        doubtful = first.rows["state"].is_in(["differing", "missing"])
        self._count(first.only(~doubtful))
        if not doubtful.any():
            await self._record(source_pks, first.only(doubtful))
            return
        # Again, with no run beside it: a row that was just being sent is none that drifted.
        async with hold_lease(
            self._name, self._ledger, self._connect.clock, of="verification", wait_seconds=LEASE_WAIT_SECONDS
        ):
            second = await self._look(first.rows.filter(doubtful)[SOURCE_PK])
            self._count(second)
            await self._record(source_pks, second.only(second.rows["state"].is_in(["differing", "missing"])))

    async def _look(self, source_pks: pl.Series) -> Look:
        known = await self._ledger.do(self._ledger.ledger.sent_rows, self._name, source_pks)
        before = self._read_back.requests
        look = await self._looking.at(known)
        self._report.requests += self._read_back.requests - before
        return look

    def _count(self, look: Look) -> None:
        report, rows = self._report, look.rows
        for state, count in rows["state"].value_counts().iter_rows():
            setattr(report, state, getattr(report, state) + count)
        report.fields += int(look.compared.sum())
        report.fields_equal += int(look.equal.sum())
        missing = rows["state"] == "missing"
        report.count_difference("(profile)", int(missing.sum()), self._examples(rows.filter(missing)))
        differs = look.compared & ~look.equal & ~missing.to_numpy()[:, None]
        for place, column in enumerate(self._columns):
            those = pl.Series(differs[:, place])
            examples = self._examples(rows.filter(those))
            report.count_difference(column.name, int(those.sum()), examples, kept=int(look.kept[:, place].sum()))
            if retyped := int(look.retyped[:, place].sum()):
                report.retyped[column.name] = report.retyped.get(column.name, 0) + retyped

    def _examples(self, rows: pl.DataFrame) -> list[str]:
        shown = pl.col(KEY) if self._by_key else pl.format("PK_ID {}", SOURCE_PK)
        return rows.head(3).select(shown.alias("shown"))["shown"].to_list()

    async def _record(self, source_pks: pl.Series, drifted: Look) -> None:
        report, store = self._report, self._ledger.ledger
        self._number += 1
        rows = self._taken_back(drifted)
        report.cleared += int(rows["clears"].sum())
        await self._ledger.do(
            store.record_verified,
            self._name,
            name=f"verify {self._begun.started_at:%Y%m%dT%H%M%S}",
            number=self._number,
            done_pk=int(source_pks[-1]),
            counts=report.model_dump(mode="json"),
            drifted=rows,
            mapping_version=self._version,
        )

    def _taken_back(self, look: Look) -> pl.DataFrame:
        """The rows as `record_verified` takes them: the fields that are to be sent again are no longer acknowledged."""
        gone = (look.rows["state"] == "missing").to_numpy()
        differs = look.compared & ~look.equal
        again = differs & ~look.kept
        masks = fp.pack_mask(differs)
        names = [column.name for column in self._columns]
        distinct = masks.unique()
        told = ["differs in Braze: " + ", ".join(fp.mask_names(mask, names)) for mask in distinct.to_list()]
        frame = look.rows.select(SOURCE_PK, found_fp="sent_fp").with_columns(
            masks,
            pl.Series("gone", gone),
            pl.Series("clears", again.any(axis=1) | gone),
            fp.pack(np.where(again, fp.NEVER_SENT, look.acknowledged)).alias("left_fields"),
            reason=masks.replace_strict(distinct, told, return_dtype=pl.String),
            kept=pl.Series(look.kept.any(axis=1)),
        )
        stricter = (
            pl.when("kept").then(pl.lit("; the consent in Braze is the stricter one and stays")).otherwise(pl.lit(""))
        )
        there = ~pl.col("gone")
        return frame.with_columns(
            left_fp=pl.when(there).then(pl.lit(NO_VERSION)),
            left_fields=pl.when(there).then("left_fields"),
            reason=pl.when(there)
            .then(pl.concat_str("reason", stricter))
            .otherwise(pl.lit("Braze has no such profile")),
        )


def _drawn(source_pks: pl.Series, begun: Verification) -> pl.Series:
    """The sample, drawn evenly and the same again when it goes on: the rows with the smallest hashes, by PK_ID."""
    if begun.sample is None or begun.sample >= len(source_pks):
        return source_pks
    seed = microseconds(begun.started_at) % 2**32
    hashed = pl.DataFrame({SOURCE_PK: source_pks, "drawn": source_pks.hash(seed)})
    return hashed.bottom_k(begun.sample, by=["drawn", SOURCE_PK])[SOURCE_PK].sort()


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    return (
        "a second" if seconds <= 1 else f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
    )
