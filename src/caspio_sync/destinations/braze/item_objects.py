"""Rows of the mapped frame as the items that travel to a Braze catalog: one JSON text a row, made by polars.

PUT replaces the whole item, so that a field left out is emptied; PATCH leaves out what stays as it is (Braze, 9.2).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from caspio_sync.destinations.braze.objects import object_text
from caspio_sync.schemas import KEY, MappedColumn

ID = "id"
_ID = pl.col(KEY).alias(ID)


def encode_items(rows: pl.DataFrame, columns: Sequence[MappedColumn]) -> pl.Series:
    """One whole item a row, for PUT: its id and every field that has a value.

    Args:
        rows: mapped rows.
        columns: the mapping's columns.
    """
    present = [replace(column, on_null="skip") for column in columns]
    return _encoded(rows, present, lambda name: pl.col(name).is_not_null())


def encode_item_changes(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], travels: Callable[[str], str]
) -> pl.Series:
    """What changed of each item, for PATCH: its id and the fields that travel, null where one was emptied.

    Args:
        rows: mapped rows with a boolean column `travels(name)` for each of `columns`.
        columns: the columns that may travel.
        travels: gives the name of the boolean column that says whether a column travels.
    """
    return _encoded(rows, columns, lambda name: pl.col(travels(name)))


def encode_item_ids(keys: pl.Series) -> pl.Series:
    """One item a key that says nothing but its id, for DELETE."""
    return keys.alias(KEY).to_frame().select(item=pl.struct(_ID).struct.json_encode()).to_series()


def _encoded(rows: pl.DataFrame, columns: Sequence[MappedColumn], travels: Callable[[str], pl.Expr]) -> pl.Series:
    return rows.select(item=object_text(_ID, columns, travels=travels)).to_series()
