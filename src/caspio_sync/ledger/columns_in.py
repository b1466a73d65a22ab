"""Many rows in one statement, whose values come as columns: no Python value a cell, and the interpreter stays free.

Where every value is bound for itself, binding takes as long as storing, and nothing else of the process moves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger.bulk import Constant, literal, on_conflict, quoted

_DIGITS = 20  # of a 64-bit integer with its sign
_INTEGERS = (pl.Int64, pl.Int32)


def upsert_columns(
    connection: sa.Connection,
    table: sa.Table,
    rows: pl.DataFrame,
    *,
    constants: Mapping[str, Constant],
    update: Sequence[str],
) -> None:
    """Insert rows; where the primary key is taken, overwrite the columns named in `update`.

    Args:
        connection: in a write transaction.
        table: where to.
        rows: columns named as the table's: whole numbers, texts or bytes, none of them null.
        constants: further columns whose value all rows share.
        update: columns to overwrite; the others of a present row stay.
    """
    if rows.is_empty():
        return
    if nulls := sum(rows.null_count().row(0)):  # each value after one would stand a place too early
        raise ValueError(f"{nulls} nulls in rows for {table.name}")
    dialect = connection.dialect
    name = dialect.identifier_preparer.quote(table.name)
    into = ",".join(quoted(dialect, [*constants, *rows.columns]))
    shared = [literal(dialect, value) for value in constants.values()]
    conflict = on_conflict(dialect, table, update, {})
    if dialect.name == "postgresql":
        _copied(connection, rows, into=f"{name} ({into})", shared=shared, conflict=conflict)
        return
    bound: dict[str, Any] = {"rows": rows.height}
    taken = [_taken(number, rows[column], bound) for number, column in enumerate(rows.columns)]
    connection.exec_driver_sql(
        "WITH RECURSIVE place(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM place WHERE i + 1 < :rows) "
        f"INSERT INTO {name} ({into}) SELECT {','.join([*shared, *taken])} FROM place WHERE true {conflict}",
        bound,
    )


def _taken(number: int, column: pl.Series, bound: dict[str, Any]) -> str:
    """The SQL that takes the value at place `i` out of a column that is bound as one value."""
    if column.dtype in _INTEGERS:
        bound[f"c{number}"] = _joined(column.cast(pl.String).str.pad_start(_DIGITS))
        return f"CAST(substr(:c{number}, i * {_DIGITS} + 1, {_DIGITS}) AS INTEGER)"
    value = _cut(number, column, bound)
    return f"CAST({value} AS TEXT)" if column.dtype == pl.String else value


def _cut(number: int, column: pl.Series, bound: dict[str, Any]) -> str:
    texts = column.cast(pl.Binary)
    sizes = texts.bin.size()
    # With a byte behind the last one: a piece of an empty value is null, whatever its length.
    bound[f"c{number}"] = b"".join([*texts.to_list(), b"."])
    if sizes.min() == sizes.max():
        bound[f"w{number}"] = sizes[0]
        return f"substr(:c{number}, i * :w{number} + 1, :w{number})"
    ends = sizes.cast(pl.Int64).cum_sum()
    for letter, numbers in (("s", ends - sizes.cast(pl.Int64) + 1), ("w", sizes)):
        bound[f"{letter}{number}"] = _joined(numbers.cast(pl.String).str.pad_start(_DIGITS))
    start, size = (f"CAST(substr(:{letter}{number}, i * {_DIGITS} + 1, {_DIGITS}) AS INTEGER)" for letter in ("s", "w"))
    return f"substr(:c{number}, {start}, {size})"


def _joined(texts: pl.Series) -> bytes:
    """As bytes: of a text, SQLite would look for a place by walking there letter by letter."""
    joined: str = texts.str.join("")[0]
    return joined.encode()


def _copied(connection: sa.Connection, rows: pl.DataFrame, *, into: str, shared: Sequence[str], conflict: str) -> None:
    """By way of a table that lasts as long as the transaction."""
    names = ",".join(quoted(connection.dialect, rows.columns))
    table = into.partition(" (")[0]
    cursor: Any = connection.connection.cursor()  # the driver's own: SQLAlchemy knows no COPY
    try:
        cursor.execute(f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for row in rows.iter_rows():
                copy.write_row(row)
        cursor.execute(f"INSERT INTO {into} SELECT {','.join([*shared, names])} FROM incoming {conflict}")
        cursor.execute("DROP TABLE incoming")
    finally:
        cursor.close()
