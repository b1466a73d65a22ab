"""Tags in a sync file: words that a person bears at the destination while a condition on the row is met."""

from typing import Any

from pydantic import model_validator

from caspio_sync.mapping.conditions import Condition, ConditionText
from caspio_sync.mapping.field import Strict

TAG_PREFIX = "tags."


def is_tag(column: str) -> bool:
    """Whether a column of the mapped frame says whether a person bears a tag; no attribute may have such a name."""
    return column.startswith(TAG_PREFIX)


class TagRule(Strict):
    """Who bears a tag.

    Args:
        when: a condition in Caspio's SQL on fields of the row (see conditions.py).
    """

    when: ConditionText

    @model_validator(mode="before")
    @classmethod
    def _no_words_of_a_field(cls, given: Any) -> Any:
        if isinstance(given, dict) and "from" in given:
            raise ValueError(
                "tags that are a field's own words (`from`) are not built yet; name each tag with a `when`"
            )
        return given

    @property
    def condition(self) -> Condition:
        """What decides."""
        return Condition(self.when)
