"""A call to the emulated account, and what it is answered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

DEFAULT_LIMIT, MOST = 20, 100
Headers = list[tuple[bytes, bytes]]


class RefusedError(Exception):
    """A call that is refused: its status and the body of the answer."""

    def __init__(self, status: int, body: Any, headers: Headers | None = None) -> None:
        super().__init__(str(status))
        self.status, self.body, self.headers = status, body, headers or []


def missing(thing: str, number: object) -> RefusedError:
    """404 for an id that is not there, in the vendor's words (3)."""
    return RefusedError(404, {"message": f"No Result found for {thing} with id {number}"})


def invalid(title: str, code: str, pointer: str | None, *, status: int = 422, **more: str) -> RefusedError:
    """A refusal of the standard form (3)."""
    item: dict[str, Any] = {"title": title, "detail": "", "code": code, **more}
    if pointer is not None:
        item["source"] = {"pointer": pointer}
    return RefusedError(status, {"errors": [item]})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was let in.

    Args:
        method: HTTP method.
        parts: what its path names after `/api/3`.
        query: its parameters, brackets decoded.
        body: as it came.
        now: epoch seconds.
    """

    method: str
    parts: Sequence[str]
    query: Sequence[tuple[str, str]]
    body: bytes
    now: float
    numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, method: str, path: str, query: bytes, body: bytes, now: float) -> "Call":
        """From what came over the wire; brackets may be percent-encoded or not (2)."""
        asked = parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True)
        return cls(method, tuple(path.removeprefix("/api/3").strip("/").split("/")), tuple(asked), body, now)

    def asked(self, name: str) -> str | None:
        """A parameter; the last of its name."""
        return dict(self.query).get(name)

    def json(self, wrapper: str | None = None) -> dict[str, Any]:
        """The body's object, or the one under `wrapper`.

        Raises:
            RefusedError: it is none.
        """
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise RefusedError(400, {}) from None
        inner = found.get(wrapper) if isinstance(found, dict) and wrapper else found
        if not isinstance(inner, dict):
            raise RefusedError(400, {})
        return inner

    def page(self) -> tuple[int, int]:
        """Offset and limit: 20 by default, 100 at the most (2)."""
        return self._number("offset", 0), min(self._number("limit", DEFAULT_LIMIT), MOST)

    def part(self, rows: list[dict[str, Any]], *, in_pages: bool) -> list[dict[str, Any]]:
        """What of the rows is told, as the account is set."""
        offset, limit = self.page() if in_pages else (0, len(rows))
        return rows[offset : offset + limit]

    def _number(self, name: str, default: int) -> int:
        given = self.asked(name)
        if given is None:
            return default
        if not re.fullmatch(r"\d{1,9}", given):
            raise RefusedError(400, {})
        return int(given)
