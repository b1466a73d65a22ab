"""What `check` looks at for the sake of a kind, besides what it looks at of every sync."""

from typing import Protocol

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared
from caspio_sync.settings import Settings


class Examine(Protocol):
    """Looks at one sync, held against its table and what it goes to; nothing is changed."""

    async def __call__(self, prepared: Prepared, settings: Settings, caspio: CaspioClient) -> list[Finding]:
        """What was found.

        Raises:
            ConfigurationError, TransientError: a run would be refused.
        """
        ...
