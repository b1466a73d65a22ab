"""Messages in Braze that a call triggers: campaigns, Canvases, transactional e-mail (Braze, 13)."""

import json
import re
from collections.abc import Callable, Sequence
from typing import cast

import orjson
import polars as pl

from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.event_values import TRIGGER_BYTES, TRIGGER_VALUES
from caspio_sync.destinations.braze.events import OccurrenceSink, properties_text
from caspio_sync.destinations.braze.objects import identifier_expression
from caspio_sync.destinations.braze.requests import REQUEST_BYTES
from caspio_sync.destinations.braze.sending_client import CAMPAIGN, CANVAS, SendingClient, transactional
from caspio_sync.engine.writes import Write
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.kinds.events.triggers_definition import TriggerSync
from caspio_sync.kinds.events.work import VERSION
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import SOURCE_PK, MappedColumn
from caspio_sync.wire.http import RefusedError
from caspio_sync.wire.taken import Taken

RECIPIENTS = 50  # of one request
CALLS_PER_HOUR = 250_000  # the pool of individual recipients (Braze, 2.1)
_HOUR = 3600.0
_MESSAGES = "messages"  # of a request of ours; Braze takes each alone
_LATEST = '"prioritization":["most_recently_updated"]'  # of several profiles with one address a single one is meant
_NO_PART = re.compile(r"[^A-Za-z0-9_-]")  # of an external_send_id


class TriggerEndpoint:
    """The calls that send messages."""

    title = "Braze"

    def __init__(self, client: SendingClient, path: str) -> None:
        self._client = client
        self._path = path

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """As `Endpoint.deliver`."""
        body = request.body
        if request.envelope.array == _MESSAGES:  # a transactional message is the whole body
            (body,) = (orjson.dumps(each) for each in orjson.loads(body)[request.envelope.array])
        return await self._client.send(self._path, body, seconds=seconds)

    async def ask(self) -> None:
        """As `Endpoint.ask`."""
        await self._client.ask(self._path)

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:  # noqa: ARG002 - it blames nobody
        """As `Endpoint.named`: a request is refused as a whole."""
        return {}

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return error.message_text if isinstance(error, RefusedError) and error.message_text else "refused"

    async def aclose(self) -> None:
        """As `Endpoint.aclose`."""
        await self._client.aclose()


class TriggerSink(OccurrenceSink):
    """Messages of one campaign or Canvas, a row a recipient."""

    values = TRIGGER_VALUES
    endpoint_place = ""
    properties_bytes = TRIGGER_BYTES
    most_objects = RECIPIENTS

    def __init__(self, sync: TriggerSync) -> None:
        super().__init__(sync)
        self._sync = sync
        self._path = CANVAS if sync.canvas_id is not None else CAMPAIGN
        if sync.transactional:
            self._path = transactional(sync.target)
        named = {"canvas_id": sync.canvas_id, "campaign_id": sync.campaign_id, "send_id": sync.send_id}
        head = "".join(f'"{name}":{json.dumps(value)},' for name, value in named.items() if value is not None)
        self.envelopes = (
            Envelope(_MESSAGES, 1, REQUEST_BYTES)
            if sync.transactional
            else Envelope("recipients", RECIPIENTS, REQUEST_BYTES, head=head, one_a_key=True),
        )

    @classmethod
    async def probe(cls, account: BrazeAccount) -> str:
        """As `Sink.probe`."""
        return f"takes the key, which may send messages ({', '.join(await account.sending.allowed())})"

    def limits(self, account: BrazeAccount) -> SenderLimits:
        """As `Sink.limits`."""
        return SenderLimits(account.connections, CALLS_PER_HOUR, _HOUR)

    def endpoint(self, account: BrazeAccount) -> TriggerEndpoint:  # type: ignore[override]
        """As `Sink.endpoint`."""
        return TriggerEndpoint(account.new_sending(), self._path)

    async def counted(self, account: BrazeAccount, keys: Sequence[str]) -> list[int | None]:  # noqa: ARG002
        """As `Sink.counted`.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "Braze does not tell by person which messages a call has triggered; an engagement sync brings back who "
            "received the campaign"
        )

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`."""
        properties = properties_text(cast("EventMapping", mapping).properties)
        recipient = self._message(properties) if self._sync.transactional else self._recipient(properties)
        return [Write(rows, self.envelopes[0], lambda some: some.select(object=recipient).to_series())]

    def price(
        self,
        rows: pl.DataFrame,  # noqa: ARG002
        columns: Sequence[MappedColumn],  # noqa: ARG002
        travels: Callable[[str], str] | None,  # noqa: ARG002
    ) -> pl.Expr:
        """As `Sink.price`: a message is no data point (Braze, 15); what it costs, its channel's contract says."""
        return pl.lit(0)

    def _who(self) -> pl.Expr:
        identity = self._identity
        named = identifier_expression(identity.kind, identity.label)
        named = named.alias("external_user_id") if identity.kind == "external_id" else named
        return pl.struct(named).struct.json_encode()

    def _recipient(self, properties: pl.Expr) -> pl.Expr:
        word = "context" if self._sync.canvas_id is not None else "trigger_properties"
        meant = f",{_LATEST}" if self._identity.kind == "email" else ""
        head = pl.concat_str(self._who().str.strip_suffix("}"), pl.lit(f'{meant},"{word}":'))
        return pl.concat_str(head, properties, pl.lit("}"))

    def _message(self, properties: pl.Expr) -> pl.Expr:
        """A message with its key: the row's, and its version where each is a message of its own."""
        parts = [pl.lit(f"{_NO_PART.sub('_', self._sync.name)}-"), pl.col(SOURCE_PK).cast(pl.String)]
        if self._sync.on_update != "ignore":
            parts += [pl.lit("-"), pl.col(VERSION).bin.encode("hex")]
        return pl.concat_str(
            pl.lit('{"external_send_id":"'),
            *parts,
            pl.lit('","recipient":'),
            self._who(),
            pl.lit(',"trigger_properties":'),
            properties,
            pl.lit("}"),
        )
