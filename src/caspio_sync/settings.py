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
from pydantic_settings import BaseSettings

from caspio_sync.characters import trimmed
from caspio_sync.clients._http import is_address, is_in_clear, is_loopback
from caspio_sync.clients.braze_answers import BRAZE_ENDPOINTS
from caspio_sync.env_file import env_file_named, read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.state import Folder, StateSettings, closed
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
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


def _none_if_zero(value: object) -> object:
    return None if value in (0, "0", "0.0") else value


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


_Kind = TypeVar("_Kind", bound=StateSettings)


class LocalSettings(StateSettings):
    """What is on this machine: state, sync files, days and limits; no key of Caspio or Braze is asked for."""

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

    syncs: Folder = Field(default=Path("syncs"), validation_alias="CASPIO_SYNC_SYNCS")
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


class ReceiverSettings(StateSettings):
    """What `caspio-sync receive` needs: no key of Caspio or Braze, as it may be reached from outside."""

    token: Annotated[SecretStr, AfterValidator(_bearer_token)] = Field(
        validation_alias="CASPIO_SYNC_RECEIVER_TOKEN",
        description="bearer token that Braze Currents is configured with; make one by openssl rand -base64 32",
    )
    old_token: SecretStr | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_RECEIVER_OLD_TOKEN",
        description="the one before, accepted as well while Braze is given the new one",
    )

    @property
    def tokens(self) -> list[SecretStr]:
        """Every token that is accepted."""
        return [each for each in (self.token, self.old_token) if each is not None]


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
    return closed(load_settings(env_file_named()))


def local_settings() -> LocalSettings:
    """The settings of a command that looks at what is on this machine, from the same places; no key is asked for.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return closed(_load(LocalSettings, env_file_named()))


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
    return closed(_load(ReceiverSettings, env_file_named()))


def variables(kind: type[BaseSettings] | None = None) -> list[str]:
    """The environment variables of the settings, in their order."""
    fields = (kind or Settings).model_fields
    return [str(field.validation_alias or name.upper()) for name, field in fields.items()]


def named_accounts() -> list[str]:
    """The variables of an account that the settings file or the environment fills: where there is one, no sandbox."""
    file = read_env_file(settings_file())
    given = {name.upper() for name, value in {**file, **os.environ}.items() if trimmed(value or "")}
    return [name for name in ACCOUNT_VARIABLES if name in given]


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
