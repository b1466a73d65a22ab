"""An endpoint, as one sync means it: where it is stands in the sync file, the secrets in the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.http.client import HttpClient
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import Transport


@dataclass(kw_only=True, eq=False)
class HttpAccount(Closing):
    """An endpoint.

    Args:
        address: scheme and host of where rows go; "" without a sync.
        sync: says where it is; None where no sync is meant, and then there is nothing to call.
        place: `file:line` of `auth`, for people.
        secrets: by the names that sync files have for them.
        clock: by which calls are signed.
        transport: makes what answers the client instead of the network.
    """

    address: str
    sync: HttpSync | None
    place: str
    secrets: Mapping[str, SecretStr]
    clock: Clock
    transport: Callable[[], Transport] | None = None

    @property
    def secret(self) -> str:
        """By which it is told from others at the same host: its secrets, and where the rows go there."""
        return "\n".join([*self.client.credentials.known, self.sync.request.url]) if self.sync else ""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Nothing: the templates of a sync are read where it runs."""
        return {}

    @cached_property
    def client(self) -> HttpClient:
        """For every call.

        Raises:
            ConfigurationError: a secret that the sync names is not there.
        """
        if self.sync is None:
            raise ConfigurationError("no sync says where the endpoint is")
        transport = None if self.transport is None else self.transport()
        return HttpClient(self.sync, self.secrets, place=self.place, clock=self.clock, transport=transport)

    def take_share(self, share: float) -> None:
        """As `Account.take_share`: rows are all that is sent; the sender takes the share."""

    async def aclose(self) -> None:
        """Close the client."""
        if "client" in self.__dict__:
            await self.client.aclose()
