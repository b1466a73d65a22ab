"""What an engagement return may ask of its destination, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.destination_faults import identity_faults
from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.values import ValueRules

_STATES = ("email_subscribe", "push_subscribe", "subscription_groups", "lists")
_TOLD = ("campaign_stats", "people_per_run")


def engagement_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places of an engagement return's file that its destination does not know, and what to do."""
    yield from identity_faults(data, values)
    for name in _TOLD:
        if name in data and name not in values.told:
            yield (name,), f"{values.title} is not asked for this; remove it"
    consent = data.get("consent")
    if not isinstance(consent, dict):
        return
    for name in _STATES:
        if name in consent and name not in values.states:
            known = ", ".join(values.states)
            yield ("consent", name), f"{values.title} has no such consent; states are told under: {known}"
    lists = consent.get("lists")
    for name, column in lists.items() if isinstance(lists, dict) else ():
        if isinstance(column, dict) and column.get("conflict") == "braze_wins":
            at: Location = ("consent", "lists", name, "conflict")
            yield at, f"the other side is {values.title}; write destination_wins"
