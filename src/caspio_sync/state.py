"""Where this machine keeps its state, the ledger and the inbox: the settings that all who open one of them share."""

import base64
import binascii
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from caspio_sync.characters import trimmed
from caspio_sync.errors import ConfigurationError
from caspio_sync.places import DEFAULT_HOME, has_inbox, inbox_url, ledger_url

_KEY_BYTES = 32


def _from_home(path: Path) -> Path:
    """`~` as a shell reads it: no shell reads a settings file, and a folder named `~` would hold a second ledger."""
    if path.parts[:1] and path.parts[0].startswith("~"):
        if path.exists():  # made before `~` was read; to leave it would be to send everything again
            raise ValueError(f"{path.absolute()} is there: move it to where ~ shall be, or write {path.absolute()}")
        try:
            return path.expanduser()
        except RuntimeError:
            raise ValueError("nobody of that name has a home here; write the whole path") from None
    return path


Folder = Annotated[Path, AfterValidator(_from_home)]


class TypedSettings(BaseSettings):
    """Settings as people type and paste them."""

    # A mark at the begin, as editors of Windows write it, is no part of the first name.
    model_config = SettingsConfigDict(
        env_file_encoding="utf-8-sig", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without blanks and line ends around a value; an empty one is not set."""
        clean = {name: trimmed(value) if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in clean.items() if value != ""}


def _keys_of_payloads(keys: SecretStr) -> SecretStr:
    """Keys of Fernet, with commas between: 32 bytes each, in base64 with - and _ (its documentation)."""
    for each in keys.get_secret_value().split(","):
        try:
            known = len(base64.b64decode(each.strip(), altchars=b"-_", validate=True))
        except (ValueError, binascii.Error):
            known = 0
        if known != _KEY_BYTES:
            raise ValueError(
                "each key is 32 bytes in base64 (openssl rand -base64 32 | tr +/ -_); put commas between several"
            )
    return keys


PayloadKeys = Annotated[
    Annotated[SecretStr, AfterValidator(_keys_of_payloads)] | None,
    Field(
        validation_alias="CASPIO_SYNC_PAYLOAD_KEYS",
        description="encrypt rows that webhooks told whole while they wait; `caspio-sync webhooks install` makes one",
    ),
]


class StateSettings(TypedSettings):
    """Where state is, and what opens it."""

    home: Folder = Field(default=DEFAULT_HOME, validation_alias="CASPIO_SYNC_HOME")
    ledger: str | None = Field(default=None, validation_alias="CASPIO_SYNC_LEDGER_URL")
    inbox_max_gb: float = Field(
        default=20.0,
        gt=0,
        validation_alias="CASPIO_SYNC_INBOX_MAX_GB",
        description="10^9 bytes that the inbox may hold; above them the receiver answers 503, and Braze sends again "
        "for 5 days",
    )

    payload_keys: PayloadKeys = None

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger: PostgreSQL where one is set, else a SQLite file below `home`."""
        return ledger_url(self.home, self.ledger)

    @property
    def inbox_url(self) -> str:
        """SQLAlchemy URL of what Braze posted: the ledger's PostgreSQL, else a SQLite file of its own below `home`."""
        return inbox_url(self.home, self.ledger)

    @property
    def has_inbox(self) -> bool:
        """Whether anything may have been posted or polled already."""
        return has_inbox(self.home, self.ledger)

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger already; a dry run does not make one."""
        return self.ledger is not None or (self.home / "ledger.db").is_file()


def state_folder(folder: Path) -> Path:
    """A folder for what the product keeps, made where it is not there.

    Raises:
        ConfigurationError: it cannot be made, or not be written.
    """
    why = "it is read-only"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = str(error.strerror)
    else:
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ConfigurationError(
        f"the state folder {folder} cannot be used: {why}. Give this user the right to write there, or name another "
        "one: CASPIO_SYNC_HOME"
    )
