"""Who may post, and how much: checked before anything else is looked at."""

import hashlib
import hmac
import zlib
from collections.abc import Sequence
from http import HTTPStatus

from pydantic import SecretStr
from starlette.requests import Request

_ENCODINGS = {"": None, "identity": None, "gzip": 31, "deflate": 47}


class RefusedPostError(Exception):
    """A post that is not taken.

    Args:
        status: what it is answered.
        text: why, without a value.
        retry_after: seconds, where the sender may come again.
    """

    def __init__(self, status: HTTPStatus, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class Bearer:
    """The tokens that are accepted; compared in constant time, by digest, so that no length is told either."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._digests = [_digest(f"Bearer {token.get_secret_value()}".encode()) for token in tokens]

    def admits(self, request: Request) -> bool:
        """Whether the request's Authorization header holds one of them (RFC 6750)."""
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        given = _digest(f"{scheme.capitalize()} {token.strip()}".encode())
        matches = [hmac.compare_digest(given, each) for each in self._digests]
        return any(matches)


def is_one_of(given: Sequence[str], secrets: Sequence[SecretStr]) -> bool:
    """Whether a secret of ours is among these; compared in constant time, by digest, so that no length is told."""
    ours = [_digest(each.get_secret_value().encode()) for each in secrets]
    matches = [
        hmac.compare_digest(_digest(each.encode("utf-8", "replace")), own) for each in given if each for own in ours
    ]
    return any(matches)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, uncompressed.

    Args:
        request: not read yet.
        limit: bytes, before and after it is uncompressed.

    Raises:
        RefusedPostError: 413, it is larger; uvicorn reads the rest and throws it away, so that a sender that writes
            everything first hears the answer and sends less. 415: it cannot be uncompressed.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return _uncompressed(b"".join(chunks), request.headers.get("content-encoding", "").strip().lower(), limit)


def _uncompressed(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding not in _ENCODINGS:
        raise RefusedPostError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this Content-Encoding is not known")
    window = _ENCODINGS[encoding]
    if window is None or not body:
        return body
    reader = zlib.decompressobj(window)
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error:
        plain = b""
    if len(plain) > limit:
        raise _too_large(limit)
    if not reader.eof:
        raise RefusedPostError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is not whole {encoding}")
    return plain


def _too_large(limit: int) -> RefusedPostError:
    return RefusedPostError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
