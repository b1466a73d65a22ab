"""Which rows are new or changed, and which of their fields travel: the mapped frame against what the ledger knows.

A pure function; the ledger is read before it and written after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import polars as pl

from caspio_sync.consent import ConsentRules
from caspio_sync.deferred import np
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.runs import Unfinished
from caspio_sync.schemas import HELD_BEFORE, KEY, OK_SUFFIX, PROBLEMS, SOURCE_PK, MappedColumn, Verdict, ok

if TYPE_CHECKING:
    import numpy.typing as npt

KEY_UNIQUE = ok("key_unique")
OPT_OUT = "_opt_out"  # whether any consent became more restrictive
MOVED_FROM = "_moved_from"  # the key under which the row was sent before, where it has another one now
ONLY_OPT_OUT = "_only_opt_out"  # whether nothing but that is to be sent
HELD = (Verdict.QUARANTINED, Verdict.REJECTED, Verdict.BLOCKED)
NO_ROWS = pl.Series(SOURCE_PK, dtype=pl.Int64)
# The suite version of a row that is held because another one has its key: that is the other row's matter, which may go.
OF_A_DUPLICATE = 0


def send(column: str) -> str:
    """Name of the boolean column of the changes that says whether `column` travels."""
    return f"_send.{column}"


def opt_out(column: str) -> str:
    """Name of the boolean column of the changes that says whether `column` became more restrictive."""
    return f"_opt_out.{column}"


def repeated(column: str) -> str:
    """Name of the column of the changes with the state to repeat where the row no longer tells one."""
    return f"_repeated.{column}"


# Gives the mapped rows, as rules before the present ones read them, of these `source_pk`.
ReadBefore = Callable[[pl.Series], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Versions:
    """What the rows of this run are judged under.

    Args:
        mapping: number of the present mapping version.
        suite: number of the present suite version.
        columns: the columns of every mapping version the ledger holds, by its number.
        unfinished: batches that a run died in.
        former: numbers of the mapping versions that read by rules before the present ones.
    """

    mapping: int
    suite: int
    columns: Mapping[int, tuple[str, ...]]
    unfinished: tuple[Unfinished, ...] = ()
    former: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the comparison found; every row of the mapped frame is in exactly one of the first four.

    Args:
        changes: new and changed rows: the mapped columns, `fp`, `key_hash`, `fields` (packed field fingerprints as they
            will stand once acknowledged), `changed` (bit mask), `_op` (new, changed), `_held_before` (its last verdict
            is quarantined), `_moved` (the ledger knows the row under another key), `_moved_from` (that key, where it
            was sent under it), `_changed` (names, comma-joined), `_send.<column>`, `_opt_out.<column>` and
            `_repeated.<column>` for consent columns, `_opt_out`,
            `_only_opt_out`, `consent_fields` and `consent_changed` (as `fields` and `changed`, of the opt-out alone;
            null without one), `key_unique__ok`.
        settled: rows with nothing to send although their version is new to the ledger (a field left the mapping, a
            value went and came back): source_pk, fp, fields.
        unchanged: number of rows whose version was acknowledged before.
        held: number of rows held back under the same version before, by verdict.
        held_rows: `source_pk` of these.
        erased: `source_pk` and `key_hash` of rows taken from the changes because their key was erased.
        prints: `source_pk` and `fp` of every row of the mapped frame, in its order.
    """

    changes: pl.DataFrame
    settled: pl.DataFrame
    unchanged: int
    held: Mapping[str, int]
    held_rows: pl.Series
    erased: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={SOURCE_PK: pl.Int64, "key_hash": pl.Int64})
    )
    prints: pl.DataFrame = field(default_factory=pl.DataFrame)

    def without_changes(self) -> Self:
        """The same without its changes and prints, which are most of what a batch holds in memory."""
        return replace(self, changes=self.changes.clear(), prints=self.prints.clear())


def compare(
    mapped: pl.DataFrame,
    known: pl.DataFrame,
    *,
    columns: Sequence[MappedColumn],
    versions: Versions,
    consent: ConsentRules,
    salt: int,
    resend: bool = False,
    resent: pl.Series = NO_ROWS,
    stopped: Collection[str] = (),
    read_before: ReadBefore | None = None,
) -> Comparison:
    """Hold a mapped frame against the ledger's rows.

    Args:
        mapped: the mapped frame (see schemas.py).
        known: the ledger's rows of the same range (LEDGER_ROW_SCHEMA); others may be among them.
        columns: the mapping's columns, in its order.
        versions: what the rows are judged under.
        consent: what the destination makes of consent states.
        salt: the ledger's salt.
        resend: send every field of every row, whatever the ledger says.
        resent: `source_pk` of rows with which that was done already, by a run that died: what the ledger says holds.
        stopped: columns that cannot be read for now: they do not travel, and what was acknowledged of them stands.
        read_before: how rows were read under former rules; None where that is of no interest.
    """
    before = mapped.select(SOURCE_PK).join(
        known.rename({name: f"_known.{name}" for name in known.columns if name != SOURCE_PK}),
        on=SOURCE_PK,
        how="left",
        maintain_order="left",
    )
    rows = mapped.with_columns(
        fp.row_fingerprints(mapped, columns, salt),
        fp.key_hashes(mapped[KEY], salt),
        *before.drop(SOURCE_PK),
    )
    same_key = pl.col("_known.key").eq_missing(pl.col(KEY)) & pl.col("_known.verdict").is_not_null()
    same_version = (pl.col("_known.mapping_version") == versions.mapping) & (
        pl.col("_known.suite_version") == versions.suite
    )
    seen = same_key & (pl.col("_known.seen_fp") == pl.col("fp"))
    # What was sent and not recorded may have loosened a state since: a "no" there is told again. It is not billed.
    refuses = pl.any_horizontal(
        pl.lit(value=False), *(pl.col(each.name) == consent.refused for each in columns if each.role != "attribute")
    )
    doubtful = left_unrecorded(SOURCE_PK, versions.unfinished)
    state = (
        pl.when(doubtful & refuses.fill_null(value=False))
        .then(pl.lit("differs"))
        .when(pl.lit(resend) & ~pl.col(SOURCE_PK).is_in(resent.implode()))
        .then(pl.lit("differs"))
        .when(seen & (pl.col("_known.sent_fp") == pl.col("fp")) & (pl.col("_known.verdict") == Verdict.SENT))
        .then(pl.lit("unchanged"))
        .when(seen & same_version & pl.col("_known.verdict").is_in(list(HELD)))
        .then(pl.col("_known.verdict"))
        .otherwise(pl.lit("differs"))
    )
    # An opt-out that left alone does not make a profile known: until the row itself was sent, it is new.
    sent_before = same_key & pl.col("_known.sent_fp").is_not_null()
    known_row = pl.col("_known.mapping_version").is_not_null()
    rows = rows.with_columns(
        _state=state,
        _doubtful=doubtful,
        _op=pl.when(sent_before).then(pl.lit("changed")).otherwise(pl.lit("new")),
        **{HELD_BEFORE: pl.col("_known.verdict").eq_missing(pl.lit(Verdict.QUARANTINED.value))},
        _moved=known_row
        & (pl.col("_known.key").ne_missing(pl.col(KEY)) | pl.col("_known.key_hash").ne_missing(pl.col("key_hash"))),
        **{
            MOVED_FROM: pl.when(pl.col("_known.sent_fp").is_not_null(), pl.col("_known.key") != pl.col(KEY)).then(
                "_known.key"
            )
        },
    )
    counts = dict(rows["_state"].value_counts().iter_rows())
    differing = rows.filter(pl.col("_state") == "differs")
    changes, settled = _diff_fields(
        differing,
        columns,
        versions,
        consent,
        salt,
        resend=resend,
        stopped=stopped,
        read_before=read_before,
    )
    return Comparison(
        changes=changes,
        settled=settled,
        unchanged=counts.get("unchanged", 0),
        held={verdict: counts[verdict] for verdict in HELD if counts.get(verdict)},
        held_rows=rows.filter(pl.col("_state").is_in(list(HELD)))[SOURCE_PK],
        prints=rows.select(SOURCE_PK, "fp"),
    )


def left_unrecorded(source_pk: str, unfinished: Sequence[Unfinished]) -> pl.Expr:
    """Whether a run died with the row of this PK_ID on its way."""
    return pl.any_horizontal(
        pl.lit(value=False),
        *(
            (
                pl.col(source_pk).is_between(each.low, each.high)
                if each.among is None
                else pl.col(source_pk).is_in(each.among)
            )
            & ~pl.col(source_pk).is_in(each.recorded.implode())
            for each in unfinished
        ),
    )


def _diff_fields(
    rows: pl.DataFrame,
    columns: Sequence[MappedColumn],
    versions: Versions,
    consent: ConsentRules,
    salt: int,
    *,
    resend: bool,
    stopped: Collection[str],
    read_before: ReadBefore | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = [column.name for column in columns]
    wanted = fp.field_fingerprints(rows, columns, salt)
    stored = _stored(rows, names, versions)
    # Nothing is known of a row that is new there, nor of one whose last answer was lost: either version may be there.
    is_changed = (rows["_op"] == "changed").to_numpy()
    is_sure = is_changed & (rows["_known.verdict"] != Verdict.UNKNOWN).fill_null(value=False).to_numpy()
    before = np.where(is_sure[:, None], stored, np.uint64(fp.NEVER_SENT))
    refused = np.uint64(fp.state_fingerprint(consent.refused, salt))
    doubtful = rows["_doubtful"].to_numpy()
    for place, column in enumerate(columns):
        if column.role != "attribute":
            before[doubtful & (wanted[:, place] == refused), place] = fp.NEVER_SENT
    if read_before is not None and not resend:
        _take_for_sent(rows, columns, wanted, before, versions, salt, read_before)
    _leave_what_others_gave(rows, columns, wanted, before)
    travels = (wanted != before) & (wanted != fp.NEVER_SENT)
    if resend:
        travels = wanted != fp.NEVER_SENT
    travels[:, [place for place, name in enumerate(names) if name in stopped]] = False
    skipping = [each.name for each in columns if each.on_bad == "skip" and ok(each.name) in rows.columns]
    for name in skipping:  # neither sent nor cleared: what was acknowledged of it stands
        travels[~rows[ok(name)].to_numpy(), names.index(name)] = False
    tightened = _tightened(rows, columns, before, consent, salt)
    consent_kept = np.where(tightened, wanted, stored)
    restated = _restated(rows, columns, stored, consent, salt)
    for place, column in enumerate(columns):
        if column.role == "attribute":
            continue
        triggers = [names.index(name) for name in consent.reset_by(column) if name in names]
        moved = np.logical_or.reduce([travels[:, trigger] for trigger in triggers], initial=False)
        known = wanted[:, place] != fp.NEVER_SENT
        again = restated[:, place] & (moved | ~is_sure)
        wanted[again, place] = stored[again, place]
        travels[:, place] |= (moved & known) | again
        before[moved & ~known, place] = fp.NEVER_SENT  # forgotten there, and what takes its place travels
    rows = rows.drop(
        [name for name in rows.columns if name.startswith("_known.")] + ["_state", "_doubtful"]
    ).with_columns(
        fp.pack(np.where(travels, wanted, before)),
        fp.pack_mask(travels),
        *_flags(columns, travels, tightened, restated, consent),
        pl.Series(ONLY_OPT_OUT, is_changed & tightened.any(axis=1) & ~(travels & ~tightened).any(axis=1)),
    )
    rows = _with_consent_fields(rows, consent_kept, tightened)
    nothing = pl.Series(is_changed & ~travels.any(axis=1)) & _sound(rows, skipping)
    unique = pl.lit(value=True).alias(KEY_UNIQUE)
    changes = rows.filter(~nothing)
    changes = changes.with_columns(unique, _names_of_changed(changes["changed"], names))
    return changes, rows.filter(nothing).select(SOURCE_PK, "fp", "fields")


def _leave_what_others_gave(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], wanted: fp.FieldPrints, before: fp.FieldPrints
) -> None:
    """Of what is taken back, leave in `wanted` what may be there by us: it was sent, or nobody knows."""
    unsure = (
        rows["_doubtful"]
        | (rows["_known.verdict"] == Verdict.UNKNOWN).fill_null(value=False)
        | rows[MOVED_FROM].is_not_null()
    ).to_numpy()
    for place, column in enumerate(columns):
        if column.on_null == "withdraw":
            never = (wanted[:, place] == fp.NULL) & (before[:, place] == fp.NEVER_SENT) & ~unsure
            wanted[never, place] = fp.NEVER_SENT


def _take_for_sent(  # noqa: PLR0917 - what the comparison is made of
    rows: pl.DataFrame,
    columns: Sequence[MappedColumn],
    wanted: fp.FieldPrints,
    before: fp.FieldPrints,
    versions: Versions,
    salt: int,
    read_before: ReadBefore,
) -> None:
    """Take for sent, in `before`, the attributes whose cells are as acknowledged, and are only read otherwise now."""
    places = rows["_known.sent_mapping_version"].is_in(list(versions.former)).fill_null(value=False).arg_true()
    attributes = [place for place, column in enumerate(columns) if column.role == "attribute"]
    if places.is_empty() or not attributes:
        return
    chosen = rows.gather(places).select(SOURCE_PK)
    former = chosen.join(read_before(chosen[SOURCE_PK]), on=SOURCE_PK, how="left", maintain_order="left")
    prints = fp.field_fingerprints(former, [columns[place] for place in attributes], salt)
    at = np.ix_(places.to_numpy(), np.array(attributes))
    same = (prints == before[at]) & (before[at] != fp.NEVER_SENT) & (wanted[at] != fp.NEVER_SENT)
    before[at] = np.where(same, wanted[at], before[at])


def _sound(rows: pl.DataFrame, skipping: Sequence[str]) -> pl.Series:
    """Whether nothing is wrong with a row but what it leaves out."""
    sound = rows[PROBLEMS].is_null()
    if not skipping:
        return sound
    judged = [name for name in rows.columns if name.endswith(OK_SUFFIX) and name not in set(map(ok, skipping))]
    return sound | rows.select(pl.all_horizontal(judged)).to_series()


def _with_consent_fields(rows: pl.DataFrame, kept: fp.FieldPrints, tightened: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """`_opt_out`, and `consent_fields` and `consent_changed` as they stand once the opt-out alone is acknowledged."""
    opted_out = tightened.any(axis=1)
    alone = pl.DataFrame(
        {
            "_place": np.flatnonzero(opted_out),
            "consent_fields": fp.pack(kept[opted_out]),
            "consent_changed": fp.pack_mask(tightened[opted_out]),
        }
    )
    placed = pl.DataFrame({"_place": np.arange(rows.height)}).join(
        alone, on="_place", how="left", maintain_order="left"
    )
    return rows.with_columns(pl.Series(OPT_OUT, opted_out), placed["consent_fields"], placed["consent_changed"])


def _stored(rows: pl.DataFrame, names: Sequence[str], versions: Versions) -> fp.FieldPrints:
    """The field fingerprints last acknowledged under the row's present key, in the present order."""
    prints = np.full((rows.height, len(names)), fp.NEVER_SENT, dtype=np.uint64)
    stored = rows.select(
        place=pl.int_range(pl.len()),
        version=pl.when(pl.col("_known.key").eq_missing(pl.col(KEY))).then("_known.sent_mapping_version"),
        packed="_known.sent_fields",
    ).filter(pl.col("version").is_not_null(), pl.col("packed").is_not_null())
    for (version,), group in stored.group_by("version"):
        prints[group["place"].to_numpy()] = fp.unpack(group["packed"], versions.columns[int(str(version))], names)
    return prints


def _restated(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], stored: fp.FieldPrints, consent: ConsentRules, salt: int
) -> npt.NDArray[np.bool_]:
    """Where a row tells no state, and the last one acknowledged was a "no": it stands until the row says otherwise."""
    refused, print_ = np.zeros(stored.shape, dtype=np.bool_), np.uint64(fp.state_fingerprint(consent.refused, salt))
    for place, column in enumerate(columns):
        if column.role != "attribute":
            refused[:, place] = (stored[:, place] == print_) & rows[column.name].is_null().to_numpy()
    return refused


def _tightened(
    rows: pl.DataFrame, columns: Sequence[MappedColumn], before: fp.FieldPrints, consent: ConsentRules, salt: int
) -> npt.NDArray[np.bool_]:
    """Where a consent state is more restrictive than the acknowledged one, or than the default where none was."""
    states = {fp.state_fingerprint(state, salt): rank for state, rank in consent.rank.items()}
    tightened = np.zeros(before.shape, dtype=np.bool_)
    for place, column in enumerate(columns):
        if column.role == "attribute":
            continue
        ranks = rows[column.name].replace_strict(dict(consent.rank), default=-1, return_dtype=pl.Int8).to_numpy()
        old = np.full(rows.height, consent.rank[consent.default], dtype=np.int8)
        for print_, rank in states.items():
            old[before[:, place] == print_] = rank
        tightened[:, place] = ranks > old
    return tightened


def _flags(
    columns: Sequence[MappedColumn],
    travels: npt.NDArray[np.bool_],
    tightened: npt.NDArray[np.bool_],
    restated: npt.NDArray[np.bool_],
    consent: ConsentRules,
) -> list[pl.Series]:
    flags = [pl.Series(send(column.name), travels[:, place]) for place, column in enumerate(columns)]
    refused, none = pl.Series([consent.refused]), pl.Series([None], dtype=pl.String)
    for place, column in enumerate(columns):
        if column.role != "attribute":
            flags.append(pl.Series(opt_out(column.name), tightened[:, place]))
            states = refused.zip_with(pl.Series(restated[:, place]), none)
            flags.append(states.alias(repeated(column.name)))
    return flags


def _names_of_changed(masks: pl.Series, names: Sequence[str]) -> pl.Series:
    """The names behind each bit mask, comma-joined; rows share few masks."""
    distinct = masks.unique()
    told = [",".join(fp.mask_names(mask, names)) for mask in distinct.to_list()]
    return masks.replace_strict(distinct, told, return_dtype=pl.String).alias("_changed")
