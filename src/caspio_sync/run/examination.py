"""What `check` looks at for the sake of a kind, besides what it looks at of every sync."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.run.finding import Finding
from caspio_sync.run.prepared import Prepared
from caspio_sync.settings import Settings


@dataclass(frozen=True, slots=True)
class Examination:
    """What `check` looks at of a kind. Both raise a CaspioSyncError where they are refused.

    Args:
        account: whether the account's key may do what the kind needs; told whom to write a test to, None for nobody.
        sync: one sync, held against its table and what it goes to; nothing is changed.
    """

    account: Callable[[Settings, str | None], Awaitable[list[Finding]]]
    sync: Callable[[Prepared, Settings, CaspioClient], Awaitable[list[Finding]]]
