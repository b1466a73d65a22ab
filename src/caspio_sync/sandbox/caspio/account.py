"""The emulated account: its tables and views by name, and the records read from and written to them."""

import random
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour, Refusal, bad_body, no_field, no_object, sql_error
from caspio_sync.sandbox.caspio.bindings import Bindings, Call
from caspio_sync.sandbox.caspio.bulk_import import prepared_frame
from caspio_sync.sandbox.caspio.fields import NAME, PK_ID, Field, read_field, show
from caspio_sync.sandbox.caspio.functions import connect
from caspio_sync.sandbox.caspio.query import Shape, Statement, Translation, take_literals
from caspio_sync.sandbox.caspio.records import Projection
from caspio_sync.sandbox.caspio.tables import Table
from caspio_sync.sandbox.caspio.time import wall_clock
from caspio_sync.sandbox.caspio.values import Column, Relation

KEPT_STATEMENTS = 512


@dataclass(frozen=True, slots=True)
class View:
    """Some fields, and perhaps some rows, of one table.

    Args:
        name: the view's name.
        table: the table's name.
        fields: names of the fields shown.
        where: T-SQL, "" for all rows.
    """

    name: str
    table: str
    fields: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A GET records request, checked (3.1).

    Args:
        select: q.select, "" for all fields.
        where: q.where, "" for all rows.
        group_by: q.groupBy, "" for none.
        order_by: q.orderBy, "" for none.
        limit: how many records at most.
        offset: how many come before, in page mode.
        paged: whether q.pageNumber or q.pageSize was given.
        limited: whether q.limit, q.pageNumber or q.pageSize was given.
        counted: whether the number of all matching records is wanted.
    """

    select: str = ""
    where: str = ""
    group_by: str = ""
    order_by: str = ""
    limit: int = 100
    offset: int = 0
    paged: bool = False
    limited: bool = False
    counted: bool = False


class Account:
    """Tables and views in one SQLite database.

    Args:
        behaviour: switches of the account and service.
        clock: stamps rows, and is what GETDATE() reads.
        database: file that holds the tables, None for memory.
    """

    def __init__(self, behaviour: CaspioBehaviour, clock: Clock, database: Path | None) -> None:
        self.behaviour = behaviour
        self.clock = clock
        self._db = connect(str(database) if database else ":memory:")
        self._random = random.Random(behaviour.seed)  # noqa: S311 - reproducible, guards nothing
        self._zone = ZoneInfo(behaviour.account_time_zone)
        self.tables: dict[str, Table] = {}
        self.views: dict[str, View] = {}
        self._translated = lru_cache(KEPT_STATEMENTS)(self._translate)
        self._conditions = lru_cache(KEPT_STATEMENTS)(self._condition)
        self._db.execute("CREATE TABLE IF NOT EXISTS _caspio (name TEXT PRIMARY KEY, kind TEXT, definition BLOB)")
        self._open()

    def close(self) -> None:
        """Close the database; a table in memory is gone."""
        self._db.close()

    def _open(self) -> None:
        for name, kind, definition in self._db.execute("SELECT name, kind, definition FROM _caspio ORDER BY rowid"):
            read = orjson.loads(definition)
            if kind == "view":
                self.views[name.lower()] = View(name, read["table"], tuple(read["fields"]), read["where"])
                continue
            fields = [read_field(model, order) for order, model in enumerate(read["fields"], start=1)]
            table = Table(self._db, name, fields, self.behaviour)
            # SQLite's own sequence, so that the PK_ID of a deleted last row is not given again (3.2).
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
            table.next_pk = (last[0] if last else 0) + 1
            self.tables[name.lower()] = table

    def _keep(self, name: str, kind: str, definition: Mapping[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO _caspio VALUES (?, ?, ?)", (name, kind, orjson.dumps(definition)))
        self._translated.cache_clear()
        self._conditions.cache_clear()

    def _keep_table(self, table: Table) -> None:
        self._keep(table.name, "table", {"fields": [field.as_written() for field in table.fields]})

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except sqlite3.OperationalError as error:
            self._db.execute("ROLLBACK")
            raise failed(error) from error
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ---- definitions

    def table(self, name: str) -> Table:
        """A table by its name in any case (2.1)."""
        found = self.tables.get(name.lower())
        if found is None:
            raise no_object(name)
        return found

    def view(self, name: str) -> View:
        """A view by its name in any case."""
        found = self.views.get(name.lower())
        if found is None:
            raise no_object(name)
        return found

    def create_table(self, name: str, models: Sequence[Any]) -> Table:
        """A new, empty table from fields in their write shape."""
        if NAME.fullmatch(name) is None or name.lower() in self.tables or name.lower() in self.views:
            raise bad_body(f"'{name}' is not a name for a new table")
        fields = [read_field(model, order) for order, model in enumerate(models, start=1)]
        if not fields or len({field.name.lower() for field in fields}) < len(fields):
            raise bad_body("a table needs fields, each with a name of its own")
        table = Table(self._db, name, fields, self.behaviour)
        with self._transaction():
            table.create()
            self._keep_table(table)
        self.tables[name.lower()] = table
        return table

    def create_view(self, name: str, table: str, fields: Sequence[str], where: str) -> View:
        """A new view over one table."""
        base = self.table(table)
        if NAME.fullmatch(name) is None or name.lower() in self.tables or name.lower() in self.views:
            raise bad_body(f"'{name}' is not a name for a new view")
        unknown = [field for field in fields if field.lower() not in base.by_name]
        if unknown:
            raise no_field(unknown)
        view = View(name, base.name, tuple(base.by_name[field.lower()].name for field in fields), where)
        self._view_relation(view, "r0")
        self._keep(name, "view", {"table": view.table, "fields": view.fields, "where": where})
        self.views[name.lower()] = view
        return view

    def change_fields(self, table: Table, fields: Sequence[Field], renamed: Mapping[str, str]) -> None:
        """Give a table other fields; `renamed` leads new names to those whose values are kept."""
        before = table.fields
        try:
            with self._transaction():
                table.rebuild(fields, renamed)
                self._keep_table(table)
        except BaseException as error:
            table.set_fields(before)
            if isinstance(error, sqlite3.IntegrityError):
                raise table.unique_violation(error) from error
            raise

    # ---- records

    def edit_unstamped(self, table: Table, statement: str) -> None:
        """Change rows by SQLite's own SQL, behind Caspio's back: no timestamp moves."""
        self._db.execute(statement)
        self.change_fields(table, table.fields, {field.name: field.name for field in table.fields})

    def renumber(self, table: Table) -> None:
        """The next row gets PK_ID 1, as in a table that was made anew."""
        self._db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
        table.next_pk = 1

    def insert(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> range:
        """Add rows in one transaction; their PK_IDs."""
        with self._transaction():
            return table.insert(rows, self.clock.now())

    def insert_frames(self, table: Table, frames: Iterable[pl.DataFrame]) -> range:
        """Add rows column by column (see caspio_import.py), in one transaction; their PK_IDs."""
        first = pk = table.next_pk
        now = self.clock.now()
        with self._transaction():
            for frame in frames:
                table.insert_prepared(prepared_frame(table, frame, pk, now))
                pk += frame.height
        table.next_pk = pk
        return range(first, pk)

    def update(self, table: Table, values: Mapping[str, Any], where: str) -> list[int]:
        """Change all rows that `where` (T-SQL) finds; their PK_IDs."""
        condition, parameters = self.condition(table, where)
        with self._transaction():
            return table.update(values, condition, parameters, self.clock.now())

    def delete(self, table: Table, where: str) -> int:
        """Delete all rows that `where` (T-SQL) finds; how many."""
        condition, parameters = self.condition(table, where)
        with self._transaction():
            return self._db.execute(f'DELETE FROM "{table.name}" AS r0 WHERE {condition}', parameters).rowcount

    def records(self, table: Table, keys: Sequence[int]) -> bytes:
        """The records with these PK_IDs, all fields, as a JSON array in PK_ID order."""
        listed = ",".join(map(str, keys))
        rows = self._db.execute(
            f'SELECT PK_ID, _row, _ends FROM "{table.name}" WHERE PK_ID IN ({listed}) ORDER BY PK_ID'
        )
        return table.shape.projection(table.shape.names, pk="number").page(rows.fetchall())

    def matching(self, table: Table, where: str) -> dict[int, dict[str, Any]]:
        """The records that `where` (T-SQL) finds, all fields, by PK_ID."""
        condition, parameters = self.condition(table, where)
        rows = self._db.execute(f'SELECT _row FROM "{table.name}" AS r0 WHERE {condition}', parameters)
        records = [orjson.loads(row[:-1]) for (row,) in rows]
        return {record[PK_ID]: record for record in records}

    def all_records(self, table: Table) -> list[dict[str, Any]]:
        """Every record of a table as REST shows it, in PK_ID order."""
        rows = self._db.execute(f'SELECT _row FROM "{table.name}" ORDER BY PK_ID')
        return [orjson.loads(row[:-1]) for (row,) in rows]

    def condition(self, table: Table, where: str) -> tuple[str, list[Any]]:
        """A T-SQL condition on a table as SQLite's, and its parameters."""
        (shape,), literals = take_literals(where)
        sql, bindings = self._conditions(table.name, shape)
        return sql, bindings.fill(self._call(literals, 0, 0))

    def _condition(self, table: str, shape: str) -> tuple[str, Bindings]:
        relation = self._table_relation(self.table(table), "r0")
        return Translation(relation, self.resolve, self._unknown).condition(shape)

    def read(self, name: str, reading: Reading, *, is_view: bool) -> tuple[bytes, int | None]:
        """The records of a request as a JSON array, and how many match where that is asked.

        Raises:
            Refusal: as the API answers a query that it does not take.
        """
        clauses = (reading.select, reading.where, reading.group_by, reading.order_by)
        shapes, literals = take_literals(*clauses)
        if not self.behaviour.bracketed_names and any("[" in shape for shape in shapes):
            raise sql_error("Incorrect syntax near '['.")
        name = self.view(name).name if is_view else self.table(name).name
        statement, cut = self._translated(name, is_view, Shape(*shapes), reading.paged, reading.limited)
        parameters = statement.bindings.fill(self._call(literals, reading.limit, reading.offset))
        try:
            rows = self._db.execute(statement.sql, parameters).fetchall()
            count = parameters[: statement.count_bindings]
            total = self._db.execute(statement.count_sql, count).fetchone()[0] if reading.counted else None
        except sqlite3.OperationalError as error:
            raise failed(error) from error
        if statement.outputs is None:
            return cut.page(rows), total
        return computed(statement, rows), total

    def _translate(
        self, name: str, is_view: bool, shape: Shape, paged: bool, limited: bool
    ) -> tuple[Statement, Projection]:
        relation = (
            self._view_relation(self.view(name), "r0") if is_view else self._table_relation(self.table(name), "r0")
        )
        unordered = self.behaviour.unordered
        statement = Translation(relation, self.resolve, self._unknown).statement(
            shape,
            paged=paged,
            limited=limited,
            shuffled=unordered == "always" or (unordered == "limit" and not paged),
            paged_aggregates=self.behaviour.paged_aggregates,
        )
        shown = PK_ID in statement.names if shape.select else self.behaviour.star_has_pk
        pk = ("text" if is_view else "number") if shown else None
        base = self.table(self.view(name).table if is_view else name)
        return statement, base.shape.projection(statement.names, pk=pk)

    def _call(self, literals: tuple[str, ...], limit: int, offset: int) -> Call:
        now = self.clock.now()
        return Call(
            literals=literals,
            now=wall_clock(now, self._zone, milliseconds=True),
            utc_now=wall_clock(now, ZoneInfo("UTC"), milliseconds=True),
            # Odd, and small enough for a product with any PK_ID to stay an integer.
            shuffle=self._random.randrange(100_001, 1_000_001, 2),
            limit=limit,
            offset=offset,
        )

    # ---- names in queries

    def resolve(self, name: str, alias: str, sql_alias: str) -> Relation:
        """A table, or a view by `_v_<View>`, in a sub-select (3.3)."""
        if name.lower().startswith("_v_"):
            relation = self._view_relation(self.view(name[3:]), sql_alias)
        else:
            relation = self._table_relation(self.table(name), sql_alias)
        names = frozenset({alias.lower()}) if alias else frozenset({name.lower()})
        return Relation(names, relation.alias, relation.sql, relation.columns)

    def _table_relation(self, table: Table, alias: str) -> Relation:
        if table.name in self.behaviour.hidden_objects:
            raise forbidden(table.name)
        columns = {PK_ID.lower(): Column(PK_ID, "integer", "{}.PK_ID", unique=True, second="{}._pk")}
        columns.update({field.name.lower(): _column(field) for field in table.fields})
        return Relation(frozenset({table.name.lower()}), alias, f'"{table.name}"', columns)

    def _view_relation(self, view: View, alias: str) -> Relation:
        if view.name in self.behaviour.hidden_objects:
            raise forbidden(view.name)
        table = self.table(view.table)
        # A view's PK_ID is a text: the list of its rows' PK_IDs in the tables below (2.3).
        columns = {PK_ID.lower(): Column(PK_ID, "text", "CAST({}.PK_ID AS TEXT)")}
        columns.update({name.lower(): _column(table.by_name[name.lower()]) for name in view.fields})
        sql = f'"{table.name}"'
        if view.where:
            (shape,), literals = take_literals(view.where)
            inner = self._table_relation(table, "base")
            translation = Translation(inner, self.resolve, self._unknown, inline=literals)
            sql = f"(SELECT * FROM {sql} AS base WHERE {translation.condition(shape)[0]})"
        names = frozenset({view.name.lower(), f"_v_{view.name.lower()}"})
        return Relation(names, alias, sql, columns)

    def _unknown(self, name: str) -> Refusal:
        if self.behaviour.unknown_field == "not_found":
            return no_field([name])
        return sql_error(f"Invalid column name '{name}'.")


def _column(field: Field) -> Column:
    strict = field.unique and not field.unique_allow_nulls
    return Column(
        name=field.name,
        kind=field.kind,
        sql=f'{{}}."{field.name}"',
        folded=strict and field.kind == "text",
        unique=strict,
        items=field.list_field or None,
    )


def computed(statement: Statement, rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows of computed columns as a JSON array."""
    outputs = statement.outputs or ()
    names = [orjson.dumps(output.name) for output in outputs]
    shown = []
    for row in rows:
        cells = zip(names, outputs, row, strict=True)
        shown.append(
            b"{" + b",".join(name + b":" + show(value, out.kind, out.items) for name, out, value in cells) + b"}"
        )
    return b"[" + b",".join(shown) + b"]"


def forbidden(name: str) -> Refusal:
    """403 for an object outside the profile's rights; the body's Code is not documented since release 73.0 (INF)."""
    return Refusal(403, "Forbidden", f"The profile has no permission for '{name}'.")


def failed(error: sqlite3.OperationalError) -> Refusal:
    """The refusal of a query that fails while it runs; anything but a failed conversion is the emulator's own fault."""
    if "user-defined function" in str(error):
        return sql_error("Conversion failed when converting a character string to data type float.")
    if "misuse of" in str(error) or "aggregate functions" in str(error):
        return sql_error("An aggregate or window may not appear in that clause.")
    raise error
