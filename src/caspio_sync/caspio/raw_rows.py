"""Rows as they stand in Caspio's pages, told apart and hashed without decoding them.

    [{"PK_ID":1,"Name":"Ada"},{"PK_ID":2,"Name":"Bo"}]  ─▶  1,"Name":"Ada"},   2,"Name":"Bo"},

A hash of such a text is the row's raw print: while it is the same, so is every cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Protocol, TypeAlias

import polars as pl
import xxhash

from caspio_sync.caspio.client import MAX_PAGE_ROWS
from caspio_sync.caspio.key_ranges import Page
from caspio_sync.deferred import np
from caspio_sync.schemas import SOURCE_PK

if TYPE_CHECKING:
    import numpy.typing as npt

_END = b"},"
RAW_PRINT = "raw_print"
_COLUMN = "\x01raw_print"  # no field can be named so

RawPrints: TypeAlias = "npt.NDArray[np.uint64]"


@dataclass(frozen=True, slots=True)
class Met:
    """Rows of a stretch that go no further: the ledger knows what they become, and that it was acknowledged.

    Args:
        rows: source_pk, key_hash and `price` (billed units of the whole row), sorted by source_pk.
        texts: the rows as they stand in their page (`cut`), in the same order.
        key_field: the field that they are paged by.
    """

    rows: pl.DataFrame
    texts: list[bytes]
    key_field: str

    @property
    def height(self) -> int:
        """How many they are."""
        return self.rows.height

    def pages(self, chosen: pl.Series) -> list[bytes]:
        """Pages of these of them (Boolean, one a row)."""
        return list(pages_of(list(compress(self.texts, chosen)), self.key_field))

    def counted(self) -> Met:
        """The same without their texts, which are most of what they hold in memory."""
        return Met(self.rows, [], self.key_field)

    def without(self, chosen: pl.Series) -> Met:
        """The others than these."""
        return Met(self.rows.filter(~chosen), list(compress(self.texts, ~chosen)), self.key_field)


NOBODY = Met(pl.DataFrame(schema={SOURCE_PK: pl.Int64, "key_hash": pl.Int64, "price": pl.Int64}), [], "")


@dataclass(frozen=True, slots=True)
class Sifted:
    """A stretch of pages, with the rows taken out that go no further.

    Args:
        pages: of the other rows, in their order.
        prints: their raw prints; None where the pages cannot be cut into rows.
        met: the rows that were taken out.
        is_met: of every row of the stretch, in its order, whether it was; None where `prints` is.
    """

    pages: Sequence[Page]
    prints: RawPrints | None = None
    met: Met = NOBODY
    is_met: npt.NDArray[np.bool_] | None = None

    def prints_at(self, others: pl.Series) -> pl.DataFrame | None:
        """source_pk and raw print of the rows that were decoded; None where they have none."""
        if self.prints is None or len(self.prints) != len(others):
            return None
        return pl.DataFrame([others, pl.Series(RAW_PRINT, self.prints)])

    def keys(self, others: pl.Series) -> pl.Series:
        """`source_pk` of all rows of the stretch in their order, made of those of the rows that were decoded."""
        if self.is_met is None:
            return others
        keys = np.empty(len(self.is_met), dtype=np.int64)
        keys[self.is_met], keys[~self.is_met] = self.met.rows[SOURCE_PK].to_numpy(), others.to_numpy()
        return pl.Series(SOURCE_PK, keys)


class Sieve(Protocol):
    """Takes rows out of a stretch before they are decoded."""

    @property
    def takes_out(self) -> bool:
        """Whether it may take out any: then it is given pages that nobody has looked at."""

    @property
    def salt(self) -> int:
        """What raw prints are salted with."""

    async def __call__(self, low: int, high: int, pages: Sequence[Page]) -> Sifted:
        """The stretch of the keys from `low` to `high`, sifted."""


def cut(pages: Sequence[Page], key_field: str) -> list[bytes] | None:
    """The rows of some pages, each from behind its key's name to the comma after it; None where they are told by more.

    Args:
        pages: JSON arrays of records; of what is decoded already nothing can be told.
        key_field: the field that stands first in each record. A quote within a cell is escaped, so that its name
            stands nowhere else.
    """
    name = f'"{key_field}":'.encode()
    rows: list[bytes] = []
    for page in pages:
        if not isinstance(page, bytes):
            return None
        opening, *found = page.split(b"{" + name)
        if opening != b"[" or not found or page.count(name) != len(found) or not found[-1].endswith(b"}]"):
            return None
        found[-1] = found[-1][:-1] + b","
        rows += found
    return rows if all(row.endswith(_END) for row in rows) else None


def raw_prints(rows: Sequence[bytes], salt: int) -> RawPrints:
    """xxh3_64 of each row's text."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(row, salt) for row in rows), np.uint64, len(rows))


def pages_of(rows: Sequence[bytes], key_field: str) -> Iterator[bytes]:
    """The inverse of `cut`: pages of 1,000 rows."""
    opening = f'{{"{key_field}":'.encode()
    for start in range(0, len(rows), MAX_PAGE_ROWS):
        yield b"[" + opening + opening.join(rows[start : start + MAX_PAGE_ROWS])[:-1] + b"]"


def with_prints(text: pl.DataFrame, page: bytes, key_field: str, salt: int) -> pl.DataFrame:
    """A page that was decoded, with the raw prints of its rows, where they can be told apart."""
    rows = cut([page], key_field)
    if rows is None or len(rows) != text.height:
        return text
    return text.with_columns(pl.Series(_COLUMN, raw_prints(rows, salt)))


def prints_of(pages: Sequence[Page]) -> RawPrints | None:
    """The raw prints that `with_prints` added, of all rows; None where a page has none."""
    found = [page[_COLUMN] for page in pages if isinstance(page, pl.DataFrame) and _COLUMN in page.columns]
    return pl.concat(found).to_numpy() if found and len(found) == len(pages) else None
