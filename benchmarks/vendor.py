"""Both vendors in one process that costs next to nothing: `python -m benchmarks.vendor --rows N --key KEY`.

The emulators of the product judge every object, which takes longer than sending them; what is measured beside them is
them. This one checks the key, counts objects, and sees a request that is cut, of the wrong kind, or came twice; it
takes about 0.1 ms of a core a request.

    POST /oauth/token · GET /integrations/rest/v3/tables/Customers/{fields,records} (by PK_ID; aggregates of PK_ID)
    POST /users/track
    POST /_reset {"latency_ms", "page_ms", "changed_every", "rows"} · GET /_counts
"""

import argparse
import asyncio
import re
import resource
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import parse_qsl

import httptools
import numpy as np
import orjson
import uvloop
import xxhash

from benchmarks.customers import FIELDS, Encoded, encoded

TOKEN = "token-of-the-benchmark"
MOST_OBJECTS = 75  # Braze, POST /users/track
MOST_ROWS = 1000  # Caspio, 3.1
_COMPARISON = re.compile(r"\[?PK_ID\]?\s*(>=|<=|>|<|=)\s*(-?\d+)", re.IGNORECASE)
_AGGREGATE = re.compile(r"(COUNT|MIN|MAX)\(\[?PK_ID\]?\) AS (\w+)", re.IGNORECASE)
_OPENING, _CLOSING, _OBJECT = b'{"attributes":[{', b"}]}", b'"external_id"'


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class Counts:
    """What came, since the last reset; seconds by the monotonic clock."""

    rows: int
    latency_ms: float = 0.0
    page_ms: float | None = None
    changed_every: int = 0
    requests: int = 0
    objects: int = 0
    bytes: int = 0
    cut: int = 0
    doubled: int = 0
    refused: int = 0
    reads: int = 0
    rows_given: int = 0
    first_track: float = 0.0
    last_track: float = 0.0
    seen: set[int] = field(default_factory=set)
    processor_at_reset: float = field(default_factory=_processor_seconds)

    def told(self) -> dict[str, Any]:
        names = ("requests", "objects", "bytes", "cut", "doubled", "refused", "reads", "rows_given")
        sending = self.last_track - self.first_track
        processor = _processor_seconds() - self.processor_at_reset
        return {name: getattr(self, name) for name in names} | {"sending_seconds": sending, "processor": processor}


class Vendor:
    """The answers.

    Args:
        rows: of the table.
        key: the bearer key that /users/track takes; what comes with another is not of this benchmark.
    """

    def __init__(self, rows: int, key: str) -> None:
        self._most = rows
        self._key = f"Bearer {key}".encode()
        self._tables: dict[int, Encoded] = {}
        self.counts = Counts(rows)
        self._taken: dict[int, bytes] = {}
        self._table()

    def _table(self) -> Encoded:
        every = self.counts.changed_every
        if every not in self._tables:
            self._tables = {every: encoded(self._most, changed_every=every)}
        return self._tables[every]

    def answer(self, method: bytes, url: bytes, authorization: bytes, body: bytes) -> tuple[bytes, float]:
        """The answer, and the seconds after which it leaves."""
        if url == b"/users/track":
            return self._track(authorization, body), self.counts.latency_ms / 1000
        path, _, query = url.decode().partition("?")
        if path == "/_counts":
            return _http(200, orjson.dumps(self.counts.told())), 0.0
        if path == "/_reset":
            self.counts = Counts(**{"rows": self._most, **orjson.loads(body)})
            self._table()
            self.counts.processor_at_reset = _processor_seconds()
            return _http(200, b"{}"), 0.0
        latency = self.counts.latency_ms if self.counts.page_ms is None else self.counts.page_ms
        return self._caspio(method, path, query, authorization), latency / 1000

    def _track(self, authorization: bytes, body: bytes) -> bytes:
        counts = self.counts
        if authorization != self._key:
            counts.refused += 1
            return _http(401, b'{"message":"Invalid API key"}')
        now = time.monotonic()
        counts.first_track = counts.first_track or now
        counts.last_track = now + counts.latency_ms / 1000
        objects, mark = body.count(_OBJECT), xxhash.xxh3_64_intdigest(body)
        if not 0 < objects <= MOST_OBJECTS or not body.startswith(_OPENING) or not body.endswith(_CLOSING):
            counts.cut += 1
            return _http(400, b'{"message":"Invalid JSON"}')
        counts.doubled += mark in counts.seen
        counts.seen.add(mark)
        counts.requests += 1
        counts.objects += objects
        counts.bytes += len(body)
        if objects not in self._taken:
            told = orjson.dumps({"message": "success", "attributes_processed": objects})
            self._taken[objects] = _http(201, told, b"X-RateLimit-Limit: 3000\r\nX-RateLimit-Remaining: 2999\r\n")
        return self._taken[objects]

    def _caspio(self, method: bytes, path: str, query: str, authorization: bytes) -> bytes:
        if path == "/oauth/token":
            return _http(200, orjson.dumps({"access_token": TOKEN, "token_type": "bearer", "expires_in": 86_399}))
        if authorization != f"Bearer {TOKEN}".encode() or method != b"GET":
            self.counts.refused += 1
            return _http(401, b"")
        if path.endswith("/tables/Customers/fields"):
            fields = [{"Name": name, "Type": kind, "Unique": name == "CustomerKey"} for name, kind in FIELDS.items()]
            return _http(200, orjson.dumps({"Result": fields}))
        if not path.endswith("/tables/Customers/records"):
            return _http(404, b'{"Code":"NotFound"}')
        self.counts.reads += 1
        asked = {name.removeprefix("q."): value for name, value in parse_qsl(query)}
        low, high = self._span(asked.get("where", ""))
        if aggregates := _AGGREGATE.findall(asked["select"]):
            return _http(200, orjson.dumps({"Result": [self._aggregate(aggregates, low, high)]}))
        high = min(high, low + min(MOST_ROWS, int(asked["limit"])))
        self.counts.rows_given += max(0, high - low)
        return _http(200, b'{"Result":[' + self._table().rows(low, max(low, high)) + b"]}")

    def _span(self, where: str) -> tuple[int, int]:
        """The rows that meet a condition about PK_ID, from one place to another."""
        keys = self._table().keys
        low, high = 0, self.counts.rows
        for sign, number in _COMPARISON.findall(where):
            left, right = (int(np.searchsorted(keys, int(number), side)) for side in ("left", "right"))
            low = max(low, {">": right, ">=": left, "=": left}.get(sign, 0))
            high = min(high, {"<": left, "<=": right, "=": right}.get(sign, high))
        return low, high

    def _aggregate(self, aggregates: list[tuple[str, str]], low: int, high: int) -> dict[str, int | None]:
        keys = self._table().keys
        of = {
            "COUNT": max(0, high - low),
            "MIN": int(keys[low]) if high > low else None,
            "MAX": int(keys[high - 1]) if high > low else None,
        }
        return {name: of[function.upper()] for function, name in aggregates}


_WORDS = {200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


def _http(status: int, body: bytes, headers: bytes = b"") -> bytes:
    date = formatdate(usegmt=True)  # a client goes by the server's clock
    head = f"HTTP/1.1 {status} {_WORDS[status]}\r\nDate: {date}\r\nContent-Type: application/json\r\n"
    return head.encode() + headers + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._authorization, self._parts = b"", b"", list[bytes]()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        answer, seconds = self._vendor.answer(self._parser.get_method(), self._url, self._authorization, body)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def serve(vendor: Vendor) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(vendor), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vendor")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    uvloop.run(serve(Vendor(options.rows, options.key)))


if __name__ == "__main__":
    main()
