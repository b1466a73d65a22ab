"""A batch mapped and compared with what was sent: plain functions of the run and a frame; `steps` puts them in line.

source frame ─▶ map_batch ─▶ compare_batch ─▶ (gate) ─▶ sending.send_batch ─▶ recording.record_batch
"""

import asyncio
from dataclasses import replace
from itertools import chain

import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.records import SourceBatch
from caspio_sync.engine.duplicate_consent import heed, keep_words_of_gone, note_words, words_known
from caspio_sync.engine.erasing import withhold_erased
from caspio_sync.engine.hand_over import Claims, find_claims, heirs, known_rows, take_over
from caspio_sync.engine.kind import mapping_of
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.unfinished import begin_reading, claim_before_others
from caspio_sync.engine.writes import KNOWN_THERE
from caspio_sync.ledger.claims import claim_keys
from caspio_sync.ledger.compare import (
    KEY_UNIQUE,
    NO_ROWS,
    OF_A_DUPLICATE,
    Comparison,
    ReadBefore,
    compare,
    left_unrecorded,
    send,
)
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.former_keys import with_former_keys
from caspio_sync.ledger.raw_prints import PRINTS
from caspio_sync.ledger.schema import LEDGER_ROW_SCHEMA
from caspio_sync.mapping.former_rules import under_former_rules
from caspio_sync.observe.freshness import CHANGED_AT
from caspio_sync.schemas import FORMER_KEY, KEY, PROBLEMS, SOURCE_PK, Verdict

_NO_SUITE = -1


async def map_batch(run: SyncRun, batch: SourceBatch) -> pl.DataFrame:
    """The batch's mapped frame; rows that a sieve took out come back into the batch where they are needed after all."""
    found = batch.frame
    mapped = await _mapped_whole(run, batch)
    # Last: an answer of the ledger that was lost on the way has all of it repeated.
    run.report.read += batch.rows
    run.reading.note_found(found)
    return mapped


async def _mapped_whole(run: SyncRun, batch: SourceBatch) -> pl.DataFrame:
    nothing = batch.frame.is_empty() and run.reading.nothing is not None
    mapped = run.reading.nothing_mapped if nothing else await _mapped(run, batch.frame)
    if batch.frame.is_empty():
        run.reading.nothing_mapped = mapped
    if batch.met.height == 0 or not (others := await _met_beside(run, batch, mapped)).any():
        return mapped
    pages, prepared = batch.met.pages(others), run.prepared
    back = await asyncio.to_thread(source_frame, pages, prepared.read_fields, prepared.key.name)
    mapped = pl.concat([mapped, await _mapped(run, back)]).sort(SOURCE_PK)
    batch.frame, batch.met = pl.concat([batch.frame, back]).sort(SOURCE_PK), batch.met.without(others)
    return mapped


async def _mapped(run: SyncRun, frame: pl.DataFrame) -> pl.DataFrame:
    mapped = await run.timed("map", run.mapping.apply, frame, today=run.clock.now().date())
    cursor = run.definition.source.cursor
    return mapped.with_columns(frame[cursor].alias(CHANGED_AT)) if cursor and run.times.known else mapped


async def _met_beside(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame) -> pl.Series:
    """Which rows that were met bear the key of another row: what becomes of either hangs on both."""
    words = await words_known(run)
    hashes = pl.concat([key_hashes(mapped[KEY], run.salt), words["key_hash"]]).drop_nulls()
    met = batch.met.rows
    return met["key_hash"].is_in(hashes.implode()) | met[SOURCE_PK].is_in(words[SOURCE_PK].implode())


async def open_batch(run: SyncRun, batch: SourceBatch) -> None:
    """Write down that the batch has begun; before the first one, that a sweep has."""
    ledger = run.ledger
    if batch.number == 1:
        await begin_reading(run)
    await ledger.do(
        ledger.ledger.open_batch,
        run=run.id,
        number=batch.number,
        low_pk=batch.low,
        high_pk=batch.high,
        rows=batch.rows,
        among=batch.frame[SOURCE_PK].to_list() if batch.scattered else None,
    )


async def compare_batch(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame) -> Comparison:
    """New and changed rows of a batch, each key claimed by one row; what duplicates say is all it writes."""
    if batch.frame.is_empty() and (nothing := run.reading.nothing) is not None:
        return await _all_met(run, batch, mapped, nothing)
    known = await known_rows(run, batch)
    own, mapped = mapped, await heed(run, mapped, known)
    comparison = await _compared(run, batch, mapped, known)
    # Before the ledger is asked: a batch that ends meanwhile stands in one of the two.
    under_way = run.turns.claims()
    claims = await _claims(run, mapped, comparison.changes)
    pairs = heirs(run, claims, _new(comparison.changes), known, under_way)
    if not pairs.is_empty():
        await keep_words_of_gone(run, pairs)
        known = await take_over(run, pairs, known, batch)
        mapped = await heed(run, own, known)
        comparison = await _compared(run, batch, mapped, known)
        # From here on their keys are theirs: other new rows of the batch that bear them are held.
        claims = replace(
            claims, standing=pl.concat([pairs.select("key_hash", SOURCE_PK, holds=pl.lit(value=True)), claims.standing])
        )
    # Another row takes their ids over, and sends all of its own: should one of them come back, the item is not its own.
    await run.work.release_keys(run, claims.gone.join(pairs, left_on=SOURCE_PK, right_on="former_pk", how="anti"))
    changes = await _claim(run, batch.number, comparison.changes, claims, under_way)
    await note_words(run, batch.number, own, changes)
    comparison = _without_held_alike(run, replace(comparison, changes=changes), known)
    changes = comparison.changes
    comparison = replace(comparison, unchanged=comparison.unchanged + batch.met.height)
    await run.work.note_read(run, mapped, known, batch.met.rows[SOURCE_PK])
    await _keep(run, batch, own, mapped, comparison)
    report = run.report
    report.unchanged += comparison.unchanged
    for verdict, rows in comparison.held.items():
        report.held[verdict] = report.held.get(verdict, 0) + rows
    operations = dict(changes["_op"].value_counts().iter_rows())
    report.new += operations.get("new", 0)
    report.changed += operations.get("changed", 0)
    report.unchanged += comparison.settled.height
    held = comparison.held_rows
    count_full(run, mapped if held.is_empty() else mapped.filter(~pl.col(SOURCE_PK).is_in(held.implode())), 1)
    report.data_points_full += int(batch.met.rows["price"].sum())
    changed = pl.col("_op") == "changed"
    sums = changes.select(
        (pl.col(send(column.name)) & changed).sum().alias(column.name) for column in run.mapping.columns
    )
    for name, rows in sums.row(0, named=True).items():
        if rows:
            report.changed_fields[name] = report.changed_fields.get(name, 0) + rows
    if run.times.known:
        run.times.begin(batch.number, changes[CHANGED_AT])
    if batch.frame.is_empty():
        run.reading.nothing = comparison
    return comparison


async def _all_met(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame, nothing: Comparison) -> Comparison:
    """Of a batch without any other row there is nothing to find: it is as the one before it that had none."""
    rows = batch.met.rows
    await run.work.note_read(run, mapped, LEDGER_ROW_SCHEMA.to_frame(), rows[SOURCE_PK])
    run.report.unchanged += rows.height
    run.report.data_points_full += int(rows["price"].sum())
    return replace(nothing, unchanged=rows.height)


async def _keep(
    run: SyncRun, batch: SourceBatch, own: pl.DataFrame, mapped: pl.DataFrame, comparison: Comparison
) -> None:
    """Remember what the batch's rows became: those that are sound, and became so by their own cells alone."""
    sieve, prints = run.reading.sieve, batch.prints
    if sieve is None or prints is None or prints.is_empty():
        return
    states = [column.name for column in run.mapping.columns if column.role != "attribute"]
    heeding = pl.lit(value=False)
    if mapped is not own:
        heeding = pl.any_horizontal(heeding, *(pl.col(name).ne_missing(own[name]) for name in states))
    withheld = pl.concat([comparison.held_rows, comparison.erased[SOURCE_PK]])
    sound = mapped.filter(
        pl.col(PROBLEMS).is_null(),
        pl.col(FORMER_KEY).is_null(),  # its key is another one where the ledger says so
        ~heeding,
        ~pl.col(SOURCE_PK).is_in(withheld.implode()),
    )
    price = run.sink.price(sound, run.mapping.columns, None).cast(pl.Int64).alias("price")
    rows = sound.select(SOURCE_PK, price).join(prints, on=SOURCE_PK).join(comparison.prints, on=SOURCE_PK)
    await sieve.keep(batch.low, batch.high, rows.select(PRINTS.names()), prints[SOURCE_PK])


def count_full(run: SyncRun, rows: pl.DataFrame, sign: int) -> None:
    """Count what these rows would be billed by a sync that sends all of a row."""
    points = rows.select(run.sink.price(rows, run.mapping.columns, None).sum()).item()
    run.report.data_points_full += sign * int(points or 0)


def _compare(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame, known: pl.DataFrame) -> Comparison:
    return compare(
        with_former_keys(mapped, known),
        known,
        columns=run.mapping.columns,
        # Under no version was a row ever held: what is released is judged again, whatever it was held for.
        versions=replace(run.versions, suite=_NO_SUITE) if run.options.release else run.versions,
        consent=run.consent,
        salt=run.salt,
        resend=(run.options.resend and not run.reading.again) or run.work.sends_all,
        resent=NO_ROWS if run.selection.shard is None else run.selection.shard.resent,
        stopped=run.mapping.stopped,
        read_before=_reading_before(run, batch) if run.versions.former else None,
    )


def _reading_before(run: SyncRun, batch: SourceBatch) -> ReadBefore:
    """How the rules before the present ones read the batch: of a ledger that a version before has written."""

    def read(source_pks: pl.Series) -> pl.DataFrame:
        prepared, rows = run.prepared, batch.frame.filter(pl.col(SOURCE_PK).is_in(source_pks.implode()))
        with under_former_rules():
            mapping = mapping_of(prepared.definition, list(prepared.fields.values()), absent=prepared.drift.stopped)
            return mapping.keeping(chain.from_iterable(run.versions.columns.values())).apply(rows)

    return read


async def _compared(run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame, known: pl.DataFrame) -> Comparison:
    return await withhold_erased(run, await run.timed("compare", _compare, run, batch, mapped, known), known)


def _new(changes: pl.DataFrame) -> pl.DataFrame:
    return changes.filter(pl.col("_op") == "new", pl.col(KEY).is_not_null()).select(
        SOURCE_PK, KEY, FORMER_KEY, "key_hash"
    )


def _without_held_alike(run: SyncRun, comparison: Comparison, known: pl.DataFrame) -> Comparison:
    """Leave duplicates held that are as they were when they were held: else every run would judge them again."""
    duplicates = comparison.changes.filter(~pl.col(KEY_UNIQUE), ~left_unrecorded(SOURCE_PK, run.versions.unfinished))
    if run.options.release or duplicates.is_empty():
        return comparison
    of_a_duplicate = (pl.col("verdict") == Verdict.QUARANTINED.value) & (pl.col("suite_version") == OF_A_DUPLICATE)
    before = known.filter(of_a_duplicate).select(SOURCE_PK, "key_hash", fp="seen_fp")
    held = duplicates.join(before, on=[SOURCE_PK, "key_hash", "fp"], how="semi")[SOURCE_PK]
    if held.is_empty():
        return comparison
    verdicts = {**comparison.held, Verdict.QUARANTINED.value: comparison.held.get(Verdict.QUARANTINED, 0) + len(held)}
    return replace(
        comparison,
        changes=comparison.changes.filter(~pl.col(SOURCE_PK).is_in(held.implode())),
        held=verdicts,
        held_rows=pl.concat([comparison.held_rows, held]),
    )


async def _claims(run: SyncRun, mapped: pl.DataFrame, changes: pl.DataFrame) -> Claims:
    """Who else bears the keys of the batch's new rows."""
    new = _new(changes)
    stored = await run.ledger.do(run.ledger.ledger.claims, run.name, new["key_hash"])
    return await find_claims(run, mapped, new, stored)


async def _claim(
    run: SyncRun, batch: int, changes: pl.DataFrame, claims: Claims, under_way: pl.DataFrame
) -> pl.DataFrame:
    """Hold the batch's keys against those that other rows hold, in the ledger and in the batches under way."""
    claimants = pl.concat([claims.standing.select("key_hash", SOURCE_PK), under_way])
    claimed = claim_keys(changes, claimants)
    if run.options.pk_range is not None:  # other rows of the sync may be under way in another process
        elsewhere = await claim_before_others(run, batch, claimed)
        claimed = claim_keys(changes, pl.concat([claimants, elsewhere]))
    run.turns.claim(batch, claimed.filter(pl.col(KEY).is_not_null(), KEY_UNIQUE).select("key_hash", SOURCE_PK))
    return claimed.with_columns(pl.col(KEY).is_in(claims.acknowledged.implode()).alias(KNOWN_THERE))
