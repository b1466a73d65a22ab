"""Numbers as they travel: whole ones without a point, rounded as people round, and none that lost digits."""

import math
from decimal import Decimal

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.mapping.former_rules import are_former

# From here on two whole numbers share one double: whoever reads JSON numbers as doubles cannot tell them apart.
EXACT_INTEGER = 2**53
_EXACT_HALVES = 2.0**52
_FEW = 1_000  # numbers that are sooner rounded one by one than numpy is loaded
_EXACT_DECIMALS = 22  # powers of ten up to here are doubles


def is_exact(number: pl.Expr) -> pl.Expr:
    """Whether a number is finite and within ±(2^53 - 1), where every whole number is itself alone."""
    return number.is_finite() & (number.abs() < EXACT_INTEGER)


def whole_digits(number: pl.Expr) -> pl.Expr:
    """The digits of a whole Float64, as a key or a phone number bears them; null for all others."""
    return (
        pl.when((number == number.floor()) & is_exact(number)).then(number.cast(pl.Int64, strict=False)).cast(pl.String)
    )


def number_text(number: pl.Expr) -> pl.Expr:
    """A Float64 as text: whole ones without `.0`, none with an exponent; null where it is not finite."""
    decimals = pl.when(number.is_finite()).then(number.cast(pl.String))
    if are_former():
        return pl.coalesce(whole_digits(number), decimals)
    return pl.coalesce(
        whole_digits(number),
        decimals.str.strip_suffix(".0").map_batches(_without_exponents, return_dtype=pl.String, is_elementwise=True),
    )


def rounded(number: pl.Expr, decimals: int) -> pl.Expr:
    """A Float64 with so many decimals, halves away from zero by its decimal digits: 1.005 and 2 give 1.01.

    Its double lies just below 1.005; what counts is the half between two results, as the double that is nearest to it.
    """
    if are_former():
        return number.round(decimals)
    if decimals > _EXACT_DECIMALS:
        return number
    return number.map_batches(
        lambda numbers: _rounded(numbers, 10.0**decimals), return_dtype=pl.Float64, is_elementwise=True
    )


def _rounded(numbers: pl.Series, scale: float) -> pl.Series:
    if len(numbers) <= _FEW:
        return pl.Series(numbers.name, [_rounded_one(each, scale) for each in numbers], dtype=pl.Float64)
    # By numpy: polars divides by a constant by multiplying with its inverse, which is off by a last digit.
    given = numbers.to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.abs(given)
        below = np.floor(size * scale)
        near = np.copysign((below + (size >= (below + 0.5) / scale)) / scale, given)
        made = np.where(size * scale < _EXACT_HALVES, near, given)
    return pl.Series(numbers.name, made, dtype=pl.Float64).set(numbers.is_null(), None)


def _rounded_one(given: float | None, scale: float) -> float | None:
    """As `_rounded`, operation by operation."""
    if given is None or not abs(given) * scale < _EXACT_HALVES:
        return given
    size = abs(given)
    below = float(math.floor(size * scale))
    return math.copysign((below + (size >= (below + 0.5) / scale)) / scale, given)


def _without_exponents(texts: pl.Series) -> pl.Series:
    """1e+20 as 100000000000000000000. Hardly a column holds one."""
    places = texts.str.contains("e", literal=True).fill_null(value=False).arg_true()
    return texts.scatter(places, [f"{Decimal(text):f}" for text in texts.gather(places)])
