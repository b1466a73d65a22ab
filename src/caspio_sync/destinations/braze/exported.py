"""What Braze gives back, held against what was sent: the same values in Braze's own spelling are equal.

What Braze does to a profile's value on its way in and out (Braze, 3.3 to 3.5 and 6.1): fields without a value are left
out; dates are stored as instants, a bare one as its midnight in UTC; an attribute whose type an admin has forced gives
the value in that type; arrays are sets; phone numbers may have other signs, addresses another case. None of this is a
difference.

Items of catalogs are plainer (Braze, 9.1): a field says its type. Numbers are equal as numbers, times as instants,
lists in their order, text as it is; nothing, an empty text and an empty list are one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from caspio_sync.destinations.braze.attributes import gender_code
from caspio_sync.destinations.braze.names import STANDARD_ATTRIBUTES
from caspio_sync.mapping.lookups import Lookup, time_zone_name
from caspio_sync.mapping.places import country_code, language_code
from caspio_sync.moments import instant_of_text
from caspio_sync.schemas import MappedColumn

# What `fields_to_export` knows of the standard attributes (Braze, 6.1); the others can be written and never read.
_STANDARD = frozenset(
    {"first_name", "last_name", "home_city", "email", "phone", "country", "language", "dob", "gender", "time_zone"}
)
_CONSENT = frozenset({"email_subscribe", "push_subscribe"})
_CODES: Mapping[str, Callable[[str], str | None]] = {
    "country": country_code,
    "language": language_code,
    "gender": gender_code,
    "time_zone": time_zone_name,
}
_TIME = "$time"
_TRUE, _FALSE = ("true", "1", "t", "1.0"), ("false", "0", "f", "0.0")
_TYPES = {pl.String: ("str",), pl.Boolean: ("bool",), pl.List: ("list",)}
_NUMBERS = ("int", "float")


def exported_field(column: MappedColumn) -> str | None:
    """The export's field that holds the column; None where no export gives it.

    Membership of subscription groups stands in no export; it is asked for on its own (Braze, 6.1 and 7.4).
    """
    if column.name in _STANDARD or column.name in _CONSENT:
        return column.name
    if column.name == "current_location":
        return "last_coordinates"
    return None if column.name in STANDARD_ATTRIBUTES or column.role == "subscription_group" else "custom_attributes"


def exported_values(users: Sequence[Mapping[str, Any]], column: MappedColumn) -> pl.DataFrame:
    """`value` (the column's dtype or, for text and JSON, String), and `type`: what JSON type the export has.

    Args:
        users: entries of an export, in the order of the rows wanted.
        column: a column that `exported_field` finds a field for.
    """
    field = exported_field(column)
    if field == "custom_attributes":
        held = [(user.get(field) or {}).get(column.name) for user in users]
    elif field == "last_coordinates":
        held = [_location(user.get(field)) for user in users]
    else:
        held = [user.get(str(field)) for user in users]
    return _frame(held, column)


def item_values(items: Sequence[Mapping[str, Any]], column: MappedColumn) -> pl.DataFrame:
    """`value` and `type` of a field, as `exported_values` gives an attribute's.

    Args:
        items: of a catalog, in the order of the rows wanted.
        column: a column with a `catalog_type`.
    """
    return _frame([item.get(column.name) for item in items], column)


def _frame(held: Sequence[Any], column: MappedColumn) -> pl.DataFrame:
    types = pl.Series("type", [type(value).__name__ for value in held], dtype=pl.String)
    if column.encoding == "json":
        texts = [None if value in (None, {}, []) else _canonical(value) for value in held]
        return pl.DataFrame({"value": pl.Series(texts, dtype=pl.String), "type": types})
    if isinstance(column.dtype, pl.List):
        lists = [[_text(item) for item in value] if type(value) is list and value else None for value in held]
        return pl.DataFrame({"value": pl.Series(lists, dtype=pl.List(pl.String)), "type": types})
    return pl.DataFrame({"value": pl.Series([_text(value) for value in held], dtype=pl.String), "type": types})


def agrees(column: MappedColumn, wanted: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
    """`equal`: whether Braze holds what was sent; `retyped`: whether in another JSON type than it was sent in.

    Args:
        column: the column.
        wanted: its values in the mapped frame; null where it was cleared.
        held: of the same rows, as `exported_values` or `item_values` makes it.
    """
    if column.encoding == "json":
        wanted = _normal_json(wanted)
    elif column.dtype == pl.String:
        wanted = wanted.set(wanted == "", None)
    frame = held.with_columns(wanted=wanted)
    both = pl.col("value").is_not_null() & pl.col("wanted").is_not_null()
    nothing = pl.col("value").is_null() & pl.col("wanted").is_null()
    own = _NUMBERS if column.dtype.is_numeric() else _TYPES.get(column.dtype.base_type(), ())
    expected = ("dict", "list") if column.encoding == "json" else own
    return frame.select(
        equal=nothing | (both & _same(column).fill_null(value=False)),
        retyped=both & ~pl.col("type").is_in(list(expected)),
    )


def _same(column: MappedColumn) -> pl.Expr:
    value, wanted = pl.col("value"), pl.col("wanted")
    if column.encoding == "json" or column.catalog_type in {"string", "array"}:
        return value == wanted
    if isinstance(column.dtype, pl.List):
        return value.list.unique().list.sort() == wanted.list.unique().list.sort()
    if column.dtype.is_numeric():
        return _as_number(value) == wanted.cast(pl.Float64)
    if column.dtype == pl.Boolean:
        return pl.when(wanted).then(_is_word(value, _TRUE)).otherwise(_is_word(value, _FALSE))
    return _same_time() if column.catalog_type == "time" else _same_text(column)


def _same_time() -> pl.Expr:
    """Whether a catalog's time is the instant that was sent; Braze may give text, or Unix seconds (Braze, 9.1)."""
    value, wanted = pl.col("value"), pl.col("wanted")
    seconds = pl.when(pl.col("type").is_in(_NUMBERS)).then(_as_number(value) * 1_000).cast(pl.Int64, strict=False)
    instant = pl.coalesce(seconds.cast(pl.Datetime("ms", "UTC")), instant_of_text(value))
    return (value == wanted) | (instant == instant_of_text(wanted)).fill_null(value=False)


def _same_text(column: MappedColumn) -> pl.Expr:
    value, wanted = pl.col("value"), pl.col("wanted")
    normal = _spelling(column.name)
    alike = (value == wanted) | (normal(value) == normal(wanted)).fill_null(value=False)
    if exported_field(column) != "custom_attributes":
        return alike
    # An attribute that an admin made a number or a flag gives the text as such (Braze, managing custom data).
    as_number = pl.col("type").is_in(_NUMBERS) & (_as_number(value) == _as_number(wanted))
    as_flag = (pl.col("type") == "bool") & _is_word(wanted, _TRUE + _FALSE)
    return alike | as_number.fill_null(value=False) | (as_flag & (_is_word(value, _TRUE) == _is_word(wanted, _TRUE)))


def _as_number(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Float64, strict=False)


def _is_word(text: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    return text.str.to_lowercase().is_in(words)


def _spelling(name: str) -> Callable[[pl.Expr], pl.Expr]:
    """What makes one text of the spellings of one value; null where a text has only its own."""
    if name == "email":
        return lambda text: text.str.to_lowercase()
    if name == "phone":
        return _digits
    if name in _CODES:
        return lambda text: text.map_batches(Lookup(_CODES[name]), return_dtype=pl.String)
    return lambda text: text if name in _STANDARD | _CONSENT else instant_of_text(text)


def _digits(number: pl.Expr) -> pl.Expr:
    """Digits with a leading +; ten without one are a number of the US (Braze, user phone numbers)."""
    bare = number.str.replace_all(r"\D", "")
    national = (bare.str.len_bytes() == 10) & ~number.str.strip_chars().str.starts_with("+")
    return pl.when(national).then(pl.concat_str(pl.lit("1"), bare)).otherwise(bare)


def _normal_json(texts: pl.Series) -> pl.Series:
    """JSON text in one spelling: keys sorted, whole numbers without a point, dates as instants."""
    return pl.Series(
        [None if text is None else _canonical(orjson.loads(text)) for text in texts.to_list()], dtype=pl.String
    )


def _canonical(value: Any) -> str:
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: Any) -> Any:
    if type(value) is dict:
        return _plain(value[_TIME]) if value.keys() == {_TIME} else {key: _plain(part) for key, part in value.items()}
    if type(value) is list:
        return [_plain(part) for part in value]
    if type(value) is float:
        return int(value) if value.is_integer() else value
    return _instant(value) if type(value) is str and value[:4].isdigit() else value


def _instant(text: str) -> str:
    """A date or time as an instant in UTC; any other text as it is."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC).isoformat()


def _location(coordinates: Any) -> Any:
    """`last_coordinates` is [longitude, latitude] (Braze, 6.1)."""
    return dict(zip(("longitude", "latitude"), coordinates, strict=False)) if coordinates else None


def _text(value: Any) -> str | None:
    """A scalar as text, "" as nothing: the export leaves out what is empty."""
    if type(value) is str:
        return value or None
    return None if value is None else orjson.dumps(value).decode()
