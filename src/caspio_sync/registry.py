"""Which kinds of sync and which destinations there are: names, and where each one is. The only tables by name.

A name is looked up when a sync file bears it, so that what no file names is never imported.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from caspio_sync.errors import ConfigurationError

DEFAULT_DESTINATION = "braze"  # of a sync file that names none
DEFAULT_TITLE = "Braze"  # of a report that names none: there was no other

# Name in a sync file → `module:attribute`.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "profiles": "caspio_sync.kinds.profiles.kind:PROFILES",
        "catalog": "caspio_sync.kinds.catalog.kind:CATALOG",
        "engagement": "caspio_sync.kinds.engagement.kind:ENGAGEMENT",
        "events": "caspio_sync.kinds.events.kind:EVENTS",
        "purchases": "caspio_sync.kinds.events.kind:PURCHASES",
        "deals": "caspio_sync.kinds.deals.kind:DEALS",
        "triggers": "caspio_sync.kinds.events.kind:TRIGGERS",
    }
)
CLAIMED_TOGETHER: Mapping[str, str] = MappingProxyType({"purchases": "events", "triggers": "events"})
"""Kinds that may write what another kind writes, and which one (`Sync.claims`); the others write apart."""
WRITTEN_THERE = frozenset({"profiles", "catalog", "events", "purchases", "deals", "triggers"})
"""Kinds that write at their destination: of two syncs with different ones, neither writes what the other does."""
DESTINATIONS: Mapping[str, str] = MappingProxyType(
    {
        "braze": "caspio_sync.destinations.braze.destination:BRAZE",
        "activecampaign": "caspio_sync.destinations.activecampaign.destination:ACTIVECAMPAIGN",
        "http": "caspio_sync.destinations.http.destination:HTTP",
    }
)
PLAIN: Mapping[str, str] = MappingProxyType(
    {
        "braze": "caspio_sync.destinations.braze.plain:PLAIN",
        "activecampaign": "caspio_sync.destinations.activecampaign.plain:PLAIN",
    }
)
"""What is known of a destination before it is loaded; one that is not here is loaded to ask it."""


def load(table: Mapping[str, str], name: str, what: str) -> Any:
    """What is registered under a name.

    Args:
        table: `KINDS` or `DESTINATIONS`.
        name: as a sync file bears it.
        what: what the table holds, for people, such as "kind of sync".

    Raises:
        ConfigurationError: nothing is registered under it; the message names what is.
    """
    if name not in table:
        raise ConfigurationError(f"'{name}' is no {what}; there are: {', '.join(table)}")
    return found(table[name])


class Loaded(Mapping[str, Any]):
    """What addresses stand for, by name; each is imported when it is asked for."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)

    def __getitem__(self, name: str) -> Any:
        return found(self._addresses[name])

    def __contains__(self, name: object) -> bool:
        return name in self._addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __len__(self) -> int:
        return len(self._addresses)


def found(address: str) -> Any:
    """What is at an address, such as "caspio_sync.kinds.profiles.line:PROFILES"; its module is imported."""
    module, _, attribute = address.partition(":")
    return getattr(import_module(module), attribute)
