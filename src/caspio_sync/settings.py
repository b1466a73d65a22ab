"""Settings from the environment and `.env`: where the two accounts are, and what may be asked of them.

Plain values leave here; nothing below this layer reads the environment.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from caspio_sync.characters import trimmed
from caspio_sync.clients._http import is_address, is_in_clear, is_loopback
from caspio_sync.clients.braze_answers import BRAZE_ENDPOINTS
from caspio_sync.env_file import env_file_named, read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.private_files import close_to_others
from caspio_sync.sync_files import SyncFiles, bare_name, shipped_examples

# Set by our own commands alone: the accounts are the sandbox's; one more sync file, from outside of the folder.
SANDBOX_VARIABLE = "CASPIO_SYNC_SANDBOX"
SYNC_FILE_VARIABLE = "CASPIO_SYNC_FILE"
# What a command may not repeat.
SECRET_VARIABLES = frozenset(
    {"CASPIO_CLIENT_SECRET", "BRAZE_API_KEY", "CASPIO_SYNC_LEDGER_URL", "CASPIO_SYNC_NOTIFY_URL"}
)
# Whoever names one of them means an account of his own; the rest that is missing is then refused.
ACCOUNT_VARIABLES = (
    "CASPIO_INTEGRATION_URL",
    "CASPIO_CLIENT_ID",
    "CASPIO_CLIENT_SECRET",
    "BRAZE_INSTANCE",
    "BRAZE_REST_ENDPOINT",
    "BRAZE_API_KEY",
)
_HOME = Path(".caspio-sync")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")

# A mark at the begin, as editors of Windows write it, is no part of the first name.
_CONFIG = SettingsConfigDict(
    env_file_encoding="utf-8-sig", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
)


def _none_if_zero(value: object) -> object:
    return None if value in (0, "0", "0.0") else value


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


def _bearer_token(token: SecretStr) -> SecretStr:
    """A token by RFC 6750, long enough that nobody guesses it."""
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("16 characters or more, of A-Z a-z 0-9 - . _ ~ + / and = at the end (openssl rand -base64 32)")
    return token


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Unlimited = Annotated[float | None, BeforeValidator(_none_if_zero)]
Folder = Annotated[Path, AfterValidator(_from_home)]


INBOX_MAX_GB = Field(
    default=20.0,
    gt=0,
    validation_alias="CASPIO_SYNC_INBOX_MAX_GB",
    description="10^9 bytes that the inbox may hold; above them the receiver answers 503, and Braze sends again for 5 "
    "days",
)


class _Typed(BaseSettings):
    """Settings as people type and paste them."""

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without blanks and line ends around a value; an empty one is not set."""
        clean = {name: trimmed(value) if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in clean.items() if value != ""}


_Kind = TypeVar("_Kind", bound=_Typed)


class LocalSettings(_Typed):
    """What is on this machine: state, ledger, sync files, days and limits; no key of Caspio or Braze is asked for."""

    model_config = _CONFIG

    # Ahead of the addresses, whose check asks for it.
    allow_http: bool = Field(
        default=False,
        validation_alias="CASPIO_SYNC_ALLOW_HTTP",
        description="true: also http:// to other machines, where everybody on the way can read both secrets",
    )
    caspio_integration_url: str = Field(default="", description="Integration URL, such as https://c0abc123.caspio.com")
    caspio_calls_per_day: Annotated[int | None, BeforeValidator(_none_if_zero)] = Field(
        default=None, ge=1, description="calls a UTC day to this account, of all syncs on the ledger; 0 means no limit"
    )

    home: Folder = Field(default=_HOME, validation_alias="CASPIO_SYNC_HOME")
    syncs: Folder = Field(default=Path("syncs"), validation_alias="CASPIO_SYNC_SYNCS")
    ledger: str | None = Field(default=None, validation_alias="CASPIO_SYNC_LEDGER_URL")
    sandbox: bool = Field(default=False, validation_alias=SANDBOX_VARIABLE)
    sync_outside: Path | None = Field(default=None, validation_alias=SYNC_FILE_VARIABLE)

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
    inbox_max_gb: float = INBOX_MAX_GB
    notify_share: float = Field(
        default=5.0,
        ge=0,
        le=100,
        validation_alias="CASPIO_SYNC_NOTIFY_SHARE",
        description="percent of the rows judged lately that may be set aside or refused before it is told",
    )

    @field_validator("caspio_integration_url", "braze_rest_endpoint", check_fields=False)
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url and not is_address(url):
            raise ValueError("no host, or no port from 1 to 65535, can be read from it; give https:// and the host")
        return url

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

    @property
    def sync_files(self) -> SyncFiles:
        """The sync files there are: those of `syncs`; where it holds none, on the sandbox, the shipped examples."""
        own = SyncFiles(self.syncs, self.sync_outside)
        return SyncFiles(shipped_examples()) if self.sandbox and not own.names else own

    def sync_file(self, name: str) -> Path:
        """The file of a sync by its name; where there is none, the one it would have.

        Raises:
            ConfigurationError: two files bear the name.
        """
        return self.sync_files.path(name)


class Settings(LocalSettings):
    """All settings, each named as its environment variable in `.env.example`."""

    caspio_integration_url: str = Field(
        min_length=1, description="Integration URL, such as https://c0abc123.caspio.com"
    )
    caspio_client_id: str = Field(min_length=1, description="Client ID of the Web Services API profile")
    caspio_client_secret: SecretStr = Field(min_length=1, description="Client Secret of the same profile")
    caspio_calls_per_second: Unlimited = Field(
        default=20, gt=0, allow_inf_nan=False, description="burst limit; 0 means none"
    )
    caspio_calls_per_window: Annotated[int | None, BeforeValidator(_none_if_zero)] = Field(
        default=2000, ge=1, description="calls in 300 seconds; 0 means no limit (Caspio, GET /v4/me rateLimit)"
    )
    caspio_connections: int = Field(default=8, ge=1, le=16)

    braze_instance: Annotated[str | None, BeforeValidator(_upper)] = Field(
        default=None, description="instance, such as EU-01; or set BRAZE_REST_ENDPOINT"
    )
    braze_rest_endpoint: str | None = Field(default=None, description="REST endpoint, https://rest.…")
    braze_api_key: SecretStr = Field(min_length=1, description="REST API key with users.track and users.export.ids")
    braze_track_limit: int = Field(
        default=3000, ge=1, description="/users/track requests in 3 s, until Braze says otherwise"
    )
    braze_connections: int = Field(default=64, ge=1, le=128)

    sender: Annotated[Literal["auto", "inline", "process"], BeforeValidator(_lower)] = Field(
        default="auto", validation_alias="CASPIO_SYNC_SENDER"
    )

    @field_validator("caspio_integration_url", "braze_rest_endpoint")
    @classmethod
    def _in_secret(cls, url: str | None, known: ValidationInfo) -> str | None:
        if url and is_in_clear(url) and not known.data.get("allow_http"):
            raise ValueError(
                "begins with http://: everybody on the way could read the key and the customers. Give the https:// "
                "address, or set CASPIO_SYNC_ALLOW_HTTP=true where the whole way is your own"
            )
        return url

    @model_validator(mode="after")
    def _one_endpoint(self) -> "Settings":
        if self.braze_rest_endpoint is None and self.braze_instance not in BRAZE_ENDPOINTS:
            known = ", ".join(BRAZE_ENDPOINTS)
            raise ValueError(f"set BRAZE_INSTANCE to one of {known}, or BRAZE_REST_ENDPOINT to its URL")
        return self

    @model_validator(mode="after")
    def _sandbox_is_here(self) -> "Settings":
        if self.sandbox and not (is_loopback(self.caspio_integration_url) and is_loopback(self.braze_endpoint)):
            raise ValueError(
                f"{SANDBOX_VARIABLE} says that both accounts are the sandbox's, which are on this machine; unset it"
            )
        return self

    @property
    def braze_endpoint(self) -> str:
        """REST base URL of the Braze instance, without a trailing slash."""
        return (self.braze_rest_endpoint or BRAZE_ENDPOINTS[str(self.braze_instance)]).rstrip("/")


class ReceiverSettings(_Typed):
    """What `caspio-sync receive` needs: no key of Caspio or Braze, as it may be reached from outside."""

    model_config = _CONFIG

    token: Annotated[SecretStr, AfterValidator(_bearer_token)] = Field(
        validation_alias="CASPIO_SYNC_RECEIVER_TOKEN",
        description="bearer token that Braze Currents is configured with; make one by openssl rand -base64 32",
    )
    old_token: SecretStr | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_RECEIVER_OLD_TOKEN",
        description="the one before, accepted as well while Braze is given the new one",
    )
    home: Folder = Field(default=_HOME, validation_alias="CASPIO_SYNC_HOME")
    ledger: str | None = Field(default=None, validation_alias="CASPIO_SYNC_LEDGER_URL")
    inbox_max_gb: float = INBOX_MAX_GB

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
    read_env_file(chosen)
    try:
        return kind(_env_file=chosen)
    except ValidationError as error:
        lines = [f"  {_problem(kind, each)}" for each in error.errors(include_input=False)]
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
    return _closed(load_settings(env_file_named()))


def local_settings() -> LocalSettings:
    """The settings of a command that looks at what is on this machine, from the same places; no key is asked for.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return _closed(_load(LocalSettings, env_file_named()))


def _sync_named(given: str) -> str:
    try:
        name = current_settings().sync_files.named(given) if bare_name(given) != given else given
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    if name is None:
        raise ValueError(f"{given} is outside of the folder of sync files; put it there, and give its name")
    return name


# A flow's parameter: the name of a sync, or the path to its file in the worker's folder.
SyncName = Annotated[str, AfterValidator(_sync_named)]


def receiver_settings() -> ReceiverSettings:
    """The receiver's settings, from the same places.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return _closed(_load(ReceiverSettings, env_file_named()))


def variables(kind: type[BaseSettings] | None = None) -> list[str]:
    """The environment variables of the settings, in their order."""
    fields = (kind or Settings).model_fields
    return [str(field.validation_alias or name.upper()) for name, field in fields.items()]


def named_accounts() -> list[str]:
    """The variables of an account that the settings file or the environment fills: where there is one, no sandbox."""
    file = read_env_file(settings_file())
    given = {name.upper() for name, value in {**file, **os.environ}.items() if trimmed(value or "")}
    return [name for name in ACCOUNT_VARIABLES if name in given]


_Placed = TypeVar("_Placed", LocalSettings, Settings, ReceiverSettings)


def _closed(settings: _Placed) -> _Placed:
    """The settings, and what was made by them before is readable by its owner alone."""
    ledger = settings.ledger or f"sqlite:///{settings.home / 'ledger.db'}"
    # The sandbox's and the demo's state lies below the usual folder, whatever `home` is.
    for home in {settings.home, _HOME}:
        close_to_others(home, (ledger, settings.inbox_url))
    return settings


def _problem(kind: type[_Kind], error: Any) -> str:
    location = error["loc"]
    if not location:
        return f"BRAZE_INSTANCE: {error['msg']}"
    name = str(location[0])
    field = kind.model_fields.get(name.lower()) or next(
        (each for each in kind.model_fields.values() if each.validation_alias == name), None
    )
    about = f" ({field.description})" if field is not None and field.description else ""
    return f"{name.upper()}: " + (f"not set{about}" if error["type"] == "missing" else str(error["msg"]))
