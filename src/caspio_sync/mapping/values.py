"""How a value is read from a cell, and what is well-formed: the rules that hold anywhere, and what a destination adds.

A sink hands its `ValueRules` to the mapping of its kind (destinations/); no mapping knows whose they are.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

import polars as pl

from caspio_sync import moments, registry
from caspio_sync.mapping import lookups, places
from caspio_sync.mapping.event_schema import EventSchema
from caspio_sync.mapping.numbers import EXACT_INTEGER, is_exact, number_text, rounded, whole_digits
from caspio_sync.schemas import SOURCE_DTYPES
from caspio_sync.text_columns import trimmed_values

SourceKind = Literal["text", "integer", "number", "boolean", "moment", "list"]

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
    """What a destination takes as rows of one kind: values, names, sizes.

    Args:
        title: of the destination, for people.
        rules: the rule of each meaning.
        text_chars: how long text may be.
        json_size: how large the JSON text of an object or array may be, in words.
        json_fits: whether such a text is no larger.
        fault_in_name: what is wrong with a mapped name there, and what to do; None for a good one.
        fault_in_key: the same of a key inside an object. It must refuse `~`, quotes and backslashes (see nested.py).
        standard: the names that have a meaning there, and which; the value follows its rule, whatever its type.
        time_key: the key under which a date or time stands inside an object; None where it stands there as plain text.
        operators: keys that change what is held instead of replacing it.
        max_fields: how many fields a sync may map.
        max_items: how many items a built array may have.
        max_depth: how many objects may lie in one another.
        identities: what may name a profile there.
        on_new: what may become of a profile that is not known there.
        states: where a sync file may tell consent, for profiles: keys of `consent`, or `lists`.
        tags: whether people may bear tags there, for profiles.
        told: what an engagement return may ask for besides states and measures: keys of its file.
        objects: whether a value may be an object, or an array of objects.
        schemas: the events whose parts the destination prescribes, by their names.
    """

    title: str
    rules: Mapping[str, Rule]
    text_chars: int
    json_size: str
    json_fits: Callable[[pl.Expr], pl.Expr]
    fault_in_name: Callable[[str], str | None]
    fault_in_key: Callable[[str], str | None]
    standard: Mapping[str, str] = field(default_factory=dict)
    time_key: str | None = None
    operators: Collection[str] = frozenset()
    max_fields: float = math.inf
    max_items: float = math.inf
    max_depth: float = math.inf
    identities: Collection[str] = ("external_id", "user_alias", "email", "phone")
    on_new: Collection[str] = ("create", "identify_by_email", "update_only")
    states: Collection[str] = ("email_subscribe", "push_subscribe", "subscription_groups")
    tags: bool = False
    automations: bool = False
    told: Collection[str] = ("campaign_stats", "people_per_run")
    objects: bool = True
    schemas: Mapping[str, EventSchema] = field(default_factory=dict)


def sinks_at(destination: str) -> Mapping[str, Any]:
    """The `Sink` classes of a destination, by the kind of sync.

    Raises:
        ConfigurationError: there is no such destination.
    """
    sinks: Mapping[str, Any] = registry.load(registry.DESTINATIONS, destination, "destination").sinks
    return sinks


def rules_for(kind: str, destination: str = registry.DEFAULT_DESTINATION) -> ValueRules:
    """What a destination takes as rows of a kind that it takes; as `sinks_at` raises."""
    rules: ValueRules = sinks_at(destination)[kind].values
    return rules


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


def _whole(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return pl.when(cell == cell.floor()).then(cell).cast(pl.Int64, strict=False)


def _number(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    number = cell.cast(pl.Float64, strict=False)
    return number if at.decimals is None else rounded(number, at.decimals)


def _flag_of_integer(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return pl.when(cell == 1).then(statement=True).when(cell == 0).then(statement=False)


def _flag_of_text(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    word = trimmed_values(cell).str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(statement=True).when(word.is_in(_FALSE)).then(statement=False)


def _utc(cell: pl.Expr, at: Circumstances) -> pl.Expr:
    return moments.utc_text(cell, at.zone)


def _text_of_integer(cell: pl.Expr, _: Circumstances) -> pl.Expr:
    return cell.cast(pl.String)


def _born_in_time(value: pl.Expr, today: date) -> pl.Expr:
    # YYYY-MM-DD sorts as the dates do.
    return value.is_between(pl.lit(f"{moments.FIRST_BIRTH_YEAR}-01-01"), pl.lit(today.isoformat())) & _dated(
        value, today
    )


def _dated(value: pl.Expr, _: date) -> pl.Expr:
    # Five-digit and negative years begin with a sign; four digits compare as text.
    return (value >= pl.lit("0001")) & (value < pl.lit(f"{moments.LAST_YEAR + 1}"))


def within_chars(limit: int) -> Callable[[pl.Expr, date], pl.Expr]:
    """Whether text has at most `limit` characters."""
    return lambda value, _: value.str.len_chars() <= limit


def _between(low: float, high: float) -> Callable[[pl.Expr, date], pl.Expr]:
    return lambda value, _: value.is_between(low, high)


def _items(count: int, chars: int) -> Callable[[pl.Expr, date], pl.Expr]:
    def holds(value: pl.Expr, _: date) -> pl.Expr:
        longest = value.list.eval(pl.element().str.len_chars()).list.max().fill_null(0)
        return (value.list.len() <= count) & (longest <= chars)

    return holds


def text_rule(chars: int, *, trims: bool) -> Rule:
    """Text of at most `chars` characters."""
    why = f"is longer than {chars} characters"
    return Rule("text_length", why, _ANY_TEXT, within_chars(chars), trims=trims, chars=chars)


def array_rule(count: int, chars: int) -> Rule:
    """At most `count` texts of at most `chars` characters."""
    why = f"holds over {count} items, or one over {chars} characters"
    return Rule("array_size", why, {"list": _same}, _items(count, chars), pl.List(pl.String))


TEXT: Mapping[SourceKind, Reading] = {"text": _same}
WORDS: Mapping[SourceKind, Reading] = {
    "text": _same,
    "integer": _text_of_integer,
    "number": lambda cell, _: whole_digits(cell),
}
_ANY_TEXT: Mapping[SourceKind, Reading] = {
    **WORDS,
    "number": lambda cell, _: number_text(cell),
    "boolean": _text_of_integer,
    "moment": _utc,
}
_NUMBERS: Mapping[SourceKind, Reading] = {
    "number": _number,
    "integer": _number,
    "text": lambda cell, at: _number(trimmed_values(cell), at),
}
_DATES: Mapping[SourceKind, Reading] = {
    "moment": lambda cell, _: moments.date_text(cell),
    "text": lambda cell, at: moments.date_of_text(trimmed_values(cell), at.form),
}
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

# What holds wherever values go, by meaning; a destination adds its own limits.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "phone": Rule("phone_format", "is no valid phone number", WORDS, lookup="phone"),
        "country": Rule(
            "country_code",
            "is no ISO 3166 country code or name",
            TEXT,
            lookup=places.country_code,
            doubtful=places.two_countries,
        ),
        "language": Rule("language_code", "is no ISO 639-1 language code or name", TEXT, lookup=places.language_code),
        "time_zone": Rule("time_zone_name", "is no IANA time zone", TEXT, lookup=lookups.time_zone_name),
        "birth_date": Rule(
            "birth_date", "is no date between 1900 and today", _DATES, _born_in_time, dated=True, unread=_NO_DATE
        ),
        "longitude": Rule("longitude_range", "is not between -180 and 180", _NUMBERS, _between(-180, 180), pl.Float64),
        "latitude": Rule("latitude_range", "is not between -90 and 90", _NUMBERS, _between(-90, 90), pl.Float64),
        "integer": Rule(
            "integer_range",
            NO_WHOLE_NUMBER,
            {
                "integer": _same,
                "number": _whole,
                "text": lambda cell, _: trimmed_values(cell).cast(pl.Int64, strict=False),
            },
            lambda value, _: value.is_between(-EXACT_INTEGER, EXACT_INTEGER, closed="none"),
            pl.Int64,
        ),
        "number": Rule(
            "number_finite", "is no number below 2^53", _NUMBERS, lambda value, _: is_exact(value), pl.Float64
        ),
        "boolean": Rule("boolean_value", "is neither yes nor no", _FLAGS, None, pl.Boolean),
        "date": Rule("date_value", "is no date up to the year 3000", _DATES, _dated, dated=True, unread=_NO_DATE),
        "datetime": Rule(
            "datetime_value",
            "is no time up to the year 3000",
            {
                "moment": _utc,
                "text": lambda cell, at: moments.utc_of_text(trimmed_values(cell), at.zone, at.form),
            },
            _dated,
            dated=True,
            unread=_NO_TIME,
        ),
    }
)
