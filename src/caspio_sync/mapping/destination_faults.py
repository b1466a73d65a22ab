"""What a destination does not take of what syncs of several kinds may say, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.values import ValueRules

_IDENTIFIERS = ("external_id", "user_alias", "email", "phone")


def identity_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Ways to name people that the destination does not know."""
    identity = data.get("identity")
    if not isinstance(identity, dict):
        return
    for name in _IDENTIFIERS:
        if name in identity and name not in values.identities:
            known = " or ".join(f"`{each}`" for each in values.identities)
            yield ("identity", name), f"{values.title} does not know anybody by `{name}`; write {known}"
    chosen = identity.get("on_new")
    if isinstance(chosen, str) and chosen not in values.on_new:
        known = " or ".join(values.on_new)
        yield ("identity", "on_new"), f"{values.title} cannot `{chosen}`; write {known}, or leave it out"


def objects_refused(at: Location, mapping: Any, values: ValueRules) -> Iterator[Fault]:
    """A mapping that builds an object, where the destination holds none."""
    if values.objects or not isinstance(mapping, dict):
        return
    items = mapping.get("array")
    of_objects = isinstance(items, list) and any(isinstance(each, dict) and "object" in each for each in items)
    if "object" in mapping or of_objects:
        yield at, f"{values.title} takes no objects; map single values"
