"""Rows that came back under another PK_ID: their table was emptied and filled again, or made anew.

A new row whose key another row of the ledger bears is held, while that other row is in Caspio under this key. Once it
is not, the new row takes over all that was remembered: nothing of it is sent again, and a "no" stands.
"""

from dataclasses import dataclass

import polars as pl

from caspio_sync.caspio.records import SourceBatch
from caspio_sync.engine.owners import bears_its_key, present_keys
from caspio_sync.engine.run import SyncRun
from caspio_sync.ledger.compare import left_unrecorded
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.handing_over import PAIRS_SCHEMA
from caspio_sync.schemas import FORMER_KEY, KEY, SOURCE_PK, Verdict

_CLAIM = pl.Schema({"key_hash": pl.Int64, SOURCE_PK: pl.Int64, "holds": pl.Boolean, "own": pl.Int64, KEY: pl.String})


@dataclass(frozen=True, slots=True)
class Claims:
    """Who bears the keys of some new rows, by the ledger and by Caspio.

    Args:
        standing: key_hash, source_pk and holds of rows that are in Caspio under the key; of several its owner comes
            first.
        gone: key_hash, source_pk, holds, own (PK_ID of the new row) and key of rows that are not, in the same order.
        acknowledged: keys of which something was acknowledged.
    """

    standing: pl.DataFrame
    gone: pl.DataFrame
    acknowledged: pl.Series


async def find_claims(run: SyncRun, mapped: pl.DataFrame, new: pl.DataFrame, stored: pl.DataFrame) -> Claims:
    """Look whether the rows that the ledger knows under these keys are still in Caspio.

    Args:
        run: the run.
        mapped: the batch; a rival in it needs no asking.
        new: source_pk, key and key_hash of rows.
        stored: the ledger's claimants of these keys: CLAIM_SCHEMA.

    Raises:
        As `CaspioClient.records`.
    """
    claims = stored.join(new.select("key_hash", own=SOURCE_PK), on="key_hash").select(_CLAIM.names())
    mine = pl.col(SOURCE_PK) == pl.col("own")
    rivals = claims.filter(~mine)
    if rivals.is_empty():
        there = gone = rivals
    else:
        in_batch = mapped.select(SOURCE_PK, present_key=KEY)
        elsewhere = rivals[SOURCE_PK].unique().sort()
        elsewhere = elsewhere.filter(~elsewhere.is_in(in_batch[SOURCE_PK].implode()))
        present = pl.concat([in_batch, await present_keys(run.caspio, run.prepared, elsewhere)])
        there = rivals.join(present, on=SOURCE_PK, how="inner").filter(bears_its_key()).select(_CLAIM.names())
        gone = rivals.join(there, on=SOURCE_PK, how="anti")
    # No join keeps an order by itself.
    order = {"by": ["key_hash", "holds", SOURCE_PK, "own"], "descending": [False, True, False, False]}
    standing = pl.concat([there, claims.filter(mine)]).sort(**order)  # type: ignore[arg-type]
    standing = standing.select("key_hash", SOURCE_PK, "holds")
    return Claims(standing, gone.sort(**order), stored.filter("holds")[KEY])  # type: ignore[arg-type]


def heirs(
    run: SyncRun, claims: Claims, new: pl.DataFrame, known: pl.DataFrame, under_way: pl.DataFrame
) -> pl.DataFrame:
    """Which new rows take over from which: PAIRS_SCHEMA.

    Args:
        run: the run.
        claims: of the new rows.
        new: source_pk, key, _former_key and key_hash of rows.
        known: the ledger's rows of the batch (LEDGER_ROW_SCHEMA).
        under_way: `Turns.claims`, from before `claims` were looked up.
    """
    if claims.gone.is_empty():
        return PAIRS_SCHEMA.to_frame()
    # A key that another row has, in Caspio or in a batch under way, is not free to be taken over.
    taken = pl.concat([claims.standing, under_way.with_columns(holds=pl.lit(value=True))])
    taken = taken.join(new, on=[SOURCE_PK, "key_hash"], how="anti")
    # A duplicate that is held for it takes nothing from whoever comes in the owner's place.
    held_only = pl.col("key_hash").is_in(taken["key_hash"].implode()) & ~pl.col("holds")
    former = claims.gone.rename({SOURCE_PK: "former_pk", KEY: "former_key"}).rename({"own": SOURCE_PK})
    # What an older version sent under the key as the cell has it stands under that key (former_keys.py).
    as_in_cell = pl.col(FORMER_KEY).eq_missing(pl.col("former_key"))
    found = (
        former.filter(~held_only)
        .join(taken.filter("holds"), on="key_hash", how="anti", maintain_order="left")
        .join(new.select(SOURCE_PK, KEY, FORMER_KEY), on=SOURCE_PK, how="inner", maintain_order="left")
        .filter(as_in_cell | ((pl.col(KEY) == pl.col("former_key")) & ~as_in_cell.any().over(SOURCE_PK)))
        .unique(["key_hash", "former_key"], keep="first", maintain_order=True)
    )
    told = pl.col("sent_fields").is_not_null() | pl.col("sent_fp").is_not_null()
    own = known.select(SOURCE_PK, known=pl.lit(value=True), known_hash="key_hash", told=told)
    found = found.join(own, on=SOURCE_PK, how="left", maintain_order="left")
    known_there = pl.col("known").fill_null(value=False)
    other_key = (pl.col("known_hash") != pl.col("key_hash")).fill_null(value=False)
    # A state that left under the row's own number, before the former one was gone, is the later one.
    told_since = (pl.col("known_hash") == pl.col("key_hash")) & pl.col("told")
    return found.select(
        SOURCE_PK,
        "former_pk",
        stale=known_there & ~other_key,
        displaced=known_there & other_key,
        unsure=told_since.fill_null(value=False) | left_unrecorded("former_pk", run.versions.unfinished),
        key_hash="key_hash",
    )


async def known_rows(run: SyncRun, batch: SourceBatch) -> pl.DataFrame:
    """What the ledger knows of a batch's rows (LEDGER_ROW_SCHEMA), those apart that a sieve took out."""
    store = run.ledger.ledger
    if batch.scattered or batch.frame.height < batch.met.height:  # what lies between may be all of the table
        return await run.ledger.do(store.rows_at, run.name, batch.frame[SOURCE_PK])
    return await run.ledger.do(store.read_rows, run.name, batch.low, batch.high)


async def take_over(run: SyncRun, pairs: pl.DataFrame, known: pl.DataFrame, batch: SourceBatch) -> pl.DataFrame:
    """Hand over, and give the ledger's rows of the batch as they are then; a plan writes nothing.

    Args:
        run: the run.
        pairs: PAIRS_SCHEMA.
        known: the ledger's rows of the batch as they are now.
        batch: whose rows take over.
    """
    store = run.ledger.ledger
    run.report.notes.append(
        f"{pairs.height} rows came back under another PK_ID; what was sent of them before counts as sent"
    )
    left = _left_behind(run, pairs)
    pairs = pairs.with_columns(pl.col("unsure") | pl.col(SOURCE_PK).is_in(left.implode()))
    if not run.planned:
        await run.ledger.do(store.hand_over, run.name, pairs, left)
        return await known_rows(run, batch)
    former = await run.ledger.do(store.rows_at, run.name, pairs["former_pk"])
    unsure = pl.col(SOURCE_PK).is_in(pairs.filter("unsure")[SOURCE_PK].implode())
    doubted = pl.when(unsure).then(pl.lit(Verdict.UNKNOWN.value)).otherwise("verdict").alias("verdict")
    return _placed(known, former, pairs).with_columns(doubted)


def _left_behind(run: SyncRun, pairs: pl.DataFrame) -> pl.Series:
    """PK_ID of rows whose person may be there under a key that no row has any more, which the run tells.

    Whether a row's person got the address that another one gave up, or the table was filled again and somebody left it,
    the two look alike: moving the contact would give one person's lists to another. But a "no" of the row is heard for
    that key too, now and later (`moved_keys.LEFT`), whatever was told of it before: so all of such a row is sent.
    """
    if not run.sink.follows_keys:
        return pl.Series(dtype=pl.Int64)
    behind = pairs.filter("displaced", ~pl.col(SOURCE_PK).is_in(pairs["former_pk"].implode()))[SOURCE_PK]
    if not behind.is_empty():
        run.report.notes.append(
            f"{len(behind)} rows have an address that was another row's, and their own former one is no row's now "
            f"(PK_ID {', '.join(map(str, behind.head(5)))}{', …' if len(behind) > 5 else ''}): who has it in "
            f"{run.destination.title} was left as it is, but for opt-outs of the row, which leave for both; merge the "
            "two there by hand, where they are one person"
        )
    return behind


async def take_over_agreed(
    run: SyncRun, batch: SourceBatch, mapped: pl.DataFrame, known: pl.DataFrame, agreed: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same for an engagement return, which remembers of most rows nothing but the consent that was agreed on.

    Args:
        run: the run.
        batch: its batch.
        mapped: the batch's mapped frame.
        known: the ledger's rows of the batch (LEDGER_ROW_SCHEMA).
        agreed: AGREED_SCHEMA of the batch.

    Returns:
        `known` and `agreed` as they are then.
    """
    store, hashes = run.ledger.ledger, key_hashes(mapped[KEY], run.salt)
    keyed = mapped.select(SOURCE_PK, KEY, FORMER_KEY, hashes).filter(pl.col(KEY).is_not_null())
    # What was agreed before its key was noted is taken for the row's own.
    unnamed = agreed.filter(pl.col("key_hash").is_null()).select(SOURCE_PK)
    nothing = {"sent_fields": pl.lit(None, dtype=pl.Binary), "sent_fp": pl.lit(None, dtype=pl.Binary)}
    named = agreed.drop_nulls("key_hash").select(SOURCE_PK, "key_hash").unique(SOURCE_PK).with_columns(**nothing)
    own = known.select(named.columns)
    own = pl.concat([own, named.join(own, on=SOURCE_PK, how="anti")])
    new = keyed.join(own, on=[SOURCE_PK, "key_hash"], how="anti").join(unnamed, on=SOURCE_PK, how="anti")
    if new.is_empty():
        return known, agreed
    under_way = run.turns.claims()
    rows = await run.ledger.do(store.claims, run.name, new["key_hash"])
    others = await run.ledger.do(store.agreed_of, run.name, new["key_hash"])
    others = others.join(rows, on=["key_hash", SOURCE_PK], how="anti").join(new.select("key_hash", KEY), on="key_hash")
    others = others.select("key_hash", SOURCE_PK, KEY, pl.lit(value=False).alias("holds")).unique()
    claims = await find_claims(run, mapped, new, pl.concat([rows, others]))
    pairs = heirs(run, claims, new, own, under_way)
    if pairs.is_empty():
        return known, agreed
    known = await take_over(run, pairs, known, batch)
    if not run.planned:
        return known, await run.ledger.do(store.agreed, run.name, batch.low, batch.high)
    taken = pairs["former_pk"].sort()
    former = await run.ledger.do(store.agreed, run.name, int(taken[0]), int(taken[-1]))
    return known, _placed(agreed, former, pairs)


def _placed(there: pl.DataFrame, former: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """What the ledger would have of a batch once the pairs were handed over, sorted."""
    taken = pl.concat([pairs[SOURCE_PK], pairs["former_pk"]])
    moved = former.join(pairs.select("former_pk", new_pk=SOURCE_PK), left_on=SOURCE_PK, right_on="former_pk")
    moved = moved.with_columns(pl.col("new_pk").alias(SOURCE_PK)).select(there.columns)
    return pl.concat([there.filter(~pl.col(SOURCE_PK).is_in(taken.implode())), moved]).sort(SOURCE_PK)
