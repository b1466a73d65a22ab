"""Segments in a sync file: lists of the destination that people are on while a condition on their row is met."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from caspio_sync.mapping.conditions import Condition, ConditionText
from caspio_sync.mapping.consent import ListState
from caspio_sync.mapping.field import Strict

SEGMENT_PREFIX = "segments."


def is_segment(column: str) -> bool:
    """Whether a column of the mapped frame says who is on a list by a condition; no attribute may have such a name."""
    return column.startswith(SEGMENT_PREFIX)


class Segment(Strict):
    """Who is on a list.

    Args:
        when: a condition in Caspio's SQL on fields of the row (see conditions.py).
    """

    when: ConditionText

    @property
    def condition(self) -> Condition:
        """What decides."""
        return Condition(self.when)


def _which(given: Any) -> str:
    by_condition = isinstance(given, Segment) or (isinstance(given, dict) and "when" in given)
    return "segment" if by_condition else "state"


# What a file says of a list: a person's own word, by a field, or a condition.
OnList = Annotated[
    Annotated[Segment, Tag("segment")] | Annotated[ListState, Tag("state")],
    Discriminator(_which),
]
