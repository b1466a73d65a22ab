"""Erasure (GDPR, CCPA): who is named is blocked first, then deleted there, then proven gone, then forgotten here.

    named ─▶ requested ─▶ /users/delete ─▶ deleted ─▶ /users/export/ids ─▶ proven, and out of the ledger

Every step is repeatable and begins at the ledger: a run that is killed between two of them is finished by the next.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import orjson
import polars as pl
from pydantic import SecretStr

from caspio_sync.caspio.cells import source_frame
from caspio_sync.characters import trimmed
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import Eraser
from caspio_sync.engine.erasure_requests import keyspace, new_keys, origin, too_many
from caspio_sync.engine.prepared import key_mapping
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError, GateBlockedError
from caspio_sync.json_documents import read_json, texts_in
from caspio_sync.ledger.compare import Comparison
from caspio_sync.ledger.erasure import Erased, Identifier, Keyspace
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import FORMER_KEY, KEY, SOURCE_PK, Verdict, ok
from caspio_sync.sealed import Sealer
from caspio_sync.settings import current_settings

REASON = "erased: blocked until `caspio-sync erase SYNC KEY --release`"
# Deletion takes less than a second as a rule (Braze, 5); whoever is not gone after a minute is looked for by the next
# run, for no run should wait the five minutes it may take.
PROOF_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# What left before may arrive after the deletion and make the profile anew: no order is kept between
# requests, and 5 minutes are advised between dependent calls (Braze, 2.2). Only after these is "not there" a proof.
SETTLED = timedelta(minutes=5)
_NO_VERSION = bytes(16)  # of a row that is blocked: its fingerprint would tell something of it


@dataclass(frozen=True, slots=True)
class Subject:
    """One person, before anything is done.

    Args:
        key: as the sync would send it.
        digest: how the audit trail names the person.
        state: of an erasure that was begun: requested, deleted, proven; None where none was.
        is_there: whether the destination has a profile.
        ledger_rows: how many rows of the ledger bear the key.
    """

    key: str
    digest: str
    state: str | None
    is_there: bool
    ledger_rows: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How many erasures were proven, how many are not yet, and how many rows left the ledger with them."""

    proven: int = 0
    unproven: int = 0
    rows: int = 0


async def erase_named(run: SyncRun) -> Ended:
    """Erase whom `erasure:` names, and go on with what is pending; before this has ended nothing is to be sent.

    Where that is too large a part of all rows, nobody new is erased and the run is blocked: opt-outs alone leave.

    Raises:
        ConfigurationError: more people than `max_keys` are named anew, or the key there may not delete.
        TransientError: Caspio or the destination did not answer; calling again goes on from here.
    """
    requests = run.prepared.requests
    if requests is not None:
        keys = await new_keys(run, requests)
        if (stopped := await too_many(run, len(keys), requests.place)) is None:
            await request(run, keys, by=origin(requests))
        else:
            run.block(GateBlockedError(stopped))
    if run.options.pk_range is not None:  # blocked is enough here: deleting is left to a run that holds the whole sync
        return Ended()
    return await erase_pending(run)


async def _forget_in_inbox(run: SyncRun) -> None:
    """Take what was told of blocked people out of the inbox; what it tells from here on is not folded.

    Rows of webhooks' messages are encrypted: all of them go, whoever they are of, and are read again by their PK_ID.
    """
    settings, connect = current_settings(), CONNECT.get()
    if settings.has_inbox:
        with connect.inbox(settings, run.clock) as inbox:
            await run.ledger.do(inbox.forget, run.ledger.ledger.erased_events)
        with connect.hints(settings, run.clock) as hints:
            await run.ledger.do(hints.forget_payloads)
        with connect.posts(settings, run.clock) as posts:
            await run.ledger.do(posts.forget, functools.partial(_names_erased, run, settings.payload_keys))


def _names_erased(run: SyncRun, keys: SecretStr | None, sealed: Sequence[bytes]) -> list[bool]:
    """Of sealed posts, whether one of a post's values is the key of somebody who was erased, whatever it is called."""
    sealer, ledger, own = Sealer(keys), run.ledger.ledger, keyspace(run)
    texts = [list(texts_in(read_json(sealer.open(each)))) for each in sealed]
    values = pl.Series("value", list(itertools.chain.from_iterable(texts)), dtype=pl.String).unique()
    spaces = [Keyspace("external_id"), Keyspace("email"), Keyspace("phone"), Keyspace(own.kind, own.label)]
    blocked = [values.filter(ledger.blocked(each, values)) for each in spaces]
    erased = set(pl.concat(blocked))
    return [not erased.isdisjoint(each) for each in texts]


async def request(run: SyncRun, keys: Sequence[str], *, by: str, again: bool = False) -> int:
    """Block the keys from here on, in every run, and write down that they are to be deleted; how many were new."""
    ledger = run.ledger.ledger
    return await run.ledger.do(ledger.request_erasure, run.name, keyspace(run), keys, by=by, again=again)


async def erase_pending(run: SyncRun) -> Ended:
    """Delete whoever is requested, and prove it; the caller holds the sync's lease.

    Raises:
        ConfigurationError, TransientError: as `Eraser.delete`.
    """
    ledger = run.ledger.ledger
    pending = await run.ledger.do(ledger.pending_erasures, run.name)
    if not pending:
        return Ended()
    eraser, title = run.sink.eraser(run.account), run.destination.title

    async def delete(wanted: Sequence[Erased]) -> None:
        for chunk in _chunks(wanted, eraser.most):
            taken, refused = await eraser.delete(chunk)
            for some, details in taken:
                digests = [one.key_digest for one, _ in some]
                await run.ledger.do(ledger.mark_deleted, run.name, digests, details=details)
            if refused:  # they stay requested and blocked, and nobody else waits for them
                run.report.notes.append(
                    f"{title} refuses to delete {len(refused)} people, who stay blocked and are asked for again by the "
                    f"next run: {refused[0]}. Delete them in {title} by hand if it stays so"
                )

    await delete([one for one in pending if one.state == "requested"])
    written = await run.ledger.do(ledger.last_written, run.name, keyspace(run), pending)
    left, rows = pending, 0
    for wait in PROOF_WAITS if eraser.proves else ():
        await run.clock.sleep(wait)
        there = await _left(eraser, left)
        settled = ledger.now() - SETTLED
        proven = [one for one in left if one not in there and written.get(one.key_digest, settled) <= settled]
        if proven:
            await _forget_in_inbox(run)  # before the proof: who is proven is not looked at again
            rows += await run.ledger.do(ledger.mark_proven, run.name, keyspace(run), proven)
        left = [one for one in left if one not in proven]
        if not there:
            break
        # One more of several profiles with this address, or one that a late write made anew.
        await delete(there)
    ended = Ended(len(pending) - len(left), len(left), rows)
    run.report.erased += ended.proven
    if ended.unproven:
        run.report.notes.append(not_proven(ended.unproven, title, proves=eraser.proves))
    return ended


def not_proven(people: int, title: str, *, proves: bool) -> str:
    """What is told of people whose deletion is not proven.

    Args:
        people: how many.
        title: of the destination.
        proves: whether it can be, there.
    """
    if proves:
        return (
            f"{people} deletions are not proven yet ({title} may take 5 minutes, also for what left just before): the "
            "next run looks again"
        )
    return (
        f"{people} deletions are not proven at {title}, and never called done: nothing says how to look whether "
        "somebody is gone. Whoever is named stays blocked"
    )


def keys_by_hand(run: SyncRun, texts: Sequence[str]) -> list[str]:
    """Keys as typed, made what the sync would send.

    Raises:
        ConfigurationError: one of them cannot be a key of this sync.
    """
    mapping: RowMapping = key_mapping(run.prepared)
    field = run.prepared.fields[mapping.identity.source_field]
    selected = [run.prepared.fields[name] for name in mapping.source_fields]
    page = orjson.dumps([{"PK_ID": place, field.name: text} for place, text in enumerate(texts, start=1)])
    mapped = mapping.apply(source_frame([page], selected, "PK_ID"))
    wrong = mapped.filter(~pl.col(ok(KEY)))
    if not wrong.is_empty():
        raise ConfigurationError(
            f"{run.name}: key number {wrong[SOURCE_PK][0]} cannot be a key of this sync "
            f"({run.mapping.identity.kind} from {field.name}); give it as it stands in Caspio"
        )
    return mapped[KEY].unique(maintain_order=True).to_list()


async def look_up(run: SyncRun, keys: Sequence[str]) -> list[Subject]:
    """What the destination and the ledger know of these keys; nothing is written.

    Raises:
        ConfigurationError, TransientError: as `Eraser.left`.
    """
    ledger, space = run.ledger.ledger, keyspace(run)
    digests = await run.ledger.do(ledger.key_digests, space, keys)
    begun = await run.ledger.do(ledger.erased, digests)
    asked = [Erased(digest, "", (space.identifier(key),)) for digest, key in zip(digests, keys, strict=True)]
    there = {one.key_digest for one in await _left(run.sink.eraser(run.account), asked)}
    return [
        Subject(
            key=key,
            digest=digest,
            state=begun[digest].state if digest in begun else None,
            is_there=digest in there,
            ledger_rows=await run.ledger.do(ledger.known_rows, space, key),
        )
        for digest, key in zip(digests, keys, strict=True)
    ]


async def release(run: SyncRun, keys: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Lift the block.

    Args:
        run: of the sync.
        keys: as `keys_by_hand` makes them.
        typed: what it made them of: an older version may have blocked them with the blanks at their ends.

    Returns:
        The keys that were blocked.
    """
    ledger, space = run.ledger.ledger, keyspace(run)
    released = set(await run.ledger.do(ledger.release_erased, run.name, space, [*keys, *typed]))
    former = dict(zip(typed, await run.ledger.do(ledger.former_digests, space, typed), strict=True))
    were = {trimmed(text) for text, digest in former.items() if digest in released}
    digests = await run.ledger.do(ledger.key_digests, space, keys)
    return [key for digest, key in zip(digests, keys, strict=True) if digest in released or key in were]


async def withhold_erased(run: SyncRun, compared: Comparison, known: pl.DataFrame) -> Comparison:
    """Take the rows of erased keys out of the changes, the one way out: neither profile nor opt-out leaves.

    Args:
        run: the run.
        compared: new and changed rows.
        known: the ledger's rows of the same range; a row that was blocked for this reason before is held, not told of
            again.
    """
    changes = compared.changes
    planned = frozenset(run.planned_erasures)
    blocked = await run.ledger.do(run.ledger.ledger.blocked, keyspace(run), changes[KEY], more=planned)
    blocked |= await run.ledger.do(run.ledger.ledger.blocked, keyspace(run), changes[FORMER_KEY])
    if not blocked.any():
        return compared
    erased = changes.filter(blocked).select(SOURCE_PK, pl.col("key_hash").reinterpret(signed=True))
    fresh = untold(run, erased, known)
    held = dict(compared.held)
    if before := erased.height - fresh.height:
        held[Verdict.BLOCKED] = held.get(Verdict.BLOCKED, 0) + before
    rows = pl.concat([compared.held_rows, erased[SOURCE_PK]])
    return replace(compared, changes=changes.filter(~blocked), held=held, held_rows=rows, erased=fresh)


def untold(run: SyncRun, erased: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Those of whose block no run has told yet."""
    told = known.filter(pl.col(KEY).is_null(), pl.col("verdict") == Verdict.BLOCKED.value)
    if run.options.resend:
        told = told.clear()
    return erased.join(told, on=[SOURCE_PK, "key_hash"], how="anti", maintain_order="left")


async def record_erased(run: SyncRun, batch: int, erased: pl.DataFrame) -> None:
    """Give the rows of erased keys their verdict; neither key nor fingerprint of them is kept."""
    if erased.is_empty():
        return
    nothing = {"sent_fields": pl.Binary, "changed": pl.Binary, "request": pl.Int64, "status": pl.Int64}
    rows = erased.with_columns(
        pl.lit(None, dtype=pl.String).alias(KEY),
        *(pl.lit(None, dtype=dtype).alias(name) for name, dtype in nothing.items()),
        fp=pl.lit(_NO_VERSION, dtype=pl.Binary),
        part=pl.lit("profile"),
        verdict=pl.lit(Verdict.BLOCKED.value),
        reason=pl.lit(REASON),
        suite_version=pl.lit(run.versions.suite, dtype=pl.Int64),
        mapping_version=pl.lit(run.versions.mapping, dtype=pl.Int64),
    )
    await run.persist(run.ledger.ledger.record, sync=run.name, run=run.id, batch=batch, rows=rows)
    count_erased(run, erased)


def count_erased(run: SyncRun, erased: pl.DataFrame) -> None:
    """Count the rows of erased keys; only their PK_ID may stand in a report."""
    told = erased.with_columns(verdict=pl.lit(Verdict.BLOCKED.value), reason=pl.lit(REASON))
    run.report.count_outcomes(told.with_columns(pl.lit(None, dtype=pl.String).alias(KEY)), name=KEY)


def _chunks(wanted: Sequence[Erased], size: int) -> Iterator[list[tuple[Erased, Identifier]]]:
    """Every identifier of everybody, `size` at a time."""
    pairs = [(one, identifier) for one in wanted for identifier in one.identifiers]
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


async def _left(eraser: Eraser, wanted: Sequence[Erased]) -> list[Erased]:
    """Those of whom the destination still has a profile, under any of their identifiers."""
    found = await eraser.left([identifier for one in wanted for identifier in one.identifiers])
    return [one for one in wanted if any(each in found for each in one.identifiers)]
