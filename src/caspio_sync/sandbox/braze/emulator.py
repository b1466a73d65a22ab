"""An emulator of Braze's REST API: track, identify, export and delete of `/users`, group states, catalogs.

It is strict: what Braze documents as refused is refused, what it drops in silence is dropped in silence. Where its
pages are silent, `BrazeBehaviour` has a switch. The track path is plain ASGI, as every framework layer would cost more
than the work itself.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.sandbox.braze import messaging_routes
from caspio_sync.sandbox.braze.attributes import phone_is_valid
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.catalogs import Catalogs
from caspio_sync.sandbox.braze.catalogs_endpoints import CatalogCall, CatalogEndpoints, CatalogRoute, CatalogWrite
from caspio_sync.sandbox.braze.delete import DeleteRequest
from caspio_sync.sandbox.braze.engagement_endpoints import EngagementEndpoints, EngagementRoute, Query
from caspio_sync.sandbox.braze.export import ExportRequest, full_profile, group_states
from caspio_sync.sandbox.braze.identify import check_identify
from caspio_sync.sandbox.braze.journal import Journal, Rejected, accepted_objects
from caspio_sync.sandbox.braze.messaging import Messaging
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import ExportLimit, Headers, PoolLimit, TrackLimit
from caspio_sync.sandbox.braze.track import NO_WINDOW, RefusedError, TrackEndpoint

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_EVER = float("inf")


class AcceptedObject(NamedTuple):
    """One object that was queued, with the number of its request among those accepted (from 1)."""

    request: int
    array: str
    object: dict[str, Any]


class BrazeSandbox:
    """One workspace. `app` is the ASGI application; the methods are for tests and set-up.

    Args:
        behaviour: the workspace's contract and settings.
        clock: what windows, delays and latency go by.
    """

    def __init__(self, behaviour: BrazeBehaviour | None = None, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or BrazeBehaviour()
        self._clock = clock or SystemClock()
        self._track_endpoint = TrackEndpoint(self.behaviour)
        self._permissions = {
            f"Bearer {key}".encode(): permissions
            for key, permissions in self.behaviour.keys.items()
            if key not in self.behaviour.inactive_keys
        }
        self._routes: dict[tuple[str, str], tuple[str, Callable[..., Awaitable[None]]]] = {
            ("POST", "/users/track"): ("users.track", self._track),
            ("POST", "/users/identify"): ("users.identify", self._identify),
            ("POST", "/users/export/ids"): ("users.export.ids", self._export),
            ("POST", "/users/delete"): ("users.delete", self._delete),
            ("GET", "/subscription/status/get"): ("subscription.status.get", self._group_status),
        }
        self.reset()

    def reset(self) -> None:
        """Forget all profiles, counts, windows and pending effects."""
        self._store = ProfileStore(self.behaviour)
        self._journal = Journal(self.behaviour, self._store)
        self._track_limit = TrackLimit(self.behaviour)
        self._export_limit = ExportLimit(self.behaviour)
        self._identity_limit = PoolLimit(self.behaviour, self.behaviour.identity_per_minute, 60)
        self._groups_limit = PoolLimit(self.behaviour, self.behaviour.groups_per_hour, 3600)
        self._series_limit = PoolLimit(self.behaviour, self.behaviour.campaign_series_per_minute, 60)
        self._catalog_endpoints = CatalogEndpoints(self.behaviour)
        self.messaging = Messaging(self.behaviour, self._store)
        self._engagement_endpoints = EngagementEndpoints(self.behaviour, self._store, self.messaging)
        self._logged: deque[tuple[int, bytes, Rejected]] = deque(maxlen=self.behaviour.logged_requests)
        self._accepted = 0
        self.requests = 0
        self.objects = 0
        self.rejected = 0
        self.statuses: Counter[int] = Counter()

    # For tests and set-up.

    @property
    def data_points(self) -> int:
        """Data points billed for everything accepted so far (reference, section 15)."""
        return self._journal.data_points

    @property
    def log(self) -> list[AcceptedObject]:
        """The objects of the last `logged_requests` accepted requests, oldest first."""
        return [
            AcceptedObject(number, array, item)
            for number, body, rejected in self._logged
            for array, item in accepted_objects(body, rejected)
        ]

    def settle(self) -> None:
        """Let every accepted write take effect now, whatever its delay."""
        self._journal.merge(until=_EVER)
        self._catalog_endpoints.catalogs.settle(_EVER)

    @property
    def catalogs(self) -> Catalogs:
        """Catalogs by name, after all accepted writes."""
        self._catalog_endpoints.catalogs.settle(_EVER)
        return self._catalog_endpoints.catalogs

    @property
    def catalog_log(self) -> list[CatalogWrite]:
        """The last `logged_requests` accepted writes to catalogs, oldest first."""
        return list(self._catalog_endpoints.log)

    def profiles(self) -> dict[str, dict[str, Any]]:
        """Identified profiles by external id, after all accepted writes; group states under `subscription_groups`."""
        self.settle()
        return {key: full_profile(self._store.read(number)) for key, number in self._store.external_ids()}

    def profile(self, external_id: str) -> dict[str, Any] | None:
        """One of `profiles()`, None where there is none."""
        self.settle()
        number = self._store.find(external_id=external_id)
        return None if number is None else full_profile(self._store.read(number))

    def anonymous_profiles(self) -> list[dict[str, Any]]:
        """Profiles without an external id: by alias, e-mail, phone or push token; oldest first."""
        return [profile for profile in self._every_profile() if "external_id" not in profile]

    def invalid_phones(self) -> dict[str, str]:
        """External id and number of the profiles whose phone is kept but flagged as invalid."""
        phones = {key: profile["phone"] for key, profile in self.profiles().items() if "phone" in profile}
        return {key: phone for key, phone in phones.items() if not phone_is_valid(phone)}

    def _every_profile(self) -> Iterator[dict[str, Any]]:
        self.settle()
        return (full_profile(self._store.read(number)) for number in self._store.numbers())

    # HTTP.

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; uvicorn takes a method for one only when told `interface="asgi3"`."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path = scope["path"]
        if path.startswith("/sandbox/"):
            await self._own_route(scope, receive, send)
            return
        self.requests += 1
        try:
            await self._handle(scope, receive, send)
        except RefusedError as refusal:
            await self._answer(send, refusal.status, refusal.body(), refusal.headers)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) or self._further_route(scope)
        if route is None:
            # A trailing slash lands here too (Braze, errors).
            await _read_body(receive, self.behaviour.body_limit)
            raise RefusedError(404, "Not Found")
        permission, handle = route
        key = content_type = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                key = value
            elif name == b"content-type":
                content_type = value
        body = await _read_body(receive, self.behaviour.body_limit)
        permissions = self._permissions.get(key)
        if permissions is None:
            # Braze tells the key back, and nothing of a window (recorded; no page shows the body).
            told = key.decode("latin-1").removeprefix("Bearer ")
            raise RefusedError(401, f"Invalid API key: {told}", headers=NO_WINDOW)
        if permission not in permissions:
            raise RefusedError(403, "Access Denied")
        if (body or scope["method"] == "POST") and content_type.split(b";")[0].strip().lower() != b"application/json":
            raise RefusedError(415, "Unsupported Media Type")
        if self.behaviour.latency_ms:
            await self._clock.sleep(self.behaviour.latency_ms / 1000)
        await handle(scope, body, send)

    async def _track(self, _scope: Scope, body: bytes | None, send: Send) -> None:
        now = self._clock.now().timestamp()
        admission = self._track_limit.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        try:
            acceptance = self._track_endpoint.judge(self._within_limit(body))
        except RefusedError as refusal:
            await self._answer(send, refusal.status, refusal.body(), admission.headers)
            return
        self.objects += acceptance.queued
        self.rejected += len(acceptance.rejected)
        if acceptance.queued and body:
            self._accepted += 1
            self._journal.append(self._accepted, body, acceptance.rejected, now)
            self._logged.append((self._accepted, body, acceptance.rejected))
        await self._answer(send, self.behaviour.accepted_status, acceptance.answer, admission.headers)

    async def _identify(self, _scope: Scope, body: bytes | None, send: Send) -> None:
        whole = self._within_limit(body)
        processed = check_identify(whole)
        now = self._clock.now().timestamp()
        admission = self._identity_limit.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        self._accepted += 1
        self._journal.append(self._accepted, whole, frozenset(), now)
        self._logged.append((self._accepted, whole, frozenset()))
        answer = orjson.dumps({"aliases_processed": processed, "message": "success"})
        await self._answer(send, 201, answer, admission.headers)

    async def _export(self, _scope: Scope, body: bytes | None, send: Send) -> None:
        request = ExportRequest(self._within_limit(body), self.behaviour)
        now = self._clock.now().timestamp()
        admission = self._export_limit.admit(now, request.fields)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        await self._catch_up(now)
        await self._answer(send, self.behaviour.export_status, request.answer(self._store), admission.headers)

    async def _delete(self, _scope: Scope, body: bytes | None, send: Send) -> None:
        now = self._clock.now().timestamp()
        admission = self._identity_limit.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        request = DeleteRequest(self._within_limit(body), self.behaviour)
        self._accepted += 1
        self._journal.append_deletion(self._accepted, request.apply, now)
        await self._answer(send, self.behaviour.delete_status, request.answer(), admission.headers)

    async def _group_status(self, scope: Scope, _body: bytes | None, send: Send) -> None:
        query = parse_qs(scope.get("query_string", b"").decode())
        group = query.get("subscription_group_id", [""])[0]
        ids = query.get("external_id[]", []) + query.get("external_id", [])
        if group not in self.behaviour.subscription_groups or not 0 < len(ids) <= 50:
            raise RefusedError(
                400, "Bad Request: a known 'subscription_group_id' and 1 to 50 'external_id' are required"
            )
        now = self._clock.now().timestamp()
        admission = self._groups_limit.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        await self._catch_up(now)
        await self._answer(send, 200, group_states(self._store, group, ids), admission.headers)

    def _further_route(self, scope: Scope) -> tuple[str, Callable[..., Awaitable[None]]] | None:
        told = self._engagement_endpoints.route(scope["method"], scope["path"])
        if told is not None:
            return told.permission, partial(self._tell, told)
        route = self._catalog_endpoints.route(scope["method"], scope["path"])
        return None if route is None else (route.permission, partial(self._catalog, route))

    async def _catalog(self, route: CatalogRoute, scope: Scope, body: bytes | None, send: Send) -> None:
        now = self._clock.now().timestamp()
        admission = route.pool.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        try:
            query = scope.get("query_string", b"")
            call = CatalogCall(scope["method"], route.path, self._within_limit(body), query, now)
            reply = route.answer(call)
        except RefusedError as refusal:
            await self._answer(send, refusal.status, refusal.body(), admission.headers)
            return
        await self._answer(send, reply.status, reply.body, [*reply.headers, *admission.headers])

    async def _tell(self, route: EngagementRoute, scope: Scope, _body: bytes | None, send: Send) -> None:
        now = self._clock.now().timestamp()
        pool = self._series_limit if route.pool == "campaign_series" else self._groups_limit
        admission = pool.admit(now)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        await self._catch_up(now)
        answer = route.answer(Query(scope.get("query_string", b"")), now)
        await self._answer(send, 200, orjson.dumps(answer | {"message": "success"}), admission.headers)

    def _within_limit(self, body: bytes | None) -> bytes:
        if body is None:
            raise RefusedError(self.behaviour.body_limit_status, "Request Entity Too Large")
        return body

    async def _answer(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        self.statuses[status] += 1
        await _send(send, status, body, headers)

    async def _catch_up(self, until: float) -> None:
        """Merge what is due, in slices: a million pending profiles take a minute, in which others are answered."""
        while self._journal.merge(until=until, at_most=10):  # noqa: ASYNC110 - work between turns, no waiting for an event
            await asyncio.sleep(0)

    # The sandbox's own routes, which need no key.

    async def _own_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive, self.behaviour.body_limit)
        route = (scope["method"], scope["path"])
        if route[0] == "POST" and route[1] in messaging_routes.PATHS:
            try:
                await self._catch_up(_EVER)
                told = await messaging_routes.answer(route[1], body, self.messaging, self._clock)
            except RefusedError as refusal:
                await _send(send, refusal.status, refusal.body(), [])
            else:
                await _send(send, 200, orjson.dumps(told), [])
        elif route == ("GET", "/sandbox/counters"):
            await _send(send, 200, orjson.dumps(self.counters()), [])
        elif route == ("GET", "/sandbox/state"):
            await self._catch_up(_EVER)
            state = self.counters() | {"profiles": len(self._store), "data_points": self.data_points}
            state["catalogs"] = {name: len(catalog.items) for name, catalog in self.catalogs.items()}
            await _send(send, 200, orjson.dumps(state), [])
        elif route == ("GET", "/sandbox/profiles"):
            await self._catch_up(_EVER)
            await _send_lines(send, self._every_profile())
        elif route[0] == "GET" and route[1].removeprefix("/sandbox/catalogs/") in self.catalogs:
            items = self.catalogs[route[1].removeprefix("/sandbox/catalogs/")].items
            await _send_lines(send, list(items.values()))
        elif route == ("POST", "/sandbox/reset"):
            self.reset()
            await _send(send, 200, _message("success"), [])
        else:
            await _send(send, 404, _message("Not Found"), [])

    def counters(self) -> dict[str, Any]:
        """What costs nothing to tell: requests, objects queued and rejected, pending requests, answers by status."""
        return {
            "requests": self.requests,
            "objects": self.objects,
            "rejected": self.rejected,
            "pending_requests": len(self._journal) + self._catalog_endpoints.catalogs.pending,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


def _message(text: str) -> bytes:
    return orjson.dumps({"message": text})


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """The whole body, None where it is larger than `limit` bytes; then it is read and thrown away."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= limit else None
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks) if size <= limit else None


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    start = [_JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def _send_lines(send: Send, objects: Iterable[dict[str, Any]]) -> None:
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = iter(objects)
    while chunk := list(islice(left, 1000)):
        lines = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in chunk)
        await send({"type": "http.response.body", "body": lines, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
