"""The rule of every kind of value: how it is read from a cell, and when Braze takes it. One table.

Standard attributes carry their rule by name (Braze, user attributes object); custom ones by their type (Braze, custom
attributes: types and limits).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Literal

import polars as pl

from caspio_sync import moments
from caspio_sync.mapping import lookups, places
from caspio_sync.mapping.numbers import EXACT_INTEGER, is_exact, number_text, rounded, whole_digits
from caspio_sync.schemas import SOURCE_DTYPES
from caspio_sync.text_columns import trimmed_values

SourceKind = Literal["text", "integer", "number", "boolean", "moment", "list"]
TEXT_CHARS = 255
URL_CHARS = 1024
ARRAY_ITEMS = 500
OBJECT_BYTES = 100 * 1024
KEY_BYTES = MappingProxyType({"external_id": 987, "user_alias": 236})

# Letters, digits and these signs before the @, letters of any script included; a host in ASCII, punycode where it needs
# it (Braze, e-mail validation). Lengths are those of RFC 5321.
_LOCAL = r"[\p{L}\p{M}\p{N}+&#_^/$'%*=`~!?-]+"
EMAIL = rf"^{_LOCAL}(?:\.{_LOCAL})*@(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])$"
_LONG_LOCAL = r"^[^@]{65}"
_EMAIL_BYTES = 254

_TRUE = ("true", "yes", "y", "1", "t", "on")
_FALSE = ("false", "no", "n", "0", "f", "off")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a rule may depend on besides the value.

    Args:
        zone: IANA zone of the cell's wall clock.
        decimals: of a `round` transform, None for none.
        form: of a `date` transform, in the signs of strftime; None for ISO 8601.
    """

    zone: str = "UTC"
    decimals: int | None = None
    form: str | None = None


Reading = Callable[[pl.Expr, Circumstances], pl.Expr]


@dataclass(frozen=True, slots=True)
class Rule:
    """How values of one kind are read and judged.

    Args:
        code: stable name of the check, for suites and reports.
        why: what is wrong with a value that fails, after the column's name.
        reads: per kind of source cell, the value; null where it cannot be read.
        holds: whether a value that was read is well-formed, on the day given.
        dtype: of the value.
        trims: whether blanks around text are never part of the value.
        lookup: for values that only a table can judge.
        chars: how long text may be, where that is all there is to judge.
        dated: whether it is a date or a time.
        unread: what is wrong with a value that cannot be read at all, where that is not `why`.
        doubtful: what is wrong with a value that has two readings; None for one that has not.
    """

    code: str
    why: str
    reads: Mapping[SourceKind, Reading]
    holds: Callable[[pl.Expr, date], pl.Expr] | None = None
    dtype: pl.DataType | type[pl.DataType] = pl.String
    trims: bool = True
    lookup: Callable[[str], str | None] | Literal["phone"] | None = field(default=None)
    chars: int | None = None
    dated: bool = False
    unread: str | None = None
    doubtful: Callable[[str], str | None] | None = None


@dataclass(frozen=True, slots=True)
class ValueRules:
    """What holds for the values of one kind of sync.

    Args:
        rules: the rule of each meaning.
        text_chars: how long text may be.
        json_size: how large the JSON text of an object or array may be, in words.
        json_fits: whether such a text is no larger.
    """

    rules: Mapping[str, Rule]
    text_chars: int
    json_size: str
    json_fits: Callable[[pl.Expr], pl.Expr]


def source_kind(caspio_type: str) -> SourceKind:
    """What cells of a Caspio type are."""
    dtype = SOURCE_DTYPES[caspio_type]
    if isinstance(dtype, pl.List):
        return "list"
    if isinstance(dtype, pl.Datetime):
        return "moment"
    kinds: dict[object, SourceKind] = {pl.Int64: "integer", pl.Float64: "number", pl.Boolean: "boolean"}
    return kinds.get(dtype, "text")


def _same(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return cell


def _lower(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return cell.str.to_lowercase()


def _whole(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return pl.when(cell == cell.floor()).then(cell).cast(pl.Int64, strict=False)


def _integer_of_text(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return trimmed_values(cell).cast(pl.Int64, strict=False)


def _number(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    number = cell.cast(pl.Float64, strict=False)
    return number if at.decimals is None else rounded(number, at.decimals)


def _number_of_text(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    return _number(trimmed_values(cell), at)


def _flag_of_integer(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return pl.when(cell == 1).then(statement=True).when(cell == 0).then(statement=False)


def _flag_of_text(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    word = trimmed_values(cell).str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(statement=True).when(word.is_in(_FALSE)).then(statement=False)


def _date(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return moments.date_text(cell)


def _date_of_text(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    return moments.date_of_text(trimmed_values(cell), at.form)


def _utc(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    return moments.utc_text(cell, at.zone)


def _utc_of_text(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    return moments.utc_of_text(trimmed_values(cell), at.zone, at.form)


def _text_of_integer(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return cell.cast(pl.String)


def _text_of_number(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return number_text(cell)


def _digits_of_number(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return whole_digits(cell)


def _is_email(value: pl.Expr, _: date) -> pl.Expr:
    return value.str.contains(EMAIL) & (value.str.len_bytes() <= _EMAIL_BYTES) & ~value.str.contains(_LONG_LOCAL)


def _born_in_time(value: pl.Expr, today: date) -> pl.Expr:
    # YYYY-MM-DD sorts as the dates do.
    return value.is_between(pl.lit(f"{moments.FIRST_BIRTH_YEAR}-01-01"), pl.lit(today.isoformat())) & _dated(
        value, today
    )


def _dated(value: pl.Expr, _: date) -> pl.Expr:
    # Five-digit and negative years begin with a sign; four digits compare as text.
    return (value >= pl.lit("0001")) & (value < pl.lit(f"{moments.LAST_YEAR + 1}"))


def _chars(limit: int) -> Callable[[pl.Expr, date], pl.Expr]:
    return lambda value, _: value.str.len_chars() <= limit


def _bytes(limit: int) -> Callable[[pl.Expr, date], pl.Expr]:
    return lambda value, _: value.str.len_bytes() <= limit


def _between(low: float, high: float) -> Callable[[pl.Expr, date], pl.Expr]:
    return lambda value, _: value.is_between(low, high)


def _exact_integer(value: pl.Expr, _: date) -> pl.Expr:
    return value.is_between(-EXACT_INTEGER, EXACT_INTEGER, closed="none")


def _items(count: int, chars: int) -> Callable[[pl.Expr, date], pl.Expr]:
    def holds(value: pl.Expr, _: date) -> pl.Expr:
        longest = value.list.eval(pl.element().str.len_chars()).list.max().fill_null(0)
        return (value.list.len() <= count) & (longest <= chars)

    return holds


def text_rule(chars: int, *, trims: bool) -> Rule:
    """Text of at most `chars` characters."""
    why = f"is longer than {chars} characters"
    return Rule("text_length", why, _ANY_TEXT, _chars(chars), trims=trims, chars=chars)


def array_rule(count: int, chars: int) -> Rule:
    """At most `count` texts of at most `chars` characters."""
    why = f"holds over {count} items, or one over {chars} characters"
    return Rule("array_size", why, {"list": _same}, _items(count, chars), pl.List(pl.String))


TEXT: Mapping[SourceKind, Reading] = {"text": _same}
WORDS: Mapping[SourceKind, Reading] = {"text": _same, "integer": _text_of_integer, "number": _digits_of_number}
_ANY_TEXT: Mapping[SourceKind, Reading] = {
    **WORDS,
    "number": _text_of_number,
    "boolean": _text_of_integer,
    "moment": _utc,
}
NUMBERS: Mapping[SourceKind, Reading] = {"number": _number, "integer": _number, "text": _number_of_text}
_DATES: Mapping[SourceKind, Reading] = {"moment": _date, "text": _date_of_text}
_FLAGS: Mapping[SourceKind, Reading] = {"boolean": _same, "integer": _flag_of_integer, "text": _flag_of_text}

NO_WHOLE_NUMBER = "is no whole number below 2^53"
_NO_DATE = (
    f"is no date such as {moments.FORMS}, with or without a time; "
    'name any other form with transform: {date: "%m/%d/%Y"}'
)
_NO_TIME = (
    "is no time such as 2024-05-31T10:00:00Z or 2024-05-31 10:00, and no date; "
    'name any other form with transform: {date: "%m/%d/%Y %H:%M"} and type: datetime'
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Braze's own attributes
        "email": Rule("email_format", "is no e-mail address that Braze takes", {"text": _lower}, _is_email),
        "phone": Rule("phone_format", "is no valid phone number", WORDS, lookup="phone"),
        "country": Rule(
            "country_code",
            "is no ISO 3166 country code or name",
            TEXT,
            lookup=places.country_code,
            doubtful=places.two_countries,
        ),
        "language": Rule("language_code", "is no ISO 639-1 language code or name", TEXT, lookup=places.language_code),
        "gender": Rule("gender_code", "is none of M, F, O, N, P", TEXT, lookup=lookups.gender_code),
        "time_zone": Rule("time_zone_name", "is no IANA time zone", TEXT, lookup=lookups.time_zone_name),
        "birth_date": Rule(
            "birth_date", "is no date between 1900 and today", _DATES, _born_in_time, dated=True, unread=_NO_DATE
        ),
        "image_url": Rule("url_length", f"is longer than {URL_CHARS} characters", TEXT, _chars(URL_CHARS)),
        "longitude": Rule("longitude_range", "is not between -180 and 180", NUMBERS, _between(-180, 180), pl.Float64),
        "latitude": Rule("latitude_range", "is not between -90 and 90", NUMBERS, _between(-90, 90), pl.Float64),
        # custom attributes, by type; `line` is text of Braze's own attributes, which never begins with a blank
        "line": text_rule(TEXT_CHARS, trims=True),
        "text": text_rule(TEXT_CHARS, trims=False),
        "integer": Rule(
            "integer_range",
            "is no whole number below 2^53",
            {"integer": _same, "number": _whole, "text": _integer_of_text},
            _exact_integer,
            pl.Int64,
        ),
        "number": Rule(
            "number_finite", "is no number below 2^53", NUMBERS, lambda value, _: is_exact(value), pl.Float64
        ),
        "boolean": Rule("boolean_value", "is neither yes nor no", _FLAGS, None, pl.Boolean),
        "date": Rule("date_value", "is no date up to the year 3000", _DATES, _dated, dated=True, unread=_NO_DATE),
        "datetime": Rule(
            "datetime_value",
            "is no time up to the year 3000",
            {"moment": _utc, "text": _utc_of_text},
            _dated,
            dated=True,
            unread=_NO_TIME,
        ),
        "array": array_rule(ARRAY_ITEMS, TEXT_CHARS),
        # the key of a row, by the kind of identity; addresses and numbers follow their own rules
        "external_id": Rule(
            "key_bytes", "is empty or over 987 bytes", WORDS, _bytes(KEY_BYTES["external_id"]), unread=NO_WHOLE_NUMBER
        ),
        "user_alias": Rule(
            "key_bytes", "is empty or over 236 bytes", WORDS, _bytes(KEY_BYTES["user_alias"]), unread=NO_WHOLE_NUMBER
        ),
    }
)

ATTRIBUTE_VALUES = ValueRules(
    RULES, TEXT_CHARS, f"{OBJECT_BYTES // 1024} KB", lambda text: text.str.len_bytes() <= OBJECT_BYTES
)
