"""What a run of a profile sync keeps besides what every run does."""

from functools import cached_property

from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.run.context import Opening, Work
from caspio_sync.run.destination import KnownByAddress


class ProfileWork(Work):
    """What identifying new rows goes by; its calls keep one pace over all batches.

    Args:
        opening: of the run.
        definition: the sync.
    """

    def __init__(self, opening: Opening, definition: ProfileSync) -> None:
        self.definition = definition
        self._opening = opening

    @cached_property
    def known(self) -> KnownByAddress:
        """Finds who is known by an address alone; made for the first new row."""
        return self._opening.sink.known_by_address(self._opening.clients.account)


async def profile_work(opening: Opening, definition: ProfileSync, _mapping: ProfileMapping) -> ProfileWork:
    """The work of a profile sync."""
    return ProfileWork(opening, definition)
