"""Many rows at once from a frame, as Caspio's own import takes them: rendered by column, not by cell."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import polars as pl

from caspio_sync.sandbox.caspio.fields import Field
from caspio_sync.sandbox.caspio.records import END
from caspio_sync.sandbox.caspio.tables import Table

_SECONDS = "T00:00:00"
_DTYPES = {"integer": pl.Int64, "number": pl.Float64, "bit": pl.Boolean, "text": pl.String, "date": pl.String}


def prepared_frame(table: Table, frame: pl.DataFrame, first_pk: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The rows to store for a frame whose columns are fields of the table.

    Args:
        table: where they go.
        frame: text, numbers and Booleans by their field's type, dates as ISO text (a date, or a date and time to the
            second), lists as List of ids. Values are taken as they are: only names and dtypes are checked.
        first_pk: PK_ID of the first row.
        now: what Timestamp fields are stamped with.

    Raises:
        Refusal: a column that is no field, or a read-only one.
        polars.exceptions.InvalidOperationError: a column that cannot become its field's type.
    """
    table.check_names(dict.fromkeys(frame.columns))
    stored, shown = [], []
    for field in table.fields:
        if field.name in frame.columns:
            value = _stored(field)
            stored.append(value)
            shown.append(_shown(field, value))
        else:
            cell = table.default_cell(field, now)
            stored.append(pl.lit(cell[0]).alias(field.name))
            shown.append(pl.lit(cell[1].decode()).alias(field.name))
    pks = pl.int_range(first_pk, first_pk + pl.len())
    chunks = frame.select(pl.concat_str(pl.lit('{"PK_ID":'), pks).alias("PK_ID"), *shown)
    rows = chunks.select(pl.concat_str(pl.all(), pl.lit(END.decode())).cast(pl.Binary)).to_series()
    lengths = chunks.select(pl.all().str.len_bytes()).to_numpy()
    ends = np.cumsum(lengths, axis=1).astype("<u4")
    width = ends.shape[1] * ends.itemsize
    packed = ends.tobytes()
    columns = frame.select(pks.alias("PK_ID"), *stored)
    yield from zip(
        columns["PK_ID"].to_list(),
        rows.to_list(),
        (packed[start : start + width] for start in range(0, len(packed), width)),
        *(columns[field.name].to_list() for field in table.fields),
        strict=True,
    )


def _stored(field: Field) -> pl.Expr:
    column = pl.col(field.name)
    if field.kind == "list":
        ids = column.list.unique().list.sort().list.eval(pl.element().cast(pl.String)).list.join(",")
        return pl.format("[{}]", ids).alias(field.name)
    value = column.cast(_DTYPES[field.kind])
    if field.kind == "bit":
        return value.fill_null(value=False).cast(pl.Int64)
    if field.kind == "date":
        return (
            pl.when(value.str.len_bytes() == len("2026-01-31"))
            .then(value + _SECONDS)
            .otherwise(value)
            .alias(field.name)
        )
    return value.round(4) if field.type == "CURRENCY" else value


def _shown(field: Field, stored: pl.Expr) -> pl.Expr:
    """A field's piece of the record's JSON: `,"Name":value`."""
    if field.kind == "list":
        items = {key: orjson.dumps({str(key): value}).decode()[1:-1] for key, value in field.list_field.items()}
        pairs = (
            pl.col(field.name)
            .list.unique()
            .list.sort()
            .list.eval(pl.element().replace_strict(list(items), list(items.values()), return_dtype=pl.String))
        )
        named = pl.lit(f',"{field.name}":')
        written = pl.concat_str(named, pl.lit("{"), pairs.list.join(","), pl.lit("}"))
        return pl.when(pairs.is_null()).then(pl.lit(f',"{field.name}":null')).otherwise(written).alias(field.name)
    value = stored.cast(pl.Boolean) if field.kind == "bit" else stored
    text = pl.struct(value.alias(field.name)).struct.json_encode()
    return pl.concat_str(pl.lit(","), text.str.strip_prefix("{").str.strip_suffix("}")).alias(field.name)
