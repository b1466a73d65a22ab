"""Held rows that are read again although nothing changed in Caspio: a run for changes alone would never see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clients.caspio_query import and_, identifier
from caspio_sync.extraction.records import keys_where
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.run.context import SyncRun
from caspio_sync.run.owners import bears_its_key, present_keys
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.report import RunOptions
from caspio_sync.schemas import SOURCE_PK

# A hundred rows by their PK_ID take two calls; beyond this many a sweep of the table is soon as cheap.
MOST_BY_KEY = 2_000
# Whether the owner of a duplicate key is still in Caspio is asked for so many rows a run: one or two calls.
OWNERS_ASKED = 100


@dataclass(frozen=True, slots=True)
class Again:
    """Held rows to read.

    Args:
        source_pks: which.
        conditions: how they are asked for, each short enough for an address.
    """

    source_pks: list[int] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)


async def held_again(  # noqa: PLR0917 - the parts of a run that is being opened
    name: str,
    options: RunOptions,
    prepared: Prepared,
    ledger: LedgerThread,
    versions: Versions,
    caspio: CaspioClient,
    bound: str | None,
    *,
    up_to: int | None = None,
) -> Again | None:
    """Which held rows the run reads by their PK_ID, besides what changed.

    A sweep reads them anyway; one that goes on from another needs those `up_to` where it begins. A run of chosen rows
    reads no others. A release reads nothing else.

    Returns:
        None where they are so many that the run should read everything.
    """
    if options.release:
        hashes = None
        if options.identities:
            identity = prepared.mapping.identity
            salt = identity_salt(ledger.ledger.salt, identity.kind, identity.label)
            hashes = key_hashes(pl.Series([each.strip() for each in options.identities]), salt)
        held = await ledger.do(
            ledger.ledger.held, name, options.release, reason=options.release_reason, key_hashes=hashes
        )
        return _by_key(prepared, held[: options.limit], None)
    if (bound is None and up_to is None) or options.partial:
        return Again()
    owed = await ledger.do(ledger.ledger.owed, name, suite=versions.suite, mapping=versions.mapping)
    owed = sorted({*owed, *await _freed(name, prepared, ledger, caspio)})
    if up_to is not None:
        owed = [source_pk for source_pk in owed if source_pk <= up_to]
    return None if len(owed) > MOST_BY_KEY else _by_key(prepared, owed, bound)


def _by_key(prepared: Prepared, source_pks: Sequence[int], bound: str | None) -> Again:
    """The rows by their key; with a bound, those that the reading of changes does not meet already."""
    source = prepared.definition.source
    unchanged = None if bound is None else f"NOT ({bound}) OR {identifier(str(source.cursor))} IS NULL"
    conditions = keys_where(prepared.key, [str(source_pk) for source_pk in source_pks])
    return Again(list(source_pks), [and_(source.where, each, unchanged) for each in conditions])


async def _freed(name: str, prepared: Prepared, ledger: LedgerThread, caspio: CaspioClient) -> list[int]:
    """Rows held for a key whose owner is gone from Caspio, or bears another key by now."""
    claimed = await ledger.do(ledger.ledger.claimed_duplicates, name, limit=OWNERS_ASKED)
    if claimed.is_empty():
        return []
    present = await present_keys(caspio, prepared, claimed["holder"].unique().sort())
    still = claimed.join(present, left_on="holder", right_on=SOURCE_PK).filter(bears_its_key())
    return claimed.join(still, on=SOURCE_PK, how="anti")[SOURCE_PK].to_list()


async def note_unfound(run: SyncRun) -> None:
    """Say how many of the held rows that were asked for Caspio did not give."""
    if not run.asked:
        return
    ledger = run.ledger.ledger
    if unfound := await run.ledger.do(ledger.forget_unfound, run.name, run.id, run.asked):
        run.report.notes.append(
            f"{unfound} held rows were not found: they are gone from Caspio, or source.where leaves them out"
        )
