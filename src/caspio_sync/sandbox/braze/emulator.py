"""An emulator of Braze's REST API: track, identify, export and delete of `/users`, group states, catalogs.

It is strict: what Braze documents as refused is refused, what it drops in silence is dropped in silence. Where its
pages are silent, `BrazeBehaviour` has a switch. The track path is plain ASGI, as every framework layer would cost more
than the work itself.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.sandbox.asgi import Message, Receive, Scope, Send, live
from caspio_sync.sandbox.braze import messaging_routes
from caspio_sync.sandbox.braze.attributes import phone_is_valid
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.catalogs import Catalogs
from caspio_sync.sandbox.braze.catalogs_endpoints import CatalogEndpoints, CatalogWrite
from caspio_sync.sandbox.braze.engagement_endpoints import EngagementEndpoints
from caspio_sync.sandbox.braze.export import full_profile
from caspio_sync.sandbox.braze.identity_endpoints import IdentityEndpoints
from caspio_sync.sandbox.braze.journal import Journal
from caspio_sync.sandbox.braze.messaging import Messaging
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import NO_WINDOW, Headers
from caspio_sync.sandbox.braze.sending_endpoints import SendingEndpoints, SentMessage
from caspio_sync.sandbox.braze.track import RefusedError
from caspio_sync.sandbox.braze.user_endpoints import AcceptedObject, UserEndpoints

_JSON = (b"content-type", b"application/json")
_EVER = float("inf")


class BrazeSandbox:
    """One workspace. `app` is the ASGI application; the methods are for tests and set-up.

    Args:
        behaviour: the workspace's contract and settings.
        clock: what windows, delays and latency go by.
    """

    def __init__(self, behaviour: BrazeBehaviour | None = None, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or BrazeBehaviour()
        self._clock = clock or SystemClock()
        self._permissions = {
            f"Bearer {key}".encode(): permissions
            for key, permissions in self.behaviour.keys.items()
            if key not in self.behaviour.inactive_keys
        }
        self.reset()

    def reset(self) -> None:
        """Forget all profiles, counts, windows and pending effects."""
        self.store = ProfileStore(self.behaviour)
        self.journal = Journal(self.behaviour, self.store)
        self._user_endpoints = UserEndpoints(self.behaviour, self.store, self.journal)
        self._catalog_endpoints = CatalogEndpoints(self.behaviour)
        self.messaging = Messaging(self.behaviour, self.store)
        self._engagement_endpoints = EngagementEndpoints(self.behaviour, self.store, self.messaging)
        self._identity_endpoints = IdentityEndpoints(self.behaviour, self.store)
        self._sending_endpoints = SendingEndpoints(self.behaviour, self.store, self.messaging)
        self.requests = 0
        self.statuses: Counter[int] = Counter()

    # For tests and set-up.

    @property
    def data_points(self) -> int:
        """Data points billed for everything accepted so far (reference, section 15)."""
        return self.journal.data_points

    @property
    def log(self) -> list[AcceptedObject]:
        """The objects of the last `logged_requests` accepted requests, oldest first."""
        return self._user_endpoints.log

    @property
    def objects(self) -> int:
        """Objects of `/users/track` that were queued."""
        return self._user_endpoints.objects

    @property
    def rejected(self) -> int:
        """Objects of `/users/track` that an answer reported as rejected."""
        return self._user_endpoints.rejected

    @property
    def messages(self) -> list[SentMessage]:
        """Messages that calls have sent to people who were there, oldest first."""
        return self._sending_endpoints.sent

    def settle(self) -> None:
        """Let every accepted write take effect now, whatever its delay."""
        self.journal.merge(until=_EVER)
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
        return {key: full_profile(self.store.read(number)) for key, number in self.store.external_ids()}

    def profile(self, external_id: str) -> dict[str, Any] | None:
        """One of `profiles()`, None where there is none."""
        self.settle()
        number = self.store.find(external_id=external_id)
        return None if number is None else full_profile(self.store.read(number))

    def anonymous_profiles(self) -> list[dict[str, Any]]:
        """Profiles without an external id: by alias, e-mail, phone or push token; oldest first."""
        return [profile for profile in self._every_profile() if "external_id" not in profile]

    def invalid_phones(self) -> dict[str, str]:
        """External id and number of the profiles whose phone is kept but flagged as invalid."""
        phones = {key: profile["phone"] for key, profile in self.profiles().items() if "phone" in profile}
        return {key: phone for key, phone in phones.items() if not phone_is_valid(phone)}

    def _every_profile(self) -> Iterator[dict[str, Any]]:
        self.settle()
        return (full_profile(self.store.read(number)) for number in self.store.numbers())

    # HTTP.

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; uvicorn takes a method for one only when told `interface="asgi3"`."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        path = scope["path"]
        if path.startswith("/sandbox/"):
            await self._own_route(scope, receive, send)
            return
        self.requests += 1
        answer = self._identified(send)
        try:
            await self._handle(scope, receive, answer)
        except RefusedError as refusal:
            await self._answer(answer, refusal.status, refusal.body(), refusal.headers)

    def _identified(self, send: Send) -> Send:
        """What sends an answer with the headers that Braze puts on each one, refusals too."""
        number, started = self.requests, self._clock.monotonic()

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (b"x-request-id", b"00000000-0000-4000-8000-%012d" % number),
                    (b"x-runtime", b"%.6f" % (self._clock.monotonic() - started)),
                ]
            await send(message)

        return send_on

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        endpoint = self._endpoint(method, path)
        if endpoint is None:
            # A trailing slash lands here too (Braze, errors).
            await _read_body(receive, self.behaviour.body_limit)
            raise RefusedError(404, "Invalid URL")
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
        if endpoint.permission not in permissions:
            raise RefusedError(403, "Access Denied")
        if (body or method == "POST") and content_type.split(b";")[0].strip().lower() != b"application/json":
            raise RefusedError(415, "Unsupported Media Type")
        if self.behaviour.latency_ms:
            await self._clock.sleep(self.behaviour.latency_ms / 1000)
        call = Call(
            method=method,
            path=tuple(path.split("/")[2:]),
            query=scope.get("query_string", b""),
            body=body or b"",
            now=self._clock.now().timestamp(),
        )
        await self._admit(endpoint, call, send, too_large=body is None)

    async def _admit(self, endpoint: Endpoint, call: Call, send: Send, *, too_large: bool) -> None:
        """Answer a call within the endpoint's limit, told in the headers of whatever the answer is."""
        admission = endpoint.admit(call)
        if not admission.admitted:
            await self._answer(send, 429, _message("Rate Limited"), admission.headers)
            return
        if too_large:
            refused = _message("Request Entity Too Large")
            await self._answer(send, self.behaviour.body_limit_status, refused, admission.headers)
            return
        if endpoint.looks:
            await self._catch_up(call.now)
        try:
            reply = endpoint.answer(call)
        except RefusedError as refusal:
            reply = Reply(refusal.status, refusal.body())
        await self._answer(send, reply.status, reply.body, [*reply.headers, *admission.headers])

    def _endpoint(self, method: str, path: str) -> Endpoint | None:
        return (
            self._user_endpoints.route(method, path)
            or self._engagement_endpoints.route(method, path)
            or self._catalog_endpoints.route(method, path)
            or self._sending_endpoints.route(method, path)
            or self._identity_endpoints.route(method, path)
        )

    async def _answer(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        self.statuses[status] += 1
        await _send(send, status, body, headers)

    async def _catch_up(self, until: float) -> None:
        """Merge what is due, in slices: a million pending profiles take a minute, in which others are answered."""
        while self.journal.merge(until=until, at_most=10):  # noqa: ASYNC110 - work between turns, no waiting for an event
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
            state = self.counters() | {"profiles": len(self.store), "data_points": self.data_points}
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
            "pending_requests": len(self.journal) + self._catalog_endpoints.catalogs.pending,
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
