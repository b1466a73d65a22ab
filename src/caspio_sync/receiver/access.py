"""Who may post, and how much: checked before anything else is looked at."""

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus

from pydantic import SecretStr
from starlette.requests import Request

_HELD_BYTES = 64 * 1024 * 1024
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


def signature_bytes(text: str, encoding: str) -> bytes:
    """The bytes of a signature; none where it is not written so."""
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


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


class HeldBodies:
    """Bodies of whoever has proven nothing yet, all of them together no more than 64 MB: what proves is within."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, request: Request, limit: int) -> bytes:
        """As `read_body`.

        Raises:
            RefusedPostError: as there; 503, too much is being read at once.
        """
        metered = _Metered(request, self._take)
        try:
            return await read_body(metered, limit)
        finally:
            self._held -= metered.taken

    def _take(self, size: int) -> None:
        self._held += size
        if self._held > _HELD_BYTES:
            raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, "too much is being posted at once", retry_after=1)


class _Metered(Request):
    """A request that tells what is read of it."""

    def __init__(self, request: Request, take: Callable[[int], None]) -> None:
        super().__init__(request.scope, request.receive)
        self._take = take
        self.taken = 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece."""
        async for chunk in super().stream():
            self.taken += len(chunk)
            self._take(len(chunk))
            yield chunk


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
