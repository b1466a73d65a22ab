"""A Braze workspace: one client for each group of its endpoints, made when it is first needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.engagement_client import BrazeEngagementClient
from caspio_sync.destinations.braze.sending_client import SendingClient
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import Transport

C = TypeVar("C", BrazeClient, CatalogClient, BrazeEngagementClient, SendingClient)


@dataclass(kw_only=True, eq=False)
class BrazeAccount(Closing):
    """A workspace, as the settings name it.

    Args:
        address: REST address of the instance.
        api_key: REST API key, which belongs to one workspace.
        clock: tells the time by which dates in headers become waits.
        connections: requests in flight at the most, a client.
        track_limit: requests to /users/track in 3 s, until an answer says otherwise.
        transport: makes what answers a client instead of the network.
    """

    address: str
    api_key: SecretStr
    clock: Clock
    connections: int = 64
    track_limit: int = 3000
    transport: Callable[[], Transport] | None = None

    def __post_init__(self) -> None:
        self._made: list[BrazeClient | CatalogClient | BrazeEngagementClient | SendingClient] = []

    @property
    def secret(self) -> str:
        """By which the workspace is known."""
        return self.api_key.get_secret_value()

    @property
    def arguments(self) -> Mapping[str, Any]:
        """By which a process of its own reaches it."""
        return {"endpoint": self.address, "api_key": self.secret, "clients": self.connections}

    @cached_property
    def users(self) -> BrazeClient:
        """For profiles."""
        return self._kept(self.new_users())

    @cached_property
    def catalogs(self) -> CatalogClient:
        """For catalogs and their items."""
        return self._kept(self.new_catalogs())

    @cached_property
    def engagement(self) -> BrazeEngagementClient:
        """For what the workspace tells of engagement."""
        return self._kept(BrazeEngagementClient(**self._arguments()))

    def new_users(self) -> BrazeClient:
        """A client for profiles, which whoever asked for it closes."""
        return BrazeClient(**self._arguments())

    def new_catalogs(self) -> CatalogClient:
        """A client for catalogs, which whoever asked for it closes."""
        return CatalogClient(**self._arguments())

    @cached_property
    def sending(self) -> SendingClient:
        """For messages that a call triggers."""
        return self._kept(self.new_sending())

    def new_sending(self) -> SendingClient:
        """A client for messages, which whoever asked for it closes."""
        return SendingClient(**self._arguments())

    def take_share(self, share: float) -> None:
        """As `Account.take_share`: each of its endpoints has a limit of its own; the sender takes the share."""

    async def aclose(self) -> None:
        """Close every client that was made."""
        for client in self._made:
            await client.aclose()

    def _kept(self, client: C) -> C:
        self._made.append(client)
        return client

    def _arguments(self) -> dict[str, Any]:
        return {
            "endpoint": self.address,
            "api_key": self.api_key,
            "clock": self.clock,
            "clients": self.connections,
            "transport": None if self.transport is None else self.transport(),
        }


def braze(account: object) -> BrazeAccount:
    """The account of a run whose rows go to Braze."""
    return cast("BrazeAccount", account)
