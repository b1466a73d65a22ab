"""Calls to one Braze workspace: endpoint, key, connections; one attempt a call."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import ClassVar

import httpx
from pydantic import SecretStr

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.destinations.braze.plain import BRAZE_ENDPOINTS
from caspio_sync.errors import CallError, ConfigurationError
from caspio_sync.wire.answers import disowned, document
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import USER_AGENT, ConnectionPool, RateLimit, RefusedError, rate_limit, refusal


class BrazeSession(Closing):
    """Braze's REST API: one attempt a call; repeating and pacing belong to the caller.

    Args:
        endpoint: REST address of the instance, one of `BRAZE_ENDPOINTS` or the sandbox's.
        api_key: REST API key.
        clock: tells the time by which dates in headers become waits.
        transport: answers instead of the network.
        connections: connections an httpx client, at most 16; with one its pool has nothing to search, which is a
            quarter of what a request costs.
        clients: httpx clients; `clients * connections` requests can be in flight.
        timeout_seconds: for one request.
    """

    PERMISSIONS: ClassVar[str]
    """What the key has to be allowed, in the words of an error."""

    def __init__(
        self,
        *,
        endpoint: str,
        api_key: SecretStr,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connections: int = 1,
        clients: int = 64,
        timeout_seconds: float = 30,
    ) -> None:
        self._clock = clock or SystemClock()
        self._base = _endpoint(endpoint)
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {_key(api_key)}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": USER_AGENT,
            }
        )
        self._pool = ConnectionPool(
            url=self._base,
            clients=clients,
            connections=connections,
            timeout_seconds=timeout_seconds,
            transport=transport,
        )
        self._urls: dict[str, httpx.URL] = {}
        self._extensions = self._pool.extensions()
        self._seconds = timeout_seconds
        self._remedies = _remedies(self.PERMISSIONS)
        self.calls = 0

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    def _url(self, path: str) -> httpx.URL:
        """The address of an endpoint, read once: every request would pay for it again."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(f"{self._base}{path}")
        return url

    def _rate(self, response: httpx.Response) -> RateLimit:
        return rate_limit(response.headers, now=self._clock.now())

    async def _post(self, url: httpx.URL, body: bytes, doing: str, seconds: float | None = None) -> httpx.Response:
        return await self._send("POST", url, body, doing, seconds)

    async def _send(
        self, method: str, url: httpx.URL, body: bytes, doing: str, seconds: float | None = None
    ) -> httpx.Response:
        response = await self._answered(method, url, body, doing, seconds)
        if not response.is_success:
            raise self._refusal(response, doing)
        return response

    async def _answered(
        self, method: str, url: httpx.URL, body: bytes, doing: str, seconds: float | None = None
    ) -> httpx.Response:
        """The answer, whatever its status."""
        seconds = None if seconds is None or seconds >= self._seconds else seconds
        extensions = self._extensions if seconds is None else self._pool.extensions(seconds)
        request = httpx.Request(method, url, headers=self._headers, content=body, extensions=extensions)
        self.calls += 1
        return await self._pool.send(request, doing, seconds=seconds)

    async def _probe(self, asked: Iterable[tuple[str, str, str, bytes]]) -> None:
        """Ask whether the key may do what it is to do, by requests that change nothing.

        Args:
            asked: permission, method, path and body; that a request is refused for another reason than the permission
                tells that this is there.

        Raises:
            ConfigurationError: endpoint or key are not right, or permissions are missing; each is named.
            TransientError: Braze did not answer, or asked to come again.
        """
        doing, missing = "checking the Braze key", []
        for permission, method, path, body in asked:
            response = await self._answered(method, self._url(path), body, doing)
            if response.status_code == HTTPStatus.FORBIDDEN and disowned(response) is None:
                missing.append(permission)
            elif response.is_success:
                document(response, doing)
            elif not isinstance(refused := self._refusal(response, doing), RefusedError):
                raise refused
        if missing:
            raise ConfigurationError(
                f"{doing}: it lacks {', '.join(missing)}; permissions cannot be changed on an existing key, "
                "so make a new one that has them"
            )

    def _refusal(self, response: httpx.Response, doing: str) -> CallError | ConfigurationError:
        return refusal(response, doing, now=self._clock.now(), remedies=self._remedies)


def _remedies(permissions: str) -> Mapping[int, str]:
    return MappingProxyType(
        {
            HTTPStatus.UNAUTHORIZED.value: (
                "check the REST API key, and that the endpoint is the instance it was made on"
            ),
            HTTPStatus.FORBIDDEN.value: (
                f"give the REST API key the endpoint's permission ({permissions}); "
                "permissions cannot be changed on an existing key, so make a new one"
            ),
            HTTPStatus.NOT_FOUND.value: "check the endpoint: it is the REST address of the instance, without a path",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value: "a proxy on the way takes the Content-Type header away",
        }
    )


def _endpoint(endpoint: str) -> str:
    base = BRAZE_ENDPOINTS.get(endpoint.strip().upper(), endpoint.strip()).rstrip("/")
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"https", "http"} or not url.host:
        shown = f"{base!r}" if "." in base and "@" not in base else "what is set"  # a key has no point in it
        raise ConfigurationError(
            f"Braze endpoint: {shown} is no REST address; "
            f"give an instance ({', '.join(BRAZE_ENDPOINTS)}) or its https:// address"
        )
    return str(url).rstrip("/")


def _key(api_key: SecretStr) -> str:
    key = api_key.get_secret_value().strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the Braze REST API key is empty or holds characters no key has; copy it again")
    return key
