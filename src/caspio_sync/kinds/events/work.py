"""What a run of an event or purchase sync keeps besides what every run does."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from caspio_sync.engine.line import Batch
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.assembly import LINES
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.kinds.events.jumps import Jumps, jumps, minute_of
from caspio_sync.kinds.events.lines import OrderLines, lines_of
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.schemas import HELD_BEFORE, KEY, SOURCE_PK, ok

# Of the changes: the instants that the gate holds an event's time against; null for no statement.
NOW, OLDEST = "_now", "_oldest"
THERE = "_there"  # whether the destination knows the event's person; null where that is not asked
VERSION = "_version"  # the version that a row leaves as: of one that is sent once more, the one it left as before
WAITED = "_waited"  # whether the order stayed as it is for as long as it is waited for
JUMP, WINDOW = (
    "_jump",
    "_window",
)  # by how many times the events of ten minutes exceed the usual ones; how many they are
EDITED = "_edited"  # whether the row was sent before, and its cells differ; null where a person released it


@dataclass(kw_only=True)
class EventWork(Work):
    """What a run of events keeps.

    Args:
        definition: the sync.
        mapping: fitted to the table.
        is_first: whether the ledger knows of nothing that was sent of the sync, or may have been.
        lost: events that former runs left without an answer, and this one found.
        released: of the unknown ones, those that the sync's policy let go.
        edited: rows that differ from what was sent of them, and are left alone.
        jumps: what the number of its events is held against.
        lines: the lines of the orders that events are made of; None where a row is all there is.
        joined: how many of them were joined to an order, by batch: one that is repeated counts once.
        waiting: source_pk of orders whose lines are waited for, and which are as they were.
    """

    definition: Occurrences
    mapping: EventMapping
    jumps: Jumps
    lines: OrderLines | None = None
    joined: dict[int, int] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)

    @property
    def still_held(self) -> Collection[int]:
        """As `Work.still_held`."""
        return self.waiting

    is_first: bool = False
    lost: int = 0
    released: int = 0
    edited: int = 0


_PAST_RUNS = 60  # an hour of them, where one begins each minute


def chosen_by_hand(run: SyncRun) -> bool:
    """Whether a person has said which rows are meant, however old: a backfill, a baseline, a release of held ones."""
    options = run.options
    return bool(options.release) or options.baseline or options.since is not None or options.pk_range is not None


async def event_work(opening: Opening, definition: Occurrences, mapping: EventMapping) -> EventWork:
    """The work of a run; what dead runs left on its way is unknown from here on, or released by the sync's policy."""
    ledger, name = opening.ledger.ledger, opening.name
    lines = await lines_of(opening.prepared, opening.clients.caspio)
    counted = await opening.ledger.do(ledger.event_counts, name)
    # This run stands among them where it is written down already.
    past = [each for each in await opening.ledger.do(ledger.runs, name, limit=_PAST_RUNS) if each.ended_at is not None]
    found = jumps(counted, past, opening.clock.now())
    work = EventWork(definition=definition, mapping=mapping, jumps=found, lines=lines)
    work.is_first = definition.counted_there and await opening.ledger.do(ledger.has_sent_nothing, name)
    if not opening.planned:
        work.lost = (await opening.ledger.do(ledger.note_lost, name)).height
        if definition.when_lost == "resend":
            known_again = definition.known_again_seconds
            since = None if known_again is None else opening.clock.now() - timedelta(seconds=known_again)
            work.released = await opening.ledger.do(ledger.release_unknown, name, since=since)
    return work


async def begin(run: SyncRun[EventWork]) -> None:
    """Refuse what would send events twice, and say what is left of former runs.

    Raises:
        ConfigurationError: everything was to be sent again.
    """
    title, name = run.destination.title, run.name
    if run.options.resend:
        raise ConfigurationError(
            f"{name}: --resend would send events that {title} has, and it counts each object as one more; nothing was "
            "sent. What was never sent leaves without it; `caspio-sync unknown` settles those whose answer was lost"
        )
    if run.options.verify_sample is not None:
        raise ConfigurationError(
            f"{name}: events are not read back row by row; leave --verify-sample out, and run `caspio-sync verify "
            f"{name}` afterwards, which counts"
        )
    unknown = (await run.ledger.do(run.ledger.ledger.count_unknown)).get(name, 0)
    if run.work.lost:
        run.report.notes.append(f"{run.work.lost:,} events left with a run that ended before their answer was recorded")
    if run.work.released:
        run.report.notes.append(
            f"{run.work.released:,} events whose answer was lost are sent once more (when_lost: resend)"
            + (f": {title} may have them twice then" if run.work.definition.known_again_seconds is None else "")
        )
    if unknown:
        run.report.notes.append(
            f"{unknown:,} events are unknown: their answer was lost, and they are not sent again by themselves; "
            f"`caspio-sync unknown {name}` lists and settles them"
        )


async def read_lines(run: SyncRun[EventWork], batch: Batch) -> None:
    """Join the lines of a batch's orders to them; a repeated call reads them anew."""
    lines = run.work.lines
    if lines is None:
        return
    started = time.perf_counter()
    batch.source.frame = await lines.joined(run.caspio, batch.source.frame)
    run.work.joined[batch.source.number] = int(batch.source.frame[LINES].sum())
    run.report.add_seconds("extract", time.perf_counter() - started)


async def end(run: SyncRun[EventWork]) -> None:
    """Say what was left alone."""
    await _tell_lines_of_nobody(run)
    if run.work.edited:
        run.report.notes.append(
            f"{run.work.edited:,} rows differ from what was sent of them, and stay as they are (on_update: ignore); "
            "where the table was made anew, its rows pass for those that had their PK_ID before"
        )


async def _tell_lines_of_nobody(run: SyncRun[EventWork]) -> None:
    """After a read of all orders: how many lines are of none of them."""
    lines = run.work.lines
    if lines is None or not run.selection.whole or run.options.limit is not None:
        return
    rest = await lines.count(run.caspio) - sum(run.work.joined.values())
    if rest > 0:
        run.report.notes.append(
            f"{rest:,} lines of {lines.source.name} belong to no order that was read: it is not there yet, "
            "source.where leaves it out, or they came while it was read"
        )


def with_clock(run: SyncRun[EventWork], changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with what the gate holds them against: NOW, OLDEST (microseconds since 1970, UTC), JUMP, WINDOW."""
    now = run.clock.now()
    oldest = None if chosen_by_hand(run) else now.timestamp() - run.work.definition.gate.max_age_seconds
    if run.options.release:  # a person has looked at it
        changes = changes.with_columns(pl.lit(value=False).alias(EDITED), pl.lit(value=True).alias(WAITED))
    news = changes.height - int(changes[HELD_BEFORE].sum())
    jump = 0.0 if chosen_by_hand(run) else run.work.jumps.of(now, news)
    return changes.with_columns(
        pl.lit(jump).alias(JUMP),
        pl.lit(run.work.jumps.window(now) + news, dtype=pl.Int64).alias(WINDOW),
        pl.lit(int(now.timestamp() * 1e6), dtype=pl.Int64).alias(NOW),
        pl.lit(None if oldest is None else int(oldest * 1e6), dtype=pl.Int64).alias(OLDEST),
    )


async def count_leaving(run: SyncRun[EventWork], rows: int) -> None:
    """So many passed the gate; what a person has chosen says nothing of what is usual."""
    if chosen_by_hand(run) or not rows:
        return
    now = run.clock.now()
    run.work.jumps.add(now, rows)
    if not run.planned:
        await run.persist(run.ledger.ledger.count_events, run.name, minute_of(now), rows)


async def with_people(run: SyncRun[EventWork], changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with THERE: an event of somebody who is not known there yet would be lost without a word."""
    if not run.sink.awaits_people or run.planned or run.options.baseline or changes.is_empty():
        return changes.with_columns(pl.lit(None, dtype=pl.Boolean).alias(THERE))
    people = changes.filter(pl.col(ok(KEY)) & pl.col(KEY).is_not_null()).select(pl.col(KEY).unique(maintain_order=True))
    there = await run.sink.there(run.account, people[KEY].to_list())
    found = people.with_columns(pl.Series(THERE, there, dtype=pl.Boolean))
    return changes.join(found, on=KEY, how="left", maintain_order="left")


def highest(frame: pl.DataFrame) -> int | None:
    """The highest PK_ID of a source frame; None of an empty one."""
    top = frame[SOURCE_PK].max()
    return None if top is None else int(str(top))
