"""Rows looked up by their key: one that is not among them is gone only where Caspio's count says so too."""

from collections.abc import Iterable, Sequence

import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import MAX_PAGE_ROWS, Source
from caspio_sync.caspio.query import and_, identifier, keys_where
from caspio_sync.caspio.records import RecordSource
from caspio_sync.concurrency import all_of
from caspio_sync.errors import TransientError
from caspio_sync.schemas import SOURCE_PK, CaspioField


async def rows_by_key(
    client: RecordSource,
    source: Source,
    key: CaspioField,
    source_pks: Iterable[int],
    *,
    fields: Sequence[CaspioField] = (),
    where: str | None = None,
) -> pl.DataFrame:
    """The rows with these keys that are there: a call for about a hundred, and a count of them where some are missing.

    Args:
        client: usually a `CaspioClient`.
        source: table or view.
        key: the field it is paged by.
        source_pks: their keys.
        fields: what to read besides.
        where: condition that they must meet; None for none.

    Returns:
        As `source_frame`.

    Raises:
        As `CaspioClient.records`; `TransientError` also where Caspio counts more rows than it gives: what follows from
        an absence (an item deleted, a key handed on) must not follow from a short answer.
    """
    names = list(dict.fromkeys([key.name, *(field.name for field in fields)]))
    wanted = list(dict.fromkeys(source_pks))
    conditions = [and_(some, where) for some in keys_where(key, map(str, wanted))]

    async def read(within: str | None) -> pl.DataFrame:
        page = await client.records(source, select=names, where=within, order_by=None, limit=MAX_PAGE_ROWS)
        return source_frame([page.rows], fields, key.name)

    frames = await all_of(read(within) for within in conditions)
    found = pl.concat([source_frame([], fields, key.name), *frames])
    if found[SOURCE_PK].n_unique() < len(wanted):
        pairs = zip(conditions, frames, strict=True)
        await all_of(_check_count(client, source, key, within, frame.height) for within, frame in pairs)
    return found


async def _check_count(client: RecordSource, source: Source, key: CaspioField, where: str | None, rows: int) -> None:
    answer = await client.aggregate(source, select=f"COUNT({identifier(key.name)}) AS row_count", where=where)
    count = answer.row["row_count"]
    if not str(count).isdecimal() or int(count) > rows:
        raise TransientError(
            f"reading {source} by {key.name}: Caspio counts {count} rows and gives {rows}; none is taken for gone, and "
            "the next run looks again"
        )
