"""Many rows in one statement, on the database's own cursor: SQLAlchemy's row handling would cost ten times the work."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

import polars as pl
import sqlalchemy as sa

# Rows a statement, as many as a request takes. The interpreter's lock is given up once a statement instead of
# once a row, which matters beside busy threads; larger statements bind no faster.
_ROWS_A_STATEMENT = 75
_ROWS_A_COPY = 500  # from this many on, a table to copy them to pays
# Small enough that a chunk's Python objects are still in the processor's cache when they become columns.
_ROWS_A_FETCH = 2_000
_VALUES_A_LIST = 5_000

Constant = str | int | None
Merge = Literal["sum", "min", "max"]
_NOTHING: Mapping[str, Merge] = MappingProxyType({})


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: pl.DataFrame,
    *,
    constants: Mapping[str, Constant],
    update: Sequence[str] = (),
    merge: Mapping[str, Merge] = _NOTHING,
) -> None:
    """Insert rows; where the primary key is taken, overwrite the columns named in `update` and add to those in `merge`.

    Args:
        connection: in a write transaction.
        table: where to.
        rows: columns named as the table's.
        constants: further columns whose value all rows share.
        update: columns to overwrite; the others of a present row stay.
        merge: columns that become the sum, the least or the greatest of what is there and what comes; of a null and a
            value the value (a sum's never are null). Texts are compared by their bytes.
    """
    values = rows.rows()
    if not values:
        return
    if merge and len(values) >= _ROWS_A_COPY and connection.dialect.name == "postgresql":
        _copy(connection, table, rows.columns, values, constants=constants, update=update, merge=merge)
        return

    def statement(count: int) -> str:
        return upsert_statement(
            connection.dialect,
            table,
            columns=rows.columns,
            count=count,
            constants=constants,
            update=update,
            merge=merge,
        )

    whole = len(values) - len(values) % _ROWS_A_STATEMENT
    if whole:
        full = statement(_ROWS_A_STATEMENT)
        for start in range(0, whole, _ROWS_A_STATEMENT):
            connection.exec_driver_sql(full, tuple(chain.from_iterable(values[start : start + _ROWS_A_STATEMENT])))
    if whole < len(values):
        connection.exec_driver_sql(statement(1), values[whole:])


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    values: Sequence[tuple[object, ...]],
    *,
    constants: Mapping[str, Constant],
    update: Sequence[str],
    merge: Mapping[str, Merge],
) -> None:
    """As `upsert`, by way of a table that lasts as long as the transaction: a quarter of the time in PostgreSQL."""
    dialect, names = connection.dialect, ",".join(quoted(connection.dialect, columns))
    staging, name = f"incoming_{table.name}", dialect.identifier_preparer.quote(table.name)
    fixed = ",".join([*(literal(dialect, value) for value in constants.values()), names])
    into = ",".join(quoted(dialect, [*constants, *columns]))
    cursor: Any = connection.connection.cursor()  # the driver's own: SQLAlchemy knows no COPY
    try:
        cursor.execute(f"CREATE TEMP TABLE {staging} ON COMMIT DROP AS SELECT {names} FROM {name} WITH NO DATA")
        with cursor.copy(f"COPY {staging} ({names}) FROM STDIN") as copy:
            for row in values:
                copy.write_row(row)
        conflict = on_conflict(dialect, table, update, merge)
        cursor.execute(f"INSERT INTO {name} ({into}) SELECT {fixed} FROM {staging} {conflict}")
        cursor.execute(f"DROP TABLE {staging}")
    finally:
        cursor.close()


def select_frame(
    connection: sa.Connection, statement: str, parameters: Sequence[Constant], schema: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """What a statement yields, as a frame of `schema`, whose columns stand in the statement's order."""
    empty = pl.DataFrame(schema=schema)
    result = connection.exec_driver_sql(placeholders(connection.dialect, statement), tuple(parameters))
    try:
        frames = [_framed(columns, schema) for columns in _fetched(result)]
    finally:
        result.close()
    return pl.concat([empty, *frames], rechunk=True)


def select_among(
    connection: sa.Connection,
    statement: str,
    parameters: Sequence[Constant],
    values: pl.Series,
    schema: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """As `select_frame`, of a statement that ends in the column which is to be one of these integers."""
    some = (f"{statement} IN ({numbers})" for numbers in integer_lists(values))
    return pl.concat(
        [pl.DataFrame(schema=schema), *(select_frame(connection, each, parameters, schema) for each in some)]
    )


def integer_lists(values: pl.Series) -> Iterator[str]:
    """Integers as the insides of `IN (…)`, sorted and cut to what a database parses at ease."""
    numbers = values.drop_nulls().unique().sort().cast(pl.String)
    for start in range(0, len(numbers), _VALUES_A_LIST):
        yield ",".join(numbers[start : start + _VALUES_A_LIST].to_list())


def signed(hashes: pl.Series) -> pl.Series:
    """Hashes as the database's signed BIGINT: the bits of a UInt64 stay what they are."""
    return hashes.reinterpret(signed=True) if hashes.dtype == pl.UInt64 else hashes.cast(pl.Int64)


def placeholders(dialect: sa.Dialect, statement: str) -> str:
    """The statement with `?` in the driver's own spelling; it may hold neither `?` nor `%` otherwise."""
    return statement if dialect.name == "sqlite" else statement.replace("?", "%s")


def _fetched(result: sa.CursorResult[tuple[object, ...]]) -> Iterator[Iterator[tuple[object, ...]]]:
    cursor = result.cursor
    while cursor is not None and (rows := cursor.fetchmany(_ROWS_A_FETCH)):
        yield zip(*rows, strict=True)


def _framed(columns: Iterator[tuple[object, ...]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(
        [pl.Series(name, values, dtype=dtype) for (name, dtype), values in zip(schema.items(), columns, strict=True)]
    )


def upsert_statement(
    dialect: sa.Dialect,
    table: sa.Table,
    *,
    columns: Sequence[str],
    count: int,
    constants: Mapping[str, Constant],
    update: Sequence[str],
    merge: Mapping[str, Merge] = _NOTHING,
) -> str:
    """INSERT of `count` rows with one mark a column; `update` and `merge` say what to do where the key is taken."""
    fixed = [literal(dialect, value) for value in constants.values()]
    mark = placeholders(dialect, "?")
    one = f"({','.join([*fixed, *[mark] * len(columns)])})"
    into = ",".join(quoted(dialect, [*constants, *columns]))
    return (
        f"INSERT INTO {dialect.identifier_preparer.quote(table.name)} ({into}) VALUES {','.join([one] * count)} "
        + on_conflict(dialect, table, update, merge)
    )


def quoted(dialect: sa.Dialect, names: Sequence[str]) -> list[str]:
    """Names of columns as a statement holds them."""
    return [dialect.identifier_preparer.quote(name) for name in names]


def on_conflict(dialect: sa.Dialect, table: sa.Table, update: Sequence[str], merge: Mapping[str, Merge]) -> str:
    """The end of an INSERT: what becomes of a row whose primary key is taken."""
    quote = dialect.identifier_preparer.quote
    key = ",".join(quote(column.name) for column in table.primary_key)
    changes = ",".join(
        [f"{quote(name)}=excluded.{quote(name)}" for name in update]
        + [f"{quote(name)}={_merged(dialect, table.c[name], how)}" for name, how in merge.items()]
    )
    return f"ON CONFLICT ({key}) DO UPDATE SET {changes}" if changes else f"ON CONFLICT ({key}) DO NOTHING"


def _merged(dialect: sa.Dialect, column: sa.Column[Any], how: Merge) -> str:
    quote = dialect.identifier_preparer.quote
    there, comes = f"{quote(column.table.name)}.{quote(column.name)}", f"excluded.{quote(column.name)}"
    if how == "sum":
        return f"{there}+{comes}"
    if dialect.name == "sqlite":  # whose two-valued min and max are null where either is
        return f"coalesce({how}({there},{comes}),{there},{comes})"
    by_bytes = ' COLLATE "C"' if isinstance(column.type, sa.Text) else ""
    return f"{'least' if how == 'min' else 'greatest'}({there}{by_bytes},{comes})"


def literal(dialect: sa.Dialect, value: Constant) -> str:
    """A value as a statement holds it."""
    if value is None:
        return "NULL"
    return str(sa.literal(value).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
