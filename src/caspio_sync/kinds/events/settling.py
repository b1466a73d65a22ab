"""`unknown --count`: what the destination counts of people settles events whose answer was lost, where that is plain.

journal and rows of these people ─▶ their rows, read again ─▶ counted there ─▶ arrived: sent   not there: released

A person's events are held together: what was acknowledged, and what may have arrived. Where one of their rows is not as
it was when it left, nothing follows from a count.
"""

from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import cast

import polars as pl
from pydantic import BaseModel, Field

from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import LOST, destination_of
from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.prepared import prepare
from caspio_sync.engine.quota import count_calls
from caspio_sync.engine.workspace import known_accounts
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.kinds.events.lines import lines_of
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.ledger.events_schema import UNKNOWN
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import KEY, SOURCE_PK
from caspio_sync.settings import Settings

COUNTED_AFTER = timedelta(hours=1)  # what was taken is counted some time later; nobody documents when
SAMPLE = 50  # people, of whom it is seen which names are shown at all
_CHANGED = "its row, or another one of the person, is not as it was sent, or its mapping is another one"
_IN_DOUBT = "other events of the person were taken for sent, or may leave once more"
_TOO_EARLY = f"it left within {COUNTED_AFTER}; what was taken may not be counted yet"


class Settled(BaseModel):
    """What counting settled.

    Args:
        sync: name of the sync.
        arrived: PK_IDs of events that are there, and are recorded as sent.
        released: PK_IDs of events that are not there: the next run sends them.
        left: events that stay unknown, by why nothing follows from the counts.
    """

    sync: str
    arrived: list[int] = Field(default_factory=list)
    released: list[int] = Field(default_factory=list)
    left: dict[str, int] = Field(default_factory=dict)

    def lines(self, title: str) -> list[str]:
        """For people."""
        return [
            f"{len(self.arrived):,}: {title} has them; recorded as sent",
            f"{len(self.released):,}: {title} has them not; the next run sends them",
            *(f"{count:,} stay unknown: {why}" for why, count in self.left.items()),
        ]


async def settle_by_count(name: str, *, settings: Settings) -> Settled:
    """Settle what is unknown of a sync by what the destination counts; meanwhile no run of it sends.

    Raises:
        ConfigurationError: nothing can follow from counts of this sync.
        LeaseHeldError: a run of it is under way.
        TransientError: Caspio or the destination does not answer; nothing is settled.
    """
    connect, definition = CONNECT.get(), cast("Occurrences", load_sync(settings.sync_file(name)))
    _refuse(definition)
    async with AsyncExitStack() as stack:
        caspio = await stack.enter_async_context(connect.caspio(settings, connect.clock))
        ledger = LedgerThread(connect.ledger(settings, connect.clock))
        stack.callback(ledger.close)
        store = ledger.ledger
        await known_accounts(name, settings, store, connect)
        await stack.enter_async_context(hold_lease(name, ledger, connect.clock, of="counting"))
        await ledger.do(store.note_lost, name)
        beside = await ledger.do(store.beside_unknown, name)
        unknown = beside.filter(pl.col("state") == UNKNOWN)
        if unknown.is_empty():
            return Settled(sync=name)
        prepared = await prepare(settings, name, caspio, await ledger.do(store.known_source, name))
        mapping = cast("EventMapping", prepared.mapping)
        pks = beside[SOURCE_PK].unique().to_list()
        source = await rows_by_key(caspio, prepared.source, prepared.key, pks, fields=prepared.read_fields)
        if (lines := await lines_of(prepared, caspio)) is not None:
            source = await lines.joined(caspio, source)
        await ledger.do(count_calls, store, settings.caspio_integration_url, caspio.calls)
        salt = identity_salt(store.salt, mapping.identity.kind, mapping.identity.label)
        rows = mapping.apply(source).with_columns(mapping.versions(source, salt)[0].alias("_now"))
        rows = beside.join(rows.drop(KEY), on=SOURCE_PK, how="left", maintain_order="left")
        told = _untold(rows, microseconds(store.now() - COUNTED_AFTER))
        open_ = rows.filter(~pl.col(KEY).is_in(unknown.filter(pl.col(SOURCE_PK).is_in(list(told)))[KEY].implode()))
        if not open_.is_empty():
            people = await ledger.do(store.people_sent, name, SAMPLE)
            account = await stack.enter_async_context(connect.account(destination_of(definition), connect.clock))
            sink = destination_of(definition).sink(definition)
            asked = open_.with_columns((pl.col("state") == UNKNOWN).alias(LOST))
            told |= await sink.arrived(account, mapping, asked, people[KEY].to_list(), store.now())
        settled = Settled(
            sync=name,
            arrived=sorted(pk for pk, there in told.items() if there is True),
            released=sorted(pk for pk, there in told.items() if there is False),
            left=dict(Counter(there for there in told.values() if isinstance(there, str))),
        )
        await ledger.do(store.drop_unknown, name, settled.arrived, reason=None)
        await ledger.do(store.release_unknown, name, settled.released)
        return settled


def _refuse(definition: Occurrences) -> None:
    """Raise where a count tells nothing of single rows."""
    if not definition.counted_there:
        raise ConfigurationError(
            f"{definition.name}: who got which message, nobody tells; `--drop` or `--resend` settles them by hand"
        )
    if definition.compares_versions:
        raise ConfigurationError(
            f"{definition.where('on_update')}: on_update: {definition.on_update}: the ledger does not keep how often a "
            "row left, so that nothing follows from counts; look the people up, and settle them with `--drop` or "
            "`--resend`"
        )


def _untold(rows: pl.DataFrame, counted_before: int) -> dict[int, bool | str]:
    """Of the unknown ones of whose people nothing follows from a count: why."""
    of_person = rows.with_columns(
        changed=(pl.col("_now") != pl.col("fp")).fill_null(value=True).any().over(KEY),
        in_doubt=(~pl.col("state").is_in([UNKNOWN, "sent"])).any().over(KEY),
        early=(pl.col("at") > counted_before).any().over(KEY),
    ).filter(pl.col("state") == UNKNOWN)
    why = of_person.select(
        SOURCE_PK,
        pl.when("early")
        .then(pl.lit(_TOO_EARLY))
        .when("in_doubt")
        .then(pl.lit(_IN_DOUBT))
        .when("changed")
        .then(pl.lit(_CHANGED))
        .alias("why"),
    )
    return dict(why.drop_nulls().iter_rows())
