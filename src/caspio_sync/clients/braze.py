"""Braze's REST API: user profiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.clients._http import (
    USER_AGENT,
    ConnectionPool,
    RateLimit,
    RefusedError,
    UnavailableError,
    masked,
    rate_limit,
    refusal,
)
from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError

__all__ = [
    "BRAZE_ENDPOINTS",
    "BrazeClient",
    "ExportAnswer",
    "RateLimit",
    "RefusedError",
    "TrackAnswer",
    "TrackError",
    "UnavailableError",
]

# Braze has no default host, and a key used on another instance is answered 401 (Braze, 1.1).
BRAZE_ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        **{f"US-0{number}": f"https://rest.iad-0{number}.braze.com" for number in range(1, 9)},
        "US-10": "https://rest.us-10.braze.com",
        "EU-01": "https://rest.fra-01.braze.eu",
        "EU-02": "https://rest.fra-02.braze.eu",
        "AU-01": "https://rest.au-01.braze.com",
        "ID-01": "https://rest.id-01.braze.com",
        "JP-01": "https://rest.jp-01.braze.com",
        "KR-01": "https://rest.kr-01.braze.com",
    }
)
MAX_EXPORT_IDS = 50  # POST /users/export/ids (Braze, 6.1)
_TYPE_CHARS = 200

_REMEDIES = {
    HTTPStatus.UNAUTHORIZED.value: "check the REST API key, and that the endpoint is the instance it was made on",
    HTTPStatus.FORBIDDEN.value: "give the REST API key the endpoint's permission (users.track, users.export.ids); "
    "permissions cannot be changed on an existing key, so make a new one",
    HTTPStatus.NOT_FOUND.value: "check the endpoint: it is the REST address of the instance, without a path",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value: "a proxy on the way takes the Content-Type header away",
}


@dataclass(frozen=True, slots=True)
class TrackError:
    """An object that an accepted request left out (Braze, POST /users/track).

    Args:
        index: position in its input array; None where the entry names none that can be used.
        input_array: "attributes", "events" or "purchases"; None where the entry does not say.
        type: Braze's code or sentence, values masked.
    """

    index: int | None
    input_array: str | None
    type: str


@dataclass(frozen=True, slots=True)
class TrackAnswer:
    """A 2xx of POST /users/track: queued, apart from the objects in `errors`."""

    status: int
    errors: tuple[TrackError, ...]
    rate: RateLimit


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """Profiles by id, and the ids that have none (Braze, POST /users/export/ids)."""

    users: list[dict[str, Any]]
    invalid_user_ids: list[str]


class BrazeClient:
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
        base = _endpoint(endpoint)
        self._track_url = httpx.URL(f"{base}/users/track")
        self._export_url = httpx.URL(f"{base}/users/export/ids")
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {_key(api_key)}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": USER_AGENT,
            }
        )
        self._pool = ConnectionPool(
            url=base, clients=clients, connections=connections, timeout_seconds=timeout_seconds, transport=transport
        )
        self._extensions = self._pool.extensions()
        self._seconds = timeout_seconds
        self.calls = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def track(self, body: bytes, *, seconds: float | None = None) -> TrackAnswer:
        """POST /users/track once: at most 75 objects and 4 MB (Braze, 2.3 and 3.1).

        Args:
            body: the finished JSON document.
            seconds: for the answer; by default, and at the most, the client's own time limit.

        Returns:
            What a 2xx said; objects named in `errors` were left out, the rest is queued.

        Raises:
            TransientError: another attempt may help. With an answer it is an `UnavailableError` and carries `rate`;
                `ambiguous` where the request may have been taken.
            RefusedError: the whole request was refused (400, 413, …).
            ConfigurationError: endpoint, key or permission.
        """
        response = await self._post(self._track_url, body, "sending profiles", seconds)
        content = response.content
        errors = _track_errors(response) if b'"errors"' in content else ()
        # A cut answer can have lost its errors; an empty one cannot (any 2xx means accepted).
        if not errors and content and not content.rstrip().endswith(b"}"):
            raise _unreadable(response, "sending profiles")
        return TrackAnswer(response.status_code, errors, rate_limit(response.headers, now=self._clock.now()))

    async def export_users(self, external_ids: Sequence[str], fields: Sequence[str]) -> ExportAnswer:
        """POST /users/export/ids: profiles of at most 50 external ids; missing profile fields are left out.

        Raises:
            PermanentError: more than 50 ids, or the request was refused.
            TransientError, ConfigurationError: as for `track`.
        """
        if len(external_ids) > MAX_EXPORT_IDS:
            raise PermanentError(f"exporting profiles: {len(external_ids)} ids in one call; ask for 50 at most")
        body = orjson.dumps({"external_ids": list(external_ids), "fields_to_export": list(fields)})
        response = await self._post(self._export_url, body, "exporting profiles")
        try:
            answer = orjson.loads(response.content)
            users, invalid = answer["users"], answer.get("invalid_user_ids") or []
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise _unreadable(response, "exporting profiles") from None
        return ExportAnswer(users=list(users), invalid_user_ids=[str(one) for one in invalid])

    async def probe_track(self) -> None:
        """Ask whether endpoint, key and permission are right, by a track request without objects: writes nothing.

        Raises:
            ConfigurationError: they are not.
            TransientError: Braze did not answer, or asked to come again.
        """
        try:
            await self._post(self._track_url, b'{"attributes":[]}', "checking the Braze key")
        except RefusedError as refused:
            # Key and permission are looked at before the body: a complaint about the empty body means both are right.
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise

    async def _post(self, url: httpx.URL, body: bytes, doing: str, seconds: float | None = None) -> httpx.Response:
        seconds = None if seconds is None or seconds >= self._seconds else seconds
        extensions = self._extensions if seconds is None else self._pool.extensions(seconds)
        request = httpx.Request("POST", url, headers=self._headers, content=body, extensions=extensions)
        self.calls += 1
        response = await self._pool.send(request, doing, seconds=seconds)
        if not response.is_success:
            raise refusal(response, doing, now=self._clock.now(), remedies=_REMEDIES)
        return response


def _endpoint(endpoint: str) -> str:
    base = BRAZE_ENDPOINTS.get(endpoint.strip().upper(), endpoint.strip()).rstrip("/")
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"https", "http"} or not url.host:
        raise ConfigurationError(
            f"Braze endpoint {base!r} is no REST address; "
            f"give an instance ({', '.join(BRAZE_ENDPOINTS)}) or its https:// address"
        )
    return base


def _key(api_key: SecretStr) -> str:
    key = api_key.get_secret_value().strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the Braze REST API key is empty or holds characters no key has; copy it again")
    return key


def _unreadable(response: httpx.Response, doing: str) -> TransientError:
    return TransientError(
        f"{doing}: {response.status_code} with a body that is cut or no JSON",
        status=response.status_code,
        ambiguous=True,
    )


def _track_errors(response: httpx.Response) -> tuple[TrackError, ...]:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise _unreadable(response, "sending profiles") from None
    entries = body.get("errors") if isinstance(body, dict) else body
    if not entries:
        return ()
    return tuple(map(_track_error, entries if isinstance(entries, list) else [entries]))


def _track_error(entry: Any) -> TrackError:
    """An entry as far as it can be read: an index that is no position would blame another row."""
    if not isinstance(entry, dict):
        return TrackError(None, None, masked(str(entry))[:_TYPE_CHARS])
    index, array, kind = entry.get("index"), entry.get("input_array"), entry.get("type")
    usable = isinstance(index, int) and not isinstance(index, bool) and index >= 0
    return TrackError(
        index=index if usable else None,
        input_array=array if isinstance(array, str) else None,
        type=masked(str(kind if kind is not None else entry.get("message", "no reason given")))[:_TYPE_CHARS],
    )
