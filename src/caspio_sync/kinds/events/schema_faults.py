"""What a sync file may say of events whose parts the destination prescribes, and of the lines they are made of."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.event_schema import OBJECT, EventSchema
from caspio_sync.mapping.values import ValueRules

_EVENT, _LINES, _PRODUCTS = ("event",), ("lines",), ("lines", "products")


def schema_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places that do not go together with the schemas of the file's events."""
    named = list(_names(data))
    returned = _returned(data)
    for at, name in [*named, *([] if returned is None else [(("lines", "negative"), returned)])]:
        yield from reserved(at, name, values)
    schemas = {name: values.schemas[name] for _, name in named if name in values.schemas}
    lines = data.get("lines")
    if not schemas:
        if lines is not None:
            yield _LINES, f"only {values.title}'s own events are made of lines: {', '.join(values.schemas) or 'none'}"
        return
    if others := [name for _, name in named if name not in schemas]:
        yield _EVENT, f"'{others[0]}' has no schema, '{next(iter(schemas))}' has one; give each a sync of its own"
    with_products = [name for name, schema in schemas.items() if schema.product is not None]
    if with_products and lines is None:
        yield _EVENT, f"'{with_products[0]}' tells of products; say with `lines:` in which table they are"
    if with_products and len(with_products) < len(schemas):
        yield _EVENT, "one of its names tells of products and another does not; give each a sync of its own"
    if lines is not None and not with_products:
        yield _LINES, f"'{next(iter(schemas))}' tells of no lines; remove them"
    of_lines = dict(schemas)
    if returned in values.schemas:
        of_lines[str(returned)] = values.schemas[str(returned)]
    yield from _properties(data, of_lines, made=lines is not None, returned=returned is not None)
    if isinstance(lines, dict):
        yield from _products(lines, next((each.product for each in schemas.values() if each.product), None))


def reserved(at: Location, name: str, values: ValueRules) -> Iterator[Fault]:
    """A name that the destination keeps for events of its own, and that is none of them."""
    kept = {each.partition(".")[0] for each in values.schemas}
    if name.partition(".")[0] in kept and "." in name and name not in values.schemas:
        yield at, f"'{name}' is none of {values.title}'s own events: {', '.join(values.schemas)}; correct the name"


def _names(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """The names that events of the file may have, and where it says so."""
    event = data.get("event")
    if isinstance(event, str):
        yield _EVENT, event
    if isinstance(event, dict):
        words, listed = event.get("map"), event.get("names")
        told = [event.get("name")]
        told += words.values() if isinstance(words, dict) else []
        told += listed if isinstance(listed, list) else []
        yield from ((_EVENT, each) for each in dict.fromkeys(each for each in told if isinstance(each, str)))


def _returned(data: Mapping[str, Any]) -> str | None:
    lines = data.get("lines")
    negative = lines.get("negative") if isinstance(lines, dict) else None
    event = negative.get("event") if isinstance(negative, dict) else None
    return event if isinstance(event, str) else None


def _properties(
    data: Mapping[str, Any], schemas: Mapping[str, EventSchema], *, made: bool, returned: bool
) -> Iterator[Fault]:
    given = data.get("properties")
    properties = given if isinstance(given, dict) else {}
    for name, mapping in properties.items():
        at: Location = ("properties", name)
        refusing = next((event for event, schema in schemas.items() if name not in schema.parts), None)
        if refusing is not None:
            parts = ", ".join(sorted(schemas[refusing].parts))
            yield (
                at,
                f"'{refusing}' has no '{name}', and is refused with it; it has: {parts} (others go under metadata)",
            )
        elif schemas[next(iter(schemas))].parts[name] == OBJECT and not _is_object(mapping):
            yield at, f"'{name}' is an object; write `{{object: {{key: Field}}}}`"
        elif returned and any(schema.amount == name for schema in schemas.values()):
            yield at, "what is taken back has a total of its own, made of its lines; leave it out (lines.negative)"
    for event, schema in schemas.items():
        missing = schema.required - properties.keys() - ({schema.amount} if made else set())
        if missing:
            yield ("properties",), f"'{event}' needs {', '.join(sorted(missing))}"


def _products(lines: Mapping[str, Any], product: EventSchema | None) -> Iterator[Fault]:
    products = lines.get("products")
    if product is None or not isinstance(products, dict):
        return
    for name, mapping in products.items():
        if name not in product.parts:
            parts = ", ".join(sorted(product.parts))
            yield (*_PRODUCTS, name), f"a product has no '{name}'; it has: {parts} (others go under metadata)"
        elif (product.parts[name] == OBJECT) != _is_object(mapping):
            what = "is an object; write `{object: {key: Field}}`" if product.parts[name] == OBJECT else "is no object"
            yield (*_PRODUCTS, name), f"'{name}' {what}"
    if missing := product.required - products.keys():
        yield _PRODUCTS, f"a product needs {', '.join(sorted(missing))}"


def _is_object(mapping: Any) -> bool:
    return isinstance(mapping, dict) and "object" in mapping
