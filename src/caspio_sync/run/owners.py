"""Which rows bear a key in Caspio now: the ledger knows only how they were when they were read last."""

from collections.abc import Iterable

import polars as pl

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.extraction.rows_by_key import rows_by_key
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.run.prepared import Prepared
from caspio_sync.schemas import KEY, SOURCE_PK


async def present_keys(caspio: CaspioClient, prepared: Prepared, source_pks: Iterable[int]) -> pl.DataFrame:
    """The rows that are still there: source_pk, and `present_key` as it would be sent.

    Of items, a row that the sync's condition leaves out is not there: its item is deleted, and the id is free.

    Raises:
        As `rows_by_key`.
    """
    definition = prepared.definition
    within = definition.source.where if isinstance(definition, CatalogSync) else None
    rows = await rows_by_key(caspio, prepared.source, prepared.key, source_pks, fields=prepared.selected, where=within)
    return prepared.mapping.apply(rows).select(SOURCE_PK, pl.col(KEY).alias("present_key"))


def bears_its_key() -> pl.Expr:
    """Whether `present_key` is `key`; Caspio compares without case."""
    return pl.col("present_key").str.to_lowercase() == pl.col(KEY).str.to_lowercase()
