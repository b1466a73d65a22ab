"""Text of Caspio's q. parameters: the only place that escapes values and checks names (Caspio, 3.3)."""

import math
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import quote

import polars as pl

from caspio_sync.caspio.tsql_words import RESERVED
from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField

URL_LIMIT = 2047  # characters of a request's address, beyond it 414 (Caspio, 3.1)
_KEYS_CHARS = 900  # of q.where, escaped; leaves as much for the selected fields
_NUMERIC = (pl.Int64, pl.Float64)

# RFC 3986 lets these stand in a query; "+", "&", ";" and "#" mean something else to a server.
_QUERY_SAFE = "'(),:*=@/!$?"
_NAME = re.compile(r"[^\W\d]\w{0,127}")
_LITERAL = re.compile(r"'(?:[^']|'')*'")


def encoded(text: str) -> str:
    """`text` as it stands in a query parameter."""
    return quote(text, safe=_QUERY_SAFE)


def literal(value: object) -> str:
    """A value as a T-SQL literal.

    Text is quoted, its quotes doubled, and prefixed with N where it is not ASCII; Yes/No is 1 or 0, since `true` is
    refused; dates are quoted ISO text without an offset, since Caspio keeps wall clocks (Caspio, 2.4 and 3.3).

    Raises:
        ConfigurationError: text that no query can hold (a NUL character, half of a surrogate pair).
        TypeError: a value that has no literal: None (ask for IS NULL), an aware time, a number that is not finite.
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return _text_literal(value)
    if isinstance(value, datetime):
        return _time_literal(value)
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return repr(value) if isinstance(value, float) else format(value, "f")
    raise TypeError(f"{type(value).__name__} has no literal in q.where")


def _text_literal(text: str) -> str:
    if "\0" in text:
        raise ConfigurationError("a value to look for holds a NUL character; take it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a value to look for is not valid Unicode; take it out") from None
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if text.isascii() else f"N'{doubled}'"


def _time_literal(time: datetime) -> str:
    if time.tzinfo is not None:
        raise TypeError("an aware time has no literal in q.where: Caspio compares wall clocks")
    return f"'{time.isoformat(timespec='milliseconds' if time.microsecond else 'seconds')}'"


def field_name(name: str) -> str:
    """`name`, checked to be a field's or view's Name: letters, digits, underscores (Caspio, 2.2).

    Raises:
        ConfigurationError: it is none, and must not become part of a query.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name of a Caspio field: letters, digits and underscores, no digit first; "
            "give the Name, not the Label"
        )
    return name


def identifier(name: str) -> str:
    """A field's Name as it stands in a query: in brackets where it is a word of T-SQL, such as From or Null.

    Raises:
        ConfigurationError: as `field_name`.
    """
    return f"[{name}]" if is_reserved(field_name(name)) else name


def is_reserved(name: str) -> bool:
    """Whether T-SQL keeps the word for itself, in whatever case."""
    return name.lower() in RESERVED


def without_literals(text: str) -> str:
    """A condition with '' in place of every text literal: what is left are names, numbers and words."""
    return _LITERAL.sub("''", text)


def condition(text: str) -> str:
    """A WHERE text, checked to end where it seems to: joined to others it must not swallow or escape them.

    Raises:
        ConfigurationError: open quotes or parentheses, a comment, or a second statement.
    """
    rest = without_literals(text)
    wrong = next((mark for mark in ("--", "/*", "*/", ";", "\0") if mark in rest), None)
    if wrong is not None:
        raise ConfigurationError(
            f"the condition {text!r} holds {wrong!r} outside quotes; write one condition without it"
        )
    if rest.replace("''", "").count("'"):
        raise ConfigurationError(f"the condition {text!r} has an open quote; close it, and double quotes within text")
    depth = 0
    for sign in rest:
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            break
    if depth:
        raise ConfigurationError(f"the condition {text!r} has unbalanced parentheses; balance them")
    return text.strip()


def and_(*conditions: str | None) -> str | None:
    """All of the conditions; None and empty ones are left out, and None comes back where nothing is left."""
    texts = [condition(text) for text in conditions if text and text.strip()]
    if len(texts) < 2:
        return texts[0] if texts else None
    return " AND ".join(f"({text})" for text in texts)


def in_list(field: str, values: Iterable[object], budget_chars: int) -> list[str]:
    """`field IN (…)` over all values, in as many conditions as the budget asks for.

    Args:
        field: the field's Name.
        values: in the order in which they are to be asked for.
        budget_chars: characters that one condition may take in the address, escapes counted.

    Raises:
        ConfigurationError: one value alone is over the budget.
    """
    head = f"{identifier(field)} IN ("
    room = budget_chars - len(encoded(f"{head})"))
    return [f"{head}{','.join(chunk)})" for chunk in _chunks(map(literal, values), room)]


def _chunks(literals: Iterable[str], room: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    used = 0
    for text in literals:
        size = len(encoded(text)) + 1
        if size - 1 > room:
            raise ConfigurationError(
                f"a value of {len(text)} characters does not fit into a request of {URL_LIMIT}; "
                "ask for fewer fields, shorten the condition, or leave the value out"
            )
        if chunk and used + size - 1 > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(text)
        used += size
    if chunk:
        yield chunk


def keys_where(field: CaspioField, values: Iterable[str], budget_chars: int = _KEYS_CHARS) -> list[str]:
    """Conditions that find rows by the values of one field, each short enough for a request's address.

    Args:
        field: usually the one that holds the identity.
        values: as text; numbers are written as such for a numeric field.
        budget_chars: characters a condition may take in the address, escapes counted.

    Raises:
        ConfigurationError: a value that is no number for a numeric field, or too long.
    """
    numeric = SOURCE_DTYPES.get(field.type) in _NUMERIC
    wanted: list[object] = [_number(field, value) if numeric else value for value in dict.fromkeys(values)]
    return in_list(field.name, wanted, budget_chars)


def _number(field: CaspioField, text: str) -> int | float:
    try:
        number = float(text)
        return int(text) if number.is_integer() and text.strip().lstrip("+-").isdecimal() else number
    except ValueError:
        raise ConfigurationError(
            f"{field.name} is a number in Caspio, and one of the keys is none; check the keys"
        ) from None
