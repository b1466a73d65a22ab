"""What a run finds when it is opened: looked at once, in the ledger's thread, before anything is decided by it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b

import polars as pl

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.window import OVERLAP
from caspio_sync.engine.owners import bears_its_key, present_keys
from caspio_sync.engine.prepared import Prepared, suite_digest, sweep_digest
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.run_record import FAILED, Cursor
from caspio_sync.ledger.shards import ShardRest
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.sweeps import InterruptedSweep
from caspio_sync.mapping.row_mapping import RULES_VERSION
from caspio_sync.observe.report import RunOptions
from caspio_sync.schemas import SOURCE_PK

# Whether the owner of a duplicate key is still in Caspio is asked for so many rows a run: one or two calls.
OWNERS_ASKED = 100
# A row that was begun earlier may be there later than one with a higher PK_ID; clocks differ by the overlap.
LATE = timedelta(minutes=10) + OVERLAP


@dataclass(frozen=True, slots=True)
class Situation:
    """What the ledger knows of a sync, as far as this run's options make it of interest.

    Args:
        at: when it was looked at, by the ledger's clock.
        versions: what rows are judged under.
        is_new: whether no run has judged rows under this mapping yet, so that this one has all of them to judge.
        cursor: up to when the sync has read; None before its first complete read.
        in_doubt: whether nobody knows that it was the destination who answered the last request of the run before.
        held: source_pk of the rows that a release asks for, sorted.
        owed: source_pk of held rows that are to be read though nothing changed in Caspio, sorted.
        claimed: rows held because another one bears their key (`Ledger.claimed_duplicates`).
        freed: source_pk of those whose key is free by now (`freed`); empty as long as Caspio was not asked.
        sweep: a whole read that was broken off; None for a plan, which shows the whole.
        reached: up to which PK_ID a sync whose source grows has read, with all that came late; None before it has.
        shard: what is left of the range of a backfill; None where the run is none, and for a plan.
    """

    at: datetime
    versions: Versions
    is_new: bool = False
    cursor: Cursor | None = None
    in_doubt: bool = False
    held: Sequence[int] = ()
    owed: Sequence[int] = ()
    claimed: pl.DataFrame = field(default_factory=pl.DataFrame)
    freed: Sequence[int] = ()
    sweep: InterruptedSweep | None = None
    reached: int | None = None
    shard: ShardRest | None = None

    def read_up_to(self, now: datetime) -> datetime | None:
        """Up to when every change is known to be read; None where no run read everything, or that is yet to come."""
        watermark = None if self.cursor is None else self.cursor.watermark
        return None if is_ahead(watermark, now) else watermark


def is_ahead(watermark: datetime | None, now: datetime) -> bool:
    """Whether a time up to which everything is said to be read is yet to come: it says nothing of what changes now.

    A server whose clock was ahead, or a ledger from another machine, leaves such a time. Clocks may differ by the
    overlap of two reads.
    """
    return watermark is not None and watermark > now + OVERLAP


def look(ledger: Ledger, name: str, options: RunOptions, prepared: Prepared, *, planned: bool) -> Situation:
    """Read what a run is decided by. A mapping or a suite that no run had yet gets its number, except in a plan."""
    known = ledger.known_mapping_version(name, prepared.mapping.digest)
    found = Situation(
        at=ledger.now(),
        is_new=known is None,
        versions=_versions(ledger, name, prepared, known, planned=planned),
        cursor=ledger.cursor(name),
        in_doubt=_ended_in_doubt(ledger, name),
        shard=None if planned else _rest_of_shard(ledger, name, options, prepared),
    )
    if options.release:
        return replace(found, held=_held(ledger, name, options, prepared))
    if options.partial or options.whole:  # these neither go on from another run nor read held rows by their key
        return found
    return replace(
        found,
        owed=ledger.owed(name, suite=found.versions.suite, mapping=found.versions.mapping),
        claimed=ledger.claimed_duplicates(name, limit=OWNERS_ASKED),
        reached=ledger.reached(name, found.at - LATE) if prepared.definition.grows else None,
        sweep=None if planned else ledger.interrupted_sweep(name, digest=sweep_digest(prepared)),
    )


async def freed(caspio: CaspioClient, prepared: Prepared, claimed: pl.DataFrame) -> list[int]:
    """source_pk of rows held for a key whose owner is gone from Caspio, or bears another key by now.

    Args:
        caspio: is asked for the owners.
        prepared: the sync.
        claimed: as `Ledger.claimed_duplicates` gives it.

    Raises:
        TransientError: Caspio did not answer.
    """
    present = await present_keys(caspio, prepared, claimed["holder"].unique().sort())
    still = claimed.join(present, left_on="holder", right_on=SOURCE_PK).filter(bears_its_key())
    return claimed.join(still, on=SOURCE_PK, how="anti")[SOURCE_PK].to_list()


def backfill_digest(prepared: Prepared, options: RunOptions) -> str:
    """Hash of everything but the range that two attempts at one backfill must have in common."""
    text = f"{sweep_digest(prepared)} {options.since} {options.until} {options.resend}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def goes_on(high_pk: int, run: str, state: str) -> str:
    """Says in a report that a run goes on after a key, and how the one before it ended there (one of `DIED`)."""
    return f"goes on after PK_ID {high_pk:,}, where run {run} {state if state == FAILED else f'was {state}'}"


def _rest_of_shard(ledger: Ledger, name: str, options: RunOptions, prepared: Prepared) -> ShardRest | None:
    """What is left of the range that the run was asked for.

    What changed in its recorded part since then is the schedule's to find: a backfill moves no cursor.
    """
    if options.pk_range is None or options.limit is not None or options.identities or options.release:
        return None
    digest = backfill_digest(prepared, options)
    rest = ShardRest(digest)
    if (found := ledger.interrupted_shard(name, digest=digest, pk_range=options.pk_range)) is not None:
        run, state, high = found
        rest = ShardRest(digest, after_pk=high, notes=(goes_on(high, run, state),))
    if not options.resend:
        return rest
    recorded = options.pk_range[0] - 1 if rest.after_pk is None else rest.after_pk
    resent = ledger.sent_in_shard(name, digest=digest, pk_range=options.pk_range, after_pk=recorded)
    return replace(rest, resent=resent)


def _held(ledger: Ledger, name: str, options: RunOptions, prepared: Prepared) -> list[int]:
    hashes = None
    if options.identities:
        identity = prepared.mapping.identity
        salt = identity_salt(ledger.salt, identity.kind, identity.label)
        hashes = key_hashes(pl.Series([each.strip() for each in options.identities]), salt)
    return ledger.held(name, options.release, reason=options.release_reason, key_hashes=hashes)


def _ended_in_doubt(ledger: Ledger, name: str) -> bool:
    reports = (each.report for each in ledger.runs(name) if each.report)  # a killed one has none
    return bool(next(reports, {}).get("in_doubt"))


def _versions(ledger: Ledger, name: str, prepared: Prepared, known: int | None, *, planned: bool) -> Versions:
    """The present versions; a plan takes the numbers that a run would give, and gives none. `known`: the mapping's."""
    mapping = prepared.mapping
    columns = mapping.layout
    suite = suite_digest(prepared.definition, mapping)
    if planned:
        stored = ledger.mapping_fields(name)
        number = known or max(stored, default=0) + 1
        layouts, suite_number = {**stored, number: columns}, ledger.known_suite_version(name, suite) or 0
    else:
        number = ledger.mapping_version(name, mapping.digest, columns, rules=RULES_VERSION)
        layouts, suite_number = ledger.mapping_fields(name), ledger.suite_version(name, suite)
    former = ledger.versions_under_former_rules(name, RULES_VERSION)
    return Versions(number, suite_number, layouts, ledger.unfinished(name), former)
