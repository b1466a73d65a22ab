"""What a run knows of where its rows go: the destination's word on everything that is its own law."""

from dataclasses import dataclass

from caspio_sync import registry
from caspio_sync.consent import ConsentRules
from caspio_sync.mapping.definition import Sync


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that takes rows.

    Args:
        name: as `destination:` in a sync file says it.
        title: as people say it.
        consent: what it makes of consent states.
    """

    name: str
    title: str
    consent: ConsentRules


def destination_of(sync: Sync) -> Destination:
    """Where the rows of a sync go.

    Raises:
        ConfigurationError: there is no such destination; the message names those there are.
    """
    found: Destination = registry.load(registry.DESTINATIONS, sync.destination, "destination")
    return found
