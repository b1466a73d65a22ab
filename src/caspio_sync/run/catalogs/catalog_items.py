"""What a run of a catalog sync keeps of its rows: which are there, which ids were given up, what items cost."""

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.catalogs import LAST_PRICE, ROWS_LAST, ROWS_NOW
from caspio_sync.run.context import SyncRun
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict


async def keep_schema(run: SyncRun) -> None:
    """Make the catalog, or the fields it lacks, before anything is sent to it.

    Raises:
        ConfigurationError: a baseline of a catalog that is not there; and as `CatalogKeeper.keep`.
        TransientError: as `CatalogKeeper.keep`.
    """
    sync, work = run.items
    if run.options.baseline and work.change.create:
        raise ConfigurationError(
            f"{run.name}: --baseline records items as sent that Braze holds already, and Braze has no catalog "
            f"'{sync.catalog.name}'. Correct catalog.name in the sync file, or run without --baseline"
        )
    if work.change.lines and not run.options.baseline:
        kept = await run.sink.keeper(run.account, run.mapping).keep(work.change)
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


def with_price(run: SyncRun, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with what their items cost, where items have a price: the gate holds the next one against it."""
    price = None if run.catalog is None else run.items[0].price
    return rows if price is None else rows.with_columns(price=pl.col(price).cast(pl.Float64))


async def record_prices(run: SyncRun, sent: pl.DataFrame) -> None:
    """Write down what these items cost; before they are recorded as sent, as a recorded row is not read again."""
    rows = with_price(run, sent)
    if run.catalog is not None and run.items[0].price is not None and not rows.is_empty():
        await run.ledger.do(run.ledger.ledger.record_prices, run.name, rows)


async def note_leaving(run: SyncRun, batch: int, rows: pl.DataFrame) -> None:
    """Before they leave: should the run die, the catalog may have these items as they are now, and the new ids."""
    if run.catalog is not None and not rows.is_empty():
        leaving = rows.select(SOURCE_PK, pl.when(pl.col("_op") == "new").then(KEY).alias(KEY))
        await run.ledger.do(run.ledger.ledger.note_leaving, sync=run.name, run=run.id, batch=batch, rows=leaving)


async def note_left(run: SyncRun, batch: int) -> None:
    """All of the batch has its outcome."""
    if run.catalog is not None:
        await run.ledger.do(run.ledger.ledger.note_left, sync=run.name, run=run.id, batch=batch)


async def release_ids(run: SyncRun, former: pl.DataFrame) -> None:
    """Rows whose id another row takes over: should one of them come back to it, the item holds the other's values.

    Args:
        run: the run.
        former: source_pk and key of these rows, as the ledger has them.
    """
    if run.catalog is not None and not run.planned and not former.is_empty():
        await run.ledger.do(run.ledger.ledger.abandon, run.name, former[KEY], going=former[SOURCE_PK])


async def note_unknown(run: SyncRun, answered: pl.DataFrame) -> None:
    """Ids of items that the catalog may have, or not: Braze did not say."""
    unknown = answered.filter(pl.col("verdict") == Verdict.UNKNOWN.value)
    if run.catalog is not None and not unknown.is_empty():
        await run.ledger.do(run.ledger.ledger.abandon, run.name, unknown[KEY])
