"""Which rows a run reads: its options held against each other and against what was found when it was opened.

An interrupted sweep is gone on from, instead of reading a million rows again. What it recorded without a hole is not
read a second time, apart from what changed there since it began (by the cursor field) and what is held there. A sync
without a cursor field cannot ask what changed: there such a row waits for the run after this one, so that only a sweep
that began a short while ago is gone on from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from caspio_sync.caspio.query import and_, identifier, keys_where, literal
from caspio_sync.caspio.window import OVERLAP, lower_bound, upper_bound
from caspio_sync.engine.prepared import Prepared, read_digest
from caspio_sync.engine.situation import Situation, goes_on, is_ahead
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.shards import ShardRest
from caspio_sync.ledger.sweeps import InterruptedSweep
from caspio_sync.observe.report import RunOptions

# A hundred rows by their PK_ID take two calls; beyond this many a sweep of the table is soon as cheap.
MOST_BY_KEY = 2_000
MOST_IDLE = timedelta(hours=24)  # between the last sign of life of the interrupted run and the one that goes on
MOST_UNTOLD = timedelta(hours=1)  # what is skipped without asking what changed in it was read within this time


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run reads.

    Args:
        mode: changes since the last run, everything, or a chosen part.
        conditions: for Caspio, read one after the other; None for all rows.
        asked: source_pk of the held rows among them, which are read by their key.
        goes_on_from: the sweep of which it reads the rest; None where it begins anew.
        shard: the range of a backfill that it is; None where it is none.
        notes: for the report.
        by_key: whether held rows are read by their key. Those whose key is free by now are among them only where
            `Situation.freed` told which they are.
    """

    mode: Literal["incremental", "sweep", "partial"]
    conditions: tuple[str | None, ...]
    asked: tuple[int, ...] = ()
    goes_on_from: InterruptedSweep | None = None
    shard: ShardRest | None = None
    notes: tuple[str, ...] = ()
    by_key: bool = False

    @property
    def whole(self) -> bool:
        """Whether the source is read from its first row to its last, so that what is not met is not there."""
        return self.mode == "sweep" and self.goes_on_from is None


def choose(options: RunOptions, prepared: Prepared, situation: Situation, now: datetime) -> Selection:
    """Which rows a run reads.

    Args:
        options: of the run.
        prepared: the sync.
        situation: what was found in the ledger.
        now: the present instant.

    Raises:
        ConfigurationError: a time to begin at, without a cursor field.
    """
    source = prepared.definition.source
    if options.since is not None and source.cursor is None:
        raise ConfigurationError(
            f"{prepared.definition.name}: a time to begin at needs a cursor field (source.cursor in the sync file), "
            "and the sync has none; use run --full, or backfill --pk"
        )
    if options.hints:  # they are read as they arrive
        return Selection("partial", ())
    if options.release:  # nothing else is read
        held = tuple(situation.held[: options.limit])
        return Selection("partial", _by_key(prepared, held, None), held)
    if options.partial:
        return _part(options, prepared, situation.shard, now)
    cursor = situation.cursor
    notes: tuple[str, ...] = ()
    if cursor is not None and is_ahead(cursor.watermark, now):
        notes = (f"its cursor stood in the future ({cursor.watermark:%Y-%m-%d %H:%M} UTC): all rows are read",)
    if not options.whole:  # who asks for everything gets everything, as it is now
        owed = tuple(sorted({*situation.owed, *situation.freed}))
        if (changes := _changes(prepared, situation, owed, notes, now)) is not None:
            return changes
        if (after := situation.sweep) is not None and _can_go_on(prepared, after, situation.at, now):
            below = tuple(source_pk for source_pk in owed if source_pk <= after.high_pk)
            if len(below) <= MOST_BY_KEY:
                conditions = _rest(prepared, after, below, now)
                notes = (goes_on(after.high_pk, after.run, after.state), *notes)
                return Selection("sweep", conditions, below, goes_on_from=after, notes=notes, by_key=True)
    return Selection("sweep", (and_(source.where),), notes=notes)


def _changes(
    prepared: Prepared, situation: Situation, owed: tuple[int, ...], notes: tuple[str, ...], now: datetime
) -> Selection | None:
    """What is new or changed since the last run, and held rows; None where that cannot be told, or takes too much."""
    source = prepared.definition.source
    since = situation.read_up_to(now) if _is_read_alike(prepared, situation) else None
    if since is None or len(owed) > MOST_BY_KEY:
        return None
    if source.cursor is not None:
        changed = changed_since(prepared, since, now)
        conditions = (and_(source.where, changed), *_by_key(prepared, owed, changed))
        return Selection("incremental", conditions, owed, by_key=True)
    if prepared.definition.grows and situation.reached is not None:
        return _above(prepared, situation.reached, owed, notes)
    return None


def _above(prepared: Prepared, reached: int, owed: Sequence[int], notes: Sequence[str]) -> Selection:
    """The rows added since, those that may have come late, and held ones below them."""
    where, below = prepared.definition.source.where, [each for each in owed if each <= reached]
    added = and_(where, f"{identifier(prepared.key.name)}>{reached}")
    conditions = (added, *_by_key(prepared, below, None))
    return Selection("incremental", conditions, tuple(owed), notes=tuple(notes), by_key=True)


def _part(options: RunOptions, prepared: Prepared, shard: ShardRest | None, now: datetime) -> Selection:
    """A chosen part; held rows are read where they are in it."""
    where, key = prepared.definition.source.where, identifier(prepared.key.name)
    if options.pk_range is not None:
        low, high = options.pk_range
        where = and_(where, f"{key}>={low} AND {key}<={high}")
    bound = None
    if options.since is not None:
        until = options.until
        bound = changed_since(prepared, options.since, now)
        bound = bound if until is None else changed_between(prepared, options.since, until)
    keys: Sequence[str | None] = [None]
    if options.identities:
        keys = keys_where(prepared.fields[prepared.mapping.identity.source_field], options.identities)
    rest = None if shard is None or shard.after_pk is None else f"{key}>{shard.after_pk}"
    conditions = tuple(and_(and_(where, bound, each), rest) for each in keys)
    return Selection("partial", conditions, shard=shard, notes=() if shard is None else shard.notes)


def _is_read_alike(prepared: Prepared, situation: Situation) -> bool:
    """Whether the cursor moved under what is read now, or under that with no field stopped."""
    known = {read_digest(prepared), read_digest(prepared, whole=True)}
    return situation.cursor is not None and situation.cursor.where_digest in known


def _can_go_on(prepared: Prepared, after: InterruptedSweep, at: datetime, now: datetime) -> bool:
    if at - after.alive_at > MOST_IDLE or after.began_at > now + OVERLAP:
        return False
    # Rows that may have been sent a second time unrecorded are told apart by the run that reads them (compare.py).
    untold = after.doubtful or now - after.began_at > MOST_UNTOLD
    return prepared.definition.reads_changes or not untold


def _rest(prepared: Prepared, after: InterruptedSweep, below: Sequence[int], now: datetime) -> tuple[str | None, ...]:
    """What is left of a sweep: the rows above where it ended, what changed below, what is held below."""
    source, key = prepared.definition.source, identifier(prepared.key.name)
    above = and_(source.where, f"{key}>{after.high_pk}")
    if source.cursor is None:
        return (above, *_by_key(prepared, below, None))
    changed = changed_since(prepared, after.began_at, now)
    return (above, and_(source.where, changed, f"{key}<={after.high_pk}"), *_by_key(prepared, below, changed))


def _by_key(prepared: Prepared, source_pks: Sequence[int], changed: str | None) -> tuple[str | None, ...]:
    """The rows by their key, each condition short enough for an address.

    Of a run that reads what changed besides (`changed`) those that have not: else it would read them twice.
    """
    source = prepared.definition.source
    unchanged = None if changed is None else f"NOT ({changed}) OR {identifier(str(source.cursor))} IS NULL"
    conditions = keys_where(prepared.key, [str(source_pk) for source_pk in source_pks])
    return tuple(and_(source.where, each, unchanged) for each in conditions)


def changed_between(prepared: Prepared, since: datetime, until: datetime) -> str:
    """The condition on the cursor field for rows last changed between two instants."""
    cursor = str(prepared.definition.source.cursor)
    latest = upper_bound(since, until, prepared.fields[cursor].time_zone)
    return f"{changed_since(prepared, since, until)} AND {identifier(cursor)}<={literal(latest)}"


def changed_since(prepared: Prepared, since: datetime, now: datetime) -> str:
    """The condition on the cursor field for rows changed since an instant."""
    cursor = str(prepared.definition.source.cursor)
    return f"{identifier(cursor)}>={literal(lower_bound(since, now, prepared.fields[cursor].time_zone))}"


def check_options(name: str, options: RunOptions) -> None:
    """Refuse what contradicts itself; nothing has been opened yet.

    Raises:
        ConfigurationError: which options do not go together.
    """
    against = [word for word, given in (("--resend", options.resend), ("--keys", options.row_keys)) if given]
    chosen = (("--limit", options.limit), ("--since", options.since), ("a backfill's range", options.pk_range))
    against += [word for word, given in chosen if given is not None]
    if options.baseline and against:
        raise ConfigurationError(
            f"{name}: --baseline records every row as sent without sending it; it cannot be combined with "
            f"{' and '.join(against)}. Leave out the one or the other"
        )
    if options.hints and (others := _beside_hints(options)):
        raise ConfigurationError(
            f"{name}: --hints reads the rows that webhooks announced; it cannot be combined with "
            f"{' and '.join(others)}. Leave out the one or the other"
        )
    if options.listen_seconds and not options.hints:
        raise ConfigurationError(f"{name}: --listen goes with --hints")
    since, until = options.since, options.until
    if until is not None and (since is None or since > until):
        raise ConfigurationError(
            f"{name}: nothing can have changed between {since or 'no time'} and {until}; give the earlier time first"
        )
    if options.pk_range is not None and options.pk_range[0] > options.pk_range[1]:
        low, high = options.pk_range
        raise ConfigurationError(f"{name}: there is no PK_ID from {low} to {high}; give the smaller one first")
    if options.verify_sample is not None and not options.baseline:
        raise ConfigurationError(
            f"{name}: --verify-sample goes with --baseline; after an ordinary run use "
            f"`caspio-sync verify {name} --sample {options.verify_sample}`"
        )


def _beside_hints(options: RunOptions) -> list[str]:
    given = (
        ("--full", options.full),
        ("--resend", options.resend),
        ("--baseline", options.baseline),
        ("--allow-deletes", options.allow_deletes),
        ("--keys", options.row_keys),
        ("--limit", options.limit is not None),
        ("--since", options.since is not None),
        ("a backfill's range", options.pk_range is not None),
        ("a release", options.release),
    )
    return [word for word, is_given in given if is_given]
