"""Keys as versions before read them: with the blanks at their ends that nobody sees.

    C-1\u200b   was acknowledged as a profile of its own, and is the key C-1 to everybody who looks at it

A row whose cell still bears such a key keeps it: its profile is there, paid for, and has the person's consent. It is
found, claimed and erased as C-1: hashes and digests are those of the key without these blanks. What is new, or
corrected in Caspio, is C-1 (docs/decisions/0031-keys-nobody-can-tell-apart.md).
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.blanks import MARK, with_blanks
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.schemas import FORMER_KEY, KEY, SOURCE_PK


class FormerKeys(LedgerConnection):
    """The hashes of keys that an older version read."""

    def hash_former_keys(self, sync: str, salt: int) -> None:
        """Make the hashes of keys with blanks at their ends those of the keys without; once, after the migration.

        Args:
            sync: name of the sync.
            salt: of its kind of identity, which the ledger alone does not know.
        """
        mark, meta, row = MARK + sync, schema.meta.c, schema.row
        asked = sa.select(meta.value).where(meta.name == mark)
        with self.reading("read whether keys are to be hashed anew") as connection:
            if connection.execute(asked).first() is None:
                return
        with self.writing("hash keys anew") as connection:
            found = connection.execute(
                sa.select(row.c.source_pk, row.c.key).where(row.c.sync == sync, with_blanks(connection, row.c.key))
            ).all()
            keys = pl.Series([each.key for each in found], dtype=pl.String)
            for each, hashed in zip(found, key_hashes(keys, salt), strict=True):
                chosen = sa.update(row).where(row.c.sync == sync, row.c.source_pk == each.source_pk)
                connection.execute(chosen.values(key_hash=hashed))
            connection.execute(sa.delete(schema.meta).where(meta.name == mark))


def with_former_keys(mapped: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The mapped frame, where a row keeps the key of its cell under which something was acknowledged.

    Args:
        mapped: the mapped frame.
        known: `source_pk`, `key` and `sent_fields` of the ledger's rows.
    """
    if mapped[FORMER_KEY].null_count() == mapped.height:
        return mapped
    acknowledged = known.filter(pl.col("sent_fields").is_not_null()).select(SOURCE_PK, _known=KEY)
    rows = mapped.join(acknowledged, on=SOURCE_PK, how="left", maintain_order="left")
    kept = pl.when(pl.col("_known") == pl.col(FORMER_KEY)).then(pl.col(FORMER_KEY)).otherwise(pl.col(KEY))
    return rows.with_columns(kept.alias(KEY)).drop("_known")


def acknowledged_under_its_key(mapped: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """`source_pk` of the rows that have a profile of their own under the key that they bear.

    Args:
        mapped: the mapped frame.
        known: as for `with_former_keys`.
    """
    acknowledged = known.filter(pl.col("sent_fields").is_not_null())
    return with_former_keys(mapped, known).join(acknowledged, on=[SOURCE_PK, KEY], how="semi")[SOURCE_PK]
