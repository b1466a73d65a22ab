"""A request and its answer as every endpoint sees them: who may call, what the call draws from, what answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from caspio_sync.sandbox.braze.rate import Admission, Headers

_SUCCESS = b'{"message":"success"}'


@dataclass(frozen=True, slots=True)
class Call:
    """A request: verb, the parts of its path after the first, query, body, and when it came (epoch seconds)."""

    method: str
    path: tuple[str, ...]
    query: bytes
    body: bytes
    now: float


class Reply(NamedTuple):
    """An answer, the headers of its limit apart."""

    status: int
    body: bytes = _SUCCESS
    headers: Headers = []  # noqa: RUF012 - never changed


class Endpoint(NamedTuple):
    """An endpoint: the permission it needs, the limit it draws from, and what answers or raises `RefusedError`.

    A refused request has drawn from the limit too, and its answer tells of it: recorded 400s carry `X-RateLimit-*`.
    """

    permission: str
    admit: Callable[[Call], Admission]
    answer: Callable[[Call], Reply]
    looks: bool = False
    """Whether the writes that are due take effect before it answers."""
