"""Faults on purpose: a seeded, replayable plan of what goes wrong between a client and an emulator.

A plan is a list of faults; each says for which requests it stands (path, method, the n-th such request, a probability,
a span of time) and what it does. The same plan over the same sequence of requests does the same things again.

```yaml
seed: 7
faults:
  - {kind: refuse, path: /users/track, nth: [3, 4], header: x-ratelimit-retry-after, seconds: 2}
  - {kind: reset_after, path: /users/track, probability: 0.01}
  - {kind: reject, path: /users/track, every: 10, indexes: [0, 5], code: EMAIL_BAD_FORMAT}
  - {kind: status, path: /integrations/rest, status: 503, after_seconds: 60, for_seconds: 30}
```

Served by `caspio_sync.sandbox.server`, a reset closes the socket. In process no socket is there to close: the app
raises `ResetBefore` (nothing reached the emulator: what httpx calls `ConnectError`), `ResetAfter` (the effect took
place, the answer is lost: `ReadError`) or `CutAnswer` (the answer ends early: `RemoteProtocolError`), and the test's
transport turns them into those.
"""

import asyncio
import math
import random
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.asgi import App, Headers, Message, Receive, Scope, Send

Kind = Literal[
    "latency",
    "refuse",
    "status",
    "expired_token",
    "reset_before",
    "reset_after",
    "truncate",
    "slow",
    "reject",
    "foreign",
    "short",
    "date",
]
HeaderForm = Literal["epoch", "seconds", "x-ratelimit-retry-after", "retry-after", "http-date", "empty", "absent"]

ABORT = "caspio_sync.abort"
"""Scope extension under which the server hands out a function that drops the connection."""


class ConnectionFault(Exception):  # noqa: N818 - what happened, as its three forms say
    """A connection that fails in process; see the three forms."""


class ResetBefore(ConnectionFault):
    """The connection was reset before the request had any effect."""


class ResetAfter(ConnectionFault):
    """The connection was reset after the request had its effect, without an answer."""


class CutAnswer(ConnectionFault):
    """The answer ended before its announced length."""


class Fault(BaseModel):
    """One fault: which requests it meets, and what it does to them. Times in seconds.

    Kinds: `latency` waits before the request is handed on; `refuse` answers 429 with `header` in one of the forms seen;
    `status` answers `status`; `expired_token` answers 401; `reset_before`, `reset_after`, `truncate` break the
    connection; `foreign` answers 200 with `body`, whatever was asked; `short` keeps the first `rows` of a list under
    Result; `date` gives the answer a Date header `seconds` ahead of the clock (behind it, where negative), or none with
    `header: absent`; `slow` sends the answer in small pieces over `seconds`; `reject` reports the objects at `indexes`
    of `array` with `code`, as a partial failure of `/users/track`, and keeps them from the emulator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    path: str = "/"
    method: str | None = None
    nth: tuple[int, ...] | None = None
    every: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    after_seconds: float = 0.0
    for_seconds: float | None = None

    seconds: float = 1.0
    rows: int = Field(default=0, ge=0)
    status: int = Field(default=503, ge=400, le=599)
    header: HeaderForm = "epoch"
    body: str | None = None
    array: Literal["attributes", "events", "purchases"] = "attributes"
    indexes: tuple[int, ...] = ()
    code: str = "EMAIL_BAD_FORMAT"

    @model_validator(mode="after")
    def _check(self) -> "Fault":
        if self.kind == "reject" and not self.indexes:
            raise ValueError("a 'reject' fault needs 'indexes'")
        if self.seconds < 0 and self.kind != "date":
            raise ValueError("'seconds' cannot be negative, but for a 'date' fault")
        return self

    def meets(self, scope: Scope) -> bool:
        """Whether a request has the path and method of this fault."""
        return scope["path"].startswith(self.path) and self.method in {None, scope["method"]}

    def fires(self, count: int, elapsed: float, dice: float) -> bool:
        """Whether the `count`-th matching request, `elapsed` seconds after the start, is struck; `dice` in [0, 1)."""
        if self.nth is not None and count not in self.nth:
            return False
        if self.every is not None and count % self.every:
            return False
        ends = math.inf if self.for_seconds is None else self.after_seconds + self.for_seconds
        return self.after_seconds <= elapsed < ends and dice < self.probability


class Faults(BaseModel):
    """A plan: faults in the order they are looked at; latencies add up, the first other fault that fires decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    faults: tuple[Fault, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Faults":
        """Read a plan from a YAML file; raises ConfigurationError naming the file and what to change."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(
                f"{path}: the fault plan cannot be read ({error.strerror}); check the path"
            ) from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: the fault plan is not YAML: {error}") from error
        try:
            return cls.model_validate(content or {})
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
            raise ConfigurationError(f"{path}: the fault plan does not hold: {found}") from error


class FaultyApp:
    """An ASGI app with faults in front of it; `struck` counts what was done, by kind.

    Args:
        app: the emulator's app.
        faults: the plan.
        clock: what spans, latencies and the refusals' headers go by; the plan's time starts with the first request.
    """

    def __init__(self, app: App, faults: Faults, clock: Clock | None = None) -> None:
        self._app = app
        self._faults = faults
        self._clock = clock or SystemClock()
        self._counts = [0] * len(faults.faults)
        self._started: float | None = None
        self.struck: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, with or without a fault."""
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        decisive: Fault | None = None
        for fault in self._firing(scope):
            if fault.kind == "latency":
                self._note(fault)
                await self._clock.sleep(fault.seconds)
            elif decisive is None:
                decisive = fault
        if decisive is None:
            await self._app(scope, receive, send)
        else:
            self._note(decisive)
            await self._strike(decisive, scope, receive, send)

    def _firing(self, scope: Scope) -> list[Fault]:
        now = self._clock.monotonic()
        if self._started is None:
            self._started = now
        firing = []
        for place, fault in enumerate(self._faults.faults):
            if fault.meets(scope):
                self._counts[place] += 1
                count = self._counts[place]
                # Drawn from the request's own place, so that the order of other requests changes nothing.
                dice = random.Random(f"{self._faults.seed}:{place}:{count}").random()  # noqa: S311 - to replay
                if fault.fires(count, now - self._started, dice):
                    firing.append(fault)
        return firing

    def _note(self, fault: Fault) -> None:
        self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1

    async def _strike(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "refuse" | "status" | "expired_token" | "foreign":
                await drain(receive)
                status, text, headers = self._instead(fault)
                await _answer(send, status, (text if fault.body is None else fault.body).encode(), headers)
            case "reset_before":
                await _drop(scope, ResetBefore("connection reset before the request was taken"))
            case "reset_after":
                await self._app(scope, receive, _swallow)
                await _drop(scope, ResetAfter("connection reset after the request was taken"))
            case "short":
                await _shorten(fault.rows, self._app, scope, receive, send)
            case "date":
                start, body = await _captured(self._app, scope, receive)
                await _answer(send, start["status"], body, [*_without(b"date", start), *self._date(fault)])
            case "reject":
                await self._reject(fault, scope, receive, send)
            case _:
                await self._spoil_answer(fault, scope, receive, send)

    async def _spoil_answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await _captured(self._app, scope, receive)
        await send(start)
        if fault.kind == "truncate":
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await _drop(scope, CutAnswer("the answer ended early"), gently=True)
            return
        size = max(1, math.ceil(len(body) / 10))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        for piece in pieces:
            await self._clock.sleep(fault.seconds / len(pieces))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _reject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Partial failure: the objects are taken out on the way in and reported on the way out."""
        body = await drain(receive)
        payload = orjson.loads(body)
        items = payload.get(fault.array, [])
        struck = [index for index in fault.indexes if index < len(items)]
        kept = [index for index in range(len(items)) if index not in struck]
        payload[fault.array] = [items[index] for index in kept]
        start, answer = await _captured(self._app, scope, once(orjson.dumps(payload)))
        if start["status"] >= 300 or not struck:
            await _answer(send, start["status"], answer, _without_length(start))
            return
        content = orjson.loads(answer)
        errors = content.setdefault("errors", [])
        for entry in errors:
            # The emulator counted without the objects taken out; the sender counts with them.
            if type(entry) is dict and entry.get("input_array") == fault.array and "index" in entry:
                entry["index"] = kept[entry["index"]]
        errors.extend({"type": fault.code, "input_array": fault.array, "index": index} for index in struck)
        await _answer(send, start["status"], orjson.dumps(content), _without_length(start))

    def _date(self, fault: Fault) -> Headers:
        told = datetime.fromtimestamp(self._clock.now().timestamp() + fault.seconds, UTC)
        return [] if fault.header == "absent" else [(b"date", format_datetime(told, usegmt=True).encode())]

    def _instead(self, fault: Fault) -> tuple[int, str, Headers]:
        answers: dict[str, tuple[int, str, Headers]] = {
            "refuse": (429, '{"message":"Rate Limited"}', self._refusal(fault)),
            "status": (fault.status, "", []),
            "expired_token": (401, "", [(b"www-authenticate", b"Bearer")]),
            "foreign": (200, "{}", []),
        }
        return answers[fault.kind]

    def _refusal(self, fault: Fault) -> Headers:
        now = self._clock.now().timestamp()
        wait = math.ceil(fault.seconds)
        date = format_datetime(datetime.fromtimestamp(math.ceil(now + fault.seconds), UTC), usegmt=True)
        forms: dict[str, Headers] = {
            "epoch": _rate_headers(b"3000", b"0", b"%d" % math.ceil(now + fault.seconds)),
            "seconds": _rate_headers(b"3000", b"0", b"%d" % wait),
            "x-ratelimit-retry-after": [(b"x-ratelimit-retry-after", b"%d" % wait)],
            "retry-after": [(b"retry-after", b"%d" % wait)],
            "http-date": [(b"retry-after", date.encode())],
            "empty": _rate_headers(b"", b"", b""),
            "absent": [],
        }
        return forms[fault.header]


def _rate_headers(limit: bytes, remaining: bytes, reset: bytes) -> Headers:
    return [(b"x-ratelimit-limit", limit), (b"x-ratelimit-remaining", remaining), (b"x-ratelimit-reset", reset)]


def _without_length(start: Message) -> Headers:
    return [(name, value) for name, value in start["headers"] if name not in {b"content-length", b"content-type"}]


def _without(name: bytes, start: Message) -> Headers:
    return [each for each in _without_length(start) if each[0] != name]


async def _shorten(rows: int, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    start, body = await _captured(app, scope, receive)
    content = orjson.loads(body) if body else None
    if isinstance(content, dict) and isinstance(content.get("Result"), list):
        body = orjson.dumps({**content, "Result": content["Result"][:rows]})
    await _answer(send, start["status"], body, _without_length(start))


async def _swallow(message: Message) -> None:
    """Take an answer that nobody will read."""


async def drain(receive: Receive) -> bytes:
    """The whole body of a request."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def once(body: bytes) -> Receive:
    """Hands on a body that was drained."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _captured(app: App, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    fixed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _drop(scope: Scope, failure: ConnectionFault, *, gently: bool = False) -> None:
    """Drop the connection where there is one, else raise; `gently` lets what was sent arrive."""
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is None:
        raise failure
    abort(gently=gently)
    # The server learns of the loss on the loop's next turns; before that it would answer 500.
    for _ in range(3):
        await asyncio.sleep(0)
