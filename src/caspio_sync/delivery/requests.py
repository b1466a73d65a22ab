"""Objects into requests, filled to the brim."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

OBJECTS_PER_REQUEST = 75  # Braze, POST /users/track: 75 objects combined over the three arrays
REQUEST_BYTES = 3_500_000  # Braze's own limit is 4 MB (Braze, payload sizes)

_HEAD = b'{"attributes":['
_TAIL = b"]}"


@dataclass(frozen=True, slots=True)
class Request:
    """One body for `POST /users/track`, and which objects it holds.

    Args:
        number: unique within the run.
        start: place of its first object in the batch's objects.
        count: number of objects.
        body: the bytes that are sent.
    """

    number: int
    start: int
    count: int
    body: bytes

    def halves(self) -> tuple["Request", "Request"]:
        """The same objects as two requests, to find the one that Braze refuses."""
        objects = [orjson.dumps(each) for each in orjson.loads(self.body)["attributes"]]
        middle = (len(objects) + 1) // 2
        return (
            Request(self.number, self.start, middle, _join(objects[:middle])),
            Request(self.number, self.start + middle, len(objects) - middle, _join(objects[middle:])),
        )


def fill_requests(
    objects: pl.Series,
    *,
    first_number: int,
    first_place: int = 0,
    objects_per_request: int = OBJECTS_PER_REQUEST,
    request_bytes: int = REQUEST_BYTES,
) -> Iterator[Request]:
    """Cut a batch's objects into requests, in order.

    Args:
        objects: String, the JSON text of each object.
        first_number: number of the first request.
        first_place: place of the first object in the batch's objects.
        objects_per_request: objects a request holds at the most.
        request_bytes: bytes a request holds at the most; an object larger than that goes alone.
    """
    texts = objects.cast(pl.Binary).to_list()
    sizes = objects.str.len_bytes().to_list()
    start = 0
    number = first_number
    while start < len(texts):
        stop = _stop(sizes, start, objects_per_request, request_bytes)
        yield Request(number, first_place + start, stop - start, _join(texts[start:stop]))
        start = stop
        number += 1


def count_requests(
    objects: pl.Series, *, objects_per_request: int = OBJECTS_PER_REQUEST, request_bytes: int = REQUEST_BYTES
) -> int:
    """How many requests the objects would fill."""
    sizes = objects.str.len_bytes().to_list()
    start = count = 0
    while start < len(sizes):
        start = _stop(sizes, start, objects_per_request, request_bytes)
        count += 1
    return count


def _stop(sizes: Sequence[int], start: int, objects_per_request: int, request_bytes: int) -> int:
    stop = min(start + objects_per_request, len(sizes))
    size = len(_HEAD) + sum(sizes[start:stop]) + (stop - start - 1) + len(_TAIL)  # with the commas between
    while stop - start > 1 and size > request_bytes:
        stop -= 1
        size -= sizes[stop] + 1
    return stop


def _join(objects: Sequence[bytes]) -> bytes:
    return _HEAD + b",".join(objects) + _TAIL
