"""Settings of what is posted to us: by which secret a sender is known, and how messages are signed."""

import base64
import contextlib
import json
import os
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from caspio_sync.env_file import read_env_file, settings_file
from caspio_sync.errors import ConfigurationError
from caspio_sync.json_paths import Path, path
from caspio_sync.places import POSTS_PATH
from caspio_sync.state import StateSettings

FEEDS_VARIABLE = "CASPIO_SYNC_WEBHOOKS"
POSTS_VARIABLE = "CASPIO_SYNC_POSTS"
HOOK_VARIABLE = "CASPIO_SYNC_ACTIVECAMPAIGN_SECRET"
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_WEBHOOKS = '{"customers": {"table": "Customers", "secrets": ["…"]}}'
_POSTS = '{"/in/orders": {"proof": "bearer", "secrets": ["…"], "id": "$.id"}}'
_LEAST_BYTES = 24  # of a secret by Standard Webhooks
_HOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{24,200}")


class WebhookFeed(BaseModel, frozen=True, extra="forbid"):
    """What a sync's webhook is known by.

    Args:
        table: of the sync; messages of others are none of its. None: not known.
        beside: other tables whose rows its rows are made of, such as the lines of orders.
        secrets: each is good: the one that Caspio showed, the one before it, one of a triggered action's step.
        payload: whether rows that were added are kept as their messages tell them, encrypted, until they are sent.
    """

    table: str | None = None
    beside: tuple[str, ...] = ()
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


class PostFeed(BaseModel, frozen=True, extra="forbid"):
    """What whoever posts to a path is known by.

    Args:
        proof: `standard_webhooks`, its specification; `hmac`, HMAC-SHA256 of the body in a header; `bearer`; `basic`.
        secrets: each is good, so that one can be replaced. By Standard Webhooks `whsec_` and base64.
        user: with `basic`.
        header: with `hmac`: where the signature is.
        encoding: of its 32 bytes.
        prefix: before them, such as "sha256=".
        records: path of the records that a post holds, such as $[*] or $.events[*]; each is kept by itself, and `id` is
            within it. Without it a post is one record.
        id: path of what tells one record from another, such as $.id; a post without it is refused.
        id_header: the same in a header; by Standard Webhooks `webhook-id`.
    """

    proof: Literal["standard_webhooks", "hmac", "bearer", "basic"]
    secrets: tuple[Annotated[SecretStr, Field(min_length=16)], ...] = Field(min_length=1)
    user: str = ""
    header: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    records: str | None = None
    id: str | None = None
    id_header: str | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.proof == "basic") != bool(self.user):
            raise ValueError("`user` goes with `basic`, which needs it")
        if (self.proof == "hmac") != bool(self.header) or (self.proof != "hmac" and self.prefix):
            raise ValueError("`header`, `encoding` and `prefix` go with `hmac`, which needs the header")
        if any(each and not _HEADER.fullmatch(each) for each in (self.header, self.id_header or "")):
            raise ValueError("a header's name has letters, digits and -")
        if self.id is not None and self.id_header is not None:
            raise ValueError("write one of `id` and `id_header`")
        if self.id is not None and None in path(self.id).steps:
            raise ValueError("`id` is one value, such as $.id")
        if self.records is not None and None not in path(self.records).steps:
            raise ValueError("`records` is a path of several, such as $[*] or $.events[*]")
        if self.proof == "standard_webhooks" and not all(map(_is_signing, self.secrets)):
            raise ValueError("a secret by Standard Webhooks is `whsec_` and base64 of 24 bytes or more")
        return self

    @property
    def records_path(self) -> Path | None:
        """Where a post has its records; None where it is one."""
        return None if self.records is None else path(self.records)

    @property
    def id_path(self) -> Path | None:
        """Where the body has what tells one post from another."""
        return None if self.id is None else path(self.id)

    @property
    def known_by(self) -> str | None:
        """The header that has it."""
        own = "webhook-id" if self.proof == "standard_webhooks" and self.id is None else None
        return self.id_header or own

    @property
    def id_place(self) -> str:
        """Where the id is, for people."""
        return self.id or f"the header {self.known_by}"


def signing_key(secret: str) -> bytes:
    """The bytes that a secret by Standard Webhooks stands for.

    Raises:
        ValueError: it is no base64.
    """
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


def _is_signing(secret: SecretStr) -> bool:
    try:
        return len(signing_key(secret.get_secret_value())) >= _LEAST_BYTES
    except ValueError:
        return False


def _posted_paths(feeds: dict[str, PostFeed]) -> dict[str, PostFeed]:
    for each in feeds:
        if not POSTS_PATH.fullmatch(each):
            raise ValueError(f"{each!r} is no path to post to; write /in/ and a name of a-z, 0-9, - and _: /in/orders")
    return feeds


def read_feeds(value: object, example: str = _WEBHOOKS) -> Any:
    """The feeds by name, from JSON; its errors show no value.

    Raises:
        ValueError: it is no object in JSON.
    """
    if not isinstance(value, str):
        return value
    found = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(value)
    if not isinstance(found, dict):  # as an error of the value, for pydantic takes no TypeError
        raise ValueError(f"no JSON; it is written as '{example}'")  # noqa: TRY004
    return found


def _read_posts(value: object) -> Any:
    return read_feeds(value, _POSTS)


def _hook_secret(secret: SecretStr) -> SecretStr:
    """It is a part of an address, and all that proves who posts."""
    if secret.get_secret_value() and not _HOOK_SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError("24 characters or more, of letters, digits, - and _: it is a part of an address")
    return secret


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class FeedSettings(StateSettings):
    """What the receiver needs for the webhooks of Caspio and ActiveCampaign, and for posts of any system."""

    posts: Annotated[dict[str, PostFeed], NoDecode, BeforeValidator(_read_posts), AfterValidator(_posted_paths)] = (
        Field(
            default_factory=dict,
            validation_alias=POSTS_VARIABLE,
            description="who may post JSON to which path, by path, as JSON (see docs/posts.md)",
        )
    )

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


def paths_named() -> frozenset[str]:
    """Paths that CASPIO_SYNC_POSTS lets somebody post to; what is wrong with it, the receiver says."""
    text = os.environ.get(POSTS_VARIABLE) or read_env_file(settings_file()).get(POSTS_VARIABLE) or "{}"
    try:
        return frozenset(_read_posts(text))
    except ValueError:
        return frozenset()
