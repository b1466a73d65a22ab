"""T-SQL expressions in SQLite's words: every kind of node is named here, and any other is refused.

sqlglot parses; this file writes. Literals never reach it: they have been taken out of the text
and stand as `@s0`, `@n1` (see caspio_query.py), so that a parsed query serves every request of the same shape.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from caspio_sync.sandbox.caspio.behaviour import Refusal, bad_query, sql_error
from caspio_sync.sandbox.caspio.bindings import NUMERIC, Bindings, converted
from caspio_sync.sandbox.caspio.calls import function
from caspio_sync.sandbox.caspio.values import Relation, Value

# Words of T-SQL that fields are named by and sqlglot lets pass; without brackets SQL Server takes them for its own.
_WORDS = """
add all any as asc begin between by case check close column create current cursor default delete desc distinct end
exists exit external file for foreign from full function group if in index inner into is join key kill left like not
null of off on open option or order outer percent plan primary print proc public read references right rule save schema
select set some statistics table then to top transaction trigger union unique update use user values view when where
while with
"""
_RESERVED = frozenset(_WORDS.split())


@dataclass(slots=True)
class Expressions:
    """Translates the expressions of one statement.

    Args:
        bindings: takes the statement's parameters.
        resolve: a table or view by name, for sub-selects; raises Refusal.
        unknown: the refusal of an unknown field.
        inline: write literals into the SQL (for views, whose text is stored) instead of parameters.
    """

    bindings: Bindings
    resolve: Callable[[str, str, str], Relation]
    unknown: Callable[[str], Refusal]
    inline: tuple[str, ...] | None = None
    scopes: list[Relation] = field(default_factory=list)

    # ---- conditions

    def condition(self, node: Any) -> str:
        """A predicate; SQL Server takes no bare value for one."""
        write = _CONDITIONS.get(type(node))
        if write is not None:
            return write(self, node)
        operator = _OPERATORS.get(type(node))
        if operator is None:
            raise sql_error("An expression of non-boolean type specified in a context where a condition is expected.")
        return self.comparison(operator, node.this, node.expression)

    def both(self, node: Any) -> str:
        """AND."""
        return f"({self.condition(node.this)} AND {self.condition(node.expression)})"

    def either(self, node: Any) -> str:
        """OR."""
        return self.keyset(node) or f"({self.condition(node.this)} OR {self.condition(node.expression)})"

    def null(self, node: Any) -> str:
        """IS NULL; SQL Server knows no other IS."""
        if not isinstance(node.expression, exp.Null):
            raise sql_error("Incorrect syntax near the keyword 'IS'.")
        return f"({self.read(node.this).sql} IS NULL)"

    def between(self, node: Any) -> str:
        """BETWEEN, both ends included."""
        low = self.comparison(">=", node.this, node.args["low"])
        high = self.comparison("<=", node.this, node.args["high"])
        return _negated(node, f"({low} AND {high})")

    def escaped(self, node: Any) -> str:
        """LIKE with ESCAPE."""
        return self.like(node.this, self.text(node.expression))

    def keyset(self, node: Any) -> str | None:
        """`a > x OR (a = x AND b > k)` as a comparison of rows, which an index on (a, b) answers at once (7)."""
        first, second = node.this.unnest(), node.expression.unnest()
        if not (isinstance(first, exp.GT) and isinstance(second, exp.And)):
            return None
        same, next_ = second.this.unnest(), second.expression.unnest()
        if not (isinstance(same, exp.EQ) and isinstance(next_, exp.GT) and first.this == same.this):
            return None
        if first.expression != same.expression or not self.is_date(first.this):
            return None
        left, right = self.pair(first.this, first.expression)
        key, last = self.pair(next_.this, next_.expression)
        key = self.second(next_.this) or key
        return f"(({left}, {key}) > ({right}, {last}))"

    def second(self, node: Any) -> str:
        """How a field stands behind a date in an index, "" where that is as everywhere."""
        column = self.column(node).column if isinstance(node, exp.Column) else None
        return column.second.replace("{}", self.scopes[-1].alias) if column is not None else ""

    def is_date(self, node: Any) -> bool:
        """Whether a node is a field that holds dates."""
        return isinstance(node, exp.Column) and self.column(node).kind == "date"

    def comparison(self, operator: str, left: Any, right: Any) -> str:
        """Two values compared; a unique text field by its index."""
        first, second = self.pair(left, right)
        plain = f"({first} {operator} {second})"
        column = self.scalar(left).column if isinstance(left, exp.Column) else None
        if operator == "=" and column is not None and column.folded and isinstance(right, exp.Parameter):
            return f"(fold({first}) = fold({second}) AND {plain})"
        return plain

    def pair(self, left: Any, right: Any) -> tuple[str, str]:
        """Both sides of a comparison, literals converted to the type of the other side."""
        one, other = self.scalar(left), self.scalar(right)
        if "list" in {one.kind, other.kind}:
            raise sql_error("A list field cannot be compared.")
        if one.slot is None and other.slot is None:
            return self.aligned(one, other.kind), self.aligned(other, one.kind)
        if one.slot is not None:
            second, first = self.against(other, one)
            return first, second
        return self.against(one, other)

    def against(self, value: Value, literal: Value) -> tuple[str, str]:
        """A value and the literal that it is compared with."""
        if value.slot is not None:
            return self.written(value), self.written(literal)
        if value.kind == "text" and literal.kind == "number":
            return f"tsql_number({value.sql})", self.written(literal)
        if value.kind == "date" and literal.kind == "number":
            raise sql_error("Operand type clash: date is incompatible with int.")
        return self.aligned(value, value.kind), self.written(literal, value.kind)

    def aligned(self, value: Value, other: str) -> str:
        """A value as it stands beside one of another kind."""
        if value.kind == "text" and other in NUMERIC:
            return f"tsql_number({value.sql})"
        return value.sql if value.column is not None or value.kind != "text" else f"({value.sql} COLLATE CASPIO)"

    def membership(self, node: Any) -> str:
        """IN, with values or a sub-select."""
        value = self.scalar(node.this)
        if node.args.get("query") is not None:
            inner, kinds = self.subselect(node.args["query"].this)
            if len(kinds) != 1:
                raise sql_error("Only one expression can be specified in the select list of a sub-select.")
            return f"({self.written(value)} IN {inner})"
        pairs = [self.pair(node.this, item) for item in node.expressions]
        if value.slot is not None:
            return "(" + " OR ".join(f"({left} = {right})" for left, right in pairs) + ")"
        left = pairs[0][0]
        items = [pair[1] for pair in pairs]
        plain = f"({left} IN ({', '.join(items)}))"
        if value.column is not None and value.column.folded and left == value.sql:
            return f"(fold({left}) IN ({', '.join(f'fold({item})' for item in items)}) AND {plain})"
        return plain

    def like(self, node: Any, escape: str) -> str:
        """LIKE; `escape` is SQL."""
        value = self.read(node.this)
        return _negated(node, f"(tsql_like({value.sql}, {self.text(node.expression)}, {escape}))")

    # ---- scalars

    def read(self, node: Any) -> Value:
        """A scalar that is not a bare literal, or a literal by its own type."""
        value = self.scalar(node)
        return Value(self.written(value), value.kind) if value.slot is not None else value

    def text(self, node: Any) -> str:
        """The SQL of a scalar."""
        return self.read(node).sql

    def written(self, literal: Value, kind: str | None = None) -> str:
        """A literal as a parameter of that kind, or of its own."""
        if literal.slot is None:
            return literal.sql
        slot, sign, wanted = literal.slot, literal.sign, kind or literal.kind
        if self.inline is not None:
            value = converted(self.inline[slot], wanted, sign)
            return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
        return self.bindings.add(lambda call: converted(call.literals[slot], wanted, sign))

    def scalar(self, node: Any) -> Value:
        """A value: a field, a literal, an operation, a function, a sub-select."""
        write = _SCALARS.get(type(node))
        if write is not None:
            return write(self, node)
        return function(self, node)

    def literal(self, node: Any) -> Value:
        """A literal, by the name that took its place."""
        name = node.this.name
        return Value(kind="text" if name[0] == "s" else "number", slot=int(name[1:]))

    def negative(self, node: Any) -> Value:
        """A minus before a value."""
        value = self.scalar(node.this)
        if value.slot is not None:
            return Value(kind="number", slot=value.slot, sign=-value.sign)
        return Value(f"(-{value.sql})", value.kind)

    def truth(self, _node: Any) -> Value:
        """TRUE and FALSE, which T-SQL does not have."""
        raise bad_query("a Yes/No field is compared with 1 or 0")

    def subquery(self, node: Any) -> Value:
        """A sub-select that stands for a value."""
        sql, kinds = self.subselect(node.this)
        if len(kinds) != 1:
            raise sql_error("Only one expression can be specified in the select list of a sub-select.")
        if kinds[0] == "list":
            raise sql_error("A list field cannot be computed with.")
        return Value(sql, kinds[0])

    def column(self, node: Any) -> Value:
        """A field, looked up from the innermost SELECT outwards."""
        name, table = node.name.lower(), node.table.lower()
        if name in _RESERVED and not node.this.quoted:
            raise sql_error(f"Incorrect syntax near the keyword '{node.name}'.")
        for relation in reversed(self.scopes):
            if table and table not in relation.names:
                continue
            column = relation.columns.get(name)
            if column is not None:
                if column.kind == "password":
                    raise bad_query(f"field '{column.name}' is a password")
                return Value(column.sql.replace("{}", relation.alias), column.kind, column=column)
        raise self.unknown(node.name)

    def arithmetic(self, node: Any) -> Value:
        """+ - * / %; + joins texts."""
        left, right = self.read(node.this), self.read(node.expression)
        operator = _ARITHMETIC[type(node)]
        if operator == "+" and left.kind == right.kind == "text":
            return Value(f"({left.sql} || {right.sql})", "text")
        if "date" in {left.kind, right.kind} or "list" in {left.kind, right.kind}:
            raise sql_error(f"Operand data type is invalid for operator '{operator}'.")
        kind = "integer" if left.kind == right.kind == "integer" else "number"
        return Value(f"({self.aligned(left, kind)} {operator} {self.aligned(right, kind)})", kind)

    def case(self, node: Any) -> Value:
        """CASE WHEN."""
        if node.this is not None:
            raise sql_error("Incorrect syntax near the keyword 'CASE'.")
        arms = [(self.condition(arm.this), self.read(arm.args["true"])) for arm in node.args["ifs"]]
        last = (
            self.read(node.args["default"]) if node.args.get("default") is not None else Value("NULL", arms[0][1].kind)
        )
        if "list" in {last.kind, *(value.kind for _test, value in arms)}:
            raise sql_error("A list field cannot be computed with.")
        written = " ".join(f"WHEN {test} THEN {value.sql}" for test, value in arms)
        return Value(f"(CASE {written} ELSE {last.sql} END)", arms[0][1].kind)

    def window(self, node: Any) -> Value:
        """An aggregate or ROW_NUMBER() OVER (..)."""
        inner = self.scalar(node.this)
        parts = []
        if node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(self.text(item) for item in node.args["partition_by"]))
        if node.args.get("order") is not None:
            parts.append("ORDER BY " + ", ".join(self.ordered(item) for item in node.args["order"].expressions))
        return Value(f"({inner.sql} OVER ({' '.join(parts)}))", inner.kind)

    def ordered(self, node: Any, *, second: bool = False) -> str:
        """One term of an ORDER BY; `second` if others stand before it."""
        value = self.scalar(node.this)
        if value.slot is not None or value.kind == "list":
            raise sql_error("A constant or list expression was encountered in the ORDER BY list.")
        name = (self.second(node.this) if second else "") or self.aligned(value, value.kind)
        return f"{name} {'DESC' if node.args.get('desc') else 'ASC'}"

    # ---- sub-selects

    def subselect(self, node: Any) -> tuple[str, list[str]]:
        """A sub-select and the kinds of its columns."""
        parts = {key for key, value in node.args.items() if value} if isinstance(node, exp.Select) else {"kind"}
        if not parts <= {"expressions", "from_", "where", "group"}:
            raise sql_error("A sub-select may hold SELECT, FROM, WHERE and GROUP BY.")
        table = node.args["from_"].this if node.args.get("from_") is not None else None
        if not isinstance(table, exp.Table):
            raise sql_error("A sub-select reads one table or view.")
        self.scopes.append(self.resolve(table.name, table.alias, f"r{len(self.scopes)}"))
        try:
            values = [self.read(item.this if isinstance(item, exp.Alias) else item) for item in node.expressions]
            relation = self.scopes[-1]
            sql = f"SELECT {', '.join(value.sql for value in values)} FROM {relation.sql} AS {relation.alias}"
            if node.args.get("where") is not None:
                sql += f" WHERE {self.condition(node.args['where'].this)}"
            if node.args.get("group") is not None:
                sql += " GROUP BY " + ", ".join(self.text(item) for item in node.args["group"].expressions)
        finally:
            self.scopes.pop()
        return f"({sql})", [value.kind for value in values]


_OPERATORS = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_CONDITIONS: dict[type, Callable[[Expressions, Any], str]] = {
    exp.Paren: lambda to, node: f"({to.condition(node.this)})",
    exp.And: Expressions.both,
    exp.Or: Expressions.either,
    exp.Not: lambda to, node: f"(NOT {to.condition(node.this)})",
    exp.Exists: lambda to, node: f"EXISTS {to.subselect(node.this)[0]}",
    exp.Is: Expressions.null,
    exp.Between: Expressions.between,
    exp.In: lambda to, node: _negated(node, to.membership(node)),
    exp.Escape: Expressions.escaped,
    exp.Like: lambda to, node: to.like(node, "NULL"),
}
_SCALARS: dict[type, Callable[[Expressions, Any], Value]] = {
    exp.Column: Expressions.column,
    exp.Parameter: Expressions.literal,
    exp.Neg: Expressions.negative,
    exp.Paren: lambda to, node: to.scalar(node.this),
    exp.Null: lambda _to, _node: Value("NULL", "text"),
    exp.Boolean: Expressions.truth,
    exp.Subquery: Expressions.subquery,
    exp.Case: Expressions.case,
    exp.Window: Expressions.window,
    **dict.fromkeys(_ARITHMETIC, Expressions.arithmetic),
}


def _negated(node: Any, sql: str) -> str:
    return f"(NOT {sql})" if node.args.get("negate") else sql
