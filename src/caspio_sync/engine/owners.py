"""Which rows bear a key in Caspio now: the ledger knows only how they were when they were read last."""

import polars as pl

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.query import identifier
from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.engine.prepared import Prepared
from caspio_sync.schemas import KEY
from caspio_sync.text_columns import trimmed_values

_ASKED_ONE_BY_ONE = 100  # about as many as one call names


async def present_keys(caspio: CaspioClient, prepared: Prepared, source_pks: pl.Series) -> pl.DataFrame:
    """The rows that are still there: source_pk, and `present_key` as it would be sent.

    A row that `Sync.present_where` leaves out is not there.

    Raises:
        As `rows_by_key`.
    """
    key = identifier(prepared.key.name)
    if len(source_pks) > _ASKED_ONE_BY_ONE:  # of a table that was filled again none is left: one call tells
        among = f"{key}>={source_pks.sort()[0]} AND {key}<={source_pks.sort()[-1]}"
        counted = await caspio.aggregate(prepared.source, select=f"COUNT({key}) AS row_count", where=among)
        if counted.row["row_count"] in {0, "0"}:
            source_pks = source_pks.clear()
    within = prepared.definition.present_where
    rows = await rows_by_key(caspio, prepared.source, prepared.key, source_pks, fields=prepared.selected, where=within)
    return prepared.mapping.keys(rows).rename({KEY: "present_key"})


def bears_its_key() -> pl.Expr:
    """Whether `present_key` is `key`; Caspio compares without case, and nobody sees blanks at the ends."""
    present, own = (trimmed_values(pl.col(each)).str.to_lowercase() for each in ("present_key", KEY))
    return present == own
