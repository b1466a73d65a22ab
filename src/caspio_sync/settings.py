"""Settings from the environment and `.env`: where the two accounts are, and what may be asked of them.

Plain values leave here; nothing below this layer reads the environment.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from caspio_sync.clients.braze_answers import BRAZE_ENDPOINTS
from caspio_sync.errors import ConfigurationError

ENV_FILE_VARIABLE = "CASPIO_SYNC_ENV_FILE"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")

_Kind = TypeVar("_Kind", bound=BaseSettings)


def _none_if_zero(value: object) -> object:
    return None if value in (0, "0", "") else value


def _bearer_token(token: SecretStr) -> SecretStr:
    """A token by RFC 6750, long enough that nobody guesses it."""
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("16 characters or more, of A-Z a-z 0-9 - . _ ~ + / and = at the end (openssl rand -base64 32)")
    return token


Unlimited = Annotated[float | None, BeforeValidator(_none_if_zero)]


class Settings(BaseSettings):
    """All settings, each named as its environment variable in `.env.example`."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True)

    caspio_integration_url: str = Field(
        min_length=1, description="Integration URL, such as https://c0abc123.caspio.com"
    )
    caspio_client_id: str = Field(min_length=1, description="Client ID of the Web Services API profile")
    caspio_client_secret: SecretStr = Field(min_length=1, description="Client Secret of the same profile")
    caspio_calls_per_second: Unlimited = Field(default=20, description="burst limit; 0 means none")
    caspio_calls_per_window: Annotated[int | None, BeforeValidator(_none_if_zero)] = Field(
        default=2000, description="calls in 300 seconds; 0 means no limit (Caspio, GET /v4/me rateLimit)"
    )
    caspio_calls_per_day: Annotated[int | None, BeforeValidator(_none_if_zero)] = Field(
        default=None, ge=1, description="calls a UTC day to this account, of all syncs on the ledger; 0 means no limit"
    )
    caspio_connections: int = Field(default=8, ge=1, le=16)

    braze_instance: str | None = Field(default=None, description="instance, such as EU-01; or set BRAZE_REST_ENDPOINT")
    braze_rest_endpoint: str | None = Field(default=None, description="REST endpoint, https://rest.…")
    braze_api_key: SecretStr = Field(min_length=1, description="REST API key with users.track and users.export.ids")
    braze_track_limit: int = Field(
        default=3000, ge=1, description="/users/track requests in 3 s, until Braze says otherwise"
    )
    braze_connections: int = Field(default=64, ge=1, le=128)

    sender: Literal["auto", "inline", "process"] = Field(default="auto", validation_alias="CASPIO_SYNC_SENDER")
    home: Path = Field(default=Path(".caspio-sync"), validation_alias="CASPIO_SYNC_HOME")
    syncs: Path = Field(default=Path("syncs"), validation_alias="CASPIO_SYNC_SYNCS")
    ledger: str | None = Field(default=None, validation_alias="CASPIO_SYNC_LEDGER_URL")

    notify_url: SecretStr | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_NOTIFY_URL",
        description="Apprise URL for what goes wrong, and for its end",
    )
    keep_days: int = Field(
        default=90, ge=1, validation_alias="CASPIO_SYNC_KEEP_DAYS", description="days of history in the ledger"
    )
    keep_prefect_days: int = Field(
        default=14, ge=1, validation_alias="CASPIO_SYNC_KEEP_PREFECT_DAYS", description="days of Prefect's own records"
    )
    keep_inbox_days: int = Field(
        default=7,
        ge=1,
        validation_alias="CASPIO_SYNC_KEEP_INBOX_DAYS",
        description="days that posts stay in the inbox; those not folded stay longer",
    )
    notify_share: float = Field(
        default=5.0,
        ge=0,
        le=100,
        validation_alias="CASPIO_SYNC_NOTIFY_SHARE",
        description="percent of the rows judged lately that may be set aside or refused before it is told",
    )

    @model_validator(mode="after")
    def _one_endpoint(self) -> "Settings":
        if self.braze_rest_endpoint is None and self.braze_instance not in BRAZE_ENDPOINTS:
            known = ", ".join(BRAZE_ENDPOINTS)
            raise ValueError(f"set BRAZE_INSTANCE to one of {known}, or BRAZE_REST_ENDPOINT to its URL")
        return self

    @property
    def braze_endpoint(self) -> str:
        """REST base URL of the Braze instance, without a trailing slash."""
        return (self.braze_rest_endpoint or BRAZE_ENDPOINTS[str(self.braze_instance)]).rstrip("/")

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger: PostgreSQL where one is set, else a SQLite file below `home`."""
        return self.ledger or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def inbox_url(self) -> str:
        """SQLAlchemy URL of what Braze posted: the ledger's PostgreSQL, else a SQLite file of its own below `home`."""
        return _inbox_url(self.home, self.ledger)

    @property
    def has_inbox(self) -> bool:
        """Whether anything may have been posted or polled already."""
        return not _is_sqlite(self.inbox_url) or (self.home / "inbox.db").is_file()

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger already; a dry run does not make one."""
        return self.ledger is not None or (self.home / "ledger.db").is_file()

    def sync_file(self, name: str) -> Path:
        """The file of a sync by its name; a path to a file is taken as it is."""
        return Path(name) if name.endswith((".yaml", ".yml")) else self.syncs / f"{name}.yaml"


class ReceiverSettings(BaseSettings):
    """What `caspio-sync receive` needs: no key of Caspio or Braze, as it may be reached from outside."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True)

    token: Annotated[SecretStr, AfterValidator(_bearer_token)] = Field(
        validation_alias="CASPIO_SYNC_RECEIVER_TOKEN", description="bearer token that Braze Currents is configured with"
    )
    old_token: Annotated[SecretStr | None, BeforeValidator(lambda value: value or None)] = Field(
        default=None,
        validation_alias="CASPIO_SYNC_RECEIVER_OLD_TOKEN",
        description="the one before, accepted as well while Braze is given the new one",
    )
    home: Path = Field(default=Path(".caspio-sync"), validation_alias="CASPIO_SYNC_HOME")
    ledger: str | None = Field(default=None, validation_alias="CASPIO_SYNC_LEDGER_URL")

    @property
    def inbox_url(self) -> str:
        """As `Settings.inbox_url`."""
        return _inbox_url(self.home, self.ledger)

    @property
    def tokens(self) -> list[SecretStr]:
        """Every token that is accepted."""
        return [each for each in (self.token, self.old_token) if each is not None]


def _inbox_url(home: Path, ledger: str | None) -> str:
    return ledger if ledger and not _is_sqlite(ledger) else f"sqlite:///{home / 'inbox.db'}"


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


def _is_sqlite(url: str) -> bool:
    """As `ledger.engine.database_url` reads it, without SQLAlchemy."""
    return url.strip().lower().startswith("sqlite")


def load_settings(env_file: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        env_file: file of KEY=value lines; default `.env` in the working directory. The environment wins over it.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong, without any value.
    """
    return _load(Settings, env_file)


def _load(kind: type[_Kind], env_file: Path | None) -> _Kind:
    chosen = env_file or Path(".env")
    if env_file is not None and not env_file.is_file():
        raise ConfigurationError(f"{env_file}: no such settings file; give another with --env-file")
    try:
        return kind(_env_file=chosen)
    except ValidationError as error:
        lines = [f"  {_variable(each['loc'])}: {each['msg']}" for each in error.errors(include_input=False)]
        where = str(chosen) if chosen.is_file() else f"the environment (there is no {chosen})"
        raise ConfigurationError(
            f"settings in {where} are not complete:\n" + "\n".join(lines) + "\n"
            "Copy .env.example to .env and fill it in, or try everything on the sandbox first: "
            "`caspio-sync sandbox up`, then `caspio-sync --sandbox …`."
        ) from None


def current_settings() -> Settings:
    """The settings of this process: from the file that CASPIO_SYNC_ENV_FILE names, else from `.env`.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return load_settings(_named_file())


def receiver_settings() -> ReceiverSettings:
    """The receiver's settings, from the same places.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return _load(ReceiverSettings, _named_file())


def _named_file() -> Path | None:
    named = os.environ.get(ENV_FILE_VARIABLE)
    return Path(named) if named else None


def _variable(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "BRAZE_INSTANCE"
