"""How values were read under the rules before these: to tell what was acknowledged from what changed in Caspio.

A value is not sent, and billed, once more because it is read better now: it travels when its cell changes. What was
sent before and is read otherwise now: rounded halves, title case, blanks that nobody sees, numbers with an exponent.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import polars as pl

from caspio_sync.mapping import titles
from caspio_sync.text_columns import trimmed_values

_FORMER: ContextVar[bool] = ContextVar("former_rules", default=False)


@contextlib.contextmanager
def under_former_rules() -> Iterator[None]:
    """While a mapping is made, and applied, that reads as the version before did."""
    token = _FORMER.set(True)
    try:
        yield
    finally:
        _FORMER.reset(token)


def are_former() -> bool:
    """Whether the rules before are asked for."""
    return _FORMER.get()


def trimmed(text: pl.Expr) -> pl.Expr:
    """Text without the blanks at its ends."""
    return text.str.strip_chars() if are_former() else trimmed_values(text)


def titled(text: pl.Expr) -> pl.Expr:
    """Text in title case."""
    return text.str.to_titlecase() if are_former() else titles.titled(text)
