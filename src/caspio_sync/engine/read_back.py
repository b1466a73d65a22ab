"""What reading back is asked of a destination: what it holds under a key, or on its pages."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import polars as pl

from caspio_sync.schemas import MappedColumn

# A profile or an item as the destination gives it; "missing": there is none; "ambiguous": there are several, or one
# that goes by another id now.
Held = Mapping[str, Any] | Literal["missing", "ambiguous"]


class ReadBack(Protocol):
    """Reads back what rows of one kind became at the destination.

    Attributes:
        usual_sample: rows of a verification that nobody gave a number for.
        stretch_rows: rows looked at together; a kill repeats no more.
        readable: the columns that can be read back.
        unreadable: names of the others.
        thing: what a row becomes, in a word.
    """

    usual_sample: int
    stretch_rows: int
    readable: Sequence[MappedColumn]
    unreadable: Sequence[str]
    thing: Literal["profile", "item", "deal"]

    @property
    def requests(self) -> int:
        """Requests made so far."""

    def planned(self, rows: int) -> tuple[int, float, float]:
        """Requests that so many rows take, and the seconds: at the usual limit, and at the slowest there is."""

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """What the destination holds under each key."""

    async def values(
        self, column: MappedColumn, held: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> pl.DataFrame:
        """A readable column's `value` and `type` (the JSON type it came in) in what `held` gave for these keys."""

    def agrees(self, column: MappedColumn, wanted: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
        """`equal`: whether what was sent is held, in whatever spelling; `retyped`: whether in another JSON type.

        Args:
            column: a readable one.
            wanted: its values in the mapped frame; null where it was cleared.
            held: of the same rows, as `values` gives it.
        """


class CursorRefusedError(Exception):
    """The destination does not know the page's cursor any more."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages that follow one another.

    Args:
        read: what is on each page by its key, by the cursor that asked for the page.
        next_cursor: of the page after them; None after the last.
    """

    read: Mapping[str | None, Mapping[str, Mapping[str, Any]]]
    next_cursor: str | None

    @property
    def items(self) -> dict[str, Mapping[str, Any]]:
        """What is on them by its key."""
        return {key: item for page in self.read.values() for key, item in page.items()}

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """What is under each key, as it was on its page."""
        items = self.items
        return [items.get(key, "missing") for key in keys]


@runtime_checkable
class PagedReadBack(ReadBack, Protocol):
    """A `ReadBack` that can also read all there is, page by page.

    Attributes:
        pages: about so many there are.
    """

    pages: int

    async def some_pages(self, cursor: str | None) -> Pages:
        """The next pages, from the start or from a cursor.

        Raises:
            CursorRefusedError: the cursor is not known any more: read again from the start.
        """

    def again(self, pages: Pages) -> Callable[[Sequence[str]], Awaitable[list[Held]]]:
        """Reads what was on these pages anew."""
