"""What a run of a catalog sync keeps of its rows: which are there, which ids were given up, what items cost."""

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.run.catalog_schema import CatalogKeeper
from caspio_sync.run.context import SyncRun
from caspio_sync.schemas import KEY, LAST_PRICE, ROWS_LAST, ROWS_NOW, SOURCE_PK


async def keep_schema(run: SyncRun) -> None:
    """Make the catalog, or the fields it lacks, before anything is sent to it.

    Raises:
        ConfigurationError: a baseline of a catalog that is not there; and as `CatalogKeeper.keep`.
        TransientError: as `CatalogKeeper.keep`.
    """
    sync, work = run.items
    assert isinstance(run.mapping, CatalogMapping)
    if run.options.baseline and work.change.create:
        raise ConfigurationError(
            f"{run.name}: --baseline records items as sent that Braze holds already, and Braze has no catalog "
            f"'{sync.catalog.name}'. Correct catalog.name in the sync file, or run without --baseline"
        )
    if work.change.lines and not run.options.baseline:
        keeper = CatalogKeeper(sync, run.mapping.schema, run.catalogs, run.clock)
        kept = await keeper.keep(work.change)
        run.report.schema_changes = kept.lines
        work.patches |= kept.keeps_fields
    run.report.notes += work.change.notes


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


async def note_leaving(run: SyncRun, batch: int, accepted: pl.DataFrame) -> None:
    """Before items leave, write down what a lost answer must not lose.

    Their prices: the gate holds the next ones against them. And the ids of new ones: Braze may have taken an item whose
    answer never came, and where its row goes before the next run, nothing else would tell that it has to go too.
    """
    if run.catalog is None:
        return
    await record_prices(run, accepted)
    new = accepted.filter(pl.col("_op") == "new")[KEY]
    if not new.is_empty():
        run.catalog.creating.add(batch)
        await run.ledger.do(run.ledger.ledger.abandon, run.name, new)


async def record_prices(run: SyncRun, accepted: pl.DataFrame) -> None:
    """Write down what accepted items cost: the gate holds the next price against it."""
    if run.catalog is not None and (price := run.items[0].price) is not None:
        prices = accepted.select(SOURCE_PK, price=pl.col(price).cast(pl.Float64))
        await run.ledger.do(run.ledger.ledger.record_prices, run.name, prices)


async def note_arrived(run: SyncRun, batch: SourceBatch) -> None:
    """Once a batch is recorded, its rows tell which of its new items are there."""
    if run.catalog is not None and batch.number in run.catalog.creating:
        await run.ledger.do(run.ledger.ledger.borne_again, run.name, batch.low, batch.high)
        run.catalog.creating.discard(batch.number)
