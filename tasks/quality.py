"""Mapping and judging a batch under Prefect."""

import asyncio

import polars as pl
from prefect import task

from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run.catalogs.catalog_items import with_last_read
from caspio_sync.run.comparing import map_batch
from caspio_sync.run.context import SyncRun
from caspio_sync.run.sending import without_required_consent
from caspio_sync.schemas import SOURCE_PK
from expectations.gate import Judgement
from expectations.suites import gate_of, judged_frame
from tasks.options import FRAMES, without_values


@task(name="map", **FRAMES)
@without_values
async def map_rows(run: SyncRun, batch: SourceBatch) -> pl.DataFrame:
    """Caspio's columns as Braze's attributes."""
    return await map_batch(run, batch)


@task(name="gate", **FRAMES)
@without_values
async def judge(run: SyncRun, changes: pl.DataFrame) -> Judgement:
    """Great Expectations' word on the full mapped rows of everything new or changed."""
    if run.catalog is not None:
        changes = await with_last_read(run, changes)
    judgement = await asyncio.to_thread(_judge, run, changes)
    run.report.count_checks(judgement.checks)
    run.report.add_seconds("gate", judgement.seconds)
    return judgement


def staying(run: SyncRun, changes: pl.DataFrame, judgement: Judgement) -> pl.DataFrame:
    """The changes that will not leave: held by the gate, alone or with their batch, or without a required consent."""
    if judgement.blocked:
        return changes
    leaving, _ = without_required_consent(run, judgement.accepted)
    return changes.join(leaving, on=SOURCE_PK, how="anti", maintain_order="left")


def _judge(run: SyncRun, changes: pl.DataFrame) -> Judgement:
    if changes.is_empty():  # as in most runs of a minutely schedule: half their time was the import of the gate
        return Judgement.of_nothing(changes)
    gate = run.part("gate", lambda: gate_of(run.name, run.definition, run.mapping))
    return gate.judge(judged_frame(changes, run.definition, run.mapping))
