"""q.select, q.where, q.groupBy and q.orderBy as one SQLite statement (3.1 to 3.3).

The texts are cut into a shape and its literals, the shape is parsed once as T-SQL and translated by an allow-list of
nodes, and the statement is kept: the next keyset page costs a dictionary look-up.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from caspio_sync.sandbox.caspio.behaviour import Refusal, bad_query, sql_error
from caspio_sync.sandbox.caspio.bindings import Bindings
from caspio_sync.sandbox.caspio.calls import is_aggregate
from caspio_sync.sandbox.caspio.expressions import Expressions
from caspio_sync.sandbox.caspio.fields import PK_ID
from caspio_sync.sandbox.caspio.values import Relation, Value

_TOKEN = re.compile(
    r"(?P<text>(?<![\w'])[Nn]?'(?:[^']|'')*')"
    r'|(?P<name>"[^"]*"|\[[^\]]*\])'
    r"|(?P<refused>--|/\*|[;@#\\]|')"
    r"|(?P<number>(?<![\w.$])\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?!\w))"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The texts of a request without their literals: what a translation depends on."""

    select: str
    where: str
    group_by: str
    order_by: str


def take_literals(*texts: str) -> tuple[list[str], tuple[str, ...]]:
    """The texts with `@s0`, `@n1`, … in place of their literals, and the literals.

    Equal literals share a name, so that a shape tells whether two of them are equal.

    Raises:
        Refusal: comments, variables, statement ends and unclosed quotes.
    """
    found: dict[tuple[str, str], int] = {}

    def replace(match: re.Match[str]) -> str:
        if match["name"]:
            return match[0]
        if match["refused"]:
            raise sql_error(f"Incorrect syntax near '{match[0]}'.")
        text = match["number"] or match[0][match[0].index("'") + 1 : -1].replace("''", "'")
        kind = "n" if match["number"] else "s"
        return f"@{kind}{found.setdefault((kind, text), len(found))}"

    shapes = [_TOKEN.sub(replace, text) for text in texts]
    return shapes, tuple(text for _kind, text in found)


@dataclass(frozen=True, slots=True)
class Output:
    """A column of an answer that is computed, not cut from stored records."""

    name: str
    kind: str
    items: dict[int, Any] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A translated request.

    Args:
        sql: reads PK_ID, row and ends of records, or the `outputs`.
        bindings: its parameters.
        count_sql: counts all matching records.
        count_bindings: how many of the parameters, from the first, `count_sql` takes.
        names: the fields to show, for records.
        outputs: the computed columns, None for records.
    """

    sql: str
    bindings: Bindings
    count_sql: str
    count_bindings: int
    names: tuple[str, ...]
    outputs: tuple[Output, ...] | None


def parse(text: str, into: Any) -> Any:
    """A text as a T-SQL node; Refusal where the database below would find a syntax error."""
    try:
        return sqlglot.parse_one(text, dialect="tsql", into=into)
    except SqlglotError:
        raise sql_error("Incorrect syntax in the query.") from None


def parse_select(clause: str, allowed: set[str]) -> Any:
    """A SELECT made of one clause of the request; anything smuggled in behind it is refused."""
    node = parse(clause, exp.Select)
    extra = {key for key, value in node.args.items() if value} - allowed
    if extra:
        raise sql_error("Incorrect syntax in the query.")
    return node


class Translation:
    """Translates requests for one table or view.

    Args:
        relation: what is read.
        resolve: tables and views by name, for sub-selects.
        unknown: the refusal of an unknown field.
        inline: literals to write into the SQL itself.
    """

    def __init__(
        self,
        relation: Relation,
        resolve: Callable[[str, str, str], Relation],
        unknown: Callable[[str], Refusal],
        inline: tuple[str, ...] | None = None,
    ) -> None:
        self._relation = relation
        self._bindings = Bindings()
        self._to = Expressions(self._bindings, resolve, unknown, inline, [relation])

    def condition(self, where: str) -> tuple[str, Bindings]:
        """A WHERE clause alone, for updates and deletes."""
        return self._to.condition(parse(where, exp.Condition)) if where else "1", self._bindings

    def statement(
        self, shape: Shape, *, paged: bool, shuffled: bool, limited: bool, paged_aggregates: bool
    ) -> Statement:
        """The whole request.

        Args:
            shape: its texts.
            paged: whether q.pageNumber or q.pageSize is given.
            shuffled: whether rows that q.orderBy leaves open come in another order each time.
            limited: whether q.limit, q.pageNumber or q.pageSize is given.
            paged_aggregates: whether an aggregate without groups may be limited.
        """
        items = self._items(shape.select)
        group = self._group(shape.group_by)
        having = group.args.get("having") if group is not None else None
        keys = group.args["group"].expressions if group is not None else []
        computed = bool(keys) or any(not isinstance(item, exp.Column | exp.Star) for item in items)
        aggregate = any(_aggregates(item) for item in items)
        if aggregate and not keys and limited and not paged_aggregates:
            raise sql_error("An aggregate without q.groupBy cannot be limited or paged.")
        if keys or aggregate:
            self._check_grouped(items, keys)
        where = self._to.condition(parse(shape.where, exp.Condition)) if shape.where else "1"
        source = f"FROM {self._relation.sql} AS {self._relation.alias} WHERE {where}"
        if keys:
            source += " GROUP BY " + ", ".join(
                self._to.ordered(exp.Ordered(this=key)).rpartition(" ")[0] for key in keys
            )
        if having is not None:
            source += f" HAVING {self._to.condition(having.this)}"
        count_bindings = len(self._bindings.made)
        outputs = self._outputs(items) if computed else None
        order = self._order(shape.order_by, items, open_ties=not (keys or aggregate), shuffled=shuffled)
        columns = ", ".join(sql for sql, _output in outputs) if outputs is not None else self._record_columns()
        tail = order
        if not (aggregate and not keys):
            tail += f" LIMIT {self._bindings.add(lambda call: call.limit)}"
        if paged and not (aggregate and not keys):
            tail += f" OFFSET {self._bindings.add(lambda call: call.offset)}"
        return Statement(
            sql=f"SELECT {columns} {source}{tail}",
            bindings=self._bindings,
            count_sql=f"SELECT COUNT(*) FROM (SELECT 1 {source})",
            count_bindings=count_bindings,
            names=tuple(self._names(items)),
            outputs=tuple(output for _sql, output in outputs) if outputs is not None else None,
        )

    def _record_columns(self) -> str:
        alias = self._relation.alias
        return f"{alias}.PK_ID, {alias}._row, {alias}._ends"

    def _items(self, select: str) -> list[Any]:
        if not select:
            return [exp.Star()]
        items: list[Any] = parse_select(f"SELECT {select}", {"expressions"}).expressions
        return items

    def _group(self, group_by: str) -> Any:
        return parse_select(f"SELECT x GROUP BY {group_by}", {"expressions", "group", "having"}) if group_by else None

    def _check_grouped(self, items: list[Any], keys: list[Any]) -> None:
        grouped = {_spelled(key) for key in keys}
        for item in items:
            if isinstance(item, exp.Star):
                raise sql_error("A select list with groups or aggregates names its columns.")
            loose = _loose_column(item, grouped)
            if loose is not None:
                raise sql_error(
                    f"Column '{loose.name}' is invalid in the select list because it is not contained in either an"
                    " aggregate function or the GROUP BY clause."
                )

    def _names(self, items: list[Any]) -> list[str]:
        names = []
        for item in items:
            if isinstance(item, exp.Star):
                readable = (column for column in self._relation.columns.values() if column.kind != "password")
                names += [column.name for column in readable]
            elif isinstance(item, exp.Column):
                found = self._to.column(item).column
                names.append(found.name if found is not None else item.name)
        return names

    def _outputs(self, items: list[Any]) -> list[tuple[str, Output]]:
        outputs = []
        for number, item in enumerate(items, start=1):
            if isinstance(item, exp.Star):
                raise sql_error("A select list with expressions names its columns.")
            value: Value = self._to.read(item.this if isinstance(item, exp.Alias) else item)
            column = value.column
            # A column without a name gets one from the data set it passes through (INF).
            name = item.alias or (column.name if column is not None else f"Column{number}")
            outputs.append((value.sql, Output(name, value.kind, column.items if column is not None else None)))
        return outputs

    def _order(self, order_by: str, items: list[Any], *, open_ties: bool, shuffled: bool) -> str:
        terms: list[str] = []
        complete = False
        if order_by:
            aliases = {item.alias.lower(): item.this for item in items if isinstance(item, exp.Alias)}
            for term in (
                parse_select(f"SELECT x ORDER BY {order_by}", {"expressions", "order"}).args["order"].expressions
            ):
                named = aliases.get(term.name.lower()) if isinstance(term.this, exp.Column) else None
                ordered = exp.Ordered(this=named, desc=term.args.get("desc")) if named is not None else term
                terms.append(self._to.ordered(ordered, second=bool(terms)))
                complete = complete or self._unique(ordered.this)
        if open_ties and not complete:
            terms.append(self._tie(shuffled=shuffled))
        return f" ORDER BY {', '.join(terms)}" if terms else ""

    def _unique(self, node: Any) -> bool:
        column = self._to.column(node).column if isinstance(node, exp.Column) else None
        return column is not None and column.unique

    def _tie(self, *, shuffled: bool) -> str:
        key = f"{self._relation.alias}.{PK_ID}"
        return f"({key} * {self._bindings.add(lambda call: call.shuffle)}) % 1000003" if shuffled else key


def _aggregates(item: Any) -> bool:
    for node in item.find_all(exp.AggFunc):
        if not is_aggregate(node):
            continue
        if not any(isinstance(parent, exp.Window | exp.Select) for parent in _ancestors(node, item)):
            return True
    return False


def _spelled(node: Any) -> str:
    """An expression as a GROUP BY knows it again in the select list."""
    return str(node.name if isinstance(node, exp.Column) else node.sql(dialect="tsql")).lower()


def _loose_column(node: Any, grouped: set[str]) -> Any:
    """A column that stands neither in an aggregate nor in an expression that is grouped by, None where all do."""
    if is_aggregate(node) or isinstance(node, exp.Select) or _spelled(node) in grouped:
        return None
    if isinstance(node, exp.Column):
        return node
    found = (_loose_column(part, grouped) for part in node.iter_expressions())
    return next((column for column in found if column is not None), None)


def _ancestors(node: Any, top: Any) -> list[Any]:
    found = []
    while node is not top and node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def refuse_options(parameters: Mapping[str, str]) -> None:
    """q.sort is wrong; other unknown parameters pass in silence (3.1)."""
    if "sort" in parameters:
        raise bad_query("q.sort")
