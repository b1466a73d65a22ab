"""What a run of a catalog sync keeps of its rows: which are there, which ids were given up, what items cost."""

import polars as pl

from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.run.catalog_schema import CatalogKeeper
from caspio_sync.run.context import SyncRun
from caspio_sync.schemas import KEY, LAST_PRICE, ROWS_LAST, ROWS_NOW, SOURCE_PK


async def keep_schema(run: SyncRun) -> None:
    """Make the catalog, or the fields it lacks, before anything is sent to it.

    Raises:
        As `CatalogKeeper.keep`.
    """
    sync, work = run.items
    assert isinstance(run.mapping, CatalogMapping)
    run.report.notes += work.change.notes
    if work.change.lines and not run.options.baseline:
        run.report.schema_changes = await CatalogKeeper(sync, run.mapping.schema, run.catalogs, run.clock).keep()


async def note_read(run: SyncRun, mapped: pl.DataFrame, known: pl.DataFrame) -> None:
    """Remember which rows are there, and, before anything of them is sent, which ids they go by no longer.

    Args:
        run: the run.
        mapped: a batch's mapped frame.
        known: the ledger's rows of the same range (LEDGER_ROW_SCHEMA).
    """
    _, work = run.items
    if run.whole_read:
        work.seen.append(mapped[SOURCE_PK])
    sent = known.filter(pl.col("sent_fp").is_not_null()).select(SOURCE_PK, former=KEY)
    given_up = (
        mapped.select(SOURCE_PK, KEY)
        .join(sent, on=SOURCE_PK, how="inner")
        .filter(pl.col(KEY).ne_missing(pl.col("former")))["former"]
    )
    if given_up.is_empty():
        return
    work.given_up.append(given_up)
    if not run.planned:
        await run.ledger.do(run.ledger.ledger.abandon, run.name, given_up)


async def with_last_read(run: SyncRun, changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with what the gate holds them against: LAST_PRICE, ROWS_NOW and ROWS_LAST; null where unknown.

    A price that a person has looked at (`quarantine release`) is held against none.
    """
    sync, work = run.items
    rows_now = run.report.expected if run.whole_read else None
    changes = changes.with_columns(
        pl.lit(rows_now, dtype=pl.Int64).alias(ROWS_NOW), pl.lit(work.rows_last, dtype=pl.Int64).alias(ROWS_LAST)
    )
    if sync.price is None or run.options.release or changes.is_empty():
        return changes.with_columns(pl.lit(None, dtype=pl.Float64).alias(LAST_PRICE))
    low, high = changes.select(pl.col(SOURCE_PK).min().alias("low"), pl.col(SOURCE_PK).max().alias("high")).row(0)
    last = await run.ledger.do(run.ledger.ledger.prices, run.name, low, high)
    return changes.join(last.rename({"price": LAST_PRICE}), on=SOURCE_PK, how="left", maintain_order="left")


def keep_prices(run: SyncRun, batch: int, accepted: pl.DataFrame) -> None:
    """What the accepted items cost, until their batch is recorded."""
    if run.catalog is not None and (price := run.items[0].price) is not None:
        run.catalog.prices[batch] = accepted.select(SOURCE_PK, price=pl.col(price).cast(pl.Float64))


async def record_prices(run: SyncRun, batch: int) -> None:
    """Write down what the batch's items cost: the gate holds the next price against it."""
    if run.catalog is not None and (prices := run.catalog.prices.pop(batch, None)) is not None:
        await run.ledger.do(run.ledger.ledger.record_prices, run.name, prices)
