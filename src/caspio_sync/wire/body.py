"""Bodies of bounded size: an answer that unpacks to more than memory holds is no answer of either vendor."""

import zlib
from collections.abc import AsyncIterator

import httpx

from caspio_sync.wire.answers import foreign

LARGEST = 64 * 1024 * 1024  # bytes unpacked; a page of 1,000 records has 1 MB, rarely ten
_PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # window bits of zlib


class _Unpacked(httpx.AsyncByteStream):
    """The body of an answer, unpacked, up to `LARGEST` bytes; a bomb is given up before it goes off."""

    def __init__(self, response: httpx.Response, packing: str, doing: str) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._response, self._packed, self._doing = response, response.stream, doing
        self._unpack = zlib.decompressobj(_PACKED[packing]) if packing else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for packed in self._packed:
            for part in self._parts(packed, LARGEST - size + 1):
                size += len(part)
                if size > LARGEST:
                    why = f"a body that unpacks to more than {LARGEST // 1024 // 1024} MB"
                    raise foreign(self._response, self._doing, why)
                yield part

    def _parts(self, packed: bytes, room: int) -> list[bytes]:
        if self._unpack is None:
            return [packed]
        try:
            return [self._unpack.decompress(packed, room)]
        except zlib.error:
            raise foreign(self._response, self._doing, "a body that cannot be unpacked") from None

    async def aclose(self) -> None:
        await self._packed.aclose()


def bound(response: httpx.Response, doing: str) -> None:
    """Have an answer that was not read yet unpacked here: httpx would unpack without an end.

    Args:
        response: its headers have come.
        doing: what was tried, in the words of an error.

    Raises:
        ForeignAnswerError: it is packed in a way that nobody asked for, such as twice.
    """
    if response.is_closed:
        return
    packing = ", ".join(response.headers.get_list("content-encoding", split_commas=True)).strip().lower()
    packing = "" if packing == "identity" else packing
    if packing and packing not in _PACKED:
        raise foreign(response, doing, "a body packed as nobody asked for")
    if packing:
        del response.headers["content-encoding"]
    response.stream = _Unpacked(response, packing, doing)
