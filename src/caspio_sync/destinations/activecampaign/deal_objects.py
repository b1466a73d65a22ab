"""Rows of the mapped frame as deals: one JSON text a row, made by polars; titles stand there in place of ids."""

from collections.abc import Callable, Sequence

import polars as pl

from caspio_sync.destinations.activecampaign.objects import SEPARATOR
from caspio_sync.kinds.deals.definition import CURRENCY, PIPELINE, STAGE, STATES, STATUS, VALUE
from caspio_sync.kinds.deals.work import AWAITS_CONTACT, MAY_BE_THERE, NUMBER, UNDER_WAY
from caspio_sync.mapping.numbers import number_text
from caspio_sync.schemas import KEY, MappedColumn

OWN_FIELDS = "fields"  # of the object: label → text
IN_PIPELINE, AT_STAGE = (
    "_pipeline",
    "_stage",
)  # the row's, whether they travel or not: a title is one within its pipeline
_FLAGS = (MAY_BE_THERE, UNDER_WAY, AWAITS_CONTACT)


def encode_deals(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], own: Sequence[str], *, travels: Callable[[str], str] | None
) -> pl.Series:
    """One JSON object a row, as text.

    Args:
        rows: accepted changes with what is known of their deals.
        columns: of the mapping.
        own: names of those that are the destination's own fields.
        travels: names the boolean column that says whether a column travels; None: all that have a value do.
    """
    parts: list[pl.Expr] = [_member(pl.col(KEY)), *_known(rows.columns, travels)]
    fields: list[pl.Expr] = []
    for each in columns:
        holds = pl.col(travels(each.name)) if travels else pl.col(each.name).is_not_null()
        # A cleared text is an empty one; what a deal always has, is never cleared.
        told = deal_value(each).fill_null("").alias(each.name) if _is_text(each) else deal_value(each)
        (fields if each.name in own else parts).append(pl.when(holds).then(_member(told)))
    text = pl.concat_str(pl.lit("{"), pl.concat_str(parts, separator=",", ignore_nulls=True))
    given = pl.concat_str(fields, separator=",", ignore_nulls=True) if fields else pl.lit("")
    ending = pl.when(given != "").then(pl.concat_str(pl.lit(f',"{OWN_FIELDS}":{{'), given, pl.lit("}}")))
    return rows.select(object=pl.concat_str(text, ending.otherwise(pl.lit("}")))).to_series()


def _known(columns: Sequence[str], travels: Callable[[str], str] | None) -> list[pl.Expr]:
    """What is known of the deal, and where it stands or is to stand; of all that, what is not as usual."""
    told: list[pl.Expr] = [pl.when(pl.col(NUMBER).is_not_null()).then(_member(pl.col(NUMBER)))]
    told += [pl.when(pl.col(flag)).then(_member(pl.col(flag))) for flag in _FLAGS]
    for name, as_it_is in ((PIPELINE, IN_PIPELINE), (STAGE, AT_STAGE)):
        if name in columns and travels is not None:
            told.append(pl.when(~pl.col(travels(name))).then(_member(pl.col(name).alias(as_it_is))))
    return told


def _member(value: pl.Expr) -> pl.Expr:
    """A named value as a member of a JSON object."""
    return pl.struct(value).struct.json_encode().str.slice(1).str.strip_suffix("}")


def deal_value(column: MappedColumn) -> pl.Expr:
    """A column's value as it travels: money in cents, a state by its number, everything else as text."""
    value, made = pl.col(column.name), pl.col(column.name).cast(pl.String)
    if column.name == VALUE:
        made = in_cents(value)
    elif column.name == STATUS:
        states = {state: place for place, state in enumerate(STATES)}
        made = value.replace_strict(states, default=None, return_dtype=pl.Int64)
    elif column.name == CURRENCY:
        made = made.str.to_lowercase()
    elif isinstance(column.dtype, pl.List):
        made = value.list.join(SEPARATOR)
    elif column.dtype == pl.Float64:
        made = number_text(value)
    elif column.dtype == pl.Boolean:
        made = pl.when(value).then(pl.lit("Yes")).when(~value).then(pl.lit("No"))
    return made.alias(column.name)


def in_cents(value: pl.Expr) -> pl.Expr:
    """An amount in units of a currency as whole cents; the gate holds what has fractions of a cent."""
    return (value.cast(pl.Float64) * 100).round().cast(pl.Int64, strict=False)


def _is_text(column: MappedColumn) -> bool:
    return column.name not in {VALUE, STATUS}
