"""Where requests to Braze go that are about users; a module that loads no frames, for the process that sends."""

from pydantic import SecretStr

from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.braze.answers import TrackRefusedError, refusal_text
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import PermanentError
from caspio_sync.wire.taken import Taken


class TrackEndpoint:
    """POST /users/track."""

    title = "Braze"

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

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return refusal_text(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`."""
        await self._client.aclose()


def users(*, endpoint: str, api_key: str, clients: int) -> TrackEndpoint:
    """The endpoint for profiles, in a process of its own."""
    return TrackEndpoint(BrazeClient(endpoint=endpoint, api_key=SecretStr(api_key), clients=clients))
