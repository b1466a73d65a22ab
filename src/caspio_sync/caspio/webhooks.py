"""The account's outgoing webhooks by REST (Caspio, 5.6): bare arrays, a secret that is shown once, events by table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.answers import foreign, parsed

ACTIVE = "Active"
EVENT_TYPES = ("table.recordInsert", "table.recordUpdate", "table.recordDelete")
SOURCES = ("Datasheet", "DataPages", "RESTAPIs", "TriggeredActions", "Tasks")
_RIGHT = (
    "managing webhooks takes a web services profile with 'Enable access to all objects' (Caspio: Account > Access "
    "Permissions > Web Services Profiles)"
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as Caspio tells it.

    Args:
        id: of it.
        name: one in the account.
        urls: each message goes to every one of them.
        active: whether it makes messages.
        throttling: calls a second, at most; None where it is not told.
        counted: Messages, Calls and Errors of the last 30 days; None of a list.
    """

    id: str
    name: str
    urls: tuple[str, ...]
    active: bool
    throttling: int | None
    counted: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class HookEvent:
    """What a webhook hears.

    Args:
        id: of it.
        type: one of EVENT_TYPES.
        table: its name.
        active: whether it makes messages.
        sources: whose changes it hears.
        fields: of an update: those that have to change; none for any.
        plain: whether its message is the default one, which holds the PK_ID and the secret.
    """

    id: str
    type: str
    table: str
    active: bool
    sources: tuple[str, ...]
    fields: tuple[str, ...]
    plain: bool


class OutgoingWebhooks:
    """Reads and writes webhooks.

    All raise `ConfigurationError` where the profile lacks the right, and as `CaspioClient.records`.

    Args:
        client: of the account.
    """

    def __init__(self, client: CaspioClient) -> None:
        self._client = client

    async def all(self) -> list[Webhook]:
        """Every webhook of the account."""
        return await self._ask("GET", "", "listing webhooks", _each(_webhook))

    async def one(self, webhook: str) -> Webhook:
        """A webhook with its counts."""
        return await self._ask("GET", f"/{quote(webhook)}", "reading a webhook", _one(_webhook))

    async def create(self, name: str, urls: Sequence[str], *, throttling: int | None) -> tuple[Webhook, SecretStr]:
        """Make a webhook; its secret is shown here and never again.

        Raises:
            RefusedError: a name or an address is in use, the plan allows one address, or not so many calls.
        """
        body: dict[str, Any] = {"Name": name, "OutgoingUrls": list(urls)}
        if throttling is not None:
            body["CallThrottling"] = throttling
        return await self._ask("POST", "", "making a webhook", _one(_created), body)

    async def change(
        self, webhook: str, *, urls: Sequence[str] | None = None, throttling: int | None = None, enabled: bool = True
    ) -> None:
        """Change a webhook, and switch all of its events on or off."""
        body: dict[str, Any] = {"Enabled": enabled}
        if urls is not None:
            body["OutgoingUrls"] = list(urls)
        if throttling is not None:
            body["CallThrottling"] = throttling
        await self._ask("PUT", f"/{quote(webhook)}", "changing a webhook", _nothing, body)

    async def delete(self, webhook: str) -> None:
        """Delete a webhook with its events."""
        await self._ask("DELETE", f"/{quote(webhook)}", "deleting a webhook", _nothing)

    async def events(self, webhook: str) -> list[HookEvent]:
        """What it hears."""
        return await self._ask("GET", f"/{quote(webhook)}/events", "reading a webhook's events", _each(_event))

    async def hear(self, webhook: str, kind: str, table: str, sources: Sequence[str]) -> None:
        """Have it hear one kind of change of a table, in the default message."""
        body = {"EventType": kind, "ObjectName": table, "EventSources": list(sources), "Enabled": True}
        await self._ask("POST", f"/{quote(webhook)}/events", "making a webhook's event", _nothing, body)

    async def forget(self, webhook: str, event: str) -> None:
        """Delete an event."""
        path = f"/{quote(webhook)}/events/{quote(event)}"
        await self._ask("DELETE", path, "deleting a webhook's event", _nothing)

    async def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        read: Callable[[httpx.Response, str], _T],
        body: Mapping[str, Any] | None = None,
    ) -> _T:
        try:
            return await self._client.ask(method, f"/outgoingWebhooks{path}", doing, read, body)
        except ConfigurationError as error:
            if ": 403 from" in str(error):
                raise ConfigurationError(f"{error}. {_RIGHT}") from error
            raise


def _each(make: Callable[[Mapping[str, Any]], _T]) -> Callable[[httpx.Response, str], list[_T]]:
    def read(response: httpx.Response, doing: str) -> list[_T]:
        found = parsed(response.content)
        if not isinstance(found, list):
            raise foreign(response, doing, "no array")
        return [_made(make, each, response, doing) for each in found]

    return read


def _one(make: Callable[[Mapping[str, Any]], _T]) -> Callable[[httpx.Response, str], _T]:
    return lambda response, doing: _made(make, parsed(response.content), response, doing)


def _made(make: Callable[[Mapping[str, Any]], _T], entry: Any, response: httpx.Response, doing: str) -> _T:
    try:
        return make(entry)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise foreign(response, doing, "no webhook, or none of its events") from None


def _nothing(_response: httpx.Response, _doing: str) -> None:
    return None


def _created(entry: Mapping[str, Any]) -> tuple[Webhook, SecretStr]:
    secret = entry["Secret"]
    if not isinstance(secret, str) or not secret:
        raise ValueError("no secret")
    return _webhook({"Status": ACTIVE, **entry}), SecretStr(secret)


def _webhook(entry: Mapping[str, Any]) -> Webhook:
    counted = {name: int(entry[name]) for name in ("Messages", "Calls", "Errors") if entry.get(name) is not None}
    throttling = entry.get("CallThrottling")
    return Webhook(
        id=str(entry["Id"]),
        name=str(entry["Name"]),
        urls=tuple(map(str, entry["OutgoingUrls"])),
        active=entry["Status"] == ACTIVE,
        throttling=None if throttling is None else int(throttling),
        counted=counted or None,
    )


def _event(entry: Mapping[str, Any]) -> HookEvent:
    return HookEvent(
        id=str(entry["Id"]),
        type=str(entry.get("Type") or entry["EventType"]),
        table=str(entry["ObjectName"]),
        active=entry["Status"] == ACTIVE,
        sources=tuple(entry.get("EventSources") or SOURCES),
        fields=tuple(entry.get("ObjectFields") or ()),
        plain=not entry.get("CustomPayloadTemplate") and not entry.get("CustomPayloadFields"),
    )
