"""The HTTP face of the emulated account: REST v3 as one ASGI app, without a framework between socket and query."""

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson

from caspio_sync.clock import Clock
from caspio_sync.sandbox.asgi import Receive, Scope, Send, live
from caspio_sync.sandbox.caspio.access import CallLimits, TokenRefusal, Tokens, TooManyCalls
from caspio_sync.sandbox.caspio.behaviour import MAX_URI_CHARS, CaspioBehaviour, Refusal, no_object
from caspio_sync.sandbox.caspio.query import refuse_options

PREFIX = "/integrations/rest/v3/"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
DOOR = "/sandbox/datasheet/"  # the emulator's own: what a person does in Caspio, without a token and without a bill


@dataclass(frozen=True, slots=True)
class Request:
    """A call as the routes see it.

    Args:
        method: HTTP method.
        path: decoded path segments below the API's prefix.
        parameters: query parameters, names in lower case and without `q.` (3.1, INF).
        content_type: media type of the body, lower case, without its parameters.
        body: the body's bytes.
        resource: the URL without its query, as error bodies name it.
    """

    method: str
    path: tuple[str, ...]
    parameters: Mapping[str, str]
    content_type: str
    body: bytes
    resource: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, body (JSON, or empty) and headers beyond the ones every answer has."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Route = Callable[[Request], Answer]


class CaspioApp:
    """ASGI app of the emulated service.

    Args:
        behaviour: switches of the account and service.
        clock: Date header, tokens, limits.
        route: answers what lies below the API's prefix; raises Refusal.
        door: answers what lies below DOOR; raises Refusal.
    """

    def __init__(self, behaviour: CaspioBehaviour, clock: Clock, route: Route, door: Route) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._route = route
        self._door = door
        self._limits = CallLimits(behaviour, clock)
        self.tokens = Tokens(behaviour, clock)
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        # Every request is billed, refused ones and token requests too (4.1).
        self.calls += not scope["path"].startswith(DOOR)
        answer = self._answer(scope, body)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(answer.body)),
            "Date": format_datetime(self._clock.now(), usegmt=True),
            "X-Caspio-Request-ID": answer.headers.get("X-Caspio-Request-ID") or str(uuid.uuid4()),
            **answer.headers,
        }
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        resource = f"https://{headers.get('host', 'localhost')}{raw_path}"
        try:
            return self._dispatched(scope, headers, body, resource)
        except Refusal as refusal:
            return self._refused(refusal, resource)

    def _dispatched(self, scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes, resource: str) -> Answer:
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        if len(resource) + (len(query) + 1 if query else 0) > MAX_URI_CHARS:
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "UriTooLong", "The request URI is too long.")
        authorization = headers.get("authorization", "")
        if path == TOKEN_PATH and scope["method"] == "POST":
            return self._token(body, authorization)
        if path.startswith(DOOR):
            return self._door(_request(scope, headers, body, resource, DOOR))
        if not path.startswith(PREFIX):
            raise no_object(path)
        self._limits.take()
        if self._behaviour.ip_forbidden:
            raise Refusal(HTTPStatus.FORBIDDEN, "IpForbidden", "Access from this IP address is forbidden.")
        if not self.tokens.valid(authorization):
            return self._unauthorized()
        request = _request(scope, headers, body, resource, PREFIX)
        refuse_options(request.parameters)
        return self._route(request)

    def _token(self, body: bytes, authorization: str) -> Answer:
        if self._behaviour.token_calls_limited:
            self._limits.take()
        try:
            return Answer(HTTPStatus.OK, orjson.dumps(self.tokens.grant(body, authorization)))
        except TokenRefusal as refusal:
            return Answer(HTTPStatus.BAD_REQUEST, orjson.dumps({"error": str(refusal)}))

    def _unauthorized(self) -> Answer:
        body = (
            b'{"Message":"Authorization has been denied for this request."}'
            if self._behaviour.unauthorized_body
            else b""
        )
        return Answer(HTTPStatus.UNAUTHORIZED, body, {"WWW-Authenticate": "Bearer"})

    def _refused(self, refusal: Refusal, resource: str) -> Answer:
        request_id = str(uuid.uuid4())
        headers = {"X-Caspio-Request-ID": request_id}
        if isinstance(refusal, TooManyCalls) and self._behaviour.retry_after:
            headers["Retry-After"] = str(max(1, math.ceil(refusal.wait)))
        body = {
            "Code": refusal.code,
            "Message": refusal.message,
            "Resource": resource,
            "RequestId": request_id,
        }
        return Answer(refusal.status, orjson.dumps(body), headers)


def _request(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes, resource: str, prefix: str) -> Request:
    query = scope["query_string"].decode("latin-1")
    parameters = {name.lower().removeprefix("q."): value for name, value in parse_qsl(query, keep_blank_values=True)}
    segments = tuple(part for part in scope["path"][len(prefix) :].split("/") if part)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Request(scope["method"], segments, parameters, media_type, body, resource)
