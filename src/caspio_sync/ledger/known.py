"""Which rows the ledger knows already, and under which key.

Rewriting an equal key costs as much as the rest of a row, for its place in the index is far from the last one's: so
recording asks first.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger.bulk import select_among, select_frame
from caspio_sync.schemas import KEY, SOURCE_PK


def known_keys(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.DataFrame:
    """source_pk, known_key, known_hash, known_sent (0, 1) and known (true) of the rows that the ledger knows."""
    columns = {SOURCE_PK: pl.Int64(), "known_key": pl.String(), "known_hash": pl.Int64(), "known_sent": pl.Int64()}
    was_sent = "CASE WHEN sent_fp IS NULL THEN 0 ELSE 1 END"
    statement = f"SELECT source_pk, key, key_hash, {was_sent} FROM row WHERE sync = ? AND source_pk"
    low, high = int(source_pks.min()), int(source_pks.max())  # type: ignore[arg-type]  # never null
    if high - low < 4 * len(source_pks):
        found = select_frame(connection, f"{statement} BETWEEN ? AND ?", (sync, low, high), columns)
    else:
        found = select_among(connection, statement, (sync,), source_pks, columns)
    return found.with_columns(known=pl.lit(value=True))


def moved() -> pl.Expr:
    """Whether the ledger knows the row under another key, for rows joined with `known_keys`."""
    another = pl.col(KEY).ne_missing(pl.col("known_key")) | pl.col("key_hash").ne_missing(pl.col("known_hash"))
    return (pl.col("known").fill_null(value=False) & another).alias("moved")
