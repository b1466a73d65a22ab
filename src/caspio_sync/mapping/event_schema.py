"""Events whose parts a destination prescribes: which there may be, which there must be, and what each one is."""

from collections.abc import Mapping
from dataclasses import dataclass

OBJECT, ARRAY = "object", "array"  # meanings of parts that hold others


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The properties of one event, or the parts of one of its products.

    Args:
        parts: what there may be, and what it means: the name of a rule of `ValueRules.rules`, `OBJECT` or `ARRAY`.
        required: what there must be in each one.
        product: what each of its products is of; None where it has none.
        amount: the property that holds what all products are worth together; "" where there is none.
    """

    parts: Mapping[str, str]
    required: frozenset[str]
    product: "EventSchema | None" = None
    amount: str = ""
