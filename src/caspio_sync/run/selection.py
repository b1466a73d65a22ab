"""Which rows a run reads: its options held against each other, the bound of the cursor, the conditions for Caspio."""

import contextlib
from datetime import datetime

import polars as pl

from caspio_sync.characters import trimmed
from caspio_sync.clients.caspio_query import and_, identifier
from caspio_sync.errors import ConfigurationError
from caspio_sync.extraction.records import keys_where
from caspio_sync.extraction.window import OVERLAP
from caspio_sync.ledger.runs import Cursor
from caspio_sync.run.context import SyncRun
from caspio_sync.run.prepared import Prepared, read_digest
from caspio_sync.run.report import RunOptions
from caspio_sync.run.resuming import changed_between, changed_since


def check_options(name: str, options: RunOptions) -> None:
    """Refuse what contradicts itself; nothing has been opened yet."""
    against = [word for word, given in (("--resend", options.resend), ("--keys", options.row_keys)) if given]
    chosen = (("--limit", options.limit), ("--since", options.since), ("a backfill's range", options.pk_range))
    against += [word for word, given in chosen if given is not None]
    if options.baseline and against:
        raise ConfigurationError(
            f"{name}: --baseline records every row as sent without sending it; it cannot be combined with "
            f"{' and '.join(against)}. Leave out the one or the other"
        )
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


def is_ahead(watermark: datetime | None, now: datetime) -> bool:
    """Whether a time up to which everything is said to be read is yet to come: it says nothing of what changes now.

    A server whose clock was ahead, or a ledger from another machine, leaves such a time. Clocks may differ by the
    overlap of two reads.
    """
    return watermark is not None and watermark > now + OVERLAP


def lower_bound(
    name: str, options: RunOptions, prepared: Prepared, stored: Cursor | None, now: datetime
) -> tuple[str | None, str]:
    """The lower bound of the cursor field as a literal, None to read everything; and the mode of the run.

    Args:
        name: name of the sync.
        options: of the run.
        prepared: the sync.
        stored: its cursor. One in the future is none: everything is read, which sets it.
        now: the present instant.

    Raises:
        ConfigurationError: a time to begin at, without a cursor field.
    """
    cursor = prepared.definition.source.cursor
    since = options.since
    if since is not None and cursor is None:
        raise ConfigurationError(
            f"{name}: a time to begin at needs a cursor field (source.cursor in the sync file), and the sync has none; "
            "use run --full, or backfill --pk"
        )
    mode = "partial" if options.partial else "incremental"
    if since is None and cursor is not None and not (options.whole or options.partial):
        known = {read_digest(prepared), read_digest(prepared, whole=True)}
        if stored is not None and stored.where_digest in known and not is_ahead(stored.watermark, now):
            since = stored.watermark
    if since is None or cursor is None:
        return None, "partial" if options.partial else "sweep"
    if options.until is not None:
        return changed_between(prepared, since, options.until), mode
    return changed_since(prepared, since, now), mode


def conditions_of(options: RunOptions, prepared: Prepared, bound: str | None) -> list[str | None]:
    """The conditions whose rows are read, one after the other; None for all rows."""
    where, key = prepared.definition.source.where, identifier(prepared.key.name)
    if options.pk_range is not None:
        low, high = options.pk_range
        where = and_(where, f"{key}>={low} AND {key}<={high}")
    if not options.identities:
        return [and_(where, bound)]
    identity = prepared.fields[prepared.mapping.identity.source_field]
    return [and_(where, bound, keys) for keys in keys_where(identity, options.identities)]


def note_found(run: SyncRun, rows: pl.DataFrame) -> None:
    """Remember which of the keys that were asked for are among the rows read."""
    if run.options.identities:
        run.found.update(map(_as_compared, rows[run.mapping.identity.source_field].cast(pl.String).drop_nulls()))


def note_missing(run: SyncRun) -> None:
    """Say which keys that were asked for no row bore: by their place, for a key can be an address."""
    asked = run.options.identities
    if not asked or run.options.limit is not None or run.options.release:  # these do not read, or tell, every one
        return
    missing = [str(place) for place, key in enumerate(asked, 1) if _as_compared(key) not in run.found]
    if missing:
        run.report.notes.append(
            f"{len(missing)} of {len(asked)} keys were not found (number {', '.join(missing[:20])} of those given): no "
            "row has them, or source.where or --since leaves it out"
        )


def _as_compared(key: str) -> str:
    """Caspio finds a text in any case, and a number in any form."""
    text = trimmed(key).casefold()
    with contextlib.suppress(ValueError):
        return str(float(text))
    return text
