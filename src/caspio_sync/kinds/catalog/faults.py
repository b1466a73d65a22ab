"""What a catalog sync may call its fields, and build of them, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import OF_FRAMES, OK_SUFFIX


def catalog_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places of a catalog's sync file that its destination or the sync's own frames cannot take, and what to do."""
    fields = data.get("fields")
    if not isinstance(fields, dict):
        return
    if len(fields) > values.max_fields:
        yield ("fields",), f"holds {len(fields)} fields, a catalog takes {values.max_fields}; leave some out"
    seen: dict[str, str] = {}
    for name, mapping in fields.items():
        at: Location = ("fields", name)
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield at, f"is mapped twice: '{first}' differs only by case; keep one of the two"
        elif (fault := _fault_in_name(name, values)) is not None:
            yield at, fault
        yield from _mapping_faults(at, mapping, values)


def _fault_in_name(name: str, values: ValueRules) -> str | None:
    if name.lower() == "id":
        return f"'{name}' is the item's id, which `item_id` names; remove the line"
    if (fault := values.fault_in_name(name)) is not None:
        return fault
    if name in OF_FRAMES:
        return f"'{name}' is a name that the sync's own frames use; choose another one, such as item_{name}"
    if name.startswith("_") or name.endswith(OK_SUFFIX):
        return f"'{name}' is a reserved name (a leading _, an ending {OK_SUFFIX}); choose another one"
    return None


def _mapping_faults(at: Location, mapping: Any, values: ValueRules, *, depth: int = 0) -> Iterator[Fault]:
    if not isinstance(mapping, dict):
        return
    if "on_bad" in mapping:
        yield (*at, "on_bad"), "an item is written whole, so that a field left out would be emptied; remove it"
    if len(at) > 2 and "geo" in mapping:
        yield (*at, "geo"), "a place is a field of its own; move it up, under `fields`"
    if isinstance(members := mapping.get("object"), dict):
        yield from _object_faults((*at, "object"), members, values, depth + 1)
    if isinstance(items := mapping.get("array"), list):
        yield from _array_faults((*at, "array"), items, values)


def _object_faults(at: Location, members: Mapping[str, Any], values: ValueRules, depth: int) -> Iterator[Fault]:
    if depth > values.max_depth:
        yield at, f"lies {depth} objects deep, {values.title} takes {values.max_depth}; flatten it"
        return
    for key, member in members.items():
        if (fault := values.fault_in_key(key)) is not None:
            yield (*at, key), fault
        if isinstance(member, dict) and isinstance(member.get("array"), list):
            yield (*at, key, "array"), "a built array cannot stand inside an object; make it a field of its own"
        yield from _mapping_faults((*at, key), member, values, depth=depth)


def _array_faults(at: Location, items: list[Any], values: ValueRules) -> Iterator[Fault]:
    if len(items) > values.max_items:
        yield at, f"names {len(items)} items, {values.title} takes {values.max_items}; leave some out"
    for number, item in enumerate(items):
        if isinstance(item, dict) and "object" in item:
            yield (*at, number), "items of a catalog's array are text; name single fields, or build an object instead"
        else:
            yield from _mapping_faults((*at, number), item, values)
