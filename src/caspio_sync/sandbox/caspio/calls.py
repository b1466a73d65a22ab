"""The T-SQL functions that a query may call, each written out for SQLite; others are refused."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol

from sqlglot import exp

from caspio_sync.sandbox.caspio.behaviour import sql_error
from caspio_sync.sandbox.caspio.bindings import Bindings
from caspio_sync.sandbox.caspio.values import Value


class Scalars(Protocol):
    """What a function asks of the expressions it stands among."""

    bindings: Bindings
    inline: tuple[str, ...] | None

    def scalar(self, node: Any) -> Value:
        """A value, or a literal that waits for its type."""

    def read(self, node: Any) -> Value:
        """A value, or a literal by its own type."""

    def text(self, node: Any) -> str:
        """The SQL of a scalar."""

    def written(self, literal: Value, kind: str | None = None) -> str:
        """A literal as a parameter of that kind, or of its own."""


def function(to: Scalars, node: Any) -> Value:
    """A function call, aggregates included.

    Raises:
        Refusal: 400 SqlServerError for a function that is not on the list.
    """
    write = _FUNCTIONS.get(type(node))
    if write is None:
        name = node.name if isinstance(node, exp.Anonymous) else node.key.upper()
        raise sql_error(f"'{name}' is not a recognized built-in function name or operator.")
    value = write(to, node)
    if value.kind == "list":
        raise sql_error("A list field cannot be computed with.")
    return value


def is_aggregate(node: Any) -> bool:
    """Whether the node is COUNT, SUM, AVG, MIN or MAX."""
    return type(node) in {exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max}


def _count(to: Scalars, node: Any) -> Value:
    inside = node.this
    if isinstance(inside, exp.Star):
        return Value("COUNT(*)", "integer")
    if isinstance(inside, exp.Distinct):
        if len(inside.expressions) != 1:
            raise sql_error("COUNT(DISTINCT ..) takes one expression.")
        return Value(f"COUNT(DISTINCT {_collated(to.read(inside.expressions[0]))})", "integer")
    return Value(f"COUNT({to.text(inside)})", "integer")


def _sum(to: Scalars, node: Any) -> Value:
    value = _numeric(to, node, "sum")
    return Value(f"SUM({value.sql})", value.kind)


def _average(to: Scalars, node: Any) -> Value:
    value = _numeric(to, node, "avg")
    # AVG of whole numbers is a whole number in T-SQL.
    whole = f"CAST(AVG({value.sql}) AS INTEGER)"
    return Value(whole if value.kind == "integer" else f"AVG({value.sql})", value.kind)


def _numeric(to: Scalars, node: Any, name: str) -> Value:
    value = to.read(node.this)
    if value.kind not in {"integer", "number"}:
        raise sql_error(f"Operand data type is invalid for {name} operator.")
    return value


def _extreme(name: str) -> Callable[[Scalars, Any], Value]:
    def write(to: Scalars, node: Any) -> Value:
        value = to.read(node.this)
        if value.kind in {"bit", "list"}:
            raise sql_error(f"Operand data type is invalid for {name.lower()} operator.")
        return Value(f"{name}({_collated(value)})", value.kind)

    return write


def _collated(value: Value) -> str:
    return value.sql if value.column is not None or value.kind != "text" else f"({value.sql} COLLATE CASPIO)"


def _number_of_row(_to: Scalars, _node: Any) -> Value:
    return Value("ROW_NUMBER()", "integer")


def _now(clock: str) -> Callable[[Scalars, Any], Value]:
    def write(to: Scalars, _node: Any) -> Value:
        if to.inline is not None:
            raise sql_error("The emulator's views have no clock.")
        return Value(to.bindings.add(attrgetter(clock)), "date")

    return write


def _date(to: Scalars, node: Any) -> str:
    value = to.scalar(node)
    if value.slot is not None:
        return to.written(value, "date")
    if value.kind != "date":
        raise sql_error("Argument data type is invalid for a date function.")
    return value.sql


def _date_add(to: Scalars, node: Any) -> Value:
    return Value(f"tsql_dateadd('{_unit(node)}', {to.text(node.expression)}, {_date(to, node.this)})", "date")


def _date_difference(to: Scalars, node: Any) -> Value:
    # sqlglot keeps the end first; its start is wrapped once more by some versions.
    start, end = _date(to, node.expression.unnest()), _date(to, node.this.unnest())
    return Value(f"tsql_datediff('{_unit(node)}', {start}, {end})", "integer")


def _unit(node: Any) -> str:
    unit = node.args.get("unit")
    name = str(unit.name).upper() if unit is not None else "DAY"
    if name not in {"MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}:
        raise sql_error(f"'{name}' is not a recognized dateadd option.")
    return name


def _part(start: int, length: int) -> Callable[[Scalars, Any], Value]:
    def write(to: Scalars, node: Any) -> Value:
        inner = node.this.this if isinstance(node.this, exp.TsOrDsToDate) else node.this
        return Value(f"CAST(substr({_date(to, inner)}, {start}, {length}) AS INTEGER)", "integer")

    return write


def _text(name: str) -> Callable[[Scalars, Any], Value]:
    def write(to: Scalars, node: Any) -> Value:
        return Value(f"{name}({to.text(node.this)})", "text")

    return write


def _length(to: Scalars, node: Any) -> Value:
    inner = node.this.this if isinstance(node.this, exp.Cast) else node.this
    return Value(f"length(rtrim({to.text(inner)}))", "integer")


def _trim(to: Scalars, node: Any) -> Value:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    return Value(f"{name}({to.text(node.this)})", "text")


def _left(to: Scalars, node: Any) -> Value:
    return Value(f"substr({to.text(node.this)}, 1, {to.text(node.expression)})", "text")


def _substring(to: Scalars, node: Any) -> Value:
    start, length = to.text(node.args["start"]), to.text(node.args["length"])
    return Value(f"substr({to.text(node.this)}, {start}, {length})", "text")


def _coalesce(to: Scalars, node: Any) -> Value:
    values = [to.read(node.this), *(to.read(item) for item in node.expressions)]
    return Value(f"COALESCE({', '.join(value.sql for value in values)})", values[0].kind)


def _absolute(to: Scalars, node: Any) -> Value:
    value = _numeric(to, node, "abs")
    return Value(f"abs({value.sql})", value.kind)


def _round(to: Scalars, node: Any) -> Value:
    places = node.args.get("decimals")
    value = _numeric(to, node, "round")
    return Value(f"round({value.sql}, {to.text(places) if places is not None else 0})", value.kind)


_FUNCTIONS: dict[type, Callable[[Scalars, Any], Value]] = {
    exp.Count: _count,
    exp.Sum: _sum,
    exp.Avg: _average,
    exp.Min: _extreme("MIN"),
    exp.Max: _extreme("MAX"),
    exp.RowNumber: _number_of_row,
    exp.CurrentTimestamp: _now("now"),
    exp.UtcTimestamp: _now("utc_now"),
    exp.DateAdd: _date_add,
    exp.DateDiff: _date_difference,
    exp.Year: _part(1, 4),
    exp.Month: _part(6, 2),
    exp.Day: _part(9, 2),
    exp.Upper: _text("tsql_upper"),
    exp.Lower: _text("tsql_lower"),
    exp.Length: _length,
    exp.Trim: _trim,
    exp.Left: _left,
    exp.Substring: _substring,
    exp.Coalesce: _coalesce,
    exp.Abs: _absolute,
    exp.Round: _round,
}
