"""Each stage alone, over batches in memory."""

import asyncio
import time
from functools import partial

import polars as pl

from benchmarks.world import SYNC, read_all, sandboxes
from caspio_sync.engine.opening import open_plan
from caspio_sync.ledger.compare import Versions, compare
from caspio_sync.ledger.schema import LEDGER_ROW_SCHEMA
from caspio_sync.observe.report import RunOptions
from caspio_sync.schemas import KEY, SOURCE_PK
from caspio_sync.settings import load_settings


def measure(rows: int) -> dict[str, tuple[float, str]]:
    with sandboxes(rows):
        return asyncio.run(_measure(rows))


async def _measure(rows: int) -> dict[str, tuple[float, str]]:
    async with open_plan(SYNC, RunOptions(full=True), settings=load_settings()) as run:
        started = time.perf_counter()
        batches = await read_all(run)
        extract = time.perf_counter() - started
        run.mapping.apply(batches[0].source.frame)  # tables of countries and languages are made once a process
        started = time.perf_counter()
        mapped = [run.mapping.apply(batch.source.frame) for batch in batches]
        mapping = time.perf_counter() - started
        against = partial(
            compare,
            columns=run.mapping.columns,
            versions=run.versions,
            consent=run.consent,
            salt=7,
        )
        empty = LEDGER_ROW_SCHEMA.to_frame()
        known = [_as_recorded(against(frame, empty).changes, run.versions) for frame in mapped]
        started = time.perf_counter()
        unchanged = [against(frame, before).unchanged for frame, before in zip(mapped, known, strict=True)]
        comparing = time.perf_counter() - started
        assert sum(unchanged) == rows, "every row stands in the ledger as it is"
    return {
        "extract.rows_per_second": (rows / extract, "rows/s"),
        "map.rows_per_second": (rows / mapping, "rows/s"),
        "compare.rows_per_second": (rows / comparing, "rows/s"),
    }


def _as_recorded(changes: pl.DataFrame, versions: Versions) -> pl.DataFrame:
    """What the ledger would read after these rows were sent."""
    return changes.select(
        SOURCE_PK,
        KEY,
        "key_hash",
        pl.col("fp").alias("sent_fp"),
        pl.col("fields").alias("sent_fields"),
        pl.col("fp").alias("seen_fp"),
        pl.lit("sent").alias("verdict"),
        pl.lit(versions.suite, dtype=pl.Int64).alias("suite_version"),
        pl.lit(versions.mapping, dtype=pl.Int64).alias("sent_mapping_version"),
        pl.lit(versions.mapping, dtype=pl.Int64).alias("mapping_version"),
    ).select(LEDGER_ROW_SCHEMA.names())
