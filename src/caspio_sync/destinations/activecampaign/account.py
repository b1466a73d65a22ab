"""An ActiveCampaign account: one client for everything, for its calls have one limit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.activecampaign.directory import Directory
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
        transport: makes what answers the client instead of the network.
    """

    address: str
    key: SecretStr
    clock: Clock
    calls_per_second: float = 4.0
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

    def take_share(self, share: float) -> None:
        """As `Account.take_share`."""
        self._share = share
        if "client" in self.__dict__:
            self.client.take_share(share)

    async def aclose(self) -> None:
        """Close the client."""
        if "client" in self.__dict__:
            await self.client.aclose()
