"""Events and purchases in Braze: POST /users/track takes them, and takes each object for an occurrence of its own.

Nothing there is deduplicated (Braze, 3.8): an answer that was lost is never made good by sending again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

import polars as pl

from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.ecommerce import ECOMMERCE
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.eraser import UserEraser
from caspio_sync.destinations.braze.event_arrivals import arrived, names_shown
from caspio_sync.destinations.braze.event_counts import counted, exported
from caspio_sync.destinations.braze.event_values import (
    EVENT_BYTES,
    EVENT_VALUES,
    MOST_PIECES,
    PURCHASE_BYTES,
    PURCHASE_VALUES,
)
from caspio_sync.destinations.braze.objects import UPDATE_ONLY, identifier_expression, object_text
from caspio_sync.destinations.braze.profiles import TRACK_SECONDS, users_known
from caspio_sync.destinations.braze.requests import OBJECTS_PER_REQUEST, TRACK_EVENTS, TRACK_PURCHASES
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.writes import Write
from caspio_sync.kinds.events.assembly import BOUGHT, PRODUCTS, RETURNED, RETURNED_AMOUNT
from caspio_sync.kinds.events.definition import (
    CURRENCY,
    EVENT_NAME,
    PRICE,
    PRODUCT_ID,
    QUANTITY,
    TIME,
    EventSync,
    Occurrences,
    PurchaseSync,
)
from caspio_sync.kinds.events.faults import UNITS
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import KEY, MappedColumn

_LEAD = "~"  # before the first property, so that a comma is before each


class OccurrenceSink(Sink[BrazeAccount]):
    """What events and purchases have in common."""

    values = EVENT_VALUES
    endpoint_place = "caspio_sync.destinations.braze.endpoints:users"
    most_objects = OBJECTS_PER_REQUEST
    counted_under: tuple[str, ...] = ()  # the parts of an export that count them

    def __init__(self, sync: Occurrences) -> None:
        self.when_lost = sync.when_lost
        self._names = frozenset(sync.taxonomy)
        self._identity = sync.identity

    @classmethod
    async def probe(cls, account: BrazeAccount) -> str:
        """As `Sink.probe`."""
        await account.users.probe_track()
        return "takes the key, which may write events (users.track)"

    def limits(self, account: BrazeAccount) -> SenderLimits:
        """As `Sink.limits`."""
        return SenderLimits(account.connections, account.track_limit, TRACK_SECONDS)

    def endpoint(self, account: BrazeAccount) -> TrackEndpoint:
        """As `Sink.endpoint`."""
        return TrackEndpoint(account.new_users())

    async def known(self, account: BrazeAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return await users_known(account, self._identity, keys)

    async def counted(self, account: BrazeAccount, keys: Sequence[str]) -> list[int | None]:
        """As `Sink.counted`."""
        return await counted(account, self._identity, keys, self.counted_under, self._names)

    async def arrived(
        self, account: BrazeAccount, mapping: RowMapping, rows: pl.DataFrame, sample: Sequence[str], now: datetime
    ) -> dict[int, bool | str]:
        """As `Sink.arrived`."""
        people = list(dict.fromkeys([*rows[KEY], *sample]))
        profiles = await exported(account, self._identity, people, self.counted_under)
        shown = names_shown([user for users in profiles.values() for user in users or ()])
        return arrived(self.writes(rows, mapping, whole=False), profiles, shown, now)

    def eraser(self, account: BrazeAccount) -> UserEraser:
        """As `Sink.eraser`."""
        return UserEraser(account, self._identity.kind)

    def _object(self, named: Sequence[pl.Expr], properties: pl.Expr, numbers: Sequence[pl.Expr] = ()) -> pl.Expr:
        """JSON text: who, what, when; numbers that are JSON text already; the properties, where there are any."""
        who = identifier_expression(self._identity.kind, self._identity.label)
        head = pl.struct(who, *named).struct.json_encode().str.strip_suffix("}")
        told = pl.when(properties != "{}").then(pl.concat_str(pl.lit(',"properties":'), properties))
        update_only = "true" if self._identity.on_new == "update_only" else "false"
        ending = pl.lit(f',"{UPDATE_ONLY}":{update_only}}}')
        return pl.concat_str(head, *numbers, told.otherwise(pl.lit("")), ending)


class EventSink(OccurrenceSink):
    """Custom events of one sync, and Braze's eCommerce events."""

    envelopes = (TRACK_EVENTS,)
    properties_bytes = EVENT_BYTES
    counted_under = ("custom_events",)

    def __init__(self, sync: EventSync) -> None:
        super().__init__(sync)
        self._returned_as = sync.returned_as
        self._free = [name for name in sync.event.taxonomy if name in ECOMMERCE]

    def parts(self) -> pl.Expr:
        """As `Sink.parts`: an order of which something was bought and something given back is two events."""
        if self._returned_as is None:
            return pl.lit(1)
        return (pl.col(BOUGHT).is_not_null().cast(pl.Int64) + pl.col(RETURNED).is_not_null().cast(pl.Int64)).clip(1)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`."""
        made = cast("EventMapping", mapping)
        event = self._object([pl.col(EVENT_NAME).alias("name"), pl.col(TIME)], properties_text(made.properties))
        if self._returned_as is None:
            return [Write(rows, TRACK_EVENTS, lambda some: some.select(object=event).to_series())]
        name = pl.lit(self._returned_as).alias("name")
        returned = self._object([name, pl.col(TIME)], properties_text(made.properties))
        amount = made.assembly.amount if made.assembly else None
        given_back = [pl.col(RETURNED).alias(PRODUCTS), *([pl.col(RETURNED_AMOUNT).alias(amount)] if amount else [])]

        def encode(some: pl.DataFrame) -> pl.Series:
            texts = pl.DataFrame(
                {
                    "bought": some.select(pl.when(pl.col(BOUGHT).is_not_null()).then(event)).to_series(),
                    "returned": some.with_columns(given_back)
                    .select(pl.when(pl.col(RETURNED).is_not_null()).then(returned))
                    .to_series(),
                }
            )
            return texts.select(pl.concat_str("bought", "returned", separator=",", ignore_nulls=True)).to_series()

        return [Write(rows, TRACK_EVENTS, encode)]

    def price(
        self,
        rows: pl.DataFrame,
        columns: Sequence[MappedColumn],  # noqa: ARG002
        travels: Callable[[str], str] | None,  # noqa: ARG002
    ) -> pl.Expr:
        """As `Sink.price`: a data point each, and none for eCommerce events (Braze, 3.10 and 15)."""
        named = pl.when(pl.col(EVENT_NAME).is_in(self._free)).then(0).otherwise(1) if self._free else pl.lit(1)
        if self._returned_as is None or self._returned_as in ECOMMERCE or RETURNED not in rows.columns:
            return named
        return named + pl.col(RETURNED).is_not_null().cast(pl.Int64)


class PurchaseSink(OccurrenceSink):
    """Purchases of one sync, and the events that its negative lines become."""

    values = PURCHASE_VALUES
    ending = (
        "Braze has announced that purchases will give way to its eCommerce events; `caspio-sync init NAME "
        "--table Orders --kind events` proposes those, of orders and their lines"
    )
    envelopes = (TRACK_PURCHASES, TRACK_EVENTS)
    properties_bytes = PURCHASE_BYTES
    counted_under = ("purchases", "custom_events")

    def __init__(self, sync: PurchaseSync) -> None:
        super().__init__(sync)
        self._returned_as = sync.returned_as
        self._above_most = sync.quantity.above_most if sync.quantity else "hold"

    @property
    def most_pieces(self) -> int:
        """Pieces of a row that are taken; one of more is held.

        Of a row that becomes several purchases all travel in one request, so that it has one answer.
        """
        return {"hold": MOST_PIECES, "split": MOST_PIECES * OBJECTS_PER_REQUEST, "property": 2**53}[self._above_most]

    def parts(self) -> pl.Expr:
        """As `Sink.parts`: as many purchases as its pieces take."""
        if self._above_most != "split":
            return pl.lit(1)
        many = pl.when(is_negative()).then(1).otherwise((pl.col(QUANTITY) + MOST_PIECES - 1) // MOST_PIECES)
        return many.fill_null(1).clip(1)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`."""
        properties = cast("EventMapping", mapping).properties
        bought = self._bought(properties)
        if self._returned_as is None:
            return [Write(rows, TRACK_PURCHASES, lambda some: some.select(object=bought).to_series())]
        returned = self._returned(properties)
        negative = rows.select(is_negative()).to_series()
        return [
            Write(rows.filter(~negative), TRACK_PURCHASES, lambda some: some.select(object=bought).to_series()),
            Write(rows.filter(negative), TRACK_EVENTS, lambda some: some.select(object=returned).to_series()),
        ]

    def price(
        self,
        rows: pl.DataFrame,  # noqa: ARG002
        columns: Sequence[MappedColumn],  # noqa: ARG002
        travels: Callable[[str], str] | None,  # noqa: ARG002
    ) -> pl.Expr:
        """As `Sink.price`: a data point a piece, for it is taken as so many purchases (Braze, 3.7 and 15)."""
        pieces = pl.col(QUANTITY)
        if self._above_most == "property":
            pieces = pl.when(pieces > MOST_PIECES).then(1).otherwise(pieces)
        return pl.when(is_negative()).then(1).otherwise(pieces).fill_null(1).clip(1)

    def _bought(self, columns: Sequence[MappedColumn]) -> pl.Expr:
        named = [pl.col(PRODUCT_ID), pl.col(CURRENCY), pl.col(TIME)]
        pieces, price, properties = pl.col(QUANTITY), pl.col(PRICE), properties_text(columns)

        def bought(pieces: pl.Expr, price: pl.Expr, properties: pl.Expr) -> pl.Expr:
            numbers = (pl.lit(f',"{PRICE}":'), number_text(price), pl.lit(f',"{QUANTITY}":'), pieces.cast(pl.String))
            return self._object(named, properties, numbers)

        one = bought(pieces, price, properties)
        if self._above_most == "hold":
            return one
        if self._above_most == "property":
            counted = pl.concat_str(pl.lit(f'{{"{UNITS}":'), pieces.cast(pl.String), _tail(properties))
            many = bought(pl.lit(1), price * pieces, counted)
        else:
            full = bought(pl.lit(MOST_PIECES), price, properties).repeat_by(pieces // MOST_PIECES).list.join(",")
            rest = pl.when(pieces % MOST_PIECES > 0).then(bought(pieces % MOST_PIECES, price, properties))
            many = pl.concat_str(full, rest, separator=",", ignore_nulls=True)
        return pl.when(pieces > MOST_PIECES).then(many).otherwise(one)

    def _returned(self, columns: Sequence[MappedColumn]) -> pl.Expr:
        """A negative line as an event: its product, price and quantity are properties then."""
        product = pl.struct(PRODUCT_ID, CURRENCY).struct.json_encode().str.strip_suffix("}")
        counted = pl.concat_str(
            product,
            pl.lit(f',"{PRICE}":'),
            number_text(pl.col(PRICE)),
            pl.lit(f',"{QUANTITY}":'),
            pl.col(QUANTITY).cast(pl.String),
            _tail(properties_text(columns)),
        )
        return self._object([pl.lit(self._returned_as).alias("name"), pl.col(TIME)], counted)


def is_negative() -> pl.Expr:
    """Whether a line takes something back; null where that cannot be told."""
    return (pl.col(PRICE) < 0) | (pl.col(QUANTITY) < 0)


def properties_text(columns: Sequence[MappedColumn]) -> pl.Expr:
    """The JSON text of the properties that have a value; "{}" for none."""
    text = object_text(pl.lit(0).alias(_LEAD), columns, travels=lambda name: pl.col(name).is_not_null())
    return text.str.replace(rf'^\{{"{_LEAD}":0,?', "{")


def _tail(properties: pl.Expr) -> pl.Expr:
    """The properties as they go on after others."""
    return pl.when(properties == "{}").then(pl.lit("}")).otherwise(pl.concat_str(pl.lit(","), properties.str.slice(1)))
