"""What a catalog sync may call its fields, and build of them (Braze, 9.1), in the words of the file."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.catalog_sync import NAME_CHARS
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.items import ARRAY_ITEMS, OBJECT_DEPTH
from caspio_sync.schemas import KEY, OK_SUFFIX, PROBLEMS, SOURCE_PK, UNCASTABLE

MAX_FIELDS = 500
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_CHARS}}}")
_OF_FRAMES = frozenset({KEY, SOURCE_PK, PROBLEMS, UNCASTABLE, "key_unique"})
_FORBIDDEN_IN_KEYS = frozenset('.$"\\')


def catalog_faults(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Places of a catalog's sync file that Braze or the sync's own frames cannot take, and what to do."""
    fields = data.get("fields")
    if not isinstance(fields, dict):
        return
    if len(fields) > MAX_FIELDS:
        yield ("fields",), f"holds {len(fields)} fields, a catalog takes {MAX_FIELDS}; leave some out"
    seen: dict[str, str] = {}
    for name, mapping in fields.items():
        at: Location = ("fields", name)
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield at, f"is mapped twice: '{first}' differs only by case; keep one of the two"
        elif (fault := fault_in_field_name(name)) is not None:
            yield at, fault
        yield from _mapping_faults(at, mapping)


def fault_in_field_name(name: str) -> str | None:
    """What is wrong with a catalog field's name, and what to do; None for a good one."""
    if name.lower() == "id":
        return f"'{name}' is the item's id, which `item_id` names; remove the line"
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        return f"'{shown}' must be 1 to {NAME_CHARS} letters from A to Z, digits, - and _; rename it"
    if name in _OF_FRAMES:
        return f"'{name}' is a name that the sync's own frames use; choose another one, such as item_{name}"
    if name.startswith("_") or name.endswith(OK_SUFFIX):
        return f"'{name}' is a reserved name (a leading _, an ending {OK_SUFFIX}); choose another one"
    return None


def _mapping_faults(at: Location, mapping: Any, *, depth: int = 0) -> Iterator[tuple[Location, str]]:
    if not isinstance(mapping, dict):
        return
    if "on_bad" in mapping:
        yield (*at, "on_bad"), "an item is written whole, so that a field left out would be emptied; remove it"
    if len(at) > 2 and "geo" in mapping:
        yield (*at, "geo"), "a place is a field of its own; move it up, under `fields`"
    if isinstance(members := mapping.get("object"), dict):
        yield from _object_faults((*at, "object"), members, depth + 1)
    if isinstance(items := mapping.get("array"), list):
        yield from _array_faults((*at, "array"), items)


def _object_faults(at: Location, members: Mapping[str, Any], depth: int) -> Iterator[tuple[Location, str]]:
    if depth > OBJECT_DEPTH:
        yield at, f"lies {depth} objects deep, Braze takes {OBJECT_DEPTH}; flatten it"
        return
    for key, member in members.items():
        if (fault := _fault_in_key(key)) is not None:
            yield (*at, key), fault
        if isinstance(member, dict) and isinstance(member.get("array"), list):
            yield (*at, key, "array"), "a built array cannot stand inside an object; make it a field of its own"
        yield from _mapping_faults((*at, key), member, depth=depth)


def _array_faults(at: Location, items: list[Any]) -> Iterator[tuple[Location, str]]:
    if len(items) > ARRAY_ITEMS:
        yield at, f"names {len(items)} items, Braze takes {ARRAY_ITEMS}; leave some out"
    for number, item in enumerate(items):
        if isinstance(item, dict) and "object" in item:
            yield (*at, number), "items of a catalog's array are text; name single fields, or build an object instead"
        else:
            yield from _mapping_faults((*at, number), item)


def _fault_in_key(key: str) -> str | None:
    if not key or key == "~" or any(sign in _FORBIDDEN_IN_KEYS or not sign.isprintable() for sign in key):
        return f"key '{key}' of an object may hold no '.', '$', quote, backslash or control character; use '_'"
    return None
