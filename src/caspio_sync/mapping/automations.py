"""Enrolments in a sync file: people enter an automation of the destination when a condition on their row turns."""

from typing import Any

from pydantic import field_validator

from caspio_sync.mapping.conditions import Condition, ConditionText
from caspio_sync.mapping.field import Strict

AUTOMATION_PREFIX = "automations."


def is_automation(column: str) -> bool:
    """Whether a column of the mapped frame says who enters an automation; no attribute may have such a name."""
    return column.startswith(AUTOMATION_PREFIX)


class Enrolment(Strict):
    """Who enters an automation.

    Args:
        enrol_when: a condition in Caspio's SQL on fields of the row (see conditions.py); who meets it now, and did not
            before, enters.
        once: always true: nobody enters a second time, however often the condition turns.
    """

    enrol_when: ConditionText
    once: bool = True

    @field_validator("once", mode="before")
    @classmethod
    def _once(cls, given: Any) -> bool:
        if given is not True:
            raise ValueError("nobody is enrolled twice: an automation sends people mail; write `once: true`")
        return True

    @property
    def condition(self) -> Condition:
        """What decides."""
        return Condition(self.enrol_when)
