"""Which rows of a batch are events that were never sent: held against what was, and what left without an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.engine.comparing import count_full
from caspio_sync.engine.erasing import withhold_erased
from caspio_sync.engine.line import Batch, Row
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.events.mapping import EventMapping, edited
from caspio_sync.kinds.events.work import EDITED, VERSION, WAITED, EventWork, chosen_by_hand
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.compare import HELD, KEY_UNIQUE, Comparison, Versions
from caspio_sync.ledger.events_schema import LET_GO
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.held import WAITS, WAITS_FOR_LINES
from caspio_sync.observe.freshness import CHANGED_AT
from caspio_sync.schemas import HELD_BEFORE, KEY, SOURCE_PK, Verdict

_ROW, _LEFT = "_row.", "_left."
_NO_VERSION = -1  # no row was ever judged under it


@dataclass(frozen=True, slots=True)
class Asked:
    """How rows are held against what is known of them.

    Args:
        versions: what they are judged under.
        layout: names of the cells that their fingerprints are of.
        on_update: as the sync says.
        again: whether rows that were held alike are judged once more.
        waiting_since: an order that is as it was then, or before, is waited for no longer (microseconds since 1970);
            None where nothing is waited for.
    """

    versions: Versions
    layout: Sequence[str]
    on_update: str
    again: bool
    waiting_since: int | None = None


async def find_unsent(run: SyncRun[EventWork], batch: Batch) -> pl.DataFrame:
    """The rows of a batch that are to be sent; gives those of people who were erased."""
    work, source, ledger = run.work, batch.source, run.ledger.ledger
    # The journal first: what leaves it between the two stands in its row by then, and never in neither.
    left = await run.ledger.do(ledger.journal_rows, run.name, source.low, source.high)
    known = await run.ledger.do(ledger.event_rows, run.name, source.low, source.high)
    asked = Asked(
        run.versions,
        work.mapping.layout,
        work.mapping.on_update,
        again=chosen_by_hand(run),
        waiting_since=_waiting_since(run),
    )
    versions, prints = await run.timed("compare", work.mapping.versions, source.frame, run.salt)
    compared, ignored = await run.timed(
        "compare", compare_events, _rows(batch.mapped, versions, prints, run.salt), prints, known, left, asked
    )
    compared = await withhold_erased(run, compared, known)
    if work.lines is not None:
        work.waiting.update(compared.held_rows)
    _count(run, source.number, compared, ignored)
    batch.changes, batch.compared = compared.changes, compared.without_changes()
    return compared.erased


def _waiting_since(run: SyncRun[EventWork]) -> int | None:
    assembly = run.work.mapping.assembly
    if assembly is None:
        return None
    return int((run.clock.now().timestamp() - assembly.lines.complete.patience) * 1e6)


def _rows(mapped: pl.DataFrame, versions: pl.Series, prints: fp.FieldPrints, salt: int) -> pl.DataFrame:
    everything = np.ones(prints.shape, dtype=np.bool_)
    return mapped.with_columns(
        versions, fp.key_hashes(mapped[KEY], salt), fp.pack(prints), fp.pack_mask(everything), _changed=pl.lit("")
    )


def _count(run: SyncRun[EventWork], number: int, compared: Comparison, ignored: int) -> None:
    report, changes = run.report, compared.changes
    report.unchanged += compared.unchanged + compared.settled.height
    for verdict, rows in compared.held.items():
        report.held[verdict] = report.held.get(verdict, 0) + rows
    operations = dict(changes["_op"].value_counts().iter_rows())
    report.new += operations.get("new", 0)
    report.changed += operations.get("changed", 0)
    run.work.edited += ignored
    count_full(run, changes, 1)
    if run.times.known:
        run.times.begin(number, changes[CHANGED_AT])


def find_alone(row: Row) -> None:
    """Hold a single row against what is known of it, for who looks at it alone; it is judged in any case."""
    mapping, ledger, source_pk = cast("EventMapping", row.mapping), row.ledger, int(row.source[SOURCE_PK][0])
    salt = identity_salt(ledger.salt, mapping.identity.kind, mapping.identity.label)
    versions, prints = mapping.versions(row.source, salt)
    row.mapped = row.own
    row.words = pl.DataFrame(schema={SOURCE_PK: pl.Int64})
    known = ledger.event_rows(row.sync, source_pk, source_pk)
    left = ledger.journal_rows(row.sync, source_pk, source_pk)
    judges = Versions(_NO_VERSION, _NO_VERSION, ledger.mapping_fields(row.sync))
    asked = Asked(judges, mapping.layout, mapping.on_update, again=True)
    rows = _rows(row.own, versions, prints, salt)
    changes = compare_events(rows, prints, known, left, asked)[0].changes
    row.operation = None if changes.is_empty() else changes["_op"][0]
    same = rows.with_columns(pl.lit(value=True).alias(KEY_UNIQUE), pl.lit(value=False).alias(EDITED))
    row.changes = same if changes.is_empty() else changes


def compare_events(
    rows: pl.DataFrame, prints: fp.FieldPrints, known: pl.DataFrame, left: pl.DataFrame, asked: Asked
) -> tuple[Comparison, int]:
    """Hold rows against the ledger: each version of a row that may leave is sent once.

    Args:
        rows: mapped rows with fp, key_hash, fields and changed.
        prints: fingerprints of their cells.
        known: EVENT_ROW_SCHEMA of the same range.
        left: JOURNAL_SCHEMA of the same range.
        asked: how.

    Returns:
        What is to be sent, what is known or held; and how many rows differ from what was sent and are left alone.
    """
    newest = left.unique(SOURCE_PK, keep="last", maintain_order=True)
    held = rows.select(SOURCE_PK, "fp", KEY, "key_hash")
    for frame, prefix in ((known, _ROW), (newest, _LEFT)):
        named = frame.rename({name: f"{prefix}{name}" for name in frame.columns if name != SOURCE_PK})
        held = held.join(named, on=SOURCE_PK, how="left", maintain_order="left")
    sent, noted = pl.col(f"{_ROW}sent_fp").is_not_null(), pl.col(f"{_LEFT}fp").is_not_null()
    by_note = noted & (~sent | (pl.col(f"{_LEFT}at") >= pl.col(f"{_ROW}sent_at")).fill_null(value=True))
    held = held.with_columns(
        _gone=sent | noted,
        _by_note=by_note,
        _last_fp=pl.when(by_note).then(f"{_LEFT}fp").otherwise(f"{_ROW}sent_fp"),
        fields=pl.when(by_note).then(f"{_LEFT}fields").otherwise(f"{_ROW}sent_fields"),
        mapping_version=pl.when(by_note).then(f"{_LEFT}mapping_version").otherwise(f"{_ROW}sent_mapping_version"),
    )
    held = held.with_columns(_edited=_edited(held, prints, asked.layout, asked.versions.columns))
    now = (asked.versions.mapping, asked.versions.suite)
    same_judge = (pl.col(f"{_ROW}mapping_version") == now[0]) & (pl.col(f"{_ROW}suite_version") == now[1])
    alike = (pl.col(f"{_ROW}seen_fp") == pl.col("fp")) & same_judge & pl.col(f"{_ROW}verdict").is_in(list(HELD))
    waits = pl.col(f"{_ROW}reason").str.starts_with(WAITS).fill_null(value=False)
    # Where it is judged once more, its waiting begins anew: what is waited for is that nothing changes.
    lines = pl.col(f"{_ROW}reason").str.starts_with(WAITS_FOR_LINES).fill_null(value=False)
    long = (pl.col(f"{_ROW}seen_at") <= pl.lit(asked.waiting_since, dtype=pl.Int64)).fill_null(value=False)
    same = (pl.col(f"{_ROW}seen_fp") == pl.col("fp")).fill_null(value=False)
    waited = lines & same & long
    alike = alike.fill_null(value=False) & (~waits | (lines & ~long)) & pl.lit(not asked.again)
    released = pl.col("_by_note") & pl.col(f"{_LEFT}state").is_in(LET_GO).fill_null(value=False)
    follows = pl.col("_edited") & pl.lit(asked.on_update != "ignore")
    held = held.with_columns(
        _state=pl.when(pl.col("_gone") & ~follows & ~released & pl.col("_by_note"))
        .then(pl.lit(Verdict.UNKNOWN.value))
        .when(pl.col("_gone") & ~follows & ~released)
        .then(pl.lit("sent"))
        .when(alike)
        .then(f"{_ROW}verdict")
        .otherwise(pl.lit("differs")),
        _op=pl.when(follows).then(pl.lit("changed")).otherwise(pl.lit("new")),
        _waited=waited,
        _version=pl.when(released & ~pl.col("_edited")).then("_last_fp").otherwise("fp"),
    )
    return _compared(rows, held, asked)


def _edited(
    held: pl.DataFrame, prints: fp.FieldPrints, layout: Sequence[str], layouts: Mapping[int, Sequence[str]]
) -> pl.Series:
    """Whether what left last was another version of the row: a field that was not read then makes none."""
    other = held["_gone"] & (held["_last_fp"] != held["fp"]).fill_null(value=False)
    places = other.arg_true().to_numpy()
    found = np.zeros(held.height, dtype=np.bool_)
    if len(places):
        stored = held.select("fields", "mapping_version")[places]
        found[places] = edited(prints[places], stored, layout, layouts)
    return pl.Series(found)


def _compared(rows: pl.DataFrame, held: pl.DataFrame, asked: Asked) -> tuple[Comparison, int]:
    state, edits = held["_state"], held["_edited"]
    changed = rows.with_columns(
        held["_op"],
        edits.alias(EDITED),
        held[WAITED],
        held[VERSION],
        (held[f"{_ROW}verdict"] == Verdict.QUARANTINED.value).fill_null(value=False).alias(HELD_BEFORE),
        _moved=held.select(
            pl.col(f"{_ROW}mapping_version").is_not_null()
            & (pl.col(f"{_ROW}key").ne_missing(pl.col(KEY)) | pl.col(f"{_ROW}key_hash").ne_missing(pl.col("key_hash")))
        ).to_series(),
    ).with_columns(pl.lit(value=True).alias(KEY_UNIQUE))
    counts = dict(state.value_counts().iter_rows())
    basis = (state == "sent") & ~edits & (held["mapping_version"] != asked.versions.mapping).fill_null(value=False)
    # What an edit is told by goes over to the fields that are read now; where edits are ignored, nobody asks.
    settles = basis if asked.on_update != "ignore" else basis & False
    verdicts = [*HELD, Verdict.UNKNOWN]
    return (
        Comparison(
            changes=changed.filter(state == "differs"),
            settled=rows.filter(settles).select(SOURCE_PK, "fp", "fields"),
            unchanged=counts.get("sent", 0) - int(settles.sum()),
            held={verdict: counts[verdict] for verdict in verdicts if counts.get(verdict)},
            held_rows=rows.filter(state.is_in([str(each) for each in verdicts]))[SOURCE_PK],
        ),
        int(((state == "sent") & edits).sum()),
    )
