"""What a run of a catalog sync does besides what every run does: keep the schema, and look what items cost."""

import polars as pl

from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.mapping import LAST_PRICE, ROWS_LAST, ROWS_NOW
from caspio_sync.kinds.catalog.work import CatalogWork
from caspio_sync.schemas import SOURCE_PK


async def keep_schema(run: SyncRun[CatalogWork]) -> None:
    """Make the catalog, or the fields it lacks, before anything is sent to it.

    Raises:
        ConfigurationError: a baseline of a catalog that is not there; and as `CatalogKeeper.keep`.
        TransientError: as `CatalogKeeper.keep`.
    """
    if run.blocked:  # before the first row: it is paused
        return
    work, sync, title = run.work, run.work.definition, run.destination.title
    if run.options.baseline and work.change.create:
        raise ConfigurationError(
            f"{run.name}: --baseline records items as sent that {title} holds already, and {title} has no catalog "
            f"'{sync.catalog.name}'. Correct catalog.name in the sync file, or run without --baseline"
        )
    if work.change.lines and not run.options.baseline:
        kept = await run.sink.keeper(run.account, work.mapping).keep(work.change)
        run.report.schema_changes = kept.lines
        work.patches |= kept.keeps_fields
    run.report.notes += work.change.notes


async def with_last_read(run: SyncRun[CatalogWork], changes: pl.DataFrame) -> pl.DataFrame:
    """The changes with what the gate holds them against: LAST_PRICE, ROWS_NOW and ROWS_LAST; null where unknown.

    A price that a person has looked at (`quarantine release`) is held against none.
    """
    work = run.work
    rows_now = run.report.expected if run.selection.whole else None
    changes = changes.with_columns(
        pl.lit(rows_now, dtype=pl.Int64).alias(ROWS_NOW), pl.lit(work.rows_last, dtype=pl.Int64).alias(ROWS_LAST)
    )
    if work.definition.price is None or run.options.release or changes.is_empty():
        return changes.with_columns(pl.lit(None, dtype=pl.Float64).alias(LAST_PRICE))
    low, high = changes.select(pl.col(SOURCE_PK).min().alias("low"), pl.col(SOURCE_PK).max().alias("high")).row(0)
    last = await run.ledger.do(run.ledger.ledger.prices, run.name, low, high)
    return changes.join(last.rename({"price": LAST_PRICE}), on=SOURCE_PK, how="left", maintain_order="left")
