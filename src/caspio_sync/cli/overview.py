"""What `status`, `runs` and `show` look at: the settings, and the ledger as it stands."""

import contextlib
from collections.abc import Iterator

from caspio_sync.clock import CLOCK
from caspio_sync.dashboard.sync_state import LookingSettings
from caspio_sync.ledger.overview import Overview
from caspio_sync.places import closed
from caspio_sync.plain_settings import UnusualError, plain_settings


def looking_settings() -> LookingSettings:
    """The settings of a command that looks at what is on this machine; no key is asked for.

    Raises:
        ConfigurationError: as `settings.local_settings`.
    """
    try:
        return closed(plain_settings())
    except UnusualError:
        from caspio_sync.settings import local_settings

        return local_settings()


@contextlib.contextmanager
def open_overview(settings: LookingSettings) -> Iterator[Overview]:
    """The ledger in the settings, to look at.

    One in PostgreSQL, and an SQLite file that is not ready, are opened as for a run: made, or brought to this version.

    Raises:
        ConfigurationError, TransientError: as `Ledger.open`.
    """
    inbox = settings.home.absolute() / "inbox.db"
    kept = inbox if settings.inbox_url.startswith("sqlite") and inbox.is_file() else None
    with Overview.of_file(settings.ledger_url, CLOCK.get(), inbox=kept) as found:
        if found is not None:
            yield found
            return
    from caspio_sync.cli.look import open_ledger
    from caspio_sync.settings import local_settings

    with open_ledger(local_settings()) as ledger, ledger.overview(inbox=kept) as made:
        yield made
