"""Tags in a sync file: words that a person bears there while a condition on the row is met, or a field holds them.

tags:
  VIP: {when: "Spend > 1000"}   # one tag, and its condition
  from: Segments                # a list field: each of its words is a tag,
  prefix: "shop: "              # behind these signs; what begins so is this sync's, to give and to take
"""

from typing import Annotated, Any

from pydantic import Discriminator, Tag, model_validator

from caspio_sync.mapping.conditions import Condition, ConditionText
from caspio_sync.mapping.field import Strict

TAG_PREFIX, WORDS_PREFIX = "tags.", "tag_words."
FROM, PREFIX = "from", "prefix"  # keys of `tags` that name no tag


def is_tag(column: str) -> bool:
    """Whether a column of the mapped frame says whether a person bears a tag; no attribute may have such a name."""
    return column.startswith(TAG_PREFIX)


def is_tag_words(column: str) -> bool:
    """Whether a column of the mapped frame holds words that are tags; no attribute may have such a name."""
    return column.startswith(WORDS_PREFIX)


class TagRule(Strict):
    """Who bears a tag.

    Args:
        when: a condition in Caspio's SQL on fields of the row (see conditions.py).
    """

    when: ConditionText

    @model_validator(mode="before")
    @classmethod
    def _no_words(cls, given: Any) -> Any:
        if isinstance(given, dict) and FROM in given:
            raise ValueError(
                "words of a field are no single tag; write `from` and `prefix` beside the tags, not below one"
            )
        return given

    @property
    def condition(self) -> Condition:
        """What decides."""
        return Condition(self.when)


def _which(given: Any) -> str:
    return "word" if isinstance(given, str) else "rule"


# What stands under `tags`: a tag's rule, or a word under `from` or `prefix`.
TagEntry = Annotated[Annotated[TagRule, Tag("rule")] | Annotated[str, Tag("word")], Discriminator(_which)]
