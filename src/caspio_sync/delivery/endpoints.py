"""Where requests go: the users of a workspace, or the items of its catalogs."""

from typing import Protocol

import orjson

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.braze_answers import TrackAnswer, TrackRefusedError
from caspio_sync.clients.braze_catalog_answers import CatalogRefusedError, CatalogWriteAnswer
from caspio_sync.clients.braze_catalogs import CatalogClient
from caspio_sync.delivery.requests import Request
from caspio_sync.errors import ConfigurationError, PermanentError

Taken = TrackAnswer | CatalogWriteAnswer


class Endpoint(Protocol):
    """Something that takes requests, one attempt a call."""

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """Send a request.

        Args:
            request: whose body is sent.
            seconds: for the answer.

        Raises:
            TransientError: another attempt may help.
            PermanentError: the whole request was refused.
            ConfigurationError: nothing of this kind will be taken until a person has changed something.
        """
        ...

    async def ask(self) -> None:
        """Ask for something that writes nothing and costs nothing, to hear whether it is Braze who answers.

        Raises:
            ForeignAnswerError: it is not.
            TransientError, ConfigurationError: as `deliver`.
        """
        ...

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        """Indexes of the objects that the refusal of a request names, and Braze's words for each."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class TrackEndpoint:
    """POST /users/track."""

    def __init__(self, client: BrazeClient) -> None:
        self._client = client

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """As `Endpoint.deliver`."""
        return await self._client.track(request.body, sent={request.envelope.array: request.count}, seconds=seconds)

    async def ask(self) -> None:
        """As `Endpoint.ask`."""
        await self._client.probe_track()

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        """As `Endpoint.named`."""
        entries = error.errors if isinstance(error, TrackRefusedError) else ()
        return {
            each.index: each.type
            for each in entries
            if each.index is not None
            and each.index < request.count
            and each.input_array in {None, request.envelope.array}
        }

    async def aclose(self) -> None:
        """As `Endpoint.aclose`."""
        await self._client.aclose()


class ItemsEndpoint:
    """PUT, PATCH and DELETE /catalogs/{name}/items: a request is taken whole, or refused whole (Braze, 9.2)."""

    def __init__(self, client: CatalogClient) -> None:
        self._client = client

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """As `Endpoint.deliver`."""
        envelope = request.envelope
        assert envelope.catalog is not None
        assert envelope.method != "POST"
        try:
            return await self._client.write_items(envelope.method, envelope.catalog, request.body, seconds=seconds)
        except CatalogRefusedError as refused:
            if refused.catalog_missing:
                raise ConfigurationError(
                    f"the catalog '{envelope.catalog}' is gone from Braze, deleted while the run was under way. "
                    "Run the sync again: it makes the catalog anew and sends every item"
                ) from refused
            if refused.storage_full:
                raise ConfigurationError(
                    f"Braze's storage for catalogs is full ({refused.message_text}). What was taken is recorded and "
                    "not sent again; delete catalogs or fields nobody uses, or buy storage, then run the sync again"
                ) from refused
            raise

    async def ask(self) -> None:
        """As `Endpoint.ask`; items are not billed, and the first of them asks as well."""

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:
        """As `Endpoint.named`."""
        if not isinstance(error, CatalogRefusedError) or not error.items:
            return {}
        ids = [orjson.loads(each).get("id") for each in request.objects]
        return {index: error.message_text for index, each in enumerate(ids) if each in error.items}

    async def aclose(self) -> None:
        """As `Endpoint.aclose`."""
        await self._client.aclose()


def endpoint_of(client: BrazeClient | CatalogClient) -> Endpoint:
    """The endpoint behind a client."""
    return ItemsEndpoint(client) if isinstance(client, CatalogClient) else TrackEndpoint(client)
