"""Objects into requests, filled to the brim."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import orjson

if TYPE_CHECKING:  # the process that sends has no frames, and half the memory without
    import polars as pl

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The call that a request's body is for.

    Args:
        array: name of the array that holds the objects.
        objects: objects it takes at the most.
        request_bytes: bytes a request holds at the most; an object larger than that goes alone.
        method: HTTP method.
        target: what at the destination it is for, such as a catalog's name; "" where there is but one.
        head: what stands before the array, as JSON members with a comma after each.
        one_a_key: whether of several objects of one key in a request it takes the last alone: there is never a second.
    """

    array: str
    objects: int
    request_bytes: int
    method: Method = "POST"
    target: str = ""
    head: str = ""
    one_a_key: bool = False

    def wrap(self, objects: Sequence[bytes]) -> bytes:
        """The body that holds these objects, each finished JSON."""
        return b"{" + self.head.encode() + b'"' + self.array.encode() + b'":[' + b",".join(objects) + b"]}"


@dataclass(frozen=True, slots=True)
class Request:
    """One body, and which objects it holds.

    Args:
        number: unique within the run.
        start: place of its first object in the batch's objects.
        count: number of objects.
        body: the bytes that are sent.
        envelope: the call it is for.
        places: places of its objects, where they are not in a row; else empty.
    """

    number: int
    start: int
    count: int
    body: bytes
    envelope: Envelope
    places: tuple[int, ...] = ()

    def place(self, index: int) -> int:
        """Place in the batch's objects of the object at this index of the request."""
        return self.places[index] if self.places else self.start + index

    def halves(self) -> tuple["Request", "Request"]:
        """The same objects as two requests, to find the one that is refused."""
        middle = (self.count + 1) // 2
        return self.part(range(middle)), self.part(range(middle, self.count))

    @property
    def objects(self) -> list[bytes]:
        """Its objects, each as JSON."""
        return [orjson.dumps(each) for each in orjson.loads(self.body)[self.envelope.array]]

    def part(self, indexes: Sequence[int]) -> "Request":
        """The same request with the objects at these indexes alone; one at least."""
        objects, places = self.objects, tuple(self.place(index) for index in indexes)
        body = self.envelope.wrap([objects[index] for index in indexes])
        return replace(self, start=places[0], count=len(places), body=body, places=places)


def fill_requests(
    objects: "pl.Series",
    *,
    envelope: Envelope,
    first_number: int,
    first_place: int = 0,
    objects_per_request: int | None = None,
) -> Iterator[Request]:
    """Cut a batch's objects into requests, in order.

    Args:
        objects: String, the JSON text of each object.
        envelope: the call they are for.
        first_number: number of the first request.
        first_place: place of the first object in the batch's objects.
        objects_per_request: fewer than the envelope takes.
    """
    texts = [text.encode() for text in objects.to_list()]
    sizes = objects.str.len_bytes().to_list()
    start = 0
    number = first_number
    while start < len(texts):
        stop = _stop(sizes, start, envelope, objects_per_request)
        yield Request(number, first_place + start, stop - start, envelope.wrap(texts[start:stop]), envelope)
        start = stop
        number += 1


def count_requests(objects: "pl.Series", *, envelope: Envelope, objects_per_request: int | None = None) -> int:
    """How many requests the objects would fill."""
    sizes = objects.str.len_bytes().to_list()
    start = count = 0
    while start < len(sizes):
        start = _stop(sizes, start, envelope, objects_per_request)
        count += 1
    return count


def _stop(sizes: Sequence[int], start: int, envelope: Envelope, objects: int | None) -> int:
    stop = min(start + (objects or envelope.objects), len(sizes))
    size = len(envelope.wrap(())) + sum(sizes[start:stop]) + (stop - start - 1)  # with the commas between
    while stop - start > 1 and size > envelope.request_bytes:
        stop -= 1
        size -= sizes[stop] + 1
    return stop
