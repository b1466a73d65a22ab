"""Where ledger and inbox are, by the state folder and the ledger's URL; and where is posted to."""

import re
from pathlib import Path
from typing import Protocol, TypeVar

from caspio_sync.private_files import close_to_others

POSTS_PATH = re.compile(r"/in/[a-z0-9][a-z0-9_-]{0,63}")  # where any system posts to
DEFAULT_HOME, DEFAULT_SYNCS = Path(".caspio-sync"), Path("syncs")


def ledger_url(home: Path, ledger: str | None) -> str:
    """SQLAlchemy URL of the ledger: PostgreSQL where one is set, else a SQLite file below `home`."""
    return ledger or f"sqlite:///{home / 'ledger.db'}"


def inbox_url(home: Path, ledger: str | None) -> str:
    """SQLAlchemy URL of what was posted: the ledger's PostgreSQL, else a SQLite file of its own below `home`."""
    return ledger if ledger and not _is_sqlite(ledger) else f"sqlite:///{home / 'inbox.db'}"


def has_inbox(home: Path, ledger: str | None) -> bool:
    """Whether anything may have been posted or polled already."""
    return not _is_sqlite(inbox_url(home, ledger)) or (home / "inbox.db").is_file()


def _is_sqlite(url: str) -> bool:
    """As `ledger.engine.database_url` reads it, without SQLAlchemy."""
    return url.strip().lower().startswith("sqlite")


class Placed(Protocol):
    """Settings that say where state is."""

    @property
    def home(self) -> Path:
        """The state folder."""

    @property
    def ledger_url(self) -> str:
        """Of the ledger."""

    @property
    def inbox_url(self) -> str:
        """Of the inbox."""


S = TypeVar("S", bound=Placed)


def closed(settings: S) -> S:
    """The settings, and what was made by them before is readable by its owner alone."""
    # The sandbox's and the demo's state lies below the usual folder, whatever `home` is.
    for home in {settings.home, DEFAULT_HOME}:
        close_to_others(home, (settings.ledger_url, settings.inbox_url))
    return settings
