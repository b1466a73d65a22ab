"""Calls to one endpoint, one attempt each: filled in, signed, and sent to public addresses alone."""

from collections.abc import Mapping
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.http.credentials import Credentials
from caspio_sync.destinations.http.definition import HttpSync, Request, SideRequest, Verify
from caspio_sync.destinations.http.templates import Address, Template, UnusableError
from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import KEY
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.guarded import guarded
from caspio_sync.wire.http import USER_AGENT, ConnectionPool, RateLimit, RefusedError, Transport
from caspio_sync.wire.masking import SECRETS, SHOWN

Encoding = Literal["json", "ndjson", "form"]
Rows = list[dict[str, Any]]
_TYPES: Mapping[Encoding, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "form": "application/x-www-form-urlencoded",
}
_LONGEST_ADDRESS = 8_000


class Call:
    """A call as the sync file writes it, its templates read once.

    Args:
        said: the section of the file.
        encoding: of the body.
        alone: whether it is about one row, which then travels as an object and not as an array of one.
        exact: whether the objects it is given hold what its body holds and nothing else; else it picks.
    """

    def __init__(
        self,
        said: Request | SideRequest | Verify,
        *,
        encoding: Encoding = "json",
        alone: bool = True,
        exact: bool = False,
    ) -> None:
        self.method = getattr(said, "method", "GET")
        self.address = Address(said.url)
        body = getattr(said, "body", None)
        self.template = Template(body) if isinstance(body, str) else None
        self.listed = body if isinstance(body, tuple) else None
        self.encoding: Encoding = encoding
        self.alone, self._exact = alone, exact
        has_body = isinstance(said, Request) or body is not None
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **getattr(said, "headers", {})}
        self.headers = headers | ({"Content-Type": _TYPES[encoding]} if has_body else {})
        self.has_body = has_body

    def url(self, rows: Rows) -> str:
        """Where it goes for these rows; as `Template.render` raises."""
        url = self.address.render(_values(rows)) if self.address.names else self.address.literal
        if len(url) > _LONGEST_ADDRESS:
            raise UnusableError(f"its address is longer than {_LONGEST_ADDRESS:,} characters")
        return url

    def body(self, objects: bytes) -> bytes:
        """The body for these objects, a JSON array; as `Template.render` raises."""
        if not self.has_body:
            return b""
        if self.template is None:
            return self._encoded(objects)
        rows = orjson.loads(objects)
        text = self.template.render(_values(rows) if self.alone else {"rows": rows}).decode()
        # By \n alone: values may hold other signs that end lines, as they are.
        for each in text.removesuffix("\n").split("\n") if self.encoding == "ndjson" else [text]:
            try:
                orjson.loads(each)
            except orjson.JSONDecodeError:
                raise UnusableError(
                    "the template makes no JSON: leave the quotes around {{ … }} away, they are put in with the value"
                ) from None
        return text.encode()

    def _encoded(self, objects: bytes) -> bytes:
        if self.encoding == "json" and self._exact:
            return objects[1:-1] if self.alone else objects
        rows = [self._picked(each) for each in orjson.loads(objects)]
        if self.encoding == "json":
            return orjson.dumps(rows[0] if self.alone else rows)
        if self.encoding == "ndjson":
            return b"".join(orjson.dumps(each) + b"\n" for each in rows)
        return urlencode({name: _text(value) for name, value in rows[0].items()}).encode()

    def _picked(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the body holds of a row; an address may ask for more of it."""
        if self._exact:
            return row
        names = [name for name in row if name != KEY] if self.listed is None else self.listed
        return {name: row[name] for name in names if name in row}


def _values(rows: Rows) -> dict[str, Any]:
    """What templates may ask for; of one row alone its fields as well."""
    return {**rows[0], "row": rows[0], "rows": rows} if len(rows) == 1 else {"rows": rows}


def _text(value: Any) -> str:
    """A value in a form."""
    return "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()


class HttpClient(Closing):
    """The calls of one sync.

    Args:
        sync: says where they go, and how.
        secrets: by name.
        place: `file:line` of `auth`, for people.
        clock: by which they are signed.
        transport: answers instead of the network.

    Raises:
        ConfigurationError: a secret is not there.
    """

    def __init__(
        self,
        sync: HttpSync,
        secrets: Mapping[str, SecretStr],
        *,
        place: str,
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        self.sync = sync
        self.requests = 0
        if transport is None and not sync.allow_private:
            transport = guarded(connections=sync.limits.connections)
        self._pool = ConnectionPool(
            url=sync.origin,
            clients=1,
            connections=sync.limits.connections,
            timeout_seconds=60.0,
            transport=transport,
        )
        self.credentials = Credentials(sync.auth, secrets, place, clock, self._token)

    async def call(
        self, call: Call, objects: bytes, doing: str, *, number: str = "", seconds: float | None = None
    ) -> httpx.Response:
        """Make a call; its answer is read, whatever its status.

        Args:
            call: as the file writes it.
            objects: whom it is about, a JSON array.
            doing: what is tried, for people.
            number: by which the endpoint knows the call again; "" where it need not.
            seconds: for the answer.

        Raises:
            RefusedError: the values do not go into it; nothing was sent.
            TransientError, ConfigurationError: as `ConnectionPool.send`.
        """
        try:
            url, body = call.url(orjson.loads(objects) if call.address.names else []), call.body(objects)
        except UnusableError as error:
            raise RefusedError(f"{doing}: {error}", status=422, message_text=str(error), rate=RateLimit()) from None
        known_again = self.sync.idempotency_key
        headers = call.headers | ({known_again: number} if known_again is not None and number else {})
        number = number or token_hex(16)
        response = await self._pool.send(await self._signed(call, url, headers, body, number), doing, seconds=seconds)
        # Whoever says 401 has looked at nothing else: with another token it is asked once more.
        if response.status_code == HTTPStatus.UNAUTHORIZED and self.credentials.refused():
            request = await self._signed(call, url, headers, body, number)
            response = await self._pool.send(request, doing, seconds=seconds)
        return response

    async def _signed(
        self, call: Call, url: str, headers: Mapping[str, str], body: bytes, number: str
    ) -> httpx.Request:
        proof = await self.credentials.headers(number, body)
        request = httpx.Request(
            call.method,
            url,
            headers={**headers, **proof},
            content=body,
            extensions=self._pool.extensions() | {SECRETS: self.credentials.secrets, SHOWN: call.address.shown},
        )
        if f"{request.url.scheme}://{request.url.netloc.decode('ascii')}".lower() != call.address.origin.lower():
            raise ConfigurationError(f"a value would lead to another host than {call.address.shown}")
        self.requests += 1
        return request

    async def _token(self, request: httpx.Request, doing: str) -> httpx.Response:
        request.extensions.update(self._pool.extensions())
        self.requests += 1
        return await self._pool.send(request, doing)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
