"""Pages of JSON into the source frame: every cell cast by the type its field declares."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import polars as pl
from polars.exceptions import ComputeError

from caspio_sync.errors import PermanentError
from caspio_sync.moments import wall_clock_of_text
from caspio_sync.schemas import DATETIME, SOURCE_DTYPES, SOURCE_PK, UNCASTABLE, CaspioField
from caspio_sync.text_columns import trimmed_values

_LIST = pl.List(pl.String)
_EMPTY_CHARS = 2
_EXACT_INTEGERS = 2**53
_RAW = "\x00"  # before a column's text; no field can be named so


def source_frame(pages: Sequence[bytes | pl.DataFrame], fields: Sequence[CaspioField], key_field: str) -> pl.DataFrame:
    """The source frame of some pages.

    Args:
        pages: JSON arrays of records, or what `flat_text` made of them.
        fields: the columns, in this order; an absent key is a null.
        key_field: the field that becomes `source_pk`.

    Returns:
        `source_pk` (Int64), one column a field, and `uncastable` (List(String)): the fields of the row whose cell is
        not what its type promises; null for a clean row. Such a cell is null. Text stays as it is, "" included; blank
        text where a number, a date or a list should be is null.

    Raises:
        PermanentError: a page is no array of records, or a record has no whole number in its key field.
    """
    names = list(dict.fromkeys([key_field, *(field.name for field in fields)]))
    lists = [field.name for field in fields if _dtype(field) == _LIST]
    texts = [
        page.select(names) if isinstance(page, pl.DataFrame) else _text_frame(page, names, lists) for page in pages
    ]
    text = pl.concat(texts) if texts else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    text = text.rename({name: _RAW + name for name in names})
    lookups = {name: _lists(text[_RAW + name]) for name in lists}
    frame = text.with_columns(
        _integer(pl.col(_RAW + key_field)).alias(SOURCE_PK),
        *(_cast(field).alias(field.name) for field in fields if field.name not in lookups),
        *(series.alias(name) for name, series in lookups.items()),
    )
    frame = frame.with_columns(_uncastable(frame, fields))
    frame = frame.select(SOURCE_PK, *(field.name for field in fields), UNCASTABLE)
    if lost := frame[SOURCE_PK].null_count():
        raise PermanentError(f"reading records: {lost} rows without a whole number in {key_field}")
    return frame


def flat_text(page: bytes, names: Sequence[str]) -> pl.DataFrame | None:
    """A page as text, a column a field, where each row surely has each field and no cell is an object or a list.

    An absent field is read as null: there are as many nulls as the page says `null` of it, or one is absent. Half an
    emoji is read as NUL here, and no JSON to others.

    Args:
        page: JSON array of records.
        names: the fields that each row must have.

    Returns:
        None where it is not known to be so; the page may be good all the same.
    """
    if page.count(b"[") != 1 or (b"\\" in page and (b"\\ud" in page or b"\\uD" in page)):
        return None
    try:
        text = pl.read_json(page, schema=dict.fromkeys(names, pl.String))
    except ComputeError:
        return None
    if text.is_empty() or page.count(b"{") != text.height:
        return None
    told = (page.count(f'"{name}":null'.encode()) == nulls for name, nulls in _nulls(text) if nulls)
    return text if all(told) else None


def _nulls(text: pl.DataFrame) -> Iterator[tuple[str, int]]:
    return zip(text.columns, text.null_count().row(0), strict=True)


def _dtype(field: CaspioField) -> Any:
    return SOURCE_DTYPES.get(field.type, pl.String)


def _text_frame(page: bytes, names: Sequence[str], lists: Sequence[str]) -> pl.DataFrame:
    """A page as text, a cell a JSON scalar's text: casting starts from text, so that no cell can fail the page."""
    schema = dict.fromkeys(names, pl.String)
    try:
        for name in lists:
            page = _object_of(name).sub(_quoted, page)
    except UnicodeDecodeError:
        raise PermanentError("reading records: the answer is not UTF-8") from None
    if len(page) <= _EMPTY_CHARS:
        return pl.DataFrame(schema=schema)  # polars reads no columns from an empty array
    try:
        if page.startswith(b"["):
            return pl.read_json(page, schema=schema)
    except ComputeError:
        pass  # an object where none was declared
    return pl.read_json(_without_objects(page), schema=schema)


def _object_of(name: str) -> re.Pattern[bytes]:
    """The flat object of a field. Quotes within a cell are escaped: the name stands nowhere but before its value."""
    return re.compile(rb'("%b"\s*:\s*)(\{[^{}"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"]*)*\})' % re.escape(name.encode()))


def _quoted(found: re.Match[bytes]) -> bytes:
    """An object as text in JSON; polars makes text of objects that is no JSON where it holds a control character."""
    return found[1] + orjson.dumps(found[2].decode())


def _without_objects(page: bytes) -> bytes:
    """The page with every object and array in a cell as text."""
    try:
        rows = orjson.loads(page)
    except orjson.JSONDecodeError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PermanentError("reading records: the answer is no array of records")
    return orjson.dumps(
        [
            {name: _json_text(cell) if isinstance(cell, dict | list) else cell for name, cell in row.items()}
            for row in rows
        ]
    )


def _json_text(cell: Any) -> str:
    try:
        return orjson.dumps(cell).decode()
    except TypeError:  # over 254 levels; Caspio's lists have one
        raise PermanentError("reading records: a cell is nested deeper than any of Caspio's") from None


def _cast(field: CaspioField) -> pl.Expr:
    text = pl.col(_RAW + field.name)
    match _dtype(field):
        case pl.Int64:
            return _integer(text)
        case pl.Float64:
            number = trimmed_values(text).cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case pl.Boolean:
            word = trimmed_values(text).str.to_lowercase()
            return pl.when(word.is_in(["true", "1"])).then(True).when(word.is_in(["false", "0"])).then(False)
        case dtype if dtype == DATETIME:
            return _wall_clock(text)
    return text


def _integer(text: pl.Expr) -> pl.Expr:
    """Whole numbers, also when written with decimals that are zero."""
    text = trimmed_values(text)
    plain = text.cast(pl.Int64, strict=False)
    number = pl.when(plain.is_null()).then(text).cast(pl.Float64, strict=False)
    whole = (number == number.round(0)) & (number.abs() < _EXACT_INTEGERS)
    return plain.fill_null(pl.when(whole).then(number).cast(pl.Int64, strict=False))


def _wall_clock(text: pl.Expr) -> pl.Expr:
    """`YYYY-MM-DDTHH:MM:SS`, and what else has one reading; an offset is refused: Caspio gives none (Caspio, 2.4)."""
    # Caspio writes nearly all in one form; any other one takes ten times longer.
    plain = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)
    return plain.fill_null(wall_clock_of_text(pl.when(plain.is_null()).then(trimmed_values(text))))


def _lists(text: pl.Series) -> pl.Series:
    """Lists as their values in the order of their ids; a row's list is one of few, so each text is read once."""
    distinct = text.unique().drop_nulls()
    values = pl.Series("values", [_list_values(one) for one in distinct], dtype=_LIST)
    lookup = pl.DataFrame({"text": distinct, "values": values})
    return text.to_frame("text").join(lookup, on="text", how="left", maintain_order="left")["values"]


def _list_values(text: str) -> list[str] | None:
    try:
        cell = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if isinstance(cell, dict):
        if not all(key.isdecimal() for key in cell):
            return None
        cell = [cell[key] for key in sorted(cell, key=int)]
    if not isinstance(cell, list):
        return None
    return [one if isinstance(one, str) else _json_text(one) for one in cell if one is not None]


def _uncastable(frame: pl.DataFrame, fields: Sequence[CaspioField]) -> pl.Expr:
    """Names of the fields that held something before the cast and nothing after it."""
    bad = {
        field.name: pl.col(field.name).is_null() & (trimmed_values(pl.col(_RAW + field.name)) != "")
        for field in fields
        if _dtype(field) != pl.String
    }
    counts = frame.select(test.sum().alias(name) for name, test in bad.items())
    guilty = [name for name in bad if counts[name][0]] if frame.height else []
    if not guilty:
        return pl.lit(None, dtype=_LIST).alias(UNCASTABLE)
    named = pl.concat_list(pl.when(bad[name]).then(pl.lit(name)) for name in guilty).list.drop_nulls()
    return pl.when(named.list.len() > 0).then(named).alias(UNCASTABLE)
