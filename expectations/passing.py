"""Which expectations surely pass, by a look at their column: what Great Expectations need not be asked.

Nothing here says that an expectation fails. Whatever is not sure to pass (a value that may not, a type or an argument
that is not known here, a column without a value where that may count) is Great Expectations' to judge, and what it
finds is what is told. `tests/gates/test_passing.py` holds each of these against it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

# Whole numbers beyond are others in the frame that Great Expectations looks at, where a column has nulls.
_EXACT = 2**53
_NUMBERS = frozenset({pl.Int64, pl.Float64})
_DTYPES: Mapping[type, Any] = MappingProxyType({bool: pl.Boolean, int: pl.Int64, str: pl.String})


def is_known(type_: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether an expectation has a form that is judged here, and that Great Expectations is known to take."""
    rule = _RULES.get(type_)
    return (
        rule is not None
        and rule.needed <= kwargs.keys() <= rule.taken
        and isinstance(kwargs["column"], str)
        and bool(kwargs["column"])
        and rule.is_formed(kwargs)
    )


def surely_passes(type_: str, kwargs: Mapping[str, Any], values: pl.Series) -> bool:
    """Whether an expectation that `is_known` passes, without one value that fails it.

    Args:
        type_: of the expectation.
        kwargs: its arguments.
        values: its column, as Great Expectations would look at it.
    """
    return _RULES[type_].passes(values, kwargs)


def _has_set(kwargs: Mapping[str, Any]) -> bool:
    given = kwargs["value_set"]
    one_kind = isinstance(given, list) and {type(each) for each in given} in ({bool}, {int}, {str})
    return one_kind and (type(given[0]) is not int or _all_exact(given))


def _in_set(values: pl.Series, kwargs: Mapping[str, Any]) -> bool:
    allowed = kwargs["value_set"]
    if values.dtype != _DTYPES[type(allowed[0])] or not _is_exact(values):
        return False
    return bool(values.drop_nulls().is_in(allowed).all())


def _has_no_null(values: pl.Series, _: Mapping[str, Any]) -> bool:
    plain = values.dtype in _NUMBERS or values.dtype in {pl.Boolean, pl.String}
    return plain and values.null_count() == 0 and not (values.dtype == pl.Float64 and values.is_nan().any())


def _has_bounds(kwargs: Mapping[str, Any]) -> bool:
    bounds = [kwargs[each] for each in ("min_value", "max_value") if kwargs.get(each) is not None]
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in bounds)
    return bool(bounds) and numbers and _all_exact(bounds) and bounds == sorted(bounds)


def _between(values: pl.Series, kwargs: Mapping[str, Any]) -> bool:
    """Of the values, and of their least and most: where all are within, these are."""
    if values.dtype not in _NUMBERS or not _is_exact(values):
        return False
    there = values.drop_nulls().drop_nans() if values.dtype == pl.Float64 else values.drop_nulls()
    if there.is_empty():  # the least of nothing is not within anything
        return False
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    return (low is None or bool((there >= low).all())) and (high is None or bool((there <= high).all()))


def _has_lengths(kwargs: Mapping[str, Any]) -> bool:
    bounds = [kwargs[each] for each in ("min_value", "max_value") if kwargs.get(each) is not None]
    return all(type(each) is int and each >= 0 for each in bounds) and _has_bounds(kwargs)


def _lengths_between(values: pl.Series, kwargs: Mapping[str, Any]) -> bool:
    return values.dtype == pl.String and _between(values.str.len_chars().cast(pl.Int64), kwargs)


def _is_exact(values: pl.Series) -> bool:
    if values.dtype != pl.Int64:
        return True
    return bool(values.is_between(-_EXACT, _EXACT).all())


def _all_exact(numbers: list[Any]) -> bool:
    return all(math.isfinite(each) and abs(each) <= _EXACT for each in numbers)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one type of expectation is judged.

    Args:
        is_formed: whether its arguments are of the form that is judged here.
        passes: whether a column surely passes.
        taken: the arguments that may be given; any other is Great Expectations' own.
        needed: those that have to be.
    """

    is_formed: Callable[[Mapping[str, Any]], bool]
    passes: Callable[[pl.Series, Mapping[str, Any]], bool]
    taken: frozenset[str]
    needed: frozenset[str] = frozenset({"column"})


_BOUNDED = frozenset({"column", "min_value", "max_value"})
_SET = frozenset({"column", "value_set"})
_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "expect_column_values_to_be_in_set": _Rule(_has_set, _in_set, _SET, _SET),
        "expect_column_values_to_not_be_null": _Rule(lambda _: True, _has_no_null, frozenset({"column"})),
        "expect_column_values_to_be_between": _Rule(_has_bounds, _between, _BOUNDED),
        "expect_column_min_to_be_between": _Rule(_has_bounds, _between, _BOUNDED),
        "expect_column_max_to_be_between": _Rule(_has_bounds, _between, _BOUNDED),
        "expect_column_value_lengths_to_be_between": _Rule(_has_lengths, _lengths_between, _BOUNDED),
    }
)
