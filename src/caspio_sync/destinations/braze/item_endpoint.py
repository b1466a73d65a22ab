"""Where requests to Braze go that are about the items of a catalog."""

import orjson
from pydantic import SecretStr

from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.braze.answers import refusal_text
from caspio_sync.destinations.braze.catalog_answers import CatalogRefusedError
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.wire.taken import Taken


class ItemsEndpoint:
    """PUT, PATCH and DELETE /catalogs/{name}/items: a request is taken whole, or refused whole (Braze, 9.2)."""

    title = "Braze"

    def __init__(self, client: CatalogClient) -> None:
        self._client = client

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """As `Endpoint.deliver`."""
        envelope = request.envelope
        assert envelope.method != "POST"
        try:
            return await self._client.write_items(envelope.method, envelope.target, request.body, seconds=seconds)
        except CatalogRefusedError as refused:
            if refused.catalog_missing:
                raise ConfigurationError(
                    f"the catalog '{envelope.target}' is gone from Braze, deleted while the run was under way. "
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

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return refusal_text(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`."""
        await self._client.aclose()


def items(*, endpoint: str, api_key: str, clients: int) -> ItemsEndpoint:
    """The endpoint for items, in a process of its own."""
    return ItemsEndpoint(CatalogClient(endpoint=endpoint, api_key=SecretStr(api_key), clients=clients))
