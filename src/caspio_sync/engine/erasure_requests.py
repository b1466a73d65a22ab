"""Whom the sync's `erasure:` names, and the brakes before they are erased: a deleted profile does not come back."""

from dataclasses import dataclass

import polars as pl

from caspio_sync.caspio.counting import rows_counted
from caspio_sync.caspio.records import RecordReader
from caspio_sync.engine.prepared import Requests
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.schemas import KEY, SOURCE_PK, ok

# More new people than both of these are not erased unasked: a condition that is wrong (an empty text of Caspio is '',
# not NULL) takes everybody.
MOST_PEOPLE = 20
MOST_SHARE = 0.05
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Named:
    """Whom `erasure:` names.

    Args:
        keys: as the sync would send them, each once.
        unusable: PK_IDs of requests whose key is empty or cannot be a key.
    """

    keys: tuple[str, ...]
    unusable: tuple[int, ...]


def keyspace(run: SyncRun) -> Keyspace:
    """What the keys of the run's sync are keys of."""
    identity = run.mapping.identity
    return Keyspace(identity.kind, identity.label, run.destination.naming)


async def named(run: SyncRun, requests: Requests) -> Named:
    """Read whom `erasure:` names.

    Raises:
        As `CaspioClient.records`.
    """
    reader = RecordReader(
        run.caspio, requests.source, fields=requests.selected, key_field=requests.key.name, where=requests.where
    )
    await reader.open()
    keys: dict[str, None] = {}
    unusable: list[int] = []
    async for batch in reader.batches():
        mapped = requests.mapping.apply(batch.frame)
        keys |= dict.fromkeys(mapped.filter(ok(KEY))[KEY])
        unusable += mapped.filter(~pl.col(ok(KEY)))[SOURCE_PK].to_list()
    return Named(tuple(keys), tuple(unusable))


async def plan_erasures(run: SyncRun) -> str | None:
    """For a dry run: count whom a run would erase, and have their rows blocked as it would; why it would not."""
    requests = run.prepared.requests
    if requests is None:
        return None
    keys = await new_keys(run, requests)
    digests = await run.ledger.do(run.ledger.ledger.key_digests, keyspace(run), keys)
    run.planned_erasures.update(digests)
    if keys:
        run.report.notes.append(f"{len(keys)} people would be erased, as {origin(requests)} asks")
    return await too_many(run, len(keys), requests.place)


async def new_keys(run: SyncRun, requests: Requests) -> list[str]:
    """The named keys that no erasure was begun for.

    Raises:
        ConfigurationError: they are more than `max_keys`.
    """
    found = await named(run, requests)
    if found.unusable:
        shown = ", ".join(map(str, found.unusable[:_EXAMPLES]))
        run.report.notes.append(
            f"{len(found.unusable)} requests in {requests.source} have no usable key (PK_ID {shown}): nobody was "
            "erased for them; correct the key there"
        )
    blocked = await run.ledger.do(run.ledger.ledger.blocked, keyspace(run), pl.Series(found.keys, dtype=pl.String))
    new = [key for key, known in zip(found.keys, blocked, strict=True) if not known]
    if len(new) > requests.max_keys:
        raise ConfigurationError(
            f"{requests.place}: {len(new)} people would be erased at once, and at most {requests.max_keys} may; nobody "
            "was. Look whether the requests are right, and raise erasure.max_keys if they are"
        )
    return new


async def too_many(run: SyncRun, people: int, place: str) -> str | None:
    """Why so many people are not erased unasked; None where they may be.

    The share is that of the rows which the sync has in Caspio now, so that an empty ledger is no way around.

    Args:
        run: the run.
        people: for whom no erasure was begun yet.
        place: where they were named, such as `file:line`.
    """
    if people <= MOST_PEOPLE or run.options.allow_erasures:
        return None
    prepared = run.prepared
    rows = await rows_counted(run.caspio, prepared.source, prepared.key.name, prepared.definition.source.where)
    if people <= MOST_SHARE * rows:
        return None
    return (
        f"{place}: erasure would take {people / max(rows, people):.0%} of {rows:,} rows in {prepared.source} "
        f"({people:,} people who were not named before). More than {MOST_SHARE:.0%} and more than {MOST_PEOPLE} people "
        "at once are erased only when that is asked for: nobody new was erased, and nothing was sent, opt-outs apart. "
        "Look whether the requests are right (an empty text in Caspio is '', which IS NOT NULL takes); if they are: "
        f"--allow-erasures with `caspio-sync run {run.name}` or `caspio-sync erase {run.name}`"
    )


def origin(requests: Requests) -> str:
    """Where whoever is named was named, for the audit trail."""
    return f"{requests.source}{' (where)' if requests.where else ''}"
