"""Settings of what Caspio's webhooks post: by which secret a sync's feed is known, and how messages are signed."""

import contextlib
import json
import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from caspio_sync.env_file import read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.state import PayloadKeys, StateSettings

FEEDS_VARIABLE = "CASPIO_SYNC_WEBHOOKS"
HOOK_VARIABLE = "CASPIO_SYNC_ACTIVECAMPAIGN_SECRET"
_HOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{24,200}")


class WebhookFeed(BaseModel, frozen=True, extra="forbid"):
    """What a sync's webhook is known by.

    Args:
        table: of the sync; messages of others are none of its. None: not known.
        secrets: each is good: the one that Caspio showed, the one before it, one of a triggered action's step.
        payload: whether rows that were added are kept as their messages tell them, encrypted, until they are sent.
    """

    table: str | None = None
    secrets: tuple[Annotated[SecretStr, Field(min_length=8)], ...] = Field(min_length=1)
    payload: bool = False


class SignatureForm(BaseModel, frozen=True):
    """How messages are signed with the webhook's secret: HMAC-SHA256, in a form that Caspio does not document (5.4).

    Args:
        header: that holds the signature; "" where it is not looked at.
        encoding: of the 32 bytes.
        prefix: before them, such as "sha256=".
    """

    header: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""


def read_feeds(value: object) -> Any:
    """The feeds by sync, from JSON; its errors show no value.

    Raises:
        ValueError: it is no object in JSON.
    """
    if not isinstance(value, str):
        return value
    found = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(value)
    if not isinstance(found, dict):  # as an error of the value, for pydantic takes no TypeError
        raise ValueError(  # noqa: TRY004
            'no JSON; it is written as \'{"customers": {"table": "Customers", "secrets": ["…"]}}\''
        )
    return found


def _hook_secret(secret: SecretStr) -> SecretStr:
    """It is a part of an address, and all that proves who posts."""
    if secret.get_secret_value() and not _HOOK_SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError("24 characters or more, of letters, digits, - and _: it is a part of an address")
    return secret


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class FeedSettings(StateSettings):
    """What the receiver needs for the webhooks of Caspio and ActiveCampaign."""

    webhooks: Annotated[dict[str, WebhookFeed], NoDecode, BeforeValidator(read_feeds)] = Field(
        default_factory=dict,
        validation_alias=FEEDS_VARIABLE,
        description="secrets of Caspio's webhooks, by sync, as JSON; `caspio-sync webhooks install` writes it",
    )
    activecampaign_secret: Annotated[SecretStr, AfterValidator(_hook_secret)] = Field(
        default=SecretStr(""),
        validation_alias=HOOK_VARIABLE,
        description="last part of the address that ActiveCampaign's webhooks post to, which proves them; "
        "`caspio-sync webhooks install` writes it",
    )
    activecampaign_old_secret: Annotated[SecretStr, AfterValidator(_hook_secret)] = Field(
        default=SecretStr(""),
        validation_alias="CASPIO_SYNC_ACTIVECAMPAIGN_OLD_SECRET",
        description="the one before, accepted as well while the webhook is given the new one",
    )
    payload_keys: PayloadKeys = None
    signature_header: str = Field(
        default="",
        validation_alias="CASPIO_SYNC_WEBHOOK_SIGNATURE_HEADER",
        description="header in which Caspio signs its messages; without one the secret in the message proves it",
    )
    signature_encoding: Annotated[Literal["hex", "base64"], BeforeValidator(_lower)] = Field(
        default="hex", validation_alias="CASPIO_SYNC_WEBHOOK_SIGNATURE_ENCODING", description="hex or base64"
    )
    signature_prefix: str = Field(
        default="",
        validation_alias="CASPIO_SYNC_WEBHOOK_SIGNATURE_PREFIX",
        description="what stands before the signature, such as sha256=",
    )

    @property
    def hook_secrets(self) -> list[SecretStr]:
        """Every secret that is accepted of ActiveCampaign."""
        given = (self.activecampaign_secret, self.activecampaign_old_secret)
        return [each for each in given if each.get_secret_value()]

    @property
    def signature(self) -> SignatureForm:
        """How Caspio's messages are signed."""
        return SignatureForm(
            header=self.signature_header, encoding=self.signature_encoding, prefix=self.signature_prefix
        )


def hook_secret() -> str:
    """The secret of ActiveCampaign's webhooks, from the environment, else from the settings file; "" for none.

    Raises:
        ConfigurationError: it is none that the receiver takes.
    """
    given = os.environ.get(HOOK_VARIABLE) or read_env_file(settings_file()).get(HOOK_VARIABLE) or ""
    try:
        return _hook_secret(SecretStr(given)).get_secret_value()
    except ValueError as error:
        raise ConfigurationError(f"{HOOK_VARIABLE}: {error}") from None


def feeds_named() -> frozenset[str]:
    """Names of the syncs that CASPIO_SYNC_WEBHOOKS has a feed of; what is wrong with it, the receiver says."""
    return frozenset(_feeds())


def feeds_with_payload() -> frozenset[str]:
    """Those of them whose feed keeps rows as their messages tell them."""
    return frozenset(name for name, feed in _feeds().items() if isinstance(feed, dict) and feed.get("payload") is True)


def _feeds() -> dict[str, Any]:
    text = os.environ.get(FEEDS_VARIABLE) or read_env_file(settings_file()).get(FEEDS_VARIABLE) or "{}"
    try:
        return dict(read_feeds(text))
    except ValueError:
        return {}
