"""How many orders bear a number, in the whole table: each of two would be told with all of their lines.

Few batches hold both of them. So Caspio counts the orders of the batch's numbers: a call for about a hundred; of a
large batch one call, where no number of the table stands twice.
"""

from dataclasses import dataclass

import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import MAX_PAGE_ROWS, CaspioClient, Source
from caspio_sync.caspio.counting import as_count, rows_counted
from caspio_sync.caspio.query import and_, identifier, keys_where
from caspio_sync.concurrency import all_of
from caspio_sync.schemas import SOURCE_DTYPES, SOURCE_PK, CaspioField

_KEY = "PK_ID"
_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class OrderNumbers:
    """The numbers of a sync's orders.

    Args:
        source: the orders' table.
        field: that holds the number.
        where: which of its rows are orders; None for all.
    """

    source: Source
    field: CaspioField
    where: str | None

    async def borne(self, caspio: CaspioClient, orders: pl.DataFrame) -> pl.DataFrame:
        """Of numbers that more orders bear than are among these: the field's cells, once for each order of the table.

        Args:
            caspio: is asked.
            orders: a source frame.

        Raises:
            As `CaspioClient.records`.
        """
        name = self.field.name
        cells = orders.select(pl.col(name)).filter(self._is_number).to_series()
        texts = cells.cast(pl.String)
        asked = keys_where(self.field, texts.unique(maintain_order=True).to_list())
        nothing = orders.select(name).clear()
        if not asked or (len(asked) > caspio.connections and not await self._any_twice(caspio)):
            return nothing
        total = await all_of(rows_counted(caspio, self.source, _KEY, and_(each, self.where)) for each in asked)
        if sum(total) <= len(cells):
            return nothing
        frames = await all_of(self._read(caspio, each) for each, count in zip(asked, total, strict=True) if count)
        return pl.concat([nothing, *(frame.select(name) for frame in frames)])

    async def orders_of(self, caspio: CaspioClient, numbers: pl.Series) -> list[int]:
        """PK_IDs of the orders that bear one of these numbers, given as text.

        Raises:
            As `CaspioClient.records`.
        """
        asked = numbers.drop_nulls()
        if not self._is_text:  # a line may hold what no number of an order is
            asked = asked.filter(asked.cast(pl.Float64, strict=False).is_finite().fill_null(value=False))
        cells = asked.to_frame(self.field.name).filter(_askable(self.field.name)).to_series()
        conditions = keys_where(self.field, cells.unique(maintain_order=True).to_list())
        frames = await all_of(self._read(caspio, each) for each in conditions)
        return [pk for frame in frames for pk in frame[SOURCE_PK]]

    async def _any_twice(self, caspio: CaspioClient) -> bool:
        """Whether any number stands twice in the table."""
        name = identifier(self.field.name)
        filled = f"{name} <> ''" if self._is_text else None
        select = f"COUNT({name}) AS orders, COUNT(DISTINCT {name}) AS numbers"
        row = (await caspio.aggregate(self.source, select=select, where=and_(self.where, filled))).row
        return as_count(self.source, row["orders"]) > as_count(self.source, row["numbers"])

    async def _read(self, caspio: CaspioClient, within: str) -> pl.DataFrame:
        names, where = [_KEY, self.field.name], and_(within, self.where)
        page = await caspio.records(self.source, select=names, where=where, order_by=None, limit=MAX_PAGE_ROWS)
        return source_frame([page.rows], [self.field], _KEY)

    @property
    def _is_text(self) -> bool:
        return SOURCE_DTYPES.get(self.field.type, pl.String) == pl.String

    @property
    def _is_number(self) -> pl.Expr:
        """Cells that number an order, and that Caspio can be asked for."""
        return _askable(self.field.name) if self._is_text else pl.col(self.field.name).is_not_null()


def _askable(name: str) -> pl.Expr:
    """Texts that a condition takes."""
    text = pl.col(name).str.strip_chars_end(" ")
    return (text != "") & (text.str.len_chars() <= _KEY_CHARS) & ~text.str.contains("\0", literal=True)
