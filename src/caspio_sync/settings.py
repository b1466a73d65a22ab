"""Settings from the environment and `.env`: where the two accounts are, and what may be asked of them.

Plain values leave here; nothing below this layer reads the environment.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast, get_args

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
from pydantic_settings import BaseSettings, NoDecode

from caspio_sync import registry
from caspio_sync.characters import trimmed
from caspio_sync.env_file import env_file_named, read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.feeds import HOOK_VARIABLE, POSTS_VARIABLE, FeedSettings
from caspio_sync.places import DEFAULT_SYNCS, closed
from caspio_sync.state import Folder, StateSettings, TypedSettings
from caspio_sync.sync_files import FILE_VARIABLE, SyncFiles, bare_name, destination_in, sync_files_of
from caspio_sync.wire.http import is_address, is_in_clear, is_loopback

SANDBOX_VARIABLE = "CASPIO_SYNC_SANDBOX"  # set by our own commands alone: the accounts are the sandbox's
PRIVATE_VARIABLE = "CASPIO_SYNC_PRIVATE"
_OTHER_SECRETS = ("CASPIO_SYNC_LEDGER_URL", "CASPIO_SYNC_NOTIFY_URL", "CASPIO_SYNC_PAYLOAD_KEYS")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


def _none_if_zero(value: object) -> object:
    return None if value in (0, "0", "0.0") else value


def bearer_token(token: SecretStr) -> SecretStr:
    """A token by RFC 6750, long enough that nobody guesses it."""
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("16 characters or more, of A-Z a-z 0-9 - . _ ~ + / and = at the end (openssl rand -base64 32)")
    return token


def readable(url: str | None) -> str | None:
    """An address of which a host can be read."""
    if url and not is_address(url):
        raise ValueError("no host, or no port from 1 to 65535, can be read from it; give https:// and the host")
    return url


def in_secret(url: str | None, known: ValidationInfo) -> str | None:
    """An address at which nobody on the way reads along, unless that is allowed."""
    if url and is_in_clear(url) and not known.data.get("allow_http"):
        raise ValueError(
            "begins with http://: everybody on the way could read the key and the customers. Give the https:// "
            "address, or set CASPIO_SYNC_ALLOW_HTTP=true where the whole way is your own"
        )
    return url


def on_this_machine(url: str, *, sandbox: bool) -> None:
    """Raise ValueError where the accounts are the sandbox's, and this one is elsewhere."""
    if sandbox and not is_loopback(url):
        raise ValueError(
            f"{SANDBOX_VARIABLE} says that both accounts are the sandbox's, which are on this machine; unset it"
        )


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def upper(value: object) -> object:
    """A text in capitals."""
    return value.upper() if isinstance(value, str) else value


Unlimited = Annotated[float | None, BeforeValidator(_none_if_zero)]


_Kind = TypeVar("_Kind", bound=TypedSettings)
_State = TypeVar("_State", bound=StateSettings)
_AllowHttp = Annotated[
    bool,
    Field(
        validation_alias="CASPIO_SYNC_ALLOW_HTTP",
        description="true: also http:// to other machines, where everybody on the way can read both secrets",
    ),
]
_Sandbox = Annotated[bool, Field(validation_alias=SANDBOX_VARIABLE)]


class DestinationSettings(TypedSettings):
    """What a destination's settings have in common; they are asked for where a sync names it.

    Its own fields are named as their environment variables, and those that are secrets are of type SecretStr.
    """

    ACCOUNT: ClassVar[tuple[str, ...]] = ()
    """The variables that name an account: whoever fills one of them means an account of his own."""
    WHOLE: ClassVar[str] = ""
    """The variable to name where what is wrong shows in several of them together."""

    allow_http: _AllowHttp = False
    sandbox: _Sandbox = False


class LocalSettings(StateSettings):
    """What is on this machine: state, sync files, days and limits; no key of an account is asked for."""

    # Ahead of the addresses, whose check asks for it.
    allow_http: _AllowHttp = False
    caspio_integration_url: str = Field(default="", description="Integration URL, such as https://c0abc123.caspio.com")
    caspio_calls_per_day: Annotated[int | None, BeforeValidator(_none_if_zero)] = Field(
        default=None, ge=1, description="calls a UTC day to this account, of all syncs on the ledger; 0 means no limit"
    )

    syncs: Folder = Field(default=DEFAULT_SYNCS, validation_alias="CASPIO_SYNC_SYNCS")
    sandbox: _Sandbox = False
    sync_outside: Path | None = Field(default=None, validation_alias=FILE_VARIABLE)

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

    _url_readable = field_validator("caspio_integration_url")(readable)

    @property
    def sync_files(self) -> SyncFiles:
        """The sync files there are: those of `syncs`; where it holds none, on the sandbox, the shipped examples."""
        return sync_files_of(self.syncs, self.sync_outside, sandbox=self.sandbox)

    def sync_file(self, name: str) -> Path:
        """The file of a sync by its name; where there is none, the one it would have.

        Raises:
            ConfigurationError: two files bear the name.
        """
        return self.sync_files.path(name)

    def destination(self, name: str) -> str:
        """The destination that the file of a sync names; the default where none can be read."""
        try:
            return destination_in(self.sync_file(name))
        except ConfigurationError:
            return registry.DEFAULT_DESTINATION


def _private(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = tuple(filter(None, map(trimmed, value.split(","))))
    for each in found:
        table, dot, field = each.partition(".")
        if not (dot and table.strip() and field.strip()) or "." in field:
            raise ValueError(
                f"'{each}' is no TABLE.FIELD; write such as Customers.SSN, or *.SSN for all tables and views"
            )
    return found


class Settings(LocalSettings):
    """What every run needs, each named as its environment variable in `.env.example`; a destination's are its own."""

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
    caspio_connections: int = Field(default=16, ge=1, le=16)

    private: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_private)] = Field(
        default=(),
        validation_alias=PRIVATE_VARIABLE,
        description="fields of Caspio that no sync may read, as TABLE.FIELD with commas between; * is any table",
    )

    sender: Annotated[Literal["auto", "inline", "process"], BeforeValidator(_lower)] = Field(
        default="auto", validation_alias="CASPIO_SYNC_SENDER"
    )

    _url_in_secret = field_validator("caspio_integration_url")(in_secret)

    @model_validator(mode="after")
    def _sandbox_is_here(self) -> "Settings":
        on_this_machine(self.caspio_integration_url, sandbox=self.sandbox)
        return self


class ReceiverSettings(FeedSettings):
    """What `caspio-sync receive` needs: no key of an account, as it may be reached from outside."""

    WHOLE: ClassVar[str] = "CASPIO_SYNC_RECEIVER_TOKEN"

    token: Annotated[SecretStr, AfterValidator(bearer_token)] | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_RECEIVER_TOKEN",
        description="bearer token that Braze Currents is configured with; make one by openssl rand -base64 32",
    )
    old_token: SecretStr | None = Field(
        default=None,
        validation_alias="CASPIO_SYNC_RECEIVER_OLD_TOKEN",
        description="the one before, accepted as well while Braze is given the new one",
    )

    @model_validator(mode="after")
    def _has_a_feed(self) -> "ReceiverSettings":
        if self.token is None and not self.webhooks and not self.hook_secrets and not self.posts:
            raise ValueError(
                "not set (bearer token of Braze Currents: openssl rand -base64 32), and no CASPIO_SYNC_WEBHOOKS or "
                f"{HOOK_VARIABLE} either (of the webhooks of Caspio and ActiveCampaign; `caspio-sync webhooks install` "
                f"writes them), nor {POSTS_VARIABLE} (docs/posts.md): nobody could post"
            )
        return self

    @property
    def tokens(self) -> list[SecretStr]:
        """Every token that is accepted."""
        return [each for each in (self.token, self.old_token) if each is not None]


def load_settings(env_file: Path | None = None, *, syncs: Iterable[str] | None = ()) -> Settings:
    """Read the settings.

    Args:
        env_file: file of KEY=value lines; default `.env` in the working directory. The environment wins over it.
        syncs: names of syncs; the settings of the destinations that they name have to be complete as well;
            None: of all there are.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong, without any value.
    """
    return _load(Settings, env_file, syncs)


def destination_settings(destination: str) -> Any:
    """A destination's own settings, from the same places as `current_settings`; of the type that it says.

    Raises:
        ConfigurationError: as `load_settings`, or there is no such destination.
    """
    return _load(_settings_of(destination), env_file_named())


def _settings_of(destination: str) -> type[DestinationSettings]:
    kind: type[DestinationSettings] = registry.load(registry.DESTINATIONS, destination, "destination").settings
    return kind


def _load(kind: type[_Kind], env_file: Path | None, syncs: Iterable[str] | None = ()) -> _Kind:
    chosen = env_file or Path(".env")
    if env_file is not None and not env_file.is_file():
        raise ConfigurationError(f"{env_file}: no such settings file; give another with --env-file")
    read_env_file(chosen)
    made, problems = _tried(kind, chosen)
    for destination in _destinations(syncs, chosen):
        problems += _tried(_settings_of(destination), chosen)[1]
    if made is None or problems:
        lines = "".join(f"  {each}\n" for each in problems)
        where = str(chosen) if chosen.is_file() else f"the environment (there is no {chosen})"
        raise ConfigurationError(
            f"settings in {where} are not complete:\n{lines}"
            "Copy .env.example to .env and fill it in, or try everything on the sandbox first: "
            "`caspio-sync sandbox up`, then `caspio-sync --sandbox …`."
        )
    return made


def _tried(kind: type[_Kind], file: Path) -> tuple[_Kind | None, list[str]]:
    """The settings, or what is wrong with them."""
    try:
        return kind(_env_file=file), []
    except ValidationError as error:
        return None, [_problem(kind, each) for each in error.errors(include_input=False)]


def _destinations(syncs: Iterable[str] | None, file: Path) -> list[str]:
    """The destinations that sync files name, each once; of one that there is not, the sync file's findings tell."""
    if syncs is not None and not (syncs := list(syncs)):
        return []
    local, _ = _tried(LocalSettings, file)
    if local is None or (syncs is None and not local.sync_files.names):
        named = [registry.DEFAULT_DESTINATION]
    else:
        named = [local.destination(each) for each in (local.sync_files.names if syncs is None else syncs)]
    return [each for each in dict.fromkeys(named) if each in registry.DESTINATIONS]


def every_setting() -> Settings:
    """As `current_settings`, for a command that is about every sync there is.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return closed(load_settings(env_file_named(), syncs=None))


def current_settings(*syncs: str) -> Settings:
    """The settings of this process: from the file that CASPIO_SYNC_ENV_FILE names, else from `.env`.

    Args:
        syncs: as for `load_settings`.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return closed(load_settings(env_file_named(), syncs=syncs))


def local_settings() -> LocalSettings:
    """The settings of a command that looks at what is on this machine, from the same places; no key is asked for.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    return settings_of(LocalSettings)


def settings_of(kind: type[_State]) -> _State:
    """Settings of a kind, from the same places; a ConfigurationError as by `load_settings`."""
    return closed(_load(kind, env_file_named()))


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
    return settings_of(ReceiverSettings)


def variables(kind: type[BaseSettings] | None = None) -> list[str]:
    """The environment variables of these settings, or of all that a run may need, each once and in their order."""
    kinds = [kind] if kind else [Settings, *map(_settings_of, registry.DESTINATIONS)]
    fields = [item for each in kinds for item in cast("type[BaseSettings]", each).model_fields.items()]
    return list(dict.fromkeys(str(field.validation_alias or name.upper()) for name, field in fields))


def secret_variables() -> frozenset[str]:
    """What a command may not repeat."""
    own = {
        name.upper()
        for each in map(_settings_of, registry.DESTINATIONS)
        for name, field in each.model_fields.items()
        if SecretStr in {field.annotation, *get_args(field.annotation)}
    }
    return frozenset({"CASPIO_CLIENT_SECRET", *_OTHER_SECRETS, *own})


def account_variables() -> tuple[str, ...]:
    """Whoever names one of them means an account of his own; the rest that is missing is then refused."""
    own = (name for each in registry.DESTINATIONS for name in _settings_of(each).ACCOUNT)
    return ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET", *own)


def named_accounts() -> list[str]:
    """The variables of an account that the settings file or the environment fills: where there is one, no sandbox."""
    file = read_env_file(settings_file())
    given = {name.upper() for name, value in {**file, **os.environ}.items() if trimmed(value or "")}
    return [name for name in account_variables() if name in given]


def _problem(kind: type[BaseSettings], error: Any) -> str:
    location, message = error["loc"], str(error["msg"]).removeprefix("Value error, ")
    if not location:
        return f"{getattr(kind, 'WHOLE', 'CASPIO_INTEGRATION_URL')}: {message}"
    name = str(location[0])
    field = kind.model_fields.get(name.lower()) or next(
        (each for each in kind.model_fields.values() if each.validation_alias == name), None
    )
    about = f" ({field.description})" if field is not None and field.description else ""
    return f"{name.upper()}: " + (f"not set{about}" if error["type"] == "missing" else message)
