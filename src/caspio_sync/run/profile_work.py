"""What a run of a profile sync keeps besides what every run does."""

from functools import cached_property

from caspio_sync.clients.braze_answers import IDENTITY_LIMIT
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.profiles import ProfileMapping
from caspio_sync.run.context import Opening, Work
from caspio_sync.run.verification.reading_back import ProfilesReadBack


class ProfileWork(Work):
    """What identifying new rows goes by; its calls keep one pace over all batches.

    Args:
        opening: of the run.
        definition: the sync.

    Attributes:
        identify: paces the calls that give ids to profiles.
    """

    def __init__(self, opening: Opening, definition: ProfileSync) -> None:
        self.definition = definition
        self.identify = PacedCalls(IDENTITY_LIMIT, opening.clock)
        self._opening = opening

    @cached_property
    def read_back(self) -> ProfilesReadBack:
        """Looks new rows up; made for the first of them."""
        opening = self._opening
        return ProfilesReadBack(opening.clients.braze, self.definition.identity, [], opening.clock)


async def profile_work(opening: Opening, definition: ProfileSync, _mapping: ProfileMapping) -> ProfileWork:
    """The work of a profile sync."""
    return ProfileWork(opening, definition)
