"""What the rows of a batch should hold, from what the destination told of their people: pure polars between two reads.

mapped frame ─▶ want_batch ─▶ (gate) ─▶ write_batch ─▶ record_written
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.caspio.windows_zones import zone
from caspio_sync.engagement.events import POLLED
from caspio_sync.engine.hand_over import take_over_agreed
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.engagement import wanted
from caspio_sync.kinds.engagement.consent import MOMENT, SIDES, settle
from caspio_sync.kinds.engagement.definition import MEASURES
from caspio_sync.kinds.engagement.erased import without_erased
from caspio_sync.kinds.engagement.gathering import EngagementWork
from caspio_sync.kinds.engagement.mapping import (
    ALIAS_NAME,
    CONSENT_SHARE,
    EMAIL,
    NEWS_AT,
    NOW,
    StateColumn,
    WrittenColumn,
    present,
    stamp,
    state,
)
from caspio_sync.kinds.engagement.people import KnownPeople
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.observe.writeback_report import Conflict
from caspio_sync.schemas import FORMER_KEY, HELD_BEFORE, KEY, SOURCE_PK, Verdict, ok

CONSENT_CHANGED = "_consent_changed"


@dataclass(frozen=True, slots=True)
class WantedRows:
    """What a batch should become.

    Args:
        changes: source_pk, key, every column (null: stays as it is), `present.<column>`, `state.<scope>`, `fp`,
            `key_hash`, `fields`, `changed` (bit mask) and what the gate looks at.
        settled: source_pk of rows that the ledger holds for some fault, and that are as they should be by now.
        agreed: source_pk, scope, state, at, news (AGREED_SCHEMA) of states that are news to the ledger, and `write`
            (whether the state is to be written first), `tell`, `differs` (from what the destination told), `column`.
        erased: source_pk and key_hash of rows of erased people, of which no run has told yet.
    """

    changes: pl.DataFrame
    settled: pl.DataFrame
    agreed: pl.DataFrame
    erased: pl.DataFrame

    def without_changes(self) -> Self:
        """The same without the wide frame."""
        return replace(self, changes=self.changes.clear())


async def want_batch(run: SyncRun[EngagementWork], batch: SourceBatch, mapped: pl.DataFrame) -> WantedRows:
    """What differs between the batch's rows and what the destination told of their people; writes nothing."""
    own, ledger = run.work, run.ledger
    started = time.perf_counter()
    known = await ledger.do(ledger.ledger.read_rows, run.name, batch.low, batch.high)
    alias = own.definition.identity.user_alias
    mapped, erased = await without_erased(run, mapped, known, alias.label if alias else None)
    resolved = await asyncio.to_thread(own.engagement.resolve, _people(own, mapped))
    agreed = await ledger.do(ledger.ledger.agreed, run.name, batch.low, batch.high)
    known, agreed = await take_over_agreed(run, batch, mapped, known, agreed)
    made = await asyncio.to_thread(_wanted, run, own, mapped, resolved, known, agreed, erased)
    own.found += resolved.found
    consent = int(made.changes[CONSENT_CHANGED].sum())
    own.consent_changes += consent
    most = own.definition.gate.max_consent_rows
    share = own.consent_changes / max(1, run.report.expected) if own.consent_changes > most else 0.0
    changes = made.changes.with_columns(pl.lit(share).alias(CONSENT_SHARE))
    report = run.report
    report.changed += changes.height
    report.unchanged += mapped.height - changes.height
    for name in (column.name for column in own.mapping.columns):
        if rows := changes.height - changes[name].null_count():
            report.changed_fields[name] = report.changed_fields.get(name, 0) + rows
    report.add_seconds("compare", time.perf_counter() - started)
    return replace(made, changes=changes)


def _people(own: EngagementWork, mapped: pl.DataFrame) -> pl.DataFrame:
    identity = own.definition.identity
    label = identity.user_alias.label if identity.user_alias else None
    no = pl.lit(None, dtype=pl.String)
    people = mapped.select(
        pl.col(SOURCE_PK).alias("key"),
        (pl.col(KEY) if identity.external_id else no).alias("external_id"),
        pl.lit(label, dtype=pl.String).alias("alias_label"),
        ALIAS_NAME,
        EMAIL,
        FORMER_KEY,
    )
    # The destination may know the person by the key as an older version sent it.
    former = people.filter(pl.col(FORMER_KEY).is_not_null() & pl.col("external_id").is_not_null())
    return pl.concat([people, former.with_columns(external_id=FORMER_KEY)]).drop(FORMER_KEY)


def _wanted(  # noqa: PLR0917 - all that decides
    run: SyncRun[EngagementWork],
    own: EngagementWork,
    mapped: pl.DataFrame,
    resolved: KnownPeople,
    known: pl.DataFrame,
    agreed: pl.DataFrame,
    erased: pl.DataFrame,
) -> WantedRows:
    present_ones = [name for name in MEASURES if name in resolved.measures.columns]
    absent = [_measure(name) for name in MEASURES if name not in present_ones and name != "engaged_30_days"]
    # A Caspio field may be named as a measure is.
    measures = resolved.measures.select(
        "key", *(pl.col(name).alias(_measure(name)) for name in present_ones), pl.lit(value=True).alias(wanted.KNOWN)
    )
    frame = mapped.join(measures, left_on=SOURCE_PK, right_on="key", how="left", maintain_order="left")
    frame = frame.with_columns(
        pl.col(wanted.KNOWN).fill_null(value=False), *(pl.lit(None).alias(name) for name in absent)
    )
    now = pl.lit(run.clock.now()).cast(MOMENT)
    time_zone = own.definition.source.time_zone
    last = pl.col(_measure("last_engaged_at")).cast(MOMENT)
    frame = frame.with_columns(wanted.engaged_lately(last, now).alias(_measure("engaged_30_days")))
    frame = frame.with_columns(
        _value(each, time_zone).cast(frame.schema[present(each.name)]).alias(each.name) for each in own.mapping.written
    )
    frame = frame.with_columns(_changed(each.name) for each in own.mapping.written)
    settled = [_settled(run, each, frame, resolved, agreed) for each in own.mapping.states]
    states = {each.name: decided for each, decided in zip(own.mapping.states, settled, strict=True)}
    frame = frame.with_columns(_words(each, states[each.name]) for each in own.mapping.states)
    news = [
        decided.select(pl.when(pl.col("write").is_not_null()).then("there_at").alias(f"_{number}")).to_series()
        for number, decided in enumerate(settled)
    ]
    latest = pl.max_horizontal(pl.lit(None, dtype=MOMENT), *news).alias(NEWS_AT)
    names = [column.name for column in own.mapping.columns if column.name in frame.columns]
    frame = frame.with_columns(
        *(
            pl.lit(None, dtype=column.dtype).alias(column.name)
            for column in own.mapping.columns
            if column.name not in names
        ),
        pl.any_horizontal(pl.lit(value=False), *(pl.col(each.name).is_not_null() for each in own.mapping.states)).alias(
            CONSENT_CHANGED
        ),
        latest,
        now.alias(NOW),
    )
    changes = frame.filter(pl.any_horizontal(pl.lit(value=False), *(pl.col(name).is_not_null() for name in names)))
    for each in own.mapping.states:
        _note_conflicts(run, each, states[each.name])
    return WantedRows(
        _with_prints(run, own, changes, known),
        _healed(known, changes, mapped),
        _next_agreed(own.mapping.states, settled, run.salt),
        erased,
    )


def _measure(name: str) -> str:
    return f"measure.{name}"


def _value(column: WrittenColumn, time_zone: str) -> pl.Expr:
    measure, kind = pl.col(_measure(column.measure)), MEASURES[column.measure]
    if kind == "time":
        measure = measure.cast(MOMENT)
    match column.form:
        case "date" | "exact" if kind == "time":
            return wanted.wall_clock(measure, time_zone, exact=column.form == "exact")
        case "bucket":
            return wanted.bucket(measure, as_text=column.chars is not None)
        case "flag":
            if kind == "flag":
                return pl.when(pl.col(wanted.KNOWN)).then(measure)
            return wanted.flag(measure, is_count=kind == "count")
        case "text":
            return wanted.text(measure.cast(pl.String), column.chars or 0)
        case _:
            return measure


def _changed(name: str) -> pl.Expr:
    """The value where the cell holds another one; null where it stays."""
    return pl.when(pl.col(name).ne_missing(pl.col(present(name)))).then(pl.col(name)).alias(name)


def _settled(
    run: SyncRun[EngagementWork], column: StateColumn, frame: pl.DataFrame, resolved: KnownPeople, agreed: pl.DataFrame
) -> pl.DataFrame:
    """SIDES of one scope and what was decided, in the order of the frame."""
    scope, returned = column.scope, run.work.definition.returned
    news = (
        resolved.consents.filter(
            pl.col("scope") == scope, ~pl.col("source").is_in(list(returned.own_sources)).fill_null(value=False)
        )
        .sort("at")
        .unique("key", keep="last")
        .select(
            pl.col("key").alias(SOURCE_PK),
            pl.col("state").replace_strict(column.held, default=None, return_dtype=pl.String).alias("there"),
            pl.col("at").cast(MOMENT).alias("there_at"),
            pl.col("source").is_in(POLLED).fill_null(value=False).alias("there_seen"),
        )
    )
    before = agreed.filter(pl.col("scope") == scope).select(
        SOURCE_PK, agreed="state", agreed_at="at", agreed_news="news", agreed_key="key_hash"
    )
    stamped = pl.lit(None, dtype=MOMENT)
    if column.definition.changed_at is not None:
        declared = (run.prepared.fields[column.definition.changed_at].time_zone or "").strip()
        clock = zone(declared).key if declared else run.work.definition.source.time_zone
        stamped = _instant(pl.col(stamp(scope)), clock)
    sides = (
        frame.select(
            SOURCE_PK,
            # A word that nobody knows states nothing; such a row is held by the gate.
            pl.when(ok(state(scope))).then(state(scope)).alias("caspio"),
            stamped.alias("caspio_stamp"),
            pl.col(ok(state(scope))).alias("_readable"),
            pl.col(KEY),
        )
        .join(news, on=SOURCE_PK, how="left", maintain_order="left")
        .join(before, on=SOURCE_PK, how="left", maintain_order="left")
        .with_columns(pl.col(name).cast(dtype) for name, dtype in SIDES.items())
    )
    seen_at = pl.lit(run.reading.began_at or run.clock.now()).cast(MOMENT)
    conflict = column.definition.conflict
    return settle(sides, "destination_wins" if conflict == "braze_wins" else conflict, seen_at, run.consent)


def _instant(clock: pl.Expr, time_zone: str) -> pl.Expr:
    """A wall clock as an instant; the earlier reading of an hour that repeats, none of one that never was."""
    local = clock.cast(pl.Datetime("us")).dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def _words(column: StateColumn, decided: pl.DataFrame) -> pl.Series:
    values = column.values
    dtype = pl.Boolean if column.type == "YES/NO" else pl.String
    return decided["write"].replace_strict(dict(values), default=None, return_dtype=dtype).alias(column.name)


def _note_conflicts(run: SyncRun[EngagementWork], column: StateColumn, decided: pl.DataFrame) -> None:
    found = decided.filter("conflict")
    if found.is_empty():
        return
    name = run.example_column
    groups = found.group_by("caspio", "there", maintain_order=True).agg(
        pl.len().alias("rows"), pl.col(name).cast(pl.String).head(3), pl.col("write").is_not_null().first().alias("won")
    )
    for row in groups.iter_rows(named=True):
        run.work.writeback.add_conflict(
            Conflict(
                column=column.name,
                caspio=row["caspio"],
                braze=row["there"],
                destination=run.destination.title,
                policy=column.definition.conflict,
                winner=run.destination.name if row["won"] else "caspio",
                rows=row["rows"],
                examples=[each for each in row[name] if each],
            )
        )


def _with_prints(
    run: SyncRun[EngagementWork], own: EngagementWork, changes: pl.DataFrame, known: pl.DataFrame
) -> pl.DataFrame:
    columns = own.mapping.columns
    masks = changes.select(pl.col(column.name).is_not_null() for column in columns).to_numpy(order="c")
    changes = changes.with_columns(
        fp.row_fingerprints(changes, columns, run.salt).alias("fp"),
        fp.key_hashes(changes[KEY], run.salt).alias("key_hash"),
        fp.pack(fp.field_fingerprints(changes, columns, run.salt)).alias("fields"),
        fp.pack_mask(masks).alias("changed"),
        pl.lit("changed").alias("_op"),
    )
    before = known.select(SOURCE_PK, _seen="seen_fp", _verdict="verdict")
    joined = changes.join(before, on=SOURCE_PK, how="left", maintain_order="left")
    held = (pl.col("_verdict") == Verdict.QUARANTINED.value) & (pl.col("_seen") == pl.col("fp"))
    return joined.with_columns(held.fill_null(value=False).alias(HELD_BEFORE)).drop("_seen", "_verdict")


def _healed(known: pl.DataFrame, changes: pl.DataFrame, mapped: pl.DataFrame) -> pl.DataFrame:
    """Rows that were held for some fault, and are in Caspio as they should be."""
    return (
        known.filter(pl.col("verdict") != Verdict.SENT.value)
        .join(mapped, on=SOURCE_PK, how="semi")
        .join(changes, on=SOURCE_PK, how="anti")
        .select(
            SOURCE_PK,
            pl.col("seen_fp").alias("fp"),
            "sent_fields",
            "mapping_version",
            "suite_version",
        )
        .filter(pl.col("fp").is_not_null())
    )


def _next_agreed(columns: Sequence[StateColumn], settled: Sequence[pl.DataFrame], salt: int) -> pl.DataFrame:
    frames = []
    for column, rows in zip(columns, settled, strict=True):
        decided = rows.with_columns(fp.key_hashes(rows[KEY], salt))
        changed = (
            pl.col("key_hash").ne_missing(pl.col("agreed_key"))
            | pl.col("next_state").ne_missing(pl.col("agreed"))
            | pl.col("next_at").ne_missing(pl.col("agreed_at"))
            | pl.col("next_news").ne_missing(pl.col("agreed_news"))
        )
        frames.append(
            decided.filter(changed & pl.col("next_state").is_not_null() & pl.col("_readable")).select(
                SOURCE_PK,
                pl.lit(column.scope).alias("scope"),
                pl.col("next_state").alias("state"),
                pl.col("next_at").alias("at"),
                pl.col("next_news").alias("news"),
                "key_hash",
                pl.col("write").is_not_null().alias("write"),
                "tell",
                "differs",
                pl.lit(column.name).alias("column"),
            )
        )
    return pl.concat(frames) if frames else _NO_AGREED.clone()


_NO_AGREED = pl.DataFrame(
    schema={
        SOURCE_PK: pl.Int64, "scope": pl.String, "state": pl.String, "at": MOMENT, "news": MOMENT,
        "key_hash": pl.Int64,
        "write": pl.Boolean, "tell": pl.Boolean, "differs": pl.Boolean, "column": pl.String,
    }
)  # fmt: skip
