"""Conditions in Caspio's SQL that are held against rows which were read: of each row it is said whether it meets one.

`source.where` is Caspio's own to answer: it decides what is read. These decide what becomes of a row, and a row that no
longer meets one has to be seen as well. So they are read here, and mean what they mean there (Caspio, q.where): text
without regard to case and to blanks at its end, an empty cell meets no comparison, not even `<>`. What could mean
something else here is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import polars as pl
from pydantic import AfterValidator, Field

from caspio_sync.caspio.query import condition
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.values import SourceKind

Value: TypeAlias = str | int | float
# Of a field's cells, what a comparison makes of them; the field's name, and what its cells are.
Cells = Callable[[str], tuple[pl.Expr, SourceKind]]

_EXACT = 2**53  # beyond it two numbers of a cell are one
_TOKEN = re.compile(
    r"\s*(?:(?P<text>N?'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?![\w.])|(?P<name>\w+|\[[^\[\]]+\])"
    r"|(?P<mark><=|>=|<>|!=|[=<>(),]))"
)
_COMPARED: Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": pl.Expr.eq,
    "<>": pl.Expr.ne,
    "!=": pl.Expr.ne,
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
}
_WORDS = frozenset({"and", "or", "not", "in", "between", "like", "is", "null"})
_TAKEN = "a condition here compares fields with values: = <> < <= > >=, IN, BETWEEN, LIKE, IS NULL, with AND, OR, NOT"


@dataclass(frozen=True, slots=True)
class _Test:
    """One comparison: a field, how it is compared, and with what."""

    field: str
    by: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class _Joined:
    """Conditions joined to one."""

    by: Literal["and", "or", "not"]
    parts: "tuple[_Test | _Joined, ...]"


class Condition:
    """A condition on the fields of a row.

    Args:
        text: as the sync file has it.

    Raises:
        ValueError: it is none that is understood here; the message says what of it.
    """

    def __init__(self, text: str) -> None:
        self._words = list(_tokens(condition(text)))
        self._place = 0
        self._root = self._any()
        if self._place < len(self._words):
            raise ValueError(f"'{self._words[self._place][1]}' is not expected there; {_TAKEN}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields it asks for, each once, in their order."""
        return tuple(dict.fromkeys(each.field for each in _tests(self._root)))

    def met(self, cells: Cells) -> pl.Expr:
        """Whether a row meets it; never null.

        Args:
            cells: gives, for each of `fields`, the expression of its cells, and what they are.

        Raises:
            ValueError: a field is compared with what its cells cannot be.
        """
        return _expression(self._root, cells).fill_null(value=False)

    # From here on, grammar: OR binds less than AND, AND less than NOT.

    def _any(self) -> _Test | _Joined:
        return self._chain("or", self._all)

    def _all(self) -> _Test | _Joined:
        return self._chain("and", self._one)

    def _chain(self, word: Literal["and", "or"], part: "Callable[[], _Test | _Joined]") -> _Test | _Joined:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Joined(word, tuple(parts))

    def _one(self) -> _Test | _Joined:
        if self._take("not"):
            return _Joined("not", (self._one(),))
        if self._take("("):
            inner = self._any()
            self._need(")")
            return inner
        return self._test()

    def _test(self) -> _Test:
        kind, field = self._next("the name of a field")
        if kind != "name" or field.lower() in _WORDS:
            raise ValueError(f"'{field}' stands where the name of a field belongs; {_TAKEN}")
        field = field.strip("[]")
        if self._take("is"):
            negated = self._take("not")
            self._need("null")
            return _Test(field, "null", (), negated)
        kind, mark = self._next(f"a comparison of {field}")
        if kind == "mark" and mark in _COMPARED:
            return _Test(field, mark, (self._value(),))
        negated = mark.lower() == "not"
        word = self._next("IN, BETWEEN or LIKE")[1].lower() if negated else mark.lower()
        match word:
            case "in":
                self._need("(")
                values = [self._value()]
                while self._take(","):
                    values.append(self._value())
                self._need(")")
                return _Test(field, "in", tuple(values), negated)
            case "between":
                low = self._value()
                self._need("and")
                return _Test(field, "between", (low, self._value()), negated)
            case "like":
                return _Test(field, "like", (self._value(),), negated)
        raise ValueError(f"'{field} {mark}' is not understood: functions and sums are not; {_TAKEN}")

    def _value(self) -> Value:
        kind, word = self._next("a value")
        if kind == "text":
            return word.removeprefix("N")[1:-1].replace("''", "'")
        if kind == "number":
            number = float(word) if "." in word else int(word)
            if abs(number) > _EXACT:
                raise ValueError(f"'{word}' is beyond what a number of Caspio holds exactly (2^53)")
            return number
        raise ValueError(f"'{word}' stands where a value belongs: a number, or text between single quotes")

    def _next(self, expected: str) -> tuple[str, str]:
        if self._place == len(self._words):
            raise ValueError(f"ends where {expected} belongs")
        self._place += 1
        return self._words[self._place - 1]

    def _take(self, word: str) -> bool:
        there = self._place < len(self._words) and self._words[self._place][0] != "text"
        found = there and self._words[self._place][1].lower() == word
        self._place += found
        return found

    def _need(self, word: str) -> None:
        if not self._take(word):
            found = self._words[self._place][1] if self._place < len(self._words) else "its end"
            raise ValueError(f"has {found} where {word.upper()} belongs; {_TAKEN}")


def _understood(text: str) -> str:
    try:
        Condition(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text.strip()


# A condition as a sync file says it.
ConditionText = Annotated[str, Field(min_length=1), AfterValidator(_understood)]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise ValueError(f"'{text[place:].strip()[:20]}' is not understood; {_TAKEN}")
        yield found.lastgroup, found[found.lastgroup]
        place = found.end()


def _tests(node: _Test | _Joined) -> Iterator[_Test]:
    if isinstance(node, _Test):
        yield node
    else:
        for part in node.parts:
            yield from _tests(part)


def _expression(node: _Test | _Joined, cells: Cells) -> pl.Expr:
    if isinstance(node, _Test):
        return _compared(node, *cells(node.field))
    parts = [_expression(part, cells) for part in node.parts]
    if node.by == "not":
        return ~parts[0]
    return (pl.all_horizontal if node.by == "and" else pl.any_horizontal)(parts)


def _compared(test: _Test, cell: pl.Expr, kind: SourceKind) -> pl.Expr:
    if kind == "list":
        raise ValueError(f"'{test.field}' is a list; a condition compares single values")
    if test.by == "null":
        return cell.is_not_null() if test.negated else cell.is_null()
    if test.by == "like":
        return _signed(test, _like(test, cell, kind))
    if kind == "text" and test.by in {"<", "<=", ">", ">=", "between"}:
        # How Caspio orders letters and signs is set in its database, and nobody else knows it.
        raise ValueError(f"'{test.field}' is text, of which nobody knows what is less; compare it by =, <>, IN or LIKE")
    cell = _folded(cell) if kind == "text" else cell.cast(pl.Int8) if kind == "boolean" else cell
    values = [_literal(test, value, kind) for value in test.values]
    if test.by == "in":
        return _signed(test, pl.any_horizontal([cell == value for value in values]))
    if test.by == "between":
        return _signed(test, (cell >= values[0]) & (cell <= values[1]))
    return _COMPARED[test.by](cell, values[0])


def _signed(test: _Test, met: pl.Expr) -> pl.Expr:
    return ~met if test.negated else met


def _literal(test: _Test, value: Value, kind: SourceKind) -> pl.Expr:
    """A value as the cells of its field are.

    Raises:
        ValueError: it is of another kind; the database would make something of it that is not meant.
    """
    match kind, value:
        case "text", str():
            return pl.lit(value.lower().rstrip(" "))
        case "moment", str():
            if (moment := _moment(value)) is not None:
                return pl.lit(moment, dtype=pl.Datetime("ms"))
        case "boolean", 0 | 1:
            return pl.lit(value, dtype=pl.Int8)
        case "integer" | "number", int() | float():
            return pl.lit(value)
    needs: Mapping[SourceKind, str] = {
        "text": "text between single quotes",
        "moment": "a date such as '2026-01-31', without an offset",
        "boolean": "1 or 0",
    }
    raise ValueError(
        f"'{test.field}' is compared with '{value}', and needs {needs.get(kind, 'a number without quotes')}"
    )


def _moment(text: str) -> datetime | None:
    """A wall clock, as cells of Caspio are; None for anything else."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is None else None


def _like(test: _Test, cell: pl.Expr, kind: SourceKind) -> pl.Expr:
    (pattern,) = test.values
    if kind != "text" or not isinstance(pattern, str):
        raise ValueError(f"'{test.field}' LIKE compares text, and the pattern stands between single quotes")
    if set(pattern) & set("[]^") or pattern != pattern.rstrip(" "):
        raise ValueError(f"the pattern '{pattern}' has [ ], ^ or a blank at its end; use % and _ alone")
    signs = {"%": ".*", "_": "."}
    regex = "".join(signs.get(sign, re.escape(sign)) for sign in pattern.lower())
    return _folded(cell).str.contains(f"^(?s:{regex})$")


def _folded(cell: pl.Expr) -> pl.Expr:
    return cell.str.to_lowercase().str.strip_chars_end(" ")
