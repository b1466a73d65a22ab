"""What an order has of its lines: columns that are joined to its row, and the part of its event that they become.

Joined to the source frame (`lines.py`): the cells of all lines as one text for each of their fields that is read, by
which a version of the order is told; and what the lines become together.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from caspio_sync.kinds.events.definition import LINE_COUNT, Occurrences, read_by
from caspio_sync.kinds.events.lines_definition import Lines
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import PROBLEMS, MappedColumn

PRODUCTS, QUANTITY_PART, PRICE_PART = "products", "quantity", "price"
LINES = "_lines"  # how many there are
UNSOUND = "_unsound"  # PK_IDs of some that are no product, as text; null where all are
ORDERS = "_orders"  # how many orders bear the number
BOUGHT, AMOUNT = "_bought", "_amount"  # lines of something: JSON array, and what they are worth
RETURNED, RETURNED_AMOUNT = "_returned", "_returned_amount"  # lines of less than nothing, their pieces counted up
JOINED: Mapping[str, type[pl.DataType]] = {
    LINES: pl.Int64,
    UNSOUND: pl.String,
    ORDERS: pl.Int64,
    BOUGHT: pl.String,
    AMOUNT: pl.Float64,
    RETURNED: pl.String,
    RETURNED_AMOUNT: pl.Float64,
}
_CELL = "lines."  # before the name of a line's field; no field's name holds a dot


class Assembly:
    """How the lines of an order become a part of its event.

    Args:
        sync: the definition.
        lines: its `lines:`.
        values: what the destination takes as an event.
    """

    def __init__(self, sync: Occurrences, lines: Lines, values: ValueRules) -> None:
        self.lines = lines
        self.fields = tuple(sorted({field for each in lines.products.values() for field in read_by(each)}))
        self.cells = tuple(f"{_CELL}{field}" for field in self.fields)
        amounts = (values.schemas[name].amount for name in sync.taxonomy if name in values.schemas)
        self.amount = next((name for name in amounts if name and name not in sync.fields), None)

    @property
    def columns(self) -> tuple[MappedColumn, ...]:
        """The properties that come of lines."""
        keys = tuple(sorted(set(_keys(self.lines.products))))
        products = MappedColumn(PRODUCTS, pl.String, encoding="json", decimals=keys)
        return (products, *(() if self.amount is None else (MappedColumn(self.amount, pl.Float64),)))

    def joined(self, source: pl.DataFrame) -> pl.DataFrame:
        """A source frame with the columns of its lines; where nobody has read them, they are null."""
        missing = {name: dtype for name, dtype in JOINED.items() if name not in source.columns}
        cells = [name for name in self.cells if name not in source.columns]
        return source.with_columns(
            *(pl.lit(None, dtype=dtype).alias(name) for name, dtype in missing.items()),
            *(pl.lit(None, dtype=pl.String).alias(name) for name in cells),
        )

    def carry(self, source: pl.DataFrame, mapped: pl.DataFrame) -> pl.DataFrame:
        """The mapped frame of a source frame, with what its lines became and what is wrong with them."""
        mapped = mapped.with_columns(self.joined(source).select(list(JOINED)))
        amount = [] if self.amount is None else [pl.col(AMOUNT).alias(self.amount)]
        return mapped.with_columns(
            pl.col(BOUGHT).alias(PRODUCTS),
            *amount,
            pl.concat_str(PROBLEMS, *self._problems(), separator="; ", ignore_nulls=True)
            .replace("", None)
            .alias(PROBLEMS),
        )

    def _problems(self) -> Iterator[pl.Expr]:
        found = pl.col(LINES).fill_null(0)
        if self.lines.complete.count is not None:
            told = pl.col(LINE_COUNT)
            text = pl.format(
                "lines: {} are there, {} are to be", found, told.cast(pl.String).fill_null("nobody knows how many")
            )
            yield pl.when(found.ne_missing(told)).then(text)
        else:
            yield pl.when(found == 0).then(pl.lit("lines: none is there"))
        yield pl.when(pl.col(UNSOUND).is_not_null()).then(
            pl.format("lines: PK_ID {} lack a part of a product, or hold an ill-formed one", UNSOUND)
        )
        yield pl.when(pl.col(ORDERS) > 1).then(pl.format("lines: {} orders bear its number", ORDERS))


def _keys(members: Mapping[str, FieldMapping]) -> Iterator[str]:
    for key, mapping in members.items():
        yield key
        yield from _keys(mapping.object or {})
