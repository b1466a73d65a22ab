"""Events into requests: those of one person in the order of their time, and never in two requests at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.kinds.events.definition import TIME
from caspio_sync.schemas import KEY, SOURCE_PK

if TYPE_CHECKING:
    import numpy.typing as npt

OBJECT, PARTS, WRITE = "_object", "_parts", "_write"


@dataclass(frozen=True, slots=True)
class Load:
    """A request, and the rows that it holds.

    Args:
        request: with `start` 0.
        rows: their places in the frame, in the order of its objects.
        parts: how many objects each of them has there.
        follows: whether it may leave only after the load before it was answered: both hold events of one person.
    """

    request: Request
    rows: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    follows: bool

    def places(self) -> npt.NDArray[np.int64]:
        """Of each object, the place of its row."""
        return np.repeat(self.rows, self.parts)


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with each person's together and by their time; people with events of several kinds come last.

    Args:
        rows: with `key`, `time` (UTC as text, which sorts as time does), source_pk and WRITE.
    """
    several = (pl.col(WRITE).n_unique() > 1).over(KEY)
    return rows.sort(several, KEY, TIME, SOURCE_PK)


def loads(rows: pl.DataFrame, envelopes: list[Envelope], first_number: int) -> Iterator[Load]:
    """Fill requests, one person's events in as few as they fit.

    Args:
        rows: `in_order`, with OBJECT (JSON text; of several objects with commas between), PARTS (how many) and WRITE
            (place of the envelope).
        envelopes: the calls.
        first_number: of the first request.
    """
    if rows.is_empty():
        return
    parts = rows[PARTS].cast(pl.Int64).to_numpy()
    texts = rows[OBJECT].cast(pl.Binary).to_list()
    objects = _sums(parts)
    sizes = _sums(rows[OBJECT].str.len_bytes().cast(pl.Int64).to_numpy() + 1)
    write = rows[WRITE].to_numpy()
    people = _edges(rows[KEY].rle_id().to_numpy())
    calls = _edges(write)
    keys = rows[KEY].rle_id().to_numpy()
    again = np.append(np.flatnonzero(keys[1:] == keys[:-1]) + 1, len(keys))  # rows of whoever the row before is of
    start = number = 0
    while start < rows.height:
        envelope = envelopes[int(write[start])]
        room = envelope.request_bytes - len(envelope.wrap(()))
        stop = min(
            int(np.searchsorted(objects, objects[start] + envelope.objects, side="right")) - 1,
            int(np.searchsorted(sizes, sizes[start] + room, side="right")) - 1,
        )
        stop = max(stop, start + 1)  # what is too large goes alone
        end_of_call = int(calls[np.searchsorted(calls, start, side="right")])
        if envelope.one_a_key:
            twice = int(again[np.searchsorted(again, start, side="right")])
            stop = min(stop, twice)
        elif stop < end_of_call:
            whole = int(people[np.searchsorted(people, stop, side="right") - 1])
            stop = whole if whole > start else stop
        stop = min(stop, end_of_call)
        request = Request(
            first_number + number,
            0,
            int(objects[stop] - objects[start]),
            envelope.wrap(texts[start:stop]),
            envelope,
        )
        follows = start > 0 and keys[start] == keys[start - 1]
        yield Load(request, np.arange(start, stop), parts[start:stop], bool(follows))
        start, number = stop, number + 1


def _sums(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])


def _edges(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where another value begins, and the end."""
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1, [len(values)]])
