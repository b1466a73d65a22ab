"""What SQLite lacks of SQL Server: its way of comparing text, LIKE's classes, dates, conversions."""

import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from caspio_sync.sandbox.caspio.time import date_add


def connect(database: str) -> sqlite3.Connection:
    """A connection with the collation CASPIO and the functions that translated queries call."""
    db = sqlite3.connect(database, isolation_level=None, check_same_thread=False, cached_statements=512)
    # A sandbox may lose its last writes with the machine's power, not with its own process.
    db.execute("PRAGMA synchronous = OFF")
    db.create_collation("CASPIO", collate)
    db.create_function("fold", 1, fold, deterministic=True)
    db.create_function("fold_or_null", 1, fold_or_null, deterministic=True)
    db.create_function("tsql_like", 3, like, deterministic=True)
    db.create_function("tsql_number", 1, number, deterministic=True)
    db.create_function("tsql_dateadd", 3, date_add, deterministic=True)
    db.create_function("tsql_datediff", 3, date_difference, deterministic=True)
    # SQLite's own know ASCII alone.
    db.create_function("tsql_upper", 1, lambda text: _by_character(text, str.upper), deterministic=True)
    db.create_function("tsql_lower", 1, lambda text: _by_character(text, str.lower), deterministic=True)
    return db


def _by_character(text: str | None, change: Callable[[str], str]) -> str | None:
    """A text in another case; a character that would become two, as the German sharp s, stays."""
    if text is None:
        return None
    return "".join(new if len(new := change(one)) == 1 else one for one in str(text))


def fold(text: str | None) -> str:
    """The form in which two texts that compare equal are the same; null is as blank (2.5)."""
    return str(text).rstrip(" ").casefold() if text is not None else ""


def fold_or_null(text: str | None) -> str | None:
    """As `fold`, blank as null: for unique fields that allow nulls."""
    return fold(text) or None


def collate(left: str, right: str) -> int:
    """SQL Server's usual order of text: without regard to case and trailing blanks (3.3, INF)."""
    if left == right:
        return 0
    one, other = fold(left), fold(right)
    return (one > other) - (one < other)


@lru_cache(512)
def _pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    pieces = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        close = pattern.find("]", position + 2) if char == "[" else -1
        if char == escape and position + 1 < len(pattern):
            position += 1
            pieces.append(re.escape(pattern[position]))
        elif close > 0:
            inside = pattern[position + 1 : close]
            negated = "^" if inside.startswith("^") else ""
            ranges = re.sub(r"([\\\]\[^])", r"\\\1", inside.removeprefix("^"))
            pieces.append(f"[{negated}{ranges}]")
            position = close
        else:
            pieces.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        position += 1
    return re.compile("".join(pieces) + " *", re.IGNORECASE | re.DOTALL)


def like(value: str | float | None, pattern: str | None, escape: str | None) -> bool | None:
    """LIKE with `%`, `_`, `[a-c]` and `[^a-c]`; trailing blanks of the value do not count."""
    if value is None or pattern is None:
        return None
    return _pattern(str(pattern), escape).fullmatch(str(value)) is not None


def number(value: str | float | None) -> float | None:
    """A text as a number, as in a comparison of the two; what is no number fails the query."""
    return None if value is None else float(str(value).strip() or 0)


_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


def date_difference(unit: str, start: str | None, end: str | None) -> int | None:
    """DATEDIFF: borders of the unit between two stored dates."""
    if start is None or end is None:
        return None
    first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    if unit == "YEAR":
        return last.year - first.year
    if unit == "MONTH":
        return (last.year - first.year) * 12 + last.month - first.month
    epoch = datetime(1753, 1, 1)  # noqa: DTZ001 - naive wall clocks
    seconds = _SECONDS[unit]
    return int((last - epoch).total_seconds() // seconds) - int((first - epoch).total_seconds() // seconds)
