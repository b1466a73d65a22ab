"""Events of one sync: event tracking in ActiveCampaign, a call an event, and nothing there is deduplicated.

An answer that was lost is never made good by sending again (`Sink.when_lost`). An event is dated to its arrival: there
is no way to tell another time.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import orjson
import polars as pl

from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.answers import MissingError
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.destinations.activecampaign.eraser import ContactEraser
from caspio_sync.destinations.activecampaign.event_host import CONNECTIONS
from caspio_sync.destinations.activecampaign.event_names import EventNames, require_tracking
from caspio_sync.destinations.activecampaign.event_values import EVENT_VALUES, VALUE_BYTES
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.writes import Write
from caspio_sync.errors import PermanentError
from caspio_sync.kinds.events.definition import EVENT_NAME, EventSync
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.mapping.field import Strict
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import KEY, MappedColumn
from caspio_sync.wire.http import RateLimit, RefusedError
from caspio_sync.wire.taken import Taken

EVENT = Envelope("events", 1, 10_000, target="event")
_WINDOW_SECONDS = 10.0  # of several seconds: a rate below one a second is a rate as well


class EventOptions(Strict):
    """What only ActiveCampaign asks of a sync of events.

    Args:
        create: whether names of events are made that are missing there.
        contacts: what becomes of an event whose person is no contact. "await": it is held until there is one; each
            person is asked for, once a run. "ignore": it is sent, and ActiveCampaign keeps it for nobody.
    """

    create: bool = False
    contacts: Literal["await", "ignore"] = "await"


class EventSink(Sink[ActiveCampaignAccount]):
    """Events of one sync."""

    values = EVENT_VALUES
    envelopes = (EVENT,)
    options: ClassVar = EventOptions
    properties_bytes = VALUE_BYTES
    keeps = True

    def __init__(self, sync: EventSync) -> None:
        self._sync = sync
        self._options: EventOptions = vars(sync).get("options") or EventOptions()
        self.when_lost = sync.when_lost
        self.awaits_people = self._options.contacts == "await"

    @classmethod
    async def probe(cls, account: ActiveCampaignAccount) -> str:
        """As `Sink.probe`: whether there is a key for events, and whether they are saved."""
        account.event_host  # noqa: B018 - raises where the settings have no key
        await require_tracking(account)
        return "saves events; its event key is tried by the first one, for no call takes it and saves nothing"

    def limits(self, account: ActiveCampaignAccount) -> SenderLimits:
        """As `Sink.limits`: the event host's own is not documented, so the account's."""
        return SenderLimits(CONNECTIONS, max(1, round(account.calls_per_second * _WINDOW_SECONDS)), _WINDOW_SECONDS)

    def endpoint(self, account: ActiveCampaignAccount) -> "EventsEndpoint":
        """As `Sink.endpoint`."""
        return EventsEndpoint(account)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`."""
        value = value_text(cast("EventMapping", mapping).properties)
        event = pl.struct(pl.col(KEY).alias("email"), pl.col(EVENT_NAME).alias("name"), value.alias("value"))
        return [Write(rows, EVENT, lambda some: some.select(object=event.struct.json_encode()).to_series())]

    def calls(self, account: ActiveCampaignAccount, envelope: Envelope, requests: int) -> tuple[int, float]:  # noqa: ARG002
        """As `Sink.calls`: a call an event."""
        return requests, requests / account.calls_per_second

    def questions(self, account: ActiveCampaignAccount, people: int) -> tuple[int, float]:
        """As `Sink.questions`: a call a person, before the first event leaves."""
        return people, people / account.calls_per_second

    async def there(self, account: ActiveCampaignAccount, keys: Sequence[str]) -> list[bool]:
        """As `Sink.there`."""
        return [await account.people.number(key) is not None for key in keys]

    async def known(self, account: ActiveCampaignAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return sum(await self.there(account, keys))

    async def counted(self, account: ActiveCampaignAccount, keys: Sequence[str]) -> list[int | None]:
        """As `Sink.counted`: two calls a person, for the id and for its log."""
        return [await self._counted(account, key) for key in keys]

    async def _counted(self, account: ActiveCampaignAccount, key: str) -> int | None:
        number = await account.people.number(key)
        if number is None:
            return None
        try:
            doing = "reading the events of a contact"
            rows = await account.client.rows(f"/contacts/{number}/trackingLogs", "trackingLogs", doing)
        except MissingError:
            return None
        names = set(self._sync.taxonomy)
        return sum(str(row.get("type")) in names for row in rows) or None

    def keeper(self, account: ActiveCampaignAccount, mapping: RowMapping) -> EventNames:  # noqa: ARG002
        """As `Sink.keeper`."""
        return EventNames(account, self._sync, create=self._options.create)

    def eraser(self, account: ActiveCampaignAccount) -> ContactEraser:
        """As `Sink.eraser`."""
        return ContactEraser(account)


class EventsEndpoint:
    """The `Endpoint` of events.

    Args:
        account: where they go; it belongs to whoever opened it.
    """

    title = TITLE

    def __init__(self, account: ActiveCampaignAccount) -> None:
        self._account, self._host = account, account.event_host

    async def deliver(self, request: Request, *, seconds: float) -> Taken:  # noqa: ARG002 - a call has its own time
        """As `Endpoint.deliver`: one attempt."""
        (event,) = orjson.loads(request.body)[request.envelope.array]
        await self._host.track(event["email"], event["name"], event["value"] or "")
        return Taken(200, (), RateLimit())

    async def ask(self) -> None:
        """As `Endpoint.ask`: the API, for the event host knows no question.

        Raises:
            ConfigurationError: events are not saved any more.
        """
        await require_tracking(self._account)

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:  # noqa: ARG002
        """As `Endpoint.named`: a request holds one event, and it is that."""
        return {}

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return error.message_text if isinstance(error, RefusedError) else str(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`: the clients are the account's."""


def value_text(columns: Sequence[MappedColumn]) -> pl.Expr:
    """An event's value: that of its one property; of several, a JSON text of those that have one. "" for nothing."""
    if not columns:
        return pl.lit("")
    if len(columns) == 1:
        return _text(columns[0]).fill_null("")
    parts = [
        pl.when(pl.col(each.name).is_not_null()).then(
            pl.struct(pl.col(each.name)).struct.json_encode().str.slice(1).str.strip_suffix("}")
        )
        for each in columns
    ]
    told = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.when(told != "").then(pl.concat_str(pl.lit("{"), told, pl.lit("}"))).otherwise(pl.lit(""))


def _text(column: MappedColumn) -> pl.Expr:
    value = pl.col(column.name)
    if isinstance(column.dtype, pl.List):
        return value.list.join(", ")
    return number_text(value) if column.dtype == pl.Float64 else value.cast(pl.String)
