"""`empty:` of a field: what a database writes where nothing is known, such as 1900-01-01, 0 or n/a."""

from collections.abc import Sequence

import polars as pl

from caspio_sync.mapping.values import SourceKind
from caspio_sync.moments import date_of_text, date_text


def fault_in_empty(words: Sequence[str], kind: SourceKind) -> str | None:
    """What is wrong with the words for cells of this kind, and what to do; None for nothing."""
    if not words:
        return None
    if kind == "boolean":
        return "`empty` cannot stand beside a Yes/No field, whose two values both say something; use `map`"
    if kind == "moment" and len(_days(words)) < len(words):
        return "`empty` of a date names days, such as 1900-01-01"
    if kind in {"integer", "number"} and len(_numbers(words)) < len(words):
        return "`empty` of a number names numbers, such as 0 or -1"
    return None


def without_empty(cell: pl.Expr, words: Sequence[str], kind: SourceKind, form: str | None, *, dated: bool) -> pl.Expr:
    """The cell, null where it is one of these days or numbers; words of text were taken out of it already.

    Args:
        cell: as it was prepared.
        words: of `empty`.
        kind: of the cell.
        form: of a `date` transform.
        dated: whether text is read as a date or a time.
    """
    if kind == "moment":
        return _unless(cell, date_text(cell).is_in(_days(words))) if words else cell
    if kind in {"integer", "number"}:
        return _unless(cell, cell.cast(pl.Float64).is_in(_numbers(words))) if words else cell
    if kind == "text" and dated and (days := _days(words)):
        return _unless(cell, date_of_text(cell, form).is_in(days).fill_null(value=False))
    return cell


def _unless(cell: pl.Expr, empty: pl.Expr) -> pl.Expr:
    return pl.when(~empty).then(cell)


def _days(words: Sequence[str]) -> list[str]:
    texts = pl.Series("day", list(words), dtype=pl.String).to_frame()
    return texts.select(date_of_text(pl.col("day"))).to_series().drop_nulls().to_list()


def _numbers(words: Sequence[str]) -> list[float]:
    return pl.Series(list(words), dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls().to_list()
