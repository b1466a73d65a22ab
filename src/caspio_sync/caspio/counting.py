"""How many rows Caspio itself counts."""

from typing import Any, Protocol

from caspio_sync.caspio.client import Aggregate, Source
from caspio_sync.caspio.query import identifier
from caspio_sync.errors import TransientError


class Counter(Protocol):
    """What counting needs of `CaspioClient`."""

    async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
        """The one row of an aggregate."""


async def rows_counted(client: Counter, source: Source, key_field: str, where: str | None) -> int:
    """Rows that meet a condition, by Caspio's own count: one call.

    Raises:
        As `CaspioClient.aggregate`; `TransientError` also where the answer holds no count.
    """
    answer = await client.aggregate(source, select=f"COUNT({identifier(key_field)}) AS row_count", where=where)
    return as_count(source, answer.row["row_count"])


def as_count(source: Source, cell: Any) -> int:
    """A count; it may come as text.

    Raises:
        TransientError: it is none.
    """
    try:
        number = -1 if isinstance(cell, bool) else int(cell)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0:
        raise TransientError(f"counting {source}: an answer without the number of rows; the next run asks again")
    return number
