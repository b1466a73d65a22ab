"""An ActiveCampaign account: one client for everything, for its calls have one limit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.activecampaign.automations import Automations
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.activecampaign.deal_directory import DealDirectory
from caspio_sync.destinations.activecampaign.directory import Directory
from caspio_sync.destinations.activecampaign.event_host import EventHost
from caspio_sync.destinations.activecampaign.known_people import KnownPeople
from caspio_sync.destinations.activecampaign.memberships import Memberships
from caspio_sync.destinations.activecampaign.settings import EVENT_URL
from caspio_sync.destinations.activecampaign.tags import Tags
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import Transport


@dataclass(kw_only=True, eq=False)
class ActiveCampaignAccount(Closing):
    """An account, as the settings name it.

    Args:
        address: its API URL.
        key: API key of a user.
        clock: all waiting goes through it.
        calls_per_second: of the account's 5.
        event_address: of the host that takes events.
        event_id: the account's, as that host knows it; None where no event is sent.
        event_key: proves it; likewise.
        transport: makes what answers a client instead of the network.
    """

    address: str
    key: SecretStr
    clock: Clock
    calls_per_second: float = 4.0
    event_address: str = EVENT_URL
    event_id: str | None = None
    event_key: SecretStr | None = None
    transport: Callable[[], Transport] | None = None
    _share: float = field(default=1.0, init=False)

    @property
    def secret(self) -> str:
        """By which the account is told from another one at the same address."""
        return self.key.get_secret_value()

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Nothing: its calls have one pace, which two processes cannot keep together."""
        return {}

    @cached_property
    def client(self) -> ActiveCampaignClient:
        """For every call."""
        made = ActiveCampaignClient(
            url=self.address,
            key=self.key,
            clock=self.clock,
            calls_per_second=self.calls_per_second,
            transport=None if self.transport is None else self.transport(),
        )
        made.take_share(self._share)
        return made

    @cached_property
    def directory(self) -> Directory:
        """Which ids its fields and lists have."""
        return Directory(self.client)

    @cached_property
    def tags(self) -> Tags:
        """Which ids its tags have, and who has them."""
        return Tags(self.client)

    @cached_property
    def memberships(self) -> Memberships:
        """Who is put on its lists, and taken off them."""
        return Memberships(self.client, self.directory)

    @cached_property
    def automations(self) -> Automations:
        """Which ids its automations have, and who enters them."""
        return Automations(self.client)

    @cached_property
    def deals(self) -> DealDirectory:
        """Which ids its pipelines, stages and fields of deals have."""
        return DealDirectory(self.client)

    @cached_property
    def people(self) -> KnownPeople:
        """Whom it has, by address; each is asked for once."""
        return KnownPeople(self.client)

    @cached_property
    def event_host(self) -> EventHost:
        """For events; whoever sends them keeps their pace.

        Raises:
            ConfigurationError: the settings name no event key.
        """
        if not self.event_id or self.event_key is None or not self.event_key.get_secret_value():
            raise ConfigurationError(
                "ACTIVECAMPAIGN_EVENT_ID, ACTIVECAMPAIGN_EVENT_KEY: not set, and events go to a host with a key of its "
                "own; both stand under Website > Site Tracking > Event Tracking"
            )
        return EventHost(
            url=self.event_address,
            event_id=self.event_id,
            key=self.event_key,
            clock=self.clock,
            transport=None if self.transport is None else self.transport(),
        )

    def take_share(self, share: float) -> None:
        """As `Account.take_share`."""
        self._share = share
        if "client" in self.__dict__:
            self.client.take_share(share)

    async def aclose(self) -> None:
        """Close the clients."""
        for name in ("client", "event_host"):
            if name in self.__dict__:
                await getattr(self, name).aclose()
