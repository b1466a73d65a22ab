"""The workspace's catalogs, and the accepted writes that take effect later (reference, section 9)."""

import base64
import binascii
import heapq
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.catalogs_errors import refuse

PAGE = 50
Item = dict[str, Any]
_MAX_ELEMENTS = 100


@dataclass(slots=True)
class Catalog:
    """A catalog and its items by id; fields without a value are absent from an item.

    `fields` is type by name, `id` first; `updated_at` an epoch; `version` grows with every change of the fields.
    """

    name: str
    description: str
    fields: dict[str, str]
    updated_at: float
    items: dict[str, Item] = field(default_factory=dict)
    selections: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 0
    order: list[str] | None = None  # keys, sorted; None until a page is asked for
    size: int = 0  # bytes of storage that its items take
    tokens: dict[str, int] = field(default_factory=dict)  # number by field, -1 for `id`; none is given again

    def described(self) -> dict[str, Any]:
        """As `GET /catalogs` has it."""
        instant = datetime.fromtimestamp(self.updated_at, UTC)
        for name in self.fields:
            self.tokens.setdefault(name, max(self.tokens.values(), default=-2) + 1)
        return {
            "name": self.name,
            "description": self.description,
            "fields": [
                {"name": name, "token": str(self.tokens[name]), "type": kind} for name, kind in self.fields.items()
            ],
            "source": "Braze",
            "num_items": len(self.items),
            "storage_size": self.size,
            "selections_size": len(self.selections),
            "updated_at": instant.isoformat(timespec="milliseconds"),
            "selections": list(self.selections.values()),
        }

    def filtered_fields(self) -> set[str]:
        """Fields that selections filter by."""
        return {each["field"] for selection in self.selections.values() for each in selection.get("filters") or ()}

    def page(self, cursor: str | None) -> tuple[list[Item], str | None, str | None]:
        """50 items in the order of their ids, and the cursors of the pages before and after, None where there is none.

        A cursor names an id and a direction, so that it holds while items come and go.
        """
        if self.order is None:
            self.order = sorted(self.items)
        start = 0
        if cursor is not None:
            direction, key = self._read_cursor(cursor)
            forth = direction == ">"
            start = bisect_right(self.order, key) if forth else max(0, bisect_left(self.order, key) - PAGE)
        keys = self.order[start : start + PAGE]
        before = self._cursor("<", keys[0]) if keys and start else None
        after = self._cursor(">", keys[-1]) if start + PAGE < len(self.order) else None
        return [self.items[key] for key in keys], before, after

    def _cursor(self, direction: str, key: str) -> str:
        return base64.urlsafe_b64encode(f"{self.name}{direction}{key}".encode()).decode()

    def _read_cursor(self, cursor: str) -> tuple[str, str]:
        try:
            text = base64.urlsafe_b64decode(cursor.encode()).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise refuse("invalid-cursor", cursor=cursor) from error
        direction, key = text[len(self.name) : len(self.name) + 1], text[len(self.name) + 1 :]
        if not text.startswith(self.name) or direction not in {"<", ">"}:
            raise refuse("invalid-cursor", cursor=cursor)
        return direction, key


class _Pending(NamedTuple):
    """An accepted write; takes effect at `due` (epoch), in the order of arrival among equals."""

    due: float
    number: int
    effect: Callable[[float], None]


class Catalogs(Mapping[str, Catalog]):
    """The catalogs by name, as far as accepted writes have taken effect.

    What fails when its turn comes fails in silence: an edit of a missing item, the creation of one that is there, an
    item that the company's storage has no room for, a write to a catalog or field that is gone.
    """

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._catalogs: dict[str, Catalog] = {}
        self._pending: list[_Pending] = []
        self._accepted = 0
        self._random = random.Random(behaviour.seed)  # noqa: S311 - disorder to replay, not a secret
        self._effects = {"POST": self.create, "PUT": self.replace, "PATCH": self.edit, "DELETE": self.delete}

    @property
    def storage_used(self) -> int:
        """Bytes that the items of all catalogs take."""
        return sum(catalog.size for catalog in self._catalogs.values())

    def __getitem__(self, name: str) -> Catalog:
        return self._catalogs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalogs)

    def __len__(self) -> int:
        return len(self._catalogs)

    @property
    def pending(self) -> int:
        """Accepted writes that have not taken effect."""
        return len(self._pending)

    def settle(self, until: float) -> None:
        """Let every accepted write take effect that is due by `until` (epoch seconds)."""
        while self._pending and self._pending[0].due <= until:
            due, _, effect = heapq.heappop(self._pending)
            effect(due)

    def add(self, catalog: Catalog) -> None:
        """A new catalog, at once."""
        self._catalogs[catalog.name] = catalog

    def remove(self, catalog: Catalog) -> None:
        """A catalog with its items, at once."""
        del self._catalogs[catalog.name]

    def queue(self, effect: Callable[[float], None], now: float) -> None:
        """Let something take effect after the delay."""
        due = now + self._behaviour.catalog_delay_seconds
        if self._behaviour.catalog_jitter_seconds:
            due += self._random.uniform(0, self._behaviour.catalog_jitter_seconds)
        self._accepted += 1
        heapq.heappush(self._pending, _Pending(due, self._accepted, effect))

    def queue_items(self, verb: str, catalog: Catalog, items: list[Item], now: float) -> None:
        """Queue items that were checked against the catalog's present fields."""
        lost = self._behaviour.catalog_silent_failures
        if lost:
            items = [item for item in items if item["id"] not in lost]
        self.queue(partial(self._write, verb, catalog, catalog.version, items), now)

    def write_now(self, verb: str, catalog: Catalog, item: Item, now: float) -> None:
        """One item, at once."""
        self._write(verb, catalog, catalog.version, [item], now)

    def key(self, item_id: str) -> str:
        """Under which an id is kept."""
        return item_id.lower() if self._behaviour.catalog_ids_ignore_case else item_id

    def growth(self, catalog: Catalog, items: Sequence[Item]) -> int:
        """Bytes of storage that replacing or creating these items would add."""
        held = (catalog.items.get(self.key(item["id"])) for item in items)
        return sum(map(_size, items)) - sum(_size(item) for item in held if item is not None)

    def add_fields(self, catalog: Catalog, fields: Mapping[str, str], at: float) -> None:
        """New fields; those that came to be there meanwhile stay as they are."""
        catalog.fields |= {name: kind for name, kind in fields.items() if name not in catalog.fields}
        self._touch(catalog, at)

    def delete_field(self, catalog: Catalog, name: str, at: float) -> None:
        """A field, and its values in every item."""
        catalog.fields.pop(name, None)
        for item in catalog.items.values() if self._catalogs.get(catalog.name) is catalog else ():
            before = _size(item)
            if item.pop(name, None) is not None:
                catalog.size += _size(item) - before
        self._touch(catalog, at)

    def create(self, catalog: Catalog, item: Item) -> None:
        """An item that is not there yet."""
        key = self.key(item["id"])
        if key not in catalog.items:
            self._store(catalog, key, None, item)

    def replace(self, catalog: Catalog, item: Item) -> None:
        """A whole item; that what was not sent is cleared is the plain reading."""
        key = self.key(item["id"])
        old = catalog.items.get(key)
        clears = old is None or self._behaviour.catalog_put_clears
        self._store(catalog, key, old, item if clears else old | item)  # type: ignore[operator]

    def edit(self, catalog: Catalog, item: Item) -> None:
        """Fields of an item that is there; null clears one, `$add` and `$remove` change the elements of an array."""
        key = self.key(item["id"])
        old = catalog.items.get(key)
        if old is None:
            return
        new = dict(old)
        for name, value in item.items():
            if value is None:
                new.pop(name, None)
            elif type(value) is dict and catalog.fields[name] == "array":
                new[name] = _changed(old.get(name) or [], value)
                if len(new[name]) > _MAX_ELEMENTS:
                    return
            elif name != "id":
                new[name] = value
        self._store(catalog, key, old, new)

    def delete(self, catalog: Catalog, item: Item) -> None:
        """An item, if it is there."""
        old = catalog.items.pop(self.key(item["id"]), None)
        if old is not None:
            catalog.size -= _size(old)
            catalog.order = None

    def _write(self, verb: str, catalog: Catalog, version: int, items: list[Item], at: float) -> None:
        if self._catalogs.get(catalog.name) is not catalog:
            return
        if version != catalog.version:
            items = [{name: value for name, value in item.items() if name in catalog.fields} for item in items]
        effect = self._effects[verb]
        for item in items:
            effect(catalog, item)
        catalog.updated_at = max(catalog.updated_at, at)

    def _store(self, catalog: Catalog, key: str, old: Item | None, new: Item) -> None:
        growth = _size(new) - (0 if old is None else _size(old))
        if self.storage_used + growth > self._behaviour.catalog_storage:
            return
        catalog.size += growth
        catalog.items[key] = new
        if old is None:
            catalog.order = None

    @staticmethod
    def _touch(catalog: Catalog, at: float) -> None:
        catalog.version += 1
        catalog.updated_at = max(catalog.updated_at, at)


def _size(item: Item) -> int:
    """Bytes an item takes; how Braze measures them is not documented."""
    return len(orjson.dumps(item))


def _changed(elements: list[str], operators: dict[str, list[str]]) -> list[str]:
    added = elements + [one for one in operators.get("$add", ()) if one not in elements]
    return [one for one in added if one not in operators.get("$remove", ())]
