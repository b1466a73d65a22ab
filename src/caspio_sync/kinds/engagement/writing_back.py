"""Writing a batch's changes to Caspio by the fewest calls, and recording what became of each row."""

import time
from collections.abc import Mapping

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.caspio.write_planner import WriteCall, count_calls, plan_calls, within_budget
from caspio_sync.engine.erasing import record_erased
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.engagement.gathering import EngagementWork
from caspio_sync.kinds.engagement.mapping import StateColumn, state
from caspio_sync.kinds.engagement.wanted_rows import WantedRows
from caspio_sync.ledger.agreed import Told
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.run_record import RECORDED
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict, ok

_RECORD = (SOURCE_PK, KEY, "key_hash", "fp", "changed", "fields")


def planned_calls(run: SyncRun[EngagementWork], rows: pl.DataFrame) -> list[WriteCall]:
    """The calls for these changes, the most important first."""
    own = run.work
    columns = [name for name in own.definition.columns if name not in own.mapping.stopped]
    return plan_calls(rows.select(SOURCE_PK, *columns), columns, room=own.writer.room)


def exact_calls(run: SyncRun[EngagementWork], rows: pl.DataFrame, planned: int) -> int:
    """How many of the planned calls there are only for columns written `as: exact`."""
    own = run.work
    coarse = [name for name in own.definition.columns if name not in {*own.definition.exact, *own.mapping.stopped}]
    if not own.definition.exact or not coarse:
        return planned if own.definition.exact else 0
    return max(0, planned - count_calls(rows.select(SOURCE_PK, *coarse), coarse, room=own.writer.room))


def leaving(run: SyncRun[EngagementWork], accepted: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """What is written: the accepted rows, and of those held for something else an opt-out all the same."""
    own = run.work
    opt_outs = held.with_columns(
        pl.lit(None, dtype=held.schema[name]).alias(name)
        for name in own.definition.columns
        if name not in {each.name for each in own.mapping.states}
    ).with_columns(_stricter(each, run.consent.rank) for each in own.mapping.states)
    some = pl.any_horizontal(pl.lit(value=False), *(pl.col(each.name).is_not_null() for each in own.mapping.states))
    return pl.concat([accepted, opt_outs.filter(some).select(accepted.columns)])


def _stricter(column: StateColumn, rank: Mapping[str, int]) -> pl.Expr:
    """The value to write where it is more restrictive than what the cell says; null else."""
    ranks = {value: rank[column.held[meant]] for meant, value in column.values.items()}
    wanted = pl.col(column.name).replace_strict(ranks, default=None, return_dtype=pl.Int64)
    now = pl.col(state(column.scope)).replace_strict(dict(rank), default=-1, return_dtype=pl.Int64).fill_null(-1)
    return pl.when(pl.col(ok(state(column.scope))) & (wanted > now)).then(pl.col(column.name)).alias(column.name)


async def write_batch(run: SyncRun[EngagementWork], accepted: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Write a batch; a repeated call writes the same again, which changes nothing.

    Returns:
        WRITTEN_SCHEMA: what became of each row and column; of those left to the next run there is none.

    Raises:
        TransientError, ConfigurationError: as `Writer.write`.
    """
    own, report = run.work, run.work.writeback
    started = time.perf_counter()
    rows = leaving(run, accepted, held)
    calls, later = within_budget(planned_calls(run, rows), own.budget)
    run.quota.expect(len(calls))
    written = await own.writer.write(calls)
    if own.budget is not None:
        own.budget -= len(calls)
    report.rows += len({pk for call in (*calls, *later) for pk in call.pks})
    report.cells += written.height
    report.calls = own.writer.calls
    report.left_calls += len(later)
    report.refused = dict(own.writer.refused)
    run.report.left_to_send += len({pk for call in later for pk in call.pks})
    run.report.add_seconds("write", time.perf_counter() - started)
    return written


async def record_written(  # noqa: PLR0917 - what each stage left
    run: SyncRun[EngagementWork],
    batch: SourceBatch,
    rows: WantedRows,
    accepted: pl.DataFrame,
    held: pl.DataFrame,
    written: pl.DataFrame,
) -> None:
    """Record what became of every row, what is agreed on consent, and the batch."""
    own, ledger = run.work, run.ledger
    outcomes = _outcomes(own, accepted, written)
    unwritten = held.with_columns(
        verdict=pl.lit(Verdict.QUARANTINED.value),
        request=pl.lit(None, dtype=pl.Int64),
        status=pl.lit(None, dtype=pl.Int64),
    )
    columns = [*_RECORD, "verdict", "reason", "request", "status"]
    told = pl.concat([outcomes.select(columns), unwritten.select(columns)])
    await run.persist(ledger.ledger.record, sync=run.name, run=run.id, batch=batch.number, rows=_recorded(run, told))
    run.report.count_outcomes(told, name=run.example_column)
    await record_erased(run, batch.number, rows.erased)
    await _agree(run, own, rows, held, written)
    if not rows.settled.is_empty():
        await run.persist(ledger.ledger.rebase, sync=run.name, rows=rows.settled)
    await run.persist(ledger.ledger.close_batch, run.id, batch.number, state=RECORDED, counts={"rows": batch.rows})
    run.report.batches += 1


def _outcomes(own: EngagementWork, accepted: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """One verdict a row: the worst of its columns'; rows of which something was left to the next run have none yet."""
    bad = pl.col("verdict") != Verdict.SENT.value
    by_row = written.group_by(SOURCE_PK).agg(
        pl.len().alias("_written"),
        pl.when((pl.col("verdict") == Verdict.UNKNOWN.value).any())
        .then(pl.lit(Verdict.UNKNOWN.value))
        .when(bad.any())
        .then(pl.lit(Verdict.REJECTED.value))
        .otherwise(pl.lit(Verdict.SENT.value))
        .alias("verdict"),
        pl.col("reason").filter(bad).unique(maintain_order=True).str.join("; ").replace("", None).alias("reason"),
        pl.col("status").max(),
    )
    cells = pl.sum_horizontal(pl.col(name).is_not_null() for name in own.definition.columns)
    return (
        accepted.with_columns(_cells=cells)
        .join(by_row, on=SOURCE_PK, how="inner", maintain_order="left")
        .filter(pl.col("_written") >= pl.col("_cells"))
        .with_columns(request=pl.lit(None, dtype=pl.Int64))
    )


def _recorded(run: SyncRun[EngagementWork], rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({"fields": "sent_fields"}).with_columns(
        part=pl.lit("profile"),
        suite_version=pl.lit(run.versions.suite, dtype=pl.Int64),
        mapping_version=pl.lit(run.versions.mapping, dtype=pl.Int64),
    )


async def _agree(
    run: SyncRun[EngagementWork], own: EngagementWork, rows: WantedRows, held: pl.DataFrame, written: pl.DataFrame
) -> None:
    """What both sides hold from now on: a state to be written once it is; of held rows nothing else."""
    sent = written.filter(pl.col("verdict") == Verdict.SENT.value).select(SOURCE_PK, "column")
    done = rows.agreed.filter("write").join(sent, on=[SOURCE_PK, "column"], how="semi")
    as_it_is = rows.agreed.filter(~pl.col("write")).join(held, on=SOURCE_PK, how="anti")
    agreed = pl.concat([done, as_it_is])
    if agreed.is_empty():
        return
    returned, ledger = own.definition.returned, run.ledger
    names = {scope: returned.attribute(scope) for scope in returned.states}
    tell = agreed.filter("tell").select(
        SOURCE_PK,
        pl.col("scope").replace_strict(names, return_dtype=pl.String).alias("attribute"),
        pl.when(~pl.col("differs")).then("state").alias("unless"),
    )
    told = None
    if returned.profiles is not None and own.profiles is not None and tell.height:
        layouts, identity = await ledger.do(ledger.ledger.mapping_fields, returned.profiles), own.profiles.identity
        salt = identity_salt(ledger.ledger.salt, identity.kind, identity.label)
        told = Told(returned.profiles, tell, layouts, salt)
    await run.persist(ledger.ledger.agree, run.name, agreed, told)
