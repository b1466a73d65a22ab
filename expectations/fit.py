"""Whether an expectation of the sync file can judge the attribute it names, and as what it looks at it.

Great Expectations judges what a pandas frame holds: a list as one thing, a date as its text, a number as text only
beside its decimal point. Some expectations then never fail, others hold every row. So each is looked at here before the
first row is read: what it cannot judge is refused with file and line; dates are compared as dates (`viewed`), and
numbers are matched as the digits that travel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, Literal, get_args

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.mapping.definition import COLUMN_ARGUMENTS, Expectation, Sync
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import KEY, OK_SUFFIX, PROBLEMS, SOURCE_PK, MappedColumn, ok

Kind = Literal["text", "integer", "number", "boolean", "date", "time", "list", "object"]

AS_TEXT, AS_MOMENT = "__as_text", "__as_moment"
_MOMENTS: Mapping[str, Kind] = MappingProxyType(
    {"date_value": "date", "birth_date": "date", "datetime_value": "time", "time_value": "time"}
)
_FORMS: Mapping[str, str] = MappingProxyType({"date": "%Y-%m-%d", "time": "%Y-%m-%dT%H:%M:%SZ"})
_ALL: frozenset[Kind] = frozenset(get_args(Kind))
_NUMBERS: frozenset[Kind] = frozenset({"integer", "number", "boolean"})
_DATES: frozenset[Kind] = frozenset({"date", "time"})
_WORDED: Mapping[Kind, str] = MappingProxyType(
    {"text": "text", "integer": "a whole number", "number": "a number", "boolean": "yes or no", "date": "a date",
     "time": "a time", "list": "a list", "object": "an object"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Family:
    """Expectations that look at values in one way.

    Args:
        kinds: the values they can judge.
        instead: what to do where they cannot.
        view: what they look at: the value, its text, or the moment it stands for.
        constants: arguments that hold values of the attribute's own kind.
        compares: whether two columns are held against each other.
    """

    kinds: frozenset[Kind]
    instead: str
    view: Literal["value", "text", "moment"] = "value"
    constants: tuple[str, ...] = ()
    compares: bool = False


_WHOLE = "of a list or an object only its presence can be judged: expect_column_values_to_not_be_null"
_PRESENCE = _Family(_ALL, "")
_DISTINCT = _Family(_ALL - {"list"}, _WHOLE)
_SETS = _Family(_ALL - {"list", "object"}, _WHOLE, constants=("value_set", "value_pairs_set"))
_EQUAL = _Family(_ALL - {"list", "object"}, _WHOLE, compares=True)
_TEXTS = _Family(_ALL - {"list"}, _WHOLE, view="text")
_CLOCKS = _Family(frozenset({"text", "date", "time"}), "name a text or a date", view="text")
_BOUNDS = ("min_value", "max_value")
_ORDER = _Family(_NUMBERS | _DATES, "name a number or a date", view="moment", constants=_BOUNDS, compares=True)
_SUMS = _Family(_NUMBERS, "name a number")
_FRAME_TYPES = _Family(
    frozenset({"text", "date", "time", "object"}), "leave it out: the mapping already makes every value one of its type"
)
_UNKNOWN = _Family(_ALL - {"list", "object"}, _WHOLE)

_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        **dict.fromkeys(
            ("expect_column_to_exist", "expect_column_values_to_not_be_null", "expect_column_values_to_be_null",
             "expect_column_proportion_of_non_null_values_to_be_between"), _PRESENCE,
        ),
        **dict.fromkeys(
            ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique",
             "expect_select_column_values_to_be_unique_within_record", "expect_multicolumn_values_to_be_equal",
             "expect_column_unique_value_count_to_be_between",
             "expect_column_proportion_of_unique_values_to_be_between"), _DISTINCT,
        ),
        **dict.fromkeys(
            ("expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set",
             "expect_column_distinct_values_to_be_in_set", "expect_column_distinct_values_to_contain_set",
             "expect_column_distinct_values_to_equal_set", "expect_column_most_common_value_to_be_in_set",
             "expect_column_pair_values_to_be_in_set"), _SETS,
        ),
        "expect_column_pair_values_to_be_equal": _EQUAL,
        **dict.fromkeys(
            ("expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex",
             "expect_column_values_to_match_regex_list", "expect_column_values_to_not_match_regex_list",
             "expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal",
             "expect_column_values_to_be_json_parseable", "expect_column_values_to_match_json_schema"), _TEXTS,
        ),
        **dict.fromkeys(
            ("expect_column_values_to_match_strftime_format", "expect_column_values_to_be_dateutil_parseable"), _CLOCKS,
        ),
        **dict.fromkeys(
            ("expect_column_values_to_be_between", "expect_column_min_to_be_between", "expect_column_max_to_be_between",
             "expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing",
             "expect_column_pair_values_a_to_be_greater_than_b"), _ORDER,
        ),
        **dict.fromkeys(
            ("expect_column_mean_to_be_between", "expect_column_median_to_be_between",
             "expect_column_sum_to_be_between", "expect_column_stdev_to_be_between",
             "expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers",
             "expect_column_quantile_values_to_be_between", "expect_column_kl_divergence_to_be_less_than",
             "expect_multicolumn_sum_to_equal"), _SUMS,
        ),
        **dict.fromkeys(
            ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list",
             "expect_column_type_to_be"), _FRAME_TYPES,
        ),
    }
)  # fmt: skip
# These look at the columns of the frame, of which the gate is handed only those that expectations name.
_OF_COLUMNS = frozenset(
    f"expect_table_{each}"
    for each in ("column_count_to_equal", "column_count_to_be_between", "columns_to_match_set")
) | {"expect_table_columns_to_match_ordered_list"}  # fmt: skip


class _MisfitError(Exception):
    """An expectation that cannot judge what it names: what, and what to do."""


def fit(sync: Sync, mapping: RowMapping) -> list[dict[str, Any]]:
    """The arguments of the sync file's own expectations, in their order, as Great Expectations is to be given them.

    Raises:
        ConfigurationError: every expectation that cannot judge what it names, as `file:line: what; what to do`.
    """
    kinds = kinds_of(mapping)
    fitted, faults = [], []
    for place, each in enumerate(sync.gate.expectations):
        try:
            fitted.append(_fitted(each, kinds))
        except _MisfitError as misfit:
            faults.append(f"{sync.where('gate', 'expectations', place)}: gate.expectations: {each.type} {misfit}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    return fitted


def kinds_of(mapping: RowMapping) -> dict[str, Kind]:
    """What the columns hold that an expectation may name."""
    codes = {check.column: check.code for check in mapping.checked}
    own: dict[str, Kind] = {SOURCE_PK: "integer", KEY: "text", PROBLEMS: "text", KEY_UNIQUE: "boolean", "_op": "text"}
    checked: dict[str, Kind] = {ok(check.column): "boolean" for check in mapping.checked}
    return {
        **own,
        "_changed": "text",
        **checked,
        **{column.name: _kind(column, codes.get(column.name, "")) for column in mapping.columns},
    }


def sample(mapping: RowMapping) -> pl.DataFrame:
    """Three rows of made-up values of the right types, one of them empty, to try expectations on."""
    columns = {name: pl.Series(_SAMPLES[kind]) for name, kind in kinds_of(mapping).items()}
    native = {each.name: each.dtype for each in mapping.columns if isinstance(each.dtype, pl.Datetime)}
    moments = {name: columns[name].str.to_datetime().cast(dtype) for name, dtype in native.items()}
    return pl.DataFrame({**columns, **moments})


def viewed(rows: pl.DataFrame, name: str) -> pl.Series:
    """The column that an expectation looks at: one of the rows, or another view of one.

    Args:
        rows: with the columns that were mapped.
        name: as `fit` gives it: a column's name, with `__as_text` or `__as_moment` behind it where it is a view.
    """
    column = rows[base_of(name)]
    is_clock = isinstance(column.dtype, pl.Datetime)
    if name.endswith(AS_TEXT):
        if column.dtype == pl.Float64:
            return column.to_frame("value").select(number_text(pl.col("value"))).to_series()
        return column.cast(pl.String)
    if name.endswith(AS_MOMENT) and not is_clock:
        parsed = [column.str.to_datetime(form, strict=False, time_unit="us") for form in _FORMS.values()]
        return parsed[0].fill_null(parsed[1])
    # Clocks that Caspio's own cells hold (an engagement return) are text to whoever does not compare them.
    return column.dt.to_string(_FORMS["time"]) if is_clock and not name.endswith(AS_MOMENT) else column


def base_of(name: str) -> str:
    """The column of the rows that a view is of."""
    return name.removesuffix(AS_TEXT).removesuffix(AS_MOMENT)


def _kind(column: MappedColumn, code: str) -> Kind:
    if column.encoding == "json":
        return "object"
    if isinstance(column.dtype, pl.List):
        return "list"
    if isinstance(column.dtype, pl.Datetime):
        return "time"
    if column.dtype == pl.Boolean:
        return "boolean"
    if column.dtype in {pl.Int64, pl.Float64}:
        return "integer" if column.dtype == pl.Int64 else "number"
    return "time" if column.catalog_type == "time" else _MOMENTS.get(code, "text")


def _fitted(expectation: Expectation, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    if expectation.type in _OF_COLUMNS:
        raise _MisfitError("judges the columns of a frame, which the mapping alone decides; leave it out")
    family = _FAMILIES.get(expectation.type, _UNKNOWN)
    kwargs = dict(expectation.kwargs)
    named = {argument: str(kwargs[argument]) for argument in COLUMN_ARGUMENTS if argument in kwargs}
    listed = [str(name) for name in kwargs.get("column_list") or []]
    judged = [_known(name, kinds) for name in (*named.values(), *listed)]
    for name, kind in judged:
        if kind is not None and kind not in family.kinds:
            raise _MisfitError(f"cannot judge '{name}', which is {_WORDED[kind]}; {family.instead}")
    found = [kind for _, kind in judged if kind is not None]
    if family.compares and len({_group(kind, family) for kind in found}) > 1:
        both = " and ".join(f"'{name}' is {_WORDED[kind]}" for name, kind in judged if kind is not None)
        raise _MisfitError(f"compares unlike things: {both}; name two of one type")
    for argument in family.constants:
        if found and kwargs.get(argument) is not None:
            kwargs[argument] = _constants(argument, kwargs[argument], found, as_moment=family.view == "moment")
    for argument, name in named.items():
        kwargs[argument] = _view(name, kinds.get(name), family)
    return kwargs


def _known(name: str, kinds: Mapping[str, Kind]) -> tuple[str, Kind | None]:
    """A column and what it holds; None for one of the gate's own, about which nothing is known here."""
    if name in kinds:
        return name, kinds[name]
    if name.startswith("_") or name.endswith(OK_SUFFIX):
        return name, None
    raise _MisfitError(f"names {name}, which is not mapped; name a mapped attribute, or map it under fields")


def _group(kind: Kind, family: _Family) -> str:
    """What can be compared with each other; a date and a time only where both become moments."""
    if kind in _NUMBERS:
        return "number"
    return "moment" if kind in _DATES and family.view == "moment" else kind


def _view(name: str, kind: Kind | None, family: _Family) -> str:
    if family.view == "text" and kind in _NUMBERS:
        return f"{name}{AS_TEXT}"
    return f"{name}{AS_MOMENT}" if family.view == "moment" and kind in _DATES else name


def _constants(argument: str, given: Any, kinds: Sequence[Kind], *, as_moment: bool) -> Any:
    """Constants of the sync file as values of the attribute: what is none of its type equals nothing, ever."""
    if argument == "value_pairs_set":
        pairs = [list(pair) if isinstance(pair, list | tuple) else [pair] for pair in given]
        if any(len(pair) != len(kinds) for pair in pairs):
            raise _MisfitError(f"has a {argument} of other than {len(kinds)} values; write a list of lists")
        return [
            tuple(_constant(argument, value, kind, as_moment=False) for value, kind in zip(pair, kinds, strict=True))
            for pair in pairs
        ]
    if isinstance(given, list | tuple):
        return [_constant(argument, value, kinds[0], as_moment=as_moment) for value in given]
    return _constant(argument, given, kinds[0], as_moment=as_moment)


def _constant(argument: str, value: Any, kind: Kind, *, as_moment: bool) -> Any:
    if value is None:
        return None
    if kind in _DATES:
        moment = _moment(value)
        if moment is None:
            raise _MisfitError(f"has {value!r} in {argument}, which is no date; write it as 2026-01-31")
        return moment if as_moment else moment.strftime(_FORMS[kind])
    if not _CONSTANTS[kind](value):
        remedy = "put it in quotes" if kind == "text" else "write it without quotes" if isinstance(value, str) else ""
        remedy = remedy or f"write {_WORDED[kind]}"
        raise _MisfitError(f"has {value!r} in {argument}, but the attribute is {_WORDED[kind]}; {remedy}")
    return value


def _moment(value: Any) -> datetime | None:
    """A date or time of a sync file, without its offset, in UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None  # noqa: DTZ001


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CONSTANTS: Mapping[Kind, Callable[[Any], bool]] = MappingProxyType(
    {
        "text": lambda value: isinstance(value, str),
        "integer": _is_number,
        "number": _is_number,
        # Yes and no are 1 and 0 where somebody compares them.
        "boolean": lambda value: isinstance(value, bool | int | float) and value in {0, 1},
        "list": lambda _: True,
        "object": lambda _: True,
    }
)
_SAMPLES: Mapping[Kind, list[Any]] = MappingProxyType(
    {
        "text": ["a", None, "b"],
        "integer": [1, None, 2],
        "number": [1.5, None, 2.0],
        "boolean": [True, None, False],
        "date": ["2025-12-31", None, "2026-01-31"],
        "time": ["2025-12-31T10:00:00Z", None, "2026-01-31T10:00:00Z"],
        "list": [["a"], None, ["b", "c"]],
        "object": ['{"a":1}', None, '{"a":2}'],
    }
)


def columns_of(kwargs: Mapping[str, Any]) -> Iterator[str]:
    """The columns, or views of them, that an expectation's arguments name."""
    named = [kwargs.get(argument) for argument in COLUMN_ARGUMENTS]
    yield from (str(name) for name in [*named, *(kwargs.get("column_list") or [])] if name)
