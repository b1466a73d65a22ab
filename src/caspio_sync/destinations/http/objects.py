"""Rows of the mapped frame as objects of an endpoint: one JSON text a row, made by polars.

A row travels whole, with every field that it has a value for, whichever of them changed: an endpoint may put what it
gets in the place of what it had. A field without a value is left out, unless `on_null: clear` has it travel as null.
"""

import json
from collections.abc import Collection, Sequence

import polars as pl

from caspio_sync.mapping.numbers import number_text
from caspio_sync.schemas import KEY, MappedColumn, ok


def encode_rows(
    rows: pl.DataFrame,
    columns: Sequence[MappedColumn],
    *,
    key_names: Sequence[str],
    listed: Sequence[str] | None,
    stopped: Collection[str] = (),
    all_there: bool = False,
) -> pl.Series:
    """One JSON object a row, as text.

    Args:
        rows: mapped rows.
        columns: the mapping's.
        key_names: what the key is called in an object.
        listed: names that an object holds, in their order; None for the key and every column.
        stopped: columns whose field cannot be read for now: they do not travel, not even as null.
        all_there: whether what has no value is there as null, as a template needs it.
    """
    known = {each.name: each for each in columns}
    names = [*key_names, *known] if listed is None else listed
    parts = [
        pl.concat_str(pl.lit(f",{_name(name)}:"), _json(pl.col(KEY)))
        if name in key_names or name == KEY
        else _member(known[name], rows.columns, all_there=all_there)
        for name in names
        if name not in stopped
    ]
    members = pl.concat_str(parts).str.strip_prefix(",") if parts else pl.lit("")
    return rows.select(object=pl.concat_str(pl.lit("{"), members, pl.lit("}"))).to_series()


def _member(column: MappedColumn, present: Sequence[str], *, all_there: bool) -> pl.Expr:
    value = pl.col(column.name)
    text = number_text(value) if column.dtype == pl.Float64 else _json(value)
    filled = pl.when(value.is_not_null() & text.is_not_null()).then(
        pl.concat_str(pl.lit(f",{_name(column.name)}:"), text)
    )
    nothing = pl.lit(f",{_name(column.name)}:null")
    if all_there:
        return filled.otherwise(nothing)
    if column.on_null != "clear" or (column.on_bad == "skip" and ok(column.name) not in present):
        return filled.otherwise(pl.lit(""))
    # What could not be read is not empty: null would clear what the endpoint has.
    sound = pl.col(ok(column.name)) if ok(column.name) in present else pl.lit(value=True)
    return filled.when(sound).then(nothing).otherwise(pl.lit(""))


def _name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _json(value: pl.Expr) -> pl.Expr:
    return pl.struct(v=value).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
