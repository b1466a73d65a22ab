"""Settings that are plainly right, read without pydantic: its import alone takes longer than all that `status` does.

What is plain is a matter of form: a whole number, an https address, a folder that does not begin with `~`. Whatever is
written otherwise is pydantic's, which reads it or says what is wrong with it (`UnusualError`). So settings have one
judge, and nothing is read here that pydantic reads otherwise; tests/unit/test_plain_settings.py holds both together.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caspio_sync.characters import trimmed
from caspio_sync.env_file import env_file_named, read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.places import DEFAULT_HOME, DEFAULT_SYNCS, has_inbox, inbox_url, ledger_url
from caspio_sync.sync_files import SyncFiles, sync_files_of

Forms = Mapping[str, re.Pattern[str]]  # by variable: what is plain

_LABEL = r"(?!xn--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?"
ANYTHING = re.compile(r"(?s).+")
ADDRESS = re.compile(rf"(https://({_LABEL}\.)+[a-z]{{2,63}}|https?://(localhost|127\.0\.0\.1)){_PORT}/?")
COUNT = re.compile(r"[1-9][0-9]{0,8}")
COUNT_OR_NONE = re.compile(r"0|[1-9][0-9]{0,8}")
AMOUNT = re.compile(r"[1-9][0-9]{0,5}(\.[0-9]{1,6})?")
_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1)[:/]?.*")
_FOLDER = re.compile(r"(?s)(?![./]*~).+")
_YES_OR_NO = re.compile(r"(?i)true|false|1|0")

LOCAL: Forms = {
    "CASPIO_SYNC_HOME": _FOLDER,
    "CASPIO_SYNC_LEDGER_URL": ANYTHING,
    "CASPIO_SYNC_INBOX_MAX_GB": AMOUNT,
    "CASPIO_SYNC_PAYLOAD_KEYS": re.compile(r"[A-Za-z0-9_-]{43}="),
    "CASPIO_SYNC_ALLOW_HTTP": _YES_OR_NO,
    "CASPIO_INTEGRATION_URL": ADDRESS,
    "CASPIO_CALLS_PER_DAY": COUNT_OR_NONE,
    "CASPIO_SYNC_SYNCS": _FOLDER,
    "CASPIO_SYNC_SANDBOX": _YES_OR_NO,
    "CASPIO_SYNC_FILE": ANYTHING,
    "CASPIO_SYNC_NOTIFY_URL": ANYTHING,
    "CASPIO_SYNC_KEEP_DAYS": COUNT,
    "CASPIO_SYNC_KEEP_PREFECT_DAYS": COUNT,
    "CASPIO_SYNC_KEEP_INBOX_DAYS": COUNT,
    "CASPIO_SYNC_NOTIFY_SHARE": re.compile(r"[0-9]{1,2}(\.[0-9]{1,6})?"),
}
"""What `LocalSettings` reads."""
OF_A_RUN: Forms = {
    "CASPIO_CLIENT_ID": ANYTHING,
    "CASPIO_CLIENT_SECRET": ANYTHING,
    "CASPIO_CALLS_PER_SECOND": re.compile(r"0|[1-9][0-9]{0,5}(\.[0-9]{1,6})?"),
    "CASPIO_CALLS_PER_WINDOW": COUNT_OR_NONE,
    "CASPIO_CONNECTIONS": re.compile(r"[1-9]|1[0-6]"),
    "CASPIO_SYNC_PRIVATE": re.compile(r"(?!)"),  # pydantic reads it
    "CASPIO_SYNC_SENDER": re.compile(r"(?i)auto|inline|process"),
}
"""What `Settings` reads besides."""
_NEEDED = ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET")


class UnusualError(Exception):
    """Something in the settings is not plain: pydantic has to read it."""


@dataclass(frozen=True, slots=True)
class PlainDestination:
    """What is known of a destination before it is loaded.

    Args:
        title: as people say it.
        forms: its own variables.
        key: the variable of the secret that one account has.
        address: the URL of the account that these variables name; None where they name none.
    """

    title: str
    forms: Forms
    key: str
    address: Callable[[Mapping[str, str]], str | None]


@dataclass(frozen=True, slots=True)
class PlainSettings:
    """As `settings.LocalSettings`, as far as looking needs it.

    Args:
        values: every variable that is set, by its name in capitals.
    """

    values: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        _refuse_unusual(self.values, LOCAL)

    @property
    def home(self) -> Path:
        """The state folder."""
        return Path(self.values.get("CASPIO_SYNC_HOME", DEFAULT_HOME))

    @property
    def syncs(self) -> Path:
        """The folder of sync files."""
        return Path(self.values.get("CASPIO_SYNC_SYNCS", DEFAULT_SYNCS))

    @property
    def sandbox(self) -> bool:
        """Whether both accounts are the sandbox's."""
        return self.values.get("CASPIO_SYNC_SANDBOX", "0").lower() in {"1", "true"}

    @property
    def caspio_integration_url(self) -> str:
        """Address of the Caspio account; "" where none is named."""
        return self.values.get("CASPIO_INTEGRATION_URL", "")

    @property
    def caspio_calls_per_day(self) -> int | None:
        """Calls a UTC day to it, of all syncs on the ledger; None for no limit."""
        return int(self.values.get("CASPIO_CALLS_PER_DAY", "0")) or None

    @property
    def ledger_url(self) -> str:
        """URL of the ledger."""
        return ledger_url(self.home, self.values.get("CASPIO_SYNC_LEDGER_URL"))

    @property
    def inbox_url(self) -> str:
        """URL of what was posted to us."""
        return inbox_url(self.home, self.values.get("CASPIO_SYNC_LEDGER_URL"))

    @property
    def has_inbox(self) -> bool:
        """Whether anything may have been posted or polled already."""
        return has_inbox(self.home, self.values.get("CASPIO_SYNC_LEDGER_URL"))

    @property
    def sync_files(self) -> SyncFiles:
        """The sync files there are."""
        outside = self.values.get("CASPIO_SYNC_FILE")
        return sync_files_of(self.syncs, None if outside is None else Path(outside), sandbox=self.sandbox)

    def sync_file(self, name: str) -> Path:
        """The file of a sync by its name; as `SyncFiles.path`."""
        return self.sync_files.path(name)

    def account(self, destination: PlainDestination) -> tuple[str, str]:
        """Address and key of the account at a destination, where a run would find its settings complete.

        Raises:
            ConfigurationError: a variable that a run needs is not set.
            UnusualError: one of them is not plain.
        """
        _refuse_unusual(self.values, {**OF_A_RUN, **destination.forms})
        address = destination.address(self.values)
        missing = [name for name in (*_NEEDED, destination.key) if name not in self.values]
        if missing or address is None:
            raise ConfigurationError(f"not set: {', '.join(missing) or f'the address of {destination.title}'}")
        if self.sandbox and not all(_LOOPBACK.fullmatch(each) for each in (address, self.caspio_integration_url)):
            raise UnusualError
        return address, self.values[destination.key]


def plain_settings() -> PlainSettings:
    """The settings of this process, from the places that `settings.local_settings` reads.

    Raises:
        ConfigurationError: the settings file cannot be read.
        UnusualError: something in them is not plain.
    """
    named = env_file_named()
    if named is not None and not named.is_file():
        raise UnusualError
    file = {name.upper(): value for name, value in read_env_file(settings_file()).items() if value}
    given = {name.upper(): value for name, value in os.environ.items() if value}
    values = {name: trimmed(value) for name, value in {**file, **given}.items()}
    return PlainSettings({name: value for name, value in values.items() if value})


def _refuse_unusual(values: Mapping[str, str], forms: Forms) -> None:
    if any(name in values and not form.fullmatch(values[name]) for name, form in forms.items()):
        raise UnusualError
