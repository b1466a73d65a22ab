"""What a run of a deal sync keeps besides what every run does: numbers of deals, and what may be there without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl

from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.erasing import untold
from caspio_sync.engine.hand_over import known_rows
from caspio_sync.engine.line import Batch
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.deals.definition import CONTACT, DealSync
from caspio_sync.kinds.deals.mapping import DealMapping
from caspio_sync.ledger.deals import DEAL_SCHEMA
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.form import microseconds
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

# Of the accepted rows: the deal's number there, null where it is not known; whether it may be there all the same;
# whether that is so recent that it may still be on its way; whether its contact may be, which is then waited for.
NUMBER, MAY_BE_THERE, UNDER_WAY, AWAITS_CONTACT = "_number", "_may_be_there", "_under_way", "_awaits_contact"
# A request that was given up may still be taken, after any number of seconds; nobody documents how many.
SETTLED = timedelta(minutes=5)
# A new customer's contact comes by another sync, within minutes as a rule.
CONTACT_PATIENCE = timedelta(hours=1)
_PEOPLE = "email"


@dataclass(kw_only=True)
class DealWork(Work):
    """What a run of deals keeps.

    Args:
        definition: the sync.
        mapping: fitted to the table.
    """

    definition: DealSync
    mapping: DealMapping

    async def note_answers(self, run: SyncRun, rows: pl.DataFrame, answers: Sequence[Answer]) -> None:
        """As `Work.note_answers`: the numbers of deals, and those that are not there."""
        store = run.ledger.ledger
        told = {place: number for each in answers for place, number in each.ids}
        there = {place: number for place, number in told.items() if number}
        if there:
            made = rows[list(there)].with_columns(pl.Series("number", list(there.values()), dtype=pl.String))
            await run.persist(store.number_deals, run.name, with_contact_hashes(run, made))
        refused = [place for each in answers for place, _ in each.rejected if place not in told]
        not_made = rows[refused].filter(pl.col(NUMBER).is_null())[KEY]
        gone = rows[[place for place, number in told.items() if not number]][KEY]
        open_ones = [each for each in answers if each.unknown and each.start not in told]
        lost = rows[[place for each in open_ones for place in range(each.start, each.start + each.count)]]
        if open_ones:  # what was in doubt before is so since then, and not since now
            fresh = lost.filter(pl.col(NUMBER).is_null(), ~pl.col(UNDER_WAY))
            await run.persist(store.doubt_deals, run.name, fresh[KEY])
        if len(not_made) or len(gone):
            await run.persist(store.note_not_made, run.name, pl.concat([not_made, gone]))


async def deal_work(_opening: Opening, definition: DealSync, mapping: DealMapping) -> DealWork:
    """The work of a run."""
    return DealWork(definition=definition, mapping=mapping)


async def begin(run: SyncRun[DealWork]) -> None:
    """Refuse what cannot be done with deals.

    Raises:
        ConfigurationError: deals that are there were to be taken for sent.
    """
    if run.options.baseline:
        raise ConfigurationError(
            f"{run.name}: --baseline records rows as sent that {run.destination.title} has already, and a deal that "
            "this sync did not make bears no mark by which it could be changed; run without it"
        )


async def withhold_erased_people(run: SyncRun[DealWork], batch: Batch) -> None:
    """Take the deals of erased people out of the changes: the key of such a row is the deal's, not the person's."""
    changes = batch.changes
    blocked = await run.ledger.do(run.ledger.ledger.blocked, Keyspace(_PEOPLE), changes[CONTACT])
    if not blocked.any():
        return
    gone = changes.filter(blocked).select(SOURCE_PK, pl.col("key_hash").reinterpret(signed=True))
    fresh = untold(run, gone, await known_rows(run, batch.source))
    compared = batch.compared
    held = dict(compared.held)
    if before := gone.height - fresh.height:
        for counts in (held, run.report.held):
            counts[Verdict.BLOCKED] = counts.get(Verdict.BLOCKED, 0) + before
    batch.changes = changes.filter(~blocked)
    batch.compared = replace(
        compared,
        held=held,
        held_rows=pl.concat([compared.held_rows, gone[SOURCE_PK]]),
        erased=pl.concat([compared.erased, fresh]),
    )


async def with_numbers(run: SyncRun[DealWork], accepted: pl.DataFrame) -> pl.DataFrame:
    """The accepted rows with NUMBER, MAY_BE_THERE, UNDER_WAY and AWAITS_CONTACT; what may be made is noted first."""
    store = run.ledger.ledger
    nothing = DEAL_SCHEMA.to_frame()
    known = await run.ledger.do(store.deals, run.name, accepted[KEY]) if accepted.height else nothing
    now = microseconds(store.now())
    settled, patient = (now - int(each.total_seconds() * 1e6) for each in (SETTLED, CONTACT_PATIENCE))
    may_be_there = pl.col("number").is_null() & pl.col("left_at").is_not_null()
    # Noted by a run that came to no end with it: when it died, nobody knows, but it was before now.
    died = may_be_there & pl.col("made_by").is_not_null()
    rows = accepted.join(known, on=KEY, how="left", maintain_order="left").with_columns(
        pl.col("number").alias(NUMBER),
        may_be_there.alias(MAY_BE_THERE),
        (died | (may_be_there & (pl.col("left_at") > settled))).fill_null(value=False).alias(UNDER_WAY),
        (pl.col("first_at") > patient).fill_null(value=True).alias(AWAITS_CONTACT),
        died.fill_null(value=False).alias("died"),
    )
    dead = rows.filter("died")[KEY]
    rows = rows.drop("number", "first_at", "left_at", "made_by", "died")
    if not run.planned:
        if len(dead):
            await run.persist(store.doubt_deals, run.name, dead)
        leaving = rows.filter(pl.col(NUMBER).is_null(), ~pl.col(UNDER_WAY))
        await run.persist(store.note_deals, run.name, run.id, with_contact_hashes(run, leaving))
    return rows


def with_contact_hashes(run: SyncRun, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `contact_hash`, as an erasure asks for it."""
    salt = identity_salt(run.ledger.ledger.salt, _PEOPLE, None)
    return rows.with_columns(key_hashes(rows[CONTACT], salt).alias("contact_hash"))
