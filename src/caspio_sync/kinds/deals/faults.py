"""What a sync of deals may call its fields, and build of them, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.kinds.deals.definition import OWN, STATES, STATUS
from caspio_sync.mapping.destination_faults import objects_refused
from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import OF_FRAMES, OK_SUFFIX


def deal_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places of a deal sync's file that its destination or the sync's own frames cannot take, and what to do."""
    yield from _state_faults(data)
    fields = data.get("fields")
    if not isinstance(fields, dict):
        return
    seen: dict[str, str] = {}
    for name, mapping in fields.items():
        at: Location = ("fields", name)
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield at, f"is mapped twice: '{first}' differs only by case; keep one of the two"
        elif name in OWN:
            yield at, f"'{name}' is a part of the deal itself; move it up, out of `fields`"
        elif name in OF_FRAMES or name.startswith("_") or name.endswith(OK_SUFFIX):
            yield at, f"'{name}' is a reserved name; the sync's own frames use it: rename the field there"
        elif (fault := values.fault_in_name(name)) is not None:
            yield at, fault
        yield from objects_refused(at, mapping, values)


def _state_faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Words for states that no deal has."""
    status = data.get(STATUS)
    told: list[tuple[Location, Any]] = (
        [((STATUS, "constant"), status.get("constant"))] if isinstance(status, dict) else []
    )
    words = status.get("map") if isinstance(status, dict) else None
    told += [((STATUS, "map", word), state) for word, state in words.items()] if isinstance(words, dict) else []
    for at, state in told:
        if state is not None and state not in STATES:
            yield at, f"'{state}' is no state of a deal; write {', '.join(STATES[:-1])} or {STATES[-1]}"
