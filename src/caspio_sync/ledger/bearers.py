"""Which rows of the ledger bear a key: those it knows, and those that left as events and have no outcome yet."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.characters import trimmed
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists
from caspio_sync.ledger.events_schema import journal
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.schemas import SOURCE_PK

_BEARING = {"sync": pl.String, SOURCE_PK: pl.Int64, "key": pl.String, "sent_at": pl.Int64, "asked": pl.String}


def folded(key: str) -> str:
    """A key without case and outer blanks: Caspio compares so."""
    return trimmed(key).lower()


def bearing(connection: sa.Connection, salt: int, keys: Sequence[str]) -> pl.DataFrame:
    """The rows with these keys, in all syncs; each row once.

    Args:
        connection: in any transaction.
        salt: of the keys' identity.
        keys: each once, `folded`.

    Returns:
        sync, source_pk, key (null where such a row was blocked), sent_at (microseconds; when it may last have left),
        and which key was asked.
    """
    hashes = key_hashes(pl.Series(keys, dtype=pl.String), salt)
    by_hash = dict(zip(hashes.to_list(), keys, strict=True))
    syncs = sa.select(schema.run.c.sync).distinct()  # so that the index on sync and key_hash is used
    found: list[tuple[Any, ...]] = []
    for table, left_at in ((schema.row, schema.row.c.sent_at), (journal, journal.c.at)):
        sent_at = sa.type_coerce(left_at, sa.BigInteger)
        columns = (table.c.sync, table.c.source_pk, table.c.key, sent_at, table.c.key_hash)
        for numbers in integer_lists(hashes):
            same = table.c.key_hash.in_([int(number) for number in numbers.split(",")])
            chosen = connection.execute(sa.select(*columns).where(table.c.sync.in_(syncs), same))
            found += [(*row[:4], by_hash[row.key_hash]) for row in chosen]
    # Two keys may share a hash.
    found = [row for row in found if row[2] is None or folded(row[2]) == row[4]]
    rows = pl.DataFrame(found, _BEARING, orient="row").sort("sent_at", nulls_last=False, maintain_order=True)
    return rows.unique(["sync", SOURCE_PK, "key", "asked"], keep="last", maintain_order=True)
