"""Who enters an automation: those of whom its condition turned, once, whatever is lost, killed or sent again.

A condition turns when a row meets it that did not when it was last acknowledged. Of a row that is new, nobody knows
what it was before: it counts where the run has just been told of it, and not where a whole read brings it.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.hand_over import known_rows
from caspio_sync.engine.line import Batch
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.sending import quiet, sends_again
from caspio_sync.engine.writes import ENROL, ENROL_WAITS, KNOWN_AS
from caspio_sync.ledger.compare import send
from caspio_sync.ledger.enrolments import ENROLMENT_SCHEMA
from caspio_sync.ledger.fingerprints import NEVER_SENT, field_fingerprints, key_hashes, unpack
from caspio_sync.ledger.form import microseconds
from caspio_sync.mapping.automations import AUTOMATION_PREFIX, is_automation
from caspio_sync.schemas import SOURCE_PK, MappedColumn, Verdict

# A request that was given up may still be taken, after any number of seconds; nobody documents how many.
SETTLED = timedelta(minutes=5)
_EACH = ("key_hash", "automation")
_NOBODY = pl.DataFrame(schema={SOURCE_PK: pl.Int64(), ENROL: pl.List(pl.String), ENROL_WAITS: pl.List(pl.String)})


async def with_enrolments(run: SyncRun, batch: Batch) -> pl.DataFrame:
    """The accepted rows of a batch with ENROL and ENROL_WAITS, null for nobody's."""
    columns = [each for each in run.mapping.columns if is_automation(each.name)]
    rows = batch.accepted
    travels = pl.any_horizontal(pl.lit(value=False), *(_wanted(each) for each in columns))
    asking = rows.filter(travels).with_columns(_quiet=quiet(run))
    if asking.is_empty():
        return rows.join(_NOBODY, on=SOURCE_PK, how="left", maintain_order="left")
    before = (await known_rows(run, batch.source)).select(SOURCE_PK, "verdict", "sent_fields", "sent_mapping_version")
    asking = asking.join(before, on=SOURCE_PK, how="left", maintain_order="left")
    known = await _known(run, asking)
    since = microseconds(run.ledger.ledger.now()) - int(SETTLED.total_seconds() * 1e6)
    each_one = pl.concat(
        [
            asking.filter(_wanted(column)).select(
                SOURCE_PK,
                "key_hash",
                automation=pl.lit(column.name.removeprefix(AUTOMATION_PREFIX)),
                turned=_turned(run, asking.filter(_wanted(column)), column),
            )
            for column in columns
        ]
    ).join(known, on=list(_EACH), how="left", maintain_order="left")
    noted = pl.col("entered").is_not_null()
    # A note without an outcome: somebody decided that they are to enter, and was broken off.
    died = noted & (pl.col("entered") == 0) & pl.col("made_by").is_not_null()
    waits = (noted & (pl.col("entered") == 0) & (died | (pl.col("left_at") > since))).fill_null(value=False)
    enters = (pl.col("turned") & ~noted) | (noted & (pl.col("entered") == 0) & ~waits).fill_null(value=False)
    if not run.planned:
        store = run.ledger.ledger
        await run.persist(store.doubt_enrolments, run.name, each_one.filter(died.fill_null(value=False)).select(_EACH))
    named = [
        each_one.filter(chosen).group_by(SOURCE_PK, maintain_order=True).agg(pl.col("automation").alias(name))
        for chosen, name in ((enters, ENROL), (waits, ENROL_WAITS))
    ]
    for frame in named:
        rows = rows.join(frame, on=SOURCE_PK, how="left", maintain_order="left")
    return rows


async def note_enrolments(run: SyncRun, rows: pl.DataFrame) -> None:
    """These rows are about to leave: who enters something is noted first."""
    if (entering := _entering(rows)).height:
        await run.persist(run.ledger.ledger.note_enrolments, run.name, run.id, entering)


async def record_enrolments(run: SyncRun, rows: pl.DataFrame, answers: Sequence[Answer]) -> None:
    """Write down what became of enrolments, by the answers to the requests of these rows."""
    if ENROL not in rows.columns:
        return
    store = run.ledger.ledger
    refused = [place for each in answers for place, _ in each.rejected]
    for doubtful, write in ((False, store.record_enrolments), (True, store.doubt_enrolments)):
        places = [
            place
            for each in answers
            if bool(each.unknown) is doubtful
            for place in range(each.start, each.start + each.count)
        ]
        chosen = _entering(rows[sorted(set(places) - set(refused))])
        if chosen.height:
            await run.persist(write, run.name, chosen)
    if (chosen := _entering(rows[refused])).height:
        await run.persist(store.forget_enrolments, run.name, chosen)


def _wanted(column: MappedColumn) -> pl.Expr:
    return pl.col(send(column.name)) & pl.col(column.name).is_not_null()


def _turned(run: SyncRun, rows: pl.DataFrame, column: MappedColumn) -> pl.Series:
    """Whether the condition of a column, which these rows meet, was not met when each was last acknowledged.

    Args:
        run: the run.
        rows: changes, with `_quiet`, and `verdict`, `sent_fields`, `sent_mapping_version` as the ledger has them.
        column: of the mapped frame.
    """
    before = rows.with_columns(_before=acknowledged(run, rows, column))
    is_new, had_not_met = pl.col("sent_fields").is_null(), pl.col("_before") != _print_of_met(run, column)
    if run.sink.runs_automations:
        return before.select(is_new | had_not_met).to_series()
    # Of a new row whose answer was lost it is not known whether anybody waited for it: where somebody did, there is a
    # note. A row that was last sent before the file had the condition may have met it for years.
    fresh = is_new & ~pl.col("_quiet") & (pl.col("verdict") != Verdict.UNKNOWN.value).fill_null(value=True)
    layouts = [number for number, names in run.versions.columns.items() if column.name in names]
    judged = pl.col("sent_mapping_version").is_in(layouts).fill_null(value=False) & pl.lit(not sends_again(run))
    return before.select(fresh | (~is_new & judged & had_not_met)).to_series()


def _print_of_met(run: SyncRun, column: MappedColumn) -> int:
    return int(field_fingerprints(pl.DataFrame({column.name: [True]}), [column], run.salt)[0, 0])


def acknowledged(run: SyncRun, rows: pl.DataFrame, column: MappedColumn) -> pl.Series:
    """The field fingerprint of a column that each row was last acknowledged with, under whatever key."""
    prints = pl.Series("_before", [NEVER_SENT] * rows.height, dtype=pl.UInt64)
    sent = rows.with_row_index("_place").filter(pl.col("sent_fields").is_not_null())
    for (version,), group in sent.group_by("sent_mapping_version"):
        of = unpack(group["sent_fields"], run.versions.columns[int(str(version))], [column.name])[:, 0]
        prints = prints.scatter(group["_place"], pl.Series(of, dtype=pl.UInt64))
    return prints


async def _known(run: SyncRun, rows: pl.DataFrame) -> pl.DataFrame:
    """ENROLMENT_SCHEMA of these rows' people by their present keys; a run renames what was noted under former ones."""
    store = run.ledger.ledger
    formers = former_hashes(run, rows)
    if formers.height and not run.planned:
        await run.persist(store.rename_enrolled, run.name, formers)
    known = await run.ledger.do(store.enrolments, run.name, pl.concat([rows["key_hash"], formers["former_hash"]]))
    as_former = known.rename({"key_hash": "former_hash"}).join(formers, on="former_hash", how="inner")
    together = pl.concat([known, as_former.select(ENROLMENT_SCHEMA.names())])
    return together.sort("entered", descending=True).unique(list(_EACH), keep="first", maintain_order=True)


def former_hashes(run: SyncRun, rows: pl.DataFrame) -> pl.DataFrame:
    """key_hash, and former_hash of each other key by which the row's person may be known."""
    if KNOWN_AS not in rows.columns:
        return pl.DataFrame(schema={"key_hash": pl.Int64(), "former_hash": pl.Int64()})
    named = rows.select("key_hash", KNOWN_AS).drop_nulls(KNOWN_AS).explode(KNOWN_AS)
    hashes = key_hashes(named[KNOWN_AS], run.salt).alias("former_hash")
    return named.select("key_hash").with_columns(hashes).filter(pl.col("former_hash") != pl.col("key_hash"))


def _entering(rows: pl.DataFrame) -> pl.DataFrame:
    """key_hash and automation of everybody who is to enter one."""
    if ENROL not in rows.columns:
        return ENROLMENT_SCHEMA.to_frame().select(_EACH)
    return rows.select("key_hash", pl.col(ENROL).alias("automation")).drop_nulls("automation").explode("automation")
