"""Rows of the mapped frame as the JSON objects that travel to Braze: one JSON text a row, made by polars.

Only the fields that travel are in an object; `_update_existing_only` is always said (Braze, user attributes object: its
default depends on the identifier).

Whole numbers travel without a point, whatever Caspio's type: a message prints what it gets, and 2008.0 is no year. The
mapped frame holds them as 2008.0, of which the ledger's fingerprints were always made.
"""

import json
import re
from collections.abc import Callable, Sequence

import polars as pl

from caspio_sync.mapping.numbers import number_text
from caspio_sync.schemas import KEY, MappedColumn

UPDATE_ONLY = "_update_existing_only"

# A key of an object; no key holds a dollar sign, and `$time` only says that a date follows.
_OBJECT_KEY = r'"(?:[^"\\$]|\\.)*":'


def encode_objects(
    rows: pl.DataFrame,
    columns: Sequence[MappedColumn],
    *,
    identifier: pl.Expr,
    travels: Callable[[str], str],
    update_only: bool,
) -> pl.Series:
    """One JSON object a row, as text.

    Args:
        rows: mapped rows with a boolean column `travels(name)` for each of `columns`.
        columns: the columns that may travel.
        identifier: expression named after the identifier that Braze expects (`external_id`, `user_alias`, …).
        travels: gives the name of the boolean column that says whether a column travels.
        update_only: whether Braze must not create a profile for an unknown identifier.
    """
    ending = [pl.lit(update_only).alias(UPDATE_ONLY)]
    text = object_text(identifier, columns, travels=lambda name: pl.col(travels(name)), ending=ending)
    return rows.select(object=text).to_series()


def object_text(
    identifier: pl.Expr,
    columns: Sequence[MappedColumn],
    *,
    travels: Callable[[str], pl.Expr],
    ending: Sequence[pl.Expr] = (),
) -> pl.Expr:
    """The JSON object of a row: its identifier, and the columns that travel.

    Args:
        identifier: named expression, never null.
        columns: the columns that may travel; the null of one with `on_null="clear"` travels too.
        travels: the condition under which a column travels, by its name.
        ending: named expressions that are never null.
    """
    values = [
        column
        for column in columns
        if column.encoding == "value" and column.role != "subscription_group" and column.dtype != pl.Float64
    ]
    flat = pl.struct(
        identifier,
        *(pl.when(travels(column.name)).then(pl.col(column.name)).alias(column.name) for column in values),
        *ending,
    ).struct.json_encode()
    # A null in the struct is "does not travel". It cannot stand inside a string: there each quote has a backslash. The
    # identifier leads, so that a comma is before each.
    absent = "|".join(re.escape(_name(column)) for column in values)
    flat = flat.str.replace_all(f",(?:{absent}):null", "") if absent else flat
    fragments = [
        *(_cleared(column, travels) for column in columns if column.on_null == "clear"),
        *(
            _final_json(column, travels)
            for column in columns
            if column.encoding == "json" or column.dtype == pl.Float64
        ),
        *_groups([column for column in columns if column.role == "subscription_group"], travels),
    ]
    return pl.concat_str(flat.str.strip_suffix("}"), *fragments, pl.lit("}")) if fragments else flat


def identifier_expression(kind: str, label: str | None = None) -> pl.Expr:
    """The identifier of an object, from `key`.

    Args:
        kind: external_id, user_alias, email or phone (Braze, identifiers of /users/track).
        label: alias label, for a user_alias.
    """
    if kind == "user_alias":
        return pl.struct(pl.col(KEY).alias("alias_name"), pl.lit(label).alias("alias_label")).alias("user_alias")
    return pl.col(KEY).alias(kind)


def data_points(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], *, travels: Callable[[str], str] | None
) -> pl.Expr:
    """Data points that Braze bills for each row (Braze, data points).

    One an attribute, one a key of an object or of the objects in an array; consent is free.

    Args:
        rows: frame the expression is for.
        columns: the mapping's columns.
        travels: as for `encode_objects`; None counts every value present, as a sync without a diff would send it.
    """
    points = [
        _points(column, travels) for column in columns if column.role == "attribute" and column.name in rows.columns
    ]
    return pl.sum_horizontal(points) if points else pl.lit(0)


def _points(column: MappedColumn, travels: Callable[[str], str] | None) -> pl.Expr:
    value = pl.col(column.name)
    each = value.str.count_matches(_OBJECT_KEY).clip(1) if column.encoding == "json" else pl.lit(1)
    counted = pl.col(travels(column.name)) if travels else value.is_not_null()
    return pl.when(counted).then(each).otherwise(0).cast(pl.Int64)


def _name(column: MappedColumn) -> str:
    return json.dumps(column.name, ensure_ascii=False)


def _cleared(column: MappedColumn, travels: Callable[[str], pl.Expr]) -> pl.Expr:
    cleared = travels(column.name) & pl.col(column.name).is_null()
    return pl.when(cleared).then(pl.lit(f",{_name(column)}:null")).otherwise(pl.lit(""))


def _final_json(column: MappedColumn, travels: Callable[[str], pl.Expr]) -> pl.Expr:
    value = pl.col(column.name)
    if column.dtype == pl.Float64:
        value = number_text(value)
    elif column.decimals:
        # No part of a text looks so: there each quote has a backslash, and no item of a list is followed by a colon.
        keys = "|".join(re.escape(json.dumps(key, ensure_ascii=False)) for key in column.decimals)
        value = value.str.replace_all(rf"([{{,](?:{keys}):-?[0-9]+)\.0\b", "$1")
    text = pl.concat_str(pl.lit(f",{_name(column)}:"), value)
    travelling = travels(column.name) & pl.col(column.name).is_not_null()
    return pl.when(travelling).then(text).otherwise(pl.lit(""))


def _groups(columns: Sequence[MappedColumn], travels: Callable[[str], pl.Expr]) -> list[pl.Expr]:
    if not columns:
        return []
    states = pl.concat_str(
        [
            pl.when(travels(column.name)).then(
                pl.concat_str(
                    pl.lit('{"subscription_group_id":' + json.dumps(column.group_id) + ',"subscription_state":"'),
                    pl.col(column.name),
                    pl.lit('"}'),
                )
            )
            for column in columns
        ],
        separator=",",
        ignore_nulls=True,
    )
    wrapped = pl.concat_str(pl.lit(',"subscription_groups":['), states, pl.lit("]"))
    return [pl.when(states != "").then(wrapped).otherwise(pl.lit(""))]
