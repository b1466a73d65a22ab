"""An endpoint that takes rows, strict: who asks is checked first, then how often, then what.

`POST /rows` takes an array, or objects a line; `PUT`, `PATCH`, `GET`, `DELETE /rows/{key}` are about one row;
`POST /opt-outs` hears opt-outs; `POST /token` gives tokens.

A row is an object with its key under `external_id`, and values that are no objects. A request with an Idempotency-Key
(or webhook-id) that it knows is answered as before and has no other effect; with another body it is refused. What came
stands in `log` in the order in which it came. `app` is plain ASGI.
"""

import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.sandbox.asgi import Receive, Scope, Send, live
from caspio_sync.sandbox.faults import drain
from caspio_sync.sandbox.http.access import Access
from caspio_sync.sandbox.http.behaviour import HttpBehaviour

KEY = "external_id"
_ROW = re.compile(rb"/rows/([^/?#]+)")
_PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
_SENDABLE = (200, 201, 202)
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Came:
    """A write that was let in and had its effect.

    Args:
        method: HTTP method.
        path: decoded.
        key: of the row.
        row: as it came; None of a deletion.
    """

    method: str
    path: str
    key: str
    row: dict[str, Any] | None


class RefusedError(Exception):
    """A request that is refused: status, and why."""

    def __init__(self, status: int, why: str, headers: Headers | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers or []


class HttpSandbox:
    """One endpoint. `app` is the ASGI application; the rest is for tests and set-up.

    Args:
        behaviour: its settings.
        clock: what windows, tokens and signatures go by.
    """

    def __init__(self, behaviour: HttpBehaviour | None = None, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or HttpBehaviour()
        self._clock = clock or SystemClock()
        self.reset()

    def reset(self) -> None:
        """Forget rows, tokens and what came."""
        self.rows: dict[str, dict[str, Any]] = {}
        self.opted_out: dict[str, dict[str, Any]] = {}
        self.log: list[Came] = []
        self.access = Access(self.behaviour)
        self.statuses: Counter[int] = Counter()
        self.replayed = 0  # requests that were known already
        self.bodies: list[bytes] = []
        self._answered: dict[str, tuple[bytes, int, bytes]] = {}  # method, address and body; status; answer: by number
        self._times: deque[float] = deque()

    def settle(self) -> None:
        """Nothing waits here."""

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = await drain(receive)
        if self.behaviour.latency_ms:
            await self._clock.sleep(self.behaviour.latency_ms / 1000)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            status, answer = self._answer(scope, headers, body)
            await self._send(send, status, answer, [])
        except RefusedError as refusal:
            await self._send(send, refusal.status, orjson.dumps({"message": refusal.why}), refusal.headers)

    def _answer(self, scope: Scope, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        now = self._clock.now().timestamp()
        method, raw = scope["method"], scope.get("raw_path") or scope["path"].encode()
        if scope["path"].startswith("/sandbox/"):
            return self._own(method, scope["path"])
        if (method, scope["path"]) == ("POST", "/token"):
            token = self.access.token(headers, body, now)
            if token is None:
                raise RefusedError(401, "invalid_client")
            return 200, orjson.dumps(token)
        if (why := self.access.fault(headers, body, now)) is not None:
            raise RefusedError(401, why)
        self._admit(now)
        if method == "GET":
            return self._read(raw)
        number = headers.get("idempotency-key") or headers.get("webhook-id")
        if number is None and self.behaviour.idempotency == "needed":
            raise RefusedError(400, "no Idempotency-Key")
        asked = b"\0".join([method.encode(), raw, body])
        if number is not None and self.behaviour.idempotency != "off" and number in self._answered:
            before, status, answer = self._answered[number]
            if before != asked:
                raise RefusedError(422, "an Idempotency-Key that was used for something else")
            self.replayed += 1
            return status, answer
        status, answer = self._write(method, raw, headers, body)
        self.bodies.append(body)
        if number is not None:
            self._answered[number] = asked, status, answer
        return status, answer

    def _admit(self, now: float) -> None:
        limit = self.behaviour.requests_per_second
        if limit is None:
            return
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if len(self._times) >= limit:
            told = [(b"x-ratelimit-limit", b"%d" % limit), (b"x-ratelimit-remaining", b"0"), (b"retry-after", b"1")]
            raise RefusedError(429, "too many requests", told)
        self._times.append(now)

    def _read(self, raw: bytes) -> tuple[int, bytes]:
        key = _key(raw)
        if key not in self.rows:
            raise RefusedError(404, "no such row")
        return 200, orjson.dumps(self.rows[key])

    def _write(self, method: str, raw: bytes, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        path = unquote(raw.decode("ascii"))
        if (method, raw) == ("POST", b"/opt-outs"):
            (told,) = _objects(headers, body)
            key = _sound_key(told)
            self.opted_out[key] = told
            self.log.append(Came(method, path, key, told))
            return self._taken(1, [])
        if (method, raw) == ("POST", b"/rows"):
            return self._take_many(_objects(headers, body), path)
        key = _key(raw)
        if method == "DELETE":
            if self.rows.pop(key, None) is None:
                raise RefusedError(404, "no such row")
            self.opted_out.pop(key, None)
            self.log.append(Came(method, path, key, None))
            return 204, b""
        if method not in {"PUT", "PATCH"}:
            raise RefusedError(405, "no such method here")
        (row,) = _objects(headers, body)
        if (why := _ill_formed({KEY: key, **row})) is not None:
            raise RefusedError(422, why)
        self.rows[key] = {**(self.rows.get(key, {}) if method == "PATCH" else {}), **row}
        self.log.append(Came(method, path, key, row))
        return self._taken(1, [])

    def _take_many(self, rows: list[dict[str, Any]], path: str) -> tuple[int, bytes]:
        if len(rows) > self.behaviour.most_rows:
            raise RefusedError(413, f"more than {self.behaviour.most_rows} rows")
        faults = [(place, why) for place, each in enumerate(rows) if (why := _ill_formed(each)) is not None]
        if faults and self.behaviour.refuses == "request":
            raise RefusedError(400, faults[0][1])
        for place, row in enumerate(rows):
            if place not in dict(faults):
                key = str(row[KEY])
                self.rows[key] = row
                self.log.append(Came("POST", path, key, row))
        return self._taken(len(rows) - len(faults), [{"index": place, "message": why} for place, why in faults])

    def _taken(self, count: int, errors: list[dict[str, Any]]) -> tuple[int, bytes]:
        status = self.behaviour.taken_status
        if status not in _SENDABLE or self.behaviour.answers == "empty":
            return status, b""
        return status, _PAGE if self.behaviour.answers == "page" else orjson.dumps({"taken": count, "errors": errors})

    def _own(self, method: str, path: str) -> tuple[int, bytes]:
        """The sandbox's own routes, which need no proof."""
        if (method, path) == ("POST", "/sandbox/reset"):
            self.reset()
            return 200, b"{}"
        if (method, path) == ("GET", "/sandbox/state"):
            return 200, orjson.dumps({"rows": len(self.rows), "writes": len(self.log), "replayed": self.replayed})
        raise RefusedError(404, "no such place")

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        self.statuses[status] += 1
        kind = b"text/html" if body == _PAGE else b"application/json"
        own = [(b"content-type", kind), (b"content-length", b"%d" % len(body))] if body else []
        await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
        await send({"type": "http.response.body", "body": body})


def _objects(headers: dict[str, str], body: bytes) -> list[dict[str, Any]]:
    """The objects of a body: an array, one alone, one a line, or a form."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        match kind:
            case "application/json":
                read = orjson.loads(body)
            case "application/x-ndjson":
                read = [orjson.loads(line) for line in body.splitlines() if line]
            case "application/x-www-form-urlencoded":
                read = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True))
            case _:
                raise RefusedError(415, "neither JSON nor a form")
    except (orjson.JSONDecodeError, UnicodeDecodeError, ValueError):
        raise RefusedError(400, "cannot be read") from None
    rows = read if isinstance(read, list) else [read]
    if not rows or not all(isinstance(each, dict) for each in rows):
        raise RefusedError(400, "no objects")
    return rows


def _ill_formed(row: dict[str, Any]) -> str | None:
    if not isinstance(row.get(KEY), str) or not row[KEY]:
        return f"no {KEY}"
    return "a value is an object" if any(isinstance(each, dict) for each in row.values()) else None


def _sound_key(told: dict[str, Any]) -> str:
    if not isinstance(told.get(KEY), str) or not told[KEY]:
        raise RefusedError(400, f"no {KEY}")
    return str(told[KEY])


def _key(raw: bytes) -> str:
    found = _ROW.fullmatch(raw.partition(b"?")[0])
    if found is None:
        raise RefusedError(404, "no such place")
    return unquote(found[1].decode("ascii"))
