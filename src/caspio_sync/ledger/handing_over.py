"""Rows that bear another PK_ID than they did: what was remembered of them moves along.

A table that was emptied and filled again gives the same people new numbers; one that was made anew gives them each
other's. What was remembered of another row under a number that is taken is put aside, under a number that no row of
Caspio bears: it is found by its key, once its own row is met.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import catalog_schema, engagement_schema, schema
from caspio_sync.ledger.bulk import integer_lists, placeholders, select_among, signed
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.moved_keys import leave_behind
from caspio_sync.ledger.rows import ROW_COLUMNS, unpacked
from caspio_sync.schemas import SOURCE_PK, Verdict

PAIRS_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),  # of a row that is in Caspio
        "former_pk": pl.Int64(),  # under which the ledger knows its key
        "stale": pl.Boolean(),  # whether what the ledger has under source_pk is of no use any more
        "displaced": pl.Boolean(),  # whether it is of another key, and put aside
        "unsure": pl.Boolean(),  # whether something else may be there than was recorded: all of it is sent
        "key_hash": pl.Int64(),  # of the key that both bear; null: not looked at
    }
)
MOVES_SCHEMA = pl.Schema({"former_pk": pl.Int64(), SOURCE_PK: pl.Int64()})
_REMEMBERED = (schema.row, catalog_schema.price, engagement_schema.agreed)
_AMONG = "WHERE sync = ? AND source_pk IN ({})"
_FORMER = {"former_pk": pl.Int64(), "_hash": pl.Int64()}
_AGREED_CLAIM = {"key_hash": pl.Int64(), SOURCE_PK: pl.Int64()}


def moves(pairs: pl.DataFrame, lowest: int) -> pl.DataFrame:
    """Who goes where: MOVES_SCHEMA.

    Args:
        pairs: PAIRS_SCHEMA, each source_pk and each former_pk once. What leaves its place by itself is not put aside.
        lowest: below it, and below 0, no row of the sync has a number.
    """
    aside = pairs.filter("displaced", ~pl.col(SOURCE_PK).is_in(pairs["former_pk"].implode())).select(
        former_pk=SOURCE_PK, source_pk=min(lowest, 0) - 1 - pl.int_range(pl.len())
    )
    return pl.concat([pairs.select(MOVES_SCHEMA.names()), aside])


class HandingOver(LedgerConnection):
    """What is remembered by PK_ID."""

    def rows_at(self, sync: str, source_pks: pl.Series) -> pl.DataFrame:
        """LEDGER_ROW_SCHEMA of these rows, as `read_rows` gives it, sorted by `source_pk`."""
        statement = f"SELECT {ROW_COLUMNS} FROM row WHERE sync = ? AND source_pk"
        with self.reading("read rows") as connection:
            frames = [
                unpacked(connection, f"{statement} IN ({numbers}) ORDER BY source_pk", (sync,))
                for numbers in integer_lists(source_pks)
            ]
        return pl.concat([schema.LEDGER_ROW_SCHEMA.to_frame(), *frames])

    def agreed_of(self, sync: str, key_hashes: pl.Series) -> pl.DataFrame:
        """key_hash and source_pk of the rows under which consent was agreed for these keys."""
        statement = "SELECT DISTINCT key_hash, source_pk FROM agreed WHERE sync = ? AND key_hash"
        with self.reading("look up keys") as connection:
            found = select_among(connection, statement, (sync,), signed(key_hashes), _AGREED_CLAIM)
        return found.sort("key_hash", SOURCE_PK)

    def hand_over(self, sync: str, pairs: pl.DataFrame, left: pl.Series | None = None) -> None:
        """Rows take over all that was remembered of those that bore their key, in one transaction.

        Fingerprints, states, verdicts, prices, agreed consent; the history stays where it is, and is found (`former`).

        Args:
            sync: name of the sync.
            pairs: PAIRS_SCHEMA.
            left: numbers of rows whose present keys are remembered besides, as left behind.
        """
        with self.writing("hand rows over", fenced=True) as connection:
            pairs = _still_so(connection, sync, pairs)
            if left is not None:
                leave_behind(connection, sync, left.filter(left.is_in(pairs[SOURCE_PK].implode())))
            for numbers in integer_lists(pairs.filter("stale")[SOURCE_PK]):
                for table in _REMEMBERED:
                    _run(connection, f"DELETE FROM {_name(connection, table)} {_AMONG.format(numbers)}", [(sync,)])
            places = dict(moves(pairs, _lowest(connection, sync)).iter_rows())
            for table in _REMEMBERED:
                _move(connection, table, sync, places)
            at = microseconds(self.now())
            rows = [(sync, new, former, at) for former, new in places.items()]
            _run(connection, "INSERT INTO former (sync, source_pk, former_pk, at) VALUES (?, ?, ?, ?)", rows)
            doubt = f"UPDATE row SET verdict = '{Verdict.UNKNOWN.value}' WHERE sync = ? AND source_pk = ?"
            _run(connection, doubt, [(sync, each) for each in pairs.filter("unsure")[SOURCE_PK]])


def _still_so(connection: sa.Connection, sync: str, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs whose former row was not recorded under another key meanwhile, by a batch that was under way."""
    statement = "SELECT source_pk, key_hash FROM row WHERE sync = ? AND source_pk"
    found = select_among(connection, statement, (sync,), pairs["former_pk"], _FORMER)
    there = pairs.join(found, on="former_pk", how="left", maintain_order="left")
    same = (pl.col("_hash") == pl.col("key_hash")).fill_null(value=True)
    return there.filter(same).drop("_hash")


def _run(connection: sa.Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(placeholders(connection.dialect, statement), rows)


def _name(connection: sa.Connection, table: sa.Table) -> str:
    return connection.dialect.identifier_preparer.quote(table.name)


def _lowest(connection: sa.Connection, sync: str) -> int:
    least = [sa.select(sa.func.min(table.c.source_pk)).where(table.c.sync == sync) for table in _REMEMBERED]
    return min(int(connection.execute(each).scalar() or 0) for each in least)


def _move(connection: sa.Connection, table: sa.Table, sync: str, places: Mapping[int, int]) -> None:
    columns = [column.name for column in table.columns]
    named = ",".join(map(connection.dialect.identifier_preparer.quote, columns))
    rows: list[tuple[Any, ...]] = []
    for numbers in integer_lists(pl.Series(list(places), dtype=pl.Int64)):
        chosen = placeholders(connection.dialect, f"FROM {_name(connection, table)} {_AMONG.format(numbers)}")
        rows += [tuple(row) for row in connection.exec_driver_sql(f"SELECT {named} {chosen}", (sync,))]
        connection.exec_driver_sql(f"DELETE {chosen}", (sync,))
    pk = columns.index(SOURCE_PK)
    _run(
        connection,
        f"INSERT INTO {_name(connection, table)} ({named}) VALUES ({','.join('?' * len(columns))})",
        [(*row[:pk], places[row[pk]], *row[pk + 1 :]) for row in rows],
    )
