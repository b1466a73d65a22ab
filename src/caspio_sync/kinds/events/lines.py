"""Reading the lines of orders: for all orders of a batch in few calls, and joined to them by polars.

Each stretch of lines is held against Caspio's own count, as those of any table: no line is missed by a short answer.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl

from caspio_sync.caspio.client import MAX_PAGE_ROWS, CaspioClient, Source
from caspio_sync.caspio.counting import rows_counted
from caspio_sync.caspio.query import and_, keys_where
from caspio_sync.caspio.records import RecordReader
from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.concurrency import all_of
from caspio_sync.engine.prepared import Prepared
from caspio_sync.engine.private_fields import refuse_private
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.assembly import (
    AMOUNT,
    BOUGHT,
    JOINED,
    LINES,
    ORDERS,
    PRICE_PART,
    QUANTITY_PART,
    RETURNED,
    RETURNED_AMOUNT,
    UNSOUND,
    Assembly,
)
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.kinds.events.line_mapping import PRODUCT, SOUND, LineMapping
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.kinds.events.order_numbers import OrderNumbers
from caspio_sync.mapping.numbers import whole_digits
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import SOURCE_DTYPES, SOURCE_PK, CaspioField
from caspio_sync.text_columns import trimmed_values

_ORDER = "_order"  # the order's number, as both tables have it
_NAMED = 3  # lines that are told
_PER_CONDITION = 2  # calls: a count, and a page at the least
_DECIMALS = 4  # of an amount: no currency has more, and those of a sum of doubles mean nothing
_KEY_CHARS = 255
_EXACT = 2**53
_NEXT_CELL, _NO_CELL = "\x1f", "\0"


@dataclass(frozen=True, slots=True)
class OrderLines:
    """The lines of a sync's orders.

    Args:
        source: their table.
        key: their field that tells of which order they are.
        order_field: the orders' own.
        numbers: how many orders bear one.
        fields: what is read of them.
        mapping: makes products of them.
        assembly: what becomes of them.
    """

    source: Source
    key: CaspioField
    order_field: str
    numbers: OrderNumbers
    fields: Sequence[CaspioField]
    mapping: LineMapping
    assembly: Assembly

    async def joined(self, caspio: CaspioClient, orders: pl.DataFrame) -> pl.DataFrame:
        """Orders with what their lines are (`Assembly`).

        Args:
            caspio: where the lines are.
            orders: a source frame.

        Raises:
            As `RecordReader`.
        """
        numbers = orders.select(SOURCE_PK, self._number(self.order_field, orders).alias(_ORDER))
        borne = await self.numbers.borne(caspio, orders)
        every = borne.select(self._number(self.order_field, borne).alias(_ORDER)).group_by(_ORDER).len("_borne")
        numbers = numbers.join(every, on=_ORDER, how="left", maintain_order="left").select(
            SOURCE_PK,
            _ORDER,
            pl.when(pl.col(_ORDER).is_not_null())
            .then(pl.max_horizontal(pl.len().over(_ORDER), pl.col("_borne")))
            .alias(ORDERS),
        )
        wanted = numbers.select(pl.col(_ORDER).drop_nulls().unique(maintain_order=True))
        read = self._read(caspio, wanted[_ORDER])
        frames = [await asyncio.to_thread(self._products, lines, wanted) async for lines in read]
        together = await asyncio.to_thread(self._together, frames) if frames else None
        names = [*JOINED, *self.assembly.cells]
        left = orders.drop(names, strict=False)
        if together is None:
            found = numbers.select(SOURCE_PK, ORDERS, pl.lit(0, dtype=pl.Int64).alias(LINES))
        else:
            found = numbers.join(together, on=_ORDER, how="left", maintain_order="left").drop(_ORDER)
        found = found.with_columns(pl.col(LINES).fill_null(0), pl.col(ORDERS).cast(pl.Int64))
        return self.assembly.joined(left.join(found, on=SOURCE_PK, how="left", maintain_order="left"))

    async def count(self, caspio: CaspioClient) -> int:
        """How many lines there are that `lines.where` takes for products: one call."""
        return await rows_counted(caspio, self.source, "PK_ID", self.assembly.lines.where)

    async def _read(self, caspio: CaspioClient, numbers: pl.Series) -> AsyncIterator[pl.DataFrame]:
        """Source frames that hold the lines of these orders, and perhaps those of others.

        A condition takes about a hundred numbers; where the whole table takes fewer calls, it is read.
        """
        conditions = keys_where(self.key, self._askable(numbers))
        if len(conditions) > caspio.connections:
            pages = -(-await self.count(caspio) // MAX_PAGE_ROWS)
            if pages < _PER_CONDITION * len(conditions):
                reader = self._reader(caspio, None)
                await reader.open()
                async for batch in reader.batches():
                    yield batch.frame
                return
        for start in range(0, len(conditions), caspio.connections):
            some = conditions[start : start + caspio.connections]
            for frames in await all_of(self._of(caspio, each) for each in some):
                for frame in frames:
                    yield frame

    async def _of(self, caspio: CaspioClient, condition: str) -> list[pl.DataFrame]:
        reader = self._reader(caspio, condition)
        await reader.open()
        return [batch.frame async for batch in reader.batches()]

    def _reader(self, caspio: CaspioClient, condition: str | None) -> RecordReader:
        where = and_(condition, self.assembly.lines.where)
        return RecordReader(caspio, self.source, fields=self.fields, where=where, parallel=2 if condition else 8)

    @property
    def _numeric(self) -> bool:
        return SOURCE_DTYPES.get(self.key.type) in {pl.Int64, pl.Float64}

    def _number(self, field: str, frame: pl.DataFrame) -> pl.Expr:
        return _order_number(field, frame.schema[field], numeric=self._numeric)

    def _askable(self, numbers: pl.Series) -> list[str]:
        """Those that the lines' field can hold; an order of another number has no lines."""
        if self._numeric:
            whole = numbers.cast(pl.Int64, strict=False)
            return whole.filter(whole.abs() < _EXACT).cast(pl.String).to_list()
        fits = (numbers.str.len_chars() <= _KEY_CHARS) & ~numbers.str.contains("\0", literal=True)
        return numbers.filter(fits).to_list()

    def _products(self, lines: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
        """A source frame of lines as products of the orders that are asked for."""
        numbered = lines.with_columns(self._number(self.key.name, lines).alias(_ORDER))
        numbered = numbered.join(wanted, on=_ORDER, how="semi", maintain_order="left")
        mapped = self.mapping.apply(numbered.drop(_ORDER))
        cells = [_text(pl.col(name), numbered.schema[name]).alias(f"cell:{name}") for name in self.assembly.fields]
        return pl.concat(
            [
                mapped.select(SOURCE_PK, PRODUCT, QUANTITY_PART, PRICE_PART, self.mapping.sound.alias(SOUND)).cast(
                    {QUANTITY_PART: pl.Int64, PRICE_PART: pl.Float64}
                ),
                numbered.select(_ORDER, *cells),
            ],
            how="horizontal",
        )

    def _together(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """What the lines of each order become, in the order of their PK_ID."""
        products = pl.concat(frames).unique(SOURCE_PK).sort(SOURCE_PK)
        pieces = pl.col(QUANTITY_PART).abs()
        text = pl.concat_str(
            pl.col(PRODUCT).str.strip_suffix("}"), pl.lit(f',"{QUANTITY_PART}":'), pieces.cast(pl.String), pl.lit("}")
        )
        returned = (pl.col(QUANTITY_PART) < 0).fill_null(value=False)
        if self.assembly.lines.returned_as is None:
            returned = pl.lit(value=False)
        worth = (pl.col(PRICE_PART) * pieces).alias("worth")
        lines = products.with_columns(text.alias("text"), worth, returned.alias("returned"))
        bought, back = ~pl.col("returned"), pl.col("returned")
        return lines.group_by(_ORDER, maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias(LINES),
            _told(pl.col(SOURCE_PK).filter(~pl.col(SOUND)).head(_NAMED).cast(pl.String)).alias(UNSOUND),
            _array(pl.col("text").filter(bought)).alias(BOUGHT),
            _sum(pl.col("worth").filter(bought)).alias(AMOUNT),
            _array(pl.col("text").filter(back)).alias(RETURNED),
            _sum(pl.col("worth").filter(back)).alias(RETURNED_AMOUNT),
            *(
                pl.col(f"cell:{field}").fill_null(_NO_CELL).str.join(_NEXT_CELL).alias(cell)
                for field, cell in zip(self.assembly.fields, self.assembly.cells, strict=True)
            ),
        )


def _order_number(field: str, dtype: pl.DataType, *, numeric: bool) -> pl.Expr:
    """An order's number as Caspio compares it: without case and without blanks at its end; null for none.

    Args:
        field: that holds it.
        dtype: of its cells.
        numeric: whether the lines hold it as a number.
    """
    cell = pl.col(field)
    if dtype == pl.Int64:
        return cell.cast(pl.String)
    if dtype == pl.Float64:
        return whole_digits(cell)
    if numeric:
        return trimmed_values(cell).cast(pl.Int64, strict=False).cast(pl.String)
    text = cell.cast(pl.String).str.strip_chars_end(" ").str.to_lowercase()
    return pl.when(text != "").then(text)


def _text(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return cell.list.join(",", ignore_nulls=True) if isinstance(dtype, pl.List) else cell.cast(pl.String)


def _array(texts: pl.Expr) -> pl.Expr:
    """JSON objects as the text of an array; null for none."""
    return pl.when(texts.len() > 0).then(pl.concat_str(pl.lit("["), texts.str.join(","), pl.lit("]")))


def _told(texts: pl.Expr) -> pl.Expr:
    return pl.when(texts.len() > 0).then(texts.str.join(", "))


def _sum(amounts: pl.Expr) -> pl.Expr:
    return pl.when(amounts.len() > 0).then(amounts.sum().round(_DECIMALS))


async def lines_of(prepared: Prepared, caspio: CaspioClient) -> OrderLines | None:
    """The lines of the sync's orders, fitted to their table; None where its events are made of a row alone.

    Raises:
        ConfigurationError: the table, or a field of it, is not there or does not fit.
        TransientError: Caspio does not answer.
    """
    sync, mapping = cast("Occurrences", prepared.definition), cast("EventMapping", prepared.mapping)
    assembly = mapping.assembly
    if assembly is None:
        return None
    lines = assembly.lines
    source = Source(lines.table)
    fields = {each.name: each for each in await caspio.fields(source)}
    made = LineMapping(sync, lines, list(fields.values()), rules_for(sync.kind, sync.destination))
    at = sync.where("lines")
    read = dict.fromkeys([*made.source_fields, lines.key.of_line], at)
    refuse_private(prepared.private, lines.table, read=read, conditions={sync.where("lines", "where"): lines.where})
    if isinstance(SOURCE_DTYPES[prepared.fields[lines.key.order].type], pl.List):
        raise ConfigurationError(f"{sync.where('lines', 'key')}: lines.key: a list is no number of an order")
    return OrderLines(
        source,
        fields[lines.key.of_line],
        lines.key.order,
        OrderNumbers(prepared.source, prepared.fields[lines.key.order], sync.source.where),
        [fields[each] for each in made.source_fields],
        made,
        assembly,
    )


async def with_lines(prepared: Prepared, caspio: CaspioClient, frame: pl.DataFrame) -> pl.DataFrame:
    """As `Kind.beside`: orders with what their lines are."""
    lines = await lines_of(prepared, caspio)
    return frame if lines is None else await lines.joined(caspio, frame)


async def orders_of_lines(prepared: Prepared, caspio: CaspioClient, line_pks: Sequence[int]) -> list[int]:
    """As `Kind.announced`: PK_IDs of the orders that these lines are of; of a line that is gone nobody knows."""
    lines = await lines_of(prepared, caspio)
    if lines is None:
        return []
    found = await rows_by_key(caspio, lines.source, prepared.key, line_pks, fields=[lines.key])
    return await lines.numbers.orders_of(caspio, found[lines.key.name].cast(pl.String))
