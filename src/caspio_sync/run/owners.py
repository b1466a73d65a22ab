"""Which rows bear a key in Caspio now: the ledger knows only how they were when they were read last."""

from collections.abc import Iterable

import polars as pl

from caspio_sync.characters import trimmed_values
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clients.caspio_query import and_
from caspio_sync.extraction.cells import source_frame
from caspio_sync.extraction.records import keys_where
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.run.prepared import Prepared
from caspio_sync.schemas import KEY, SOURCE_PK


async def present_keys(caspio: CaspioClient, prepared: Prepared, source_pks: Iterable[int]) -> pl.DataFrame:
    """The rows that are still there: source_pk, and `present_key` as it would be sent.

    Of items, a row that the sync's condition leaves out is not there: its item is deleted, and the id is free.

    Raises:
        As `CaspioClient.records`.
    """
    select = list(dict.fromkeys([prepared.key.name, *prepared.mapping.source_fields]))
    definition = prepared.definition
    within = definition.source.where if isinstance(definition, CatalogSync) else None
    pages = [
        await caspio.records(prepared.source, select=select, where=and_(within, where))
        for where in keys_where(prepared.key, [str(source_pk) for source_pk in source_pks])
    ]
    rows = source_frame([page.rows for page in pages], prepared.selected, prepared.key.name)
    return prepared.mapping.apply(rows).select(SOURCE_PK, pl.col(KEY).alias("present_key"))


def bears_its_key() -> pl.Expr:
    """Whether `present_key` is `key`; Caspio compares without case, and nobody sees blanks at the ends."""
    present, own = (trimmed_values(pl.col(each)).str.to_lowercase() for each in ("present_key", KEY))
    return present == own
