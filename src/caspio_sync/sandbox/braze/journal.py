"""Accepted requests whose effect is still to come: Braze queues first, writes later (reference, sections 2.4, 3.1)."""

import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.billing import attributes_points, event_points, purchase_points
from caspio_sync.sandbox.braze.identify import IDENTIFY_ARRAYS, identify
from caspio_sync.sandbox.braze.profiles import ProfileStore

_POINTS: dict[str, Callable[[dict[str, Any]], int]] = {
    "attributes": attributes_points,
    "events": event_points,
    "purchases": purchase_points,
}
Rejected = frozenset[tuple[str, int]]


class Entry(NamedTuple):
    """One accepted request; entries take effect in the order of `due`, then of their arrival."""

    due: float
    number: int
    at: float
    body: bytes
    rejected: Rejected
    deletion: Callable[[ProfileStore], None] | None = None


class Journal:
    """Raw bodies of accepted requests, merged into the profiles when somebody looks.

    Keeping the bytes and merging late is what lets the emulator take tens of thousands of profiles a second. Beyond
    the limit in bytes each further request merges the oldest one, so that memory stays bounded.
    """

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore) -> None:
        self._behaviour = behaviour
        self._store = store
        self._entries: list[Entry] = []
        self._bytes = 0
        self._merged_points = 0
        self._random = random.Random(behaviour.seed)  # noqa: S311 - disorder to replay, not a secret

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, number: int, body: bytes, rejected: Rejected, now: float) -> None:
        """Queue the body of request `number`, accepted at `now` (epoch seconds)."""
        due = now + self._behaviour.effect_delay_seconds
        if self._behaviour.effect_jitter_seconds:
            due += self._random.uniform(0, self._behaviour.effect_jitter_seconds)
        heapq.heappush(self._entries, Entry(due, number, now, body, rejected))
        self._bytes += len(body)
        if self._bytes > self._behaviour.journal_limit:
            self.merge(until=now, at_most=2)

    def append_deletion(self, number: int, deletion: Callable[[ProfileStore], None], now: float) -> None:
        """Queue the deletion that request `number` asked for, accepted at `now` (epoch seconds)."""
        due = now + self._behaviour.delete_delay_seconds
        heapq.heappush(self._entries, Entry(due, number, now, b"{}", frozenset(), deletion))
        self._bytes += len(b"{}")

    def merge(self, *, until: float, at_most: int | None = None) -> bool:
        """Write what is due by `until` (epoch seconds) into the profiles; True where due entries are left."""
        done = 0
        while self._entries and self._entries[0].due <= until:
            if done == at_most:
                return True
            entry = heapq.heappop(self._entries)
            self._bytes -= len(entry.body)
            self._write(entry)
            done += 1
        return False

    @property
    def data_points(self) -> int:
        """Billed so far, pending entries included; nothing is billed twice by looking."""
        return self._merged_points + sum(map(_points, self._entries))

    def _write(self, entry: Entry) -> None:
        store = self._store
        if entry.deletion is not None:
            entry.deletion(store)
        applies = {
            "attributes": store.apply_attributes,
            "events": store.apply_event,
            "purchases": store.apply_purchase,
            **{array: identify(array, store) for array in IDENTIFY_ARRAYS},
        }
        for array, item in accepted_objects(entry.body, entry.rejected):
            applies[array](item, entry.due)
            self._merged_points += _billed(array, item)


def accepted_objects(body: bytes, rejected: Rejected) -> Iterator[tuple[str, dict[str, Any]]]:
    """Array name and object of what was not rejected, in the order of processing: attributes, events, purchases.

    The body of an identify request stands here too, with its own arrays.
    """
    payload = orjson.loads(body)
    for array in ("attributes", "events", "purchases", *IDENTIFY_ARRAYS):
        for index, item in enumerate(payload.get(array) or ()):
            if (array, index) not in rejected:
                yield array, item


def _points(entry: Entry) -> int:
    return sum(_billed(array, item) for array, item in accepted_objects(entry.body, entry.rejected))


def _billed(array: str, item: dict[str, Any]) -> int:
    """Data points of an object; identifying is not billed (reference, section 15)."""
    return _POINTS[array](item) if array in _POINTS else 0
