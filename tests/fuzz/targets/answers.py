"""Answers of a vendor as inputs, and the transport that gives them to a real client.

    track
    201
    x-ratelimit-remaining: 5

    {"message":"success"}
    ----
    503

The first line names the call. Then come the answers in their order, the last one again and again: status, headers, an
empty line, body. `<KEY>` and `<SECRET>` stand for what the client sends to prove itself. Whatever is not of this form
is read as well as it goes, so that any bytes are an input.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from tests.fuzz.judging import HangError

MOST_REQUESTS = 1000
_SEPARATOR = b"\n----\n"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as far as HTTP lets it through."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def read_exchange(data: bytes, replaced: dict[bytes, bytes]) -> tuple[str, list[Answer]]:
    """Name of the call, and the answers to it."""
    for placeholder, text in replaced.items():
        data = data.replace(placeholder, text)
    name, _, rest = data.partition(b"\n")
    return name.decode("latin-1").strip(), [_answer(part) for part in rest.split(_SEPARATOR)]


def _answer(part: bytes) -> Answer:
    head, _, body = part.partition(b"\n\n")
    status, *lines = head.split(b"\n")
    digits = re.search(rb"\d{3}", status)
    number = int(digits[0]) if digits else 200
    pairs = [(name.strip(), value.strip()) for name, colon, value in (line.partition(b":") for line in lines) if colon]
    headers = [(name, _NOT_IN_VALUES.sub(b"", value)) for name, value in pairs if _TOKEN.fullmatch(name)]
    # The length is what HTTP cuts bodies by, before any client sees them.
    headers = [pair for pair in headers if pair[0].lower() not in {b"content-length", b"transfer-encoding"}]
    return Answer(max(200, number), headers, body)


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class Scripted(httpx.AsyncBaseTransport):
    """Gives answers in turn, the last one again and again.

    Args:
        answers: at least one.
        first: answers that are none of the input's, such as a token, by path.
    """

    def __init__(self, answers: Sequence[Answer], first: dict[str, Answer] | None = None) -> None:
        self._answers = list(answers)
        self._first = first or {}
        self._requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise HangError(f"more than {MOST_REQUESTS} requests")
        answer = self._first.get(request.url.path)
        if answer is None:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.body))


def exchange(call: str, *answers: tuple[object, ...] | str | bytes) -> bytes:
    """An input in its form: each answer a body, or status, headers and body."""
    parts = []
    for answer in answers:
        status, *headers, body = answer if isinstance(answer, tuple) else (200, answer)
        lines = "".join(f"{line}\n" for line in headers)
        content = body if isinstance(body, bytes) else str(body).encode()
        parts.append(f"{status}\n{lines}\n".encode() + content)
    return call.encode() + b"\n" + _SEPARATOR.join(parts)


HEADERS = tuple(
    line.encode()
    for line in (
        *("\nx-ratelimit-limit: ", "\nx-ratelimit-remaining: 0", "\nx-ratelimit-reset: 9e99", "\nretry-after: 36000"),
        *("\nretry-after: Fri, 31 Dec 9999 23:59:59 -2359", "\nx-ratelimit-retry-after: -1", "\ndate: yesterday"),
        *("\ndate: Mon, 01 Jan 0001 00:00:00 +2359", "\nlocation: https://proxy/login", "\ncontent-type: text/html"),
        *("\ncontent-encoding: gzip", '\nlink: </catalogs/x/items?cursor=a>; rel="next"', "\n----\n429\n", "<KEY>"),
        *("\n----\n500\n", "\n204\n", "\n302\n", "\n401\n", "\n403\n", "\n400\n"),
    )
)
