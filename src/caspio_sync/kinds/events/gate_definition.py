"""When events are held, as their sync file says it."""

from typing import Annotated

from pydantic import AfterValidator, Field

from caspio_sync.mapping.definition import Gate
from caspio_sync.spans import seconds_of, span


class EventGate(Gate):
    """When events are held, besides what holds for every kind of sync.

    Args:
        max_age: an event that happened longer ago is held, except in a backfill: a table that was filled again, or a
            first run over years, would else send them all.
        max_person_share: a batch in which one person has more of the rows is blocked, from `min_rows` rows on: a
            placeholder in place of people, or a script that runs wild. 1 switches it off.
        max_jump: a batch is blocked with which ten minutes have more than so many times the events that any ten minutes
            of the last week had, and at least `min_rows`; not before a day is known, and not of rows that a person has
            chosen. A large number switches it off.
    """

    max_age: Annotated[str, AfterValidator(span)] = "30d"
    max_person_share: float = Field(default=0.5, gt=0, le=1)
    max_jump: float = Field(default=10, ge=1, allow_inf_nan=False)

    @property
    def max_age_seconds(self) -> float:
        """`max_age` in seconds."""
        return seconds_of(self.max_age) or 0.0
