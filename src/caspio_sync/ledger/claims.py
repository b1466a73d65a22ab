"""Which of the rows that bear one key holds it."""

import polars as pl

from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.schemas import KEY, PROBLEMS, SOURCE_PK


def claim_keys(changes: pl.DataFrame, claimants: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows whose key another row holds: one key, one row, the first to claim it.

    A row that was acknowledged under its key has its profile, whoever bears one that only looks the same (see
    former_keys.py).

    Args:
        changes: `Comparison.changes`.
        claimants: key_hash, source_pk of rows that hold a key already: the ledger's, a key's owner first, then those of
            batches under way.

    Returns:
        The changes with `key_unique__ok` and, for a second claimant, `problems` naming both rows.
    """
    alone = changes["key_hash"].n_unique() == changes.height
    if alone and changes.join(claimants, on="key_hash", how="semi").is_empty():  # as nearly always
        return changes.with_columns(pl.lit(value=True).alias(KEY_UNIQUE))
    holders = claimants.group_by("key_hash").agg(pl.col(SOURCE_PK).first().alias("_holder"))
    first = pl.col(SOURCE_PK).min().over("key_hash")
    holder = pl.coalesce("_holder", first)
    acknowledged = (pl.col("_op") == "changed") & (
        pl.col(SOURCE_PK).min().over("_op", pl.col(KEY).str.to_lowercase()) == pl.col(SOURCE_PK)
    )
    unique = pl.col(KEY).is_null() | (holder == pl.col(SOURCE_PK)) | acknowledged
    clash = pl.format("key: PK_ID {} claims the key of PK_ID {}", SOURCE_PK, holder)
    holder_of_each = changes.select("key_hash").join(holders, on="key_hash", how="left", maintain_order="left")
    return (
        changes.with_columns(holder_of_each["_holder"])
        .with_columns(
            unique.alias(KEY_UNIQUE),
            pl.when(unique).then(PROBLEMS).otherwise(pl.concat_str(clash, PROBLEMS, separator="; ", ignore_nulls=True)),
        )
        .drop("_holder")
    )
