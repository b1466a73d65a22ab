"""What a sync of events may call their properties, and build of them, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.kinds.events.definition import CURRENCY, EVENT_NAME, PRICE, PRODUCT_ID, QUANTITY, TIME
from caspio_sync.kinds.events.schema_faults import reserved, schema_faults
from caspio_sync.mapping.destination_faults import identity_faults, objects_refused
from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import OF_FRAMES, OK_SUFFIX

UNITS = "units"  # the property that holds the pieces of a purchase of more than are taken
# Names that events, and purchases besides, keep for themselves (Braze, 3.6 and 3.7); the frames have them as columns.
OF_EVENTS = frozenset({TIME, EVENT_NAME})
OF_PURCHASES = OF_EVENTS | {PRODUCT_ID, QUANTITY, PRICE, CURRENCY}


def event_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places of an event sync's file that its destination or the sync's own frames cannot take, and what to do."""
    yield from identity_faults(data, values)
    yield from _name_faults(data, values)
    yield from _property_faults(data, values, OF_EVENTS)
    yield from schema_faults(data, values)
    lines = data.get("lines")
    products = lines.get("products") if isinstance(lines, dict) else None
    for name, mapping in (products if isinstance(products, dict) else {}).items():
        yield from _mapping_faults(("lines", "products", name), mapping, values, depth=2)


def purchase_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """As `event_faults`, of purchases."""
    yield from identity_faults(data, values)
    yield from _property_faults(data, values, OF_PURCHASES)
    negative = data.get("negative")
    if isinstance(negative, dict) and isinstance(name := negative.get("event"), str) and name in values.schemas:
        yield (
            ("negative", "event"),
            f"'{name}' is made by `kind: events`, of orders and their lines; choose another name",
        )
    elif isinstance(negative, dict) and isinstance(name, str):
        yield from reserved(("negative", "event"), name, values)
    quantity, properties = data.get("quantity"), data.get("properties")
    by_property = isinstance(quantity, dict) and quantity.get("above_most") == "property"
    if by_property and isinstance(properties, dict) and UNITS in properties:
        yield ("properties", UNITS), "'units' holds the pieces (quantity.above_most: property); choose another name"


def _name_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Names of events that the destination would refuse, each of them."""
    event, most = data.get("event"), values.rules["event_name"].chars
    if most is None:
        return
    told: list[tuple[Location, Any]] = [(("event",), event)]
    if isinstance(event, dict):
        words, names = event.get("map"), event.get("names")
        told = [(("event", "name"), event.get("name"))]
        told += [(("event", "map", word), name) for word, name in words.items()] if isinstance(words, dict) else []
        listed = names if isinstance(names, list) else [names]
        told += [(("event", "names"), name) for name in listed]
    for at, name in told:
        if isinstance(name, str) and len(name) > most:
            yield at, f"'{name}' has {len(name)} characters, {values.title} takes {most}; shorten it"


def trigger_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """As `event_faults`, of triggered messages."""
    yield from _property_faults(data, values, OF_EVENTS, "trigger_properties")


def _property_faults(
    data: Mapping[str, Any], values: ValueRules, kept: frozenset[str], section: str = "properties"
) -> Iterator[Fault]:
    properties = data.get(section)
    if not isinstance(properties, dict):
        return
    seen: dict[str, str] = {}
    for name, mapping in properties.items():
        at: Location = (section, name)
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield at, f"is mapped twice: '{first}' differs only by case; keep one of the two"
        elif name in kept:
            yield at, f"'{name}' is a part of the event itself, not of its properties; choose another name"
        elif name in OF_FRAMES or name.startswith("_") or name.endswith(OK_SUFFIX):
            yield at, f"'{name}' is a reserved name; the sync's own frames use it: choose another one"
        elif (fault := values.fault_in_name(name)) is not None:
            yield at, fault
        yield from _mapping_faults(at, mapping, values, depth=1)
        yield from objects_refused(at, mapping, values)


def _mapping_faults(at: Location, mapping: Any, values: ValueRules, *, depth: int) -> Iterator[Fault]:
    if not isinstance(mapping, dict):
        return
    if "on_bad" in mapping and len(at) > 2:
        yield (*at, "on_bad"), "a property is left out as a whole; move it up, beside the property's own keys"
    if mapping.get("on_null") == "clear":
        yield (*at, "on_null"), "an event holds what there was; there is nothing to clear: remove it"
    if isinstance(members := mapping.get("object"), dict):
        yield from _object_faults((*at, "object"), members, values, depth=depth)
    if isinstance(items := mapping.get("array"), list):
        objects = [isinstance(item, dict) and "object" in item for item in items]
        if any(objects) and not all(objects):
            yield (*at, "array"), "mixes objects and plain values; make all its items objects, or none"
        for number, item in enumerate(items):
            yield from _mapping_faults((*at, "array", number), item, values, depth=depth)


def _object_faults(at: Location, members: Mapping[str, Any], values: ValueRules, *, depth: int) -> Iterator[Fault]:
    if depth > values.max_depth:
        yield at, f"lies {depth} objects deep, {values.title} takes {values.max_depth}; flatten it"
        return
    for key, member in members.items():
        if (fault := values.fault_in_key(key)) is not None:
            yield (*at, key), fault
        if isinstance(member, dict) and isinstance(member.get("array"), list):
            yield (*at, key, "array"), "a built array cannot stand inside an object; make it a property of its own"
        yield from _mapping_faults((*at, key), member, values, depth=depth + 1)
