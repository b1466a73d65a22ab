"""What a destination makes of consent: which states there are, which restricts more, and what takes one back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from caspio_sync.schemas import MappedColumn


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """A destination's law about consent.

    Args:
        rank: its states; the more restrictive one has the higher rank.
        default: the state of somebody of whom none was told.
        refused: the "no".
        reset_by: names of the attributes whose change takes this column's state back there, so that it has to travel
            along; none for a column that is no consent.
    """

    rank: Mapping[str, int]
    default: str
    refused: str
    reset_by: Callable[[MappedColumn], tuple[str, ...]]

    @property
    def most_lenient(self) -> str:
        """The state that restricts nobody."""
        return min(self.rank, key=self.rank.__getitem__)
