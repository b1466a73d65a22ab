"""Of the rows that claim one person the most restrictive consent leaves, whichever of them is sent.

rows of a batch ─▶ heed: with what duplicates say ─▶ compare, claim ─▶ note: what this batch's duplicates say
after the last batch: owners of keys that a duplicate said something new of are read again, by `read_owners_again`
"""

import polars as pl

from caspio_sync.caspio.query import and_, keys_where
from caspio_sync.engine.owners import present_keys
from caspio_sync.engine.run import SyncRun
from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.ledger.duplicate_consent import (
    KEY_HASH,
    SILENCE,
    WORDS,
    acknowledged_words,
    restrained,
    spoken_anew,
    states_of,
)
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.former_keys import acknowledged_under_its_key
from caspio_sync.schemas import KEY, SOURCE_PK


async def heed(run: SyncRun, mapped: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows with the most restrictive consent that any row of their key states.

    A baseline sends nothing, so it takes the rows as they are; the next run tells what is stricter.

    Args:
        run: the run.
        mapped: rows.
        known: the ledger's rows of the same range.
    """
    if not _tells_consent(run):
        return mapped
    columns, words = run.mapping.columns, await words_known(run)
    alone = words.is_empty() and not mapped[KEY].drop_nulls().str.to_lowercase().is_duplicated().any()
    if run.options.baseline or alone:
        return mapped
    hashes = key_hashes(mapped[KEY], run.salt)
    own = mapped.with_columns(hashes).join(words, on=SOURCE_PK, how="anti")
    anew = spoken_anew(own, words, columns)
    if not anew.is_empty():
        words = await _without_gone(run, anew, words)
    return restrained(mapped, hashes, words, columns, run.consent, owners=acknowledged_under_its_key(mapped, known))


async def keep_words_of_gone(run: SyncRun, pairs: pl.DataFrame) -> None:
    """Before a held duplicate takes over from its owner: what the owner said counts on, as that of a duplicate would.

    Its own "yes" was held against that, and nobody has said it again since.

    Args:
        run: the run.
        pairs: PAIRS_SCHEMA.
    """
    held = pairs.filter("stale")
    if held.is_empty() or not _tells_consent(run):
        return
    store = run.ledger.ledger
    owners = await run.ledger.do(store.rows_at, run.name, held["former_pk"])
    said = acknowledged_words(owners, run.mapping.columns, run.versions.columns, run.consent, run.salt)
    if said.is_empty():
        return
    before = (await words_known(run)).join(said, on=SOURCE_PK, how="anti")
    run.words.known = pl.concat([before, said])
    if not run.planned:
        await run.ledger.do(store.note_gone, run.name, said)


async def note_words(run: SyncRun, batch: int, mapped: pl.DataFrame, changes: pl.DataFrame) -> None:
    """Write down what the batch's duplicates say, and remember which words its owners were compared with.

    Args:
        run: the run.
        batch: number of the batch.
        mapped: its rows as they are.
        changes: its changes, claimed.
    """
    if not _tells_consent(run) or mapped.is_empty():
        return
    columns = run.mapping.columns
    duplicates = changes.filter(~pl.col(KEY_UNIQUE), pl.col(KEY).is_not_null()).select(SOURCE_PK, KEY_HASH)
    rows = mapped.join(duplicates, on=SOURCE_PK, how="inner", maintain_order="left")
    said = rows.select(SOURCE_PK, KEY_HASH).with_columns(states_of(rows, columns, without=run.consent.most_lenient))
    fresh = said.filter(pl.col("states") != SILENCE).with_columns(heard=pl.lit(None, dtype=pl.String))
    before = (await words_known(run)).join(mapped, on=SOURCE_PK, how="anti")
    words = run.words
    words.known = pl.concat([before, fresh.select(WORDS.names())])
    if run.planned:
        return
    await run.ledger.do(run.ledger.ledger.note_duplicates, run.name, said, mapped[SOURCE_PK])
    if not run.options.baseline and not words.known.is_empty():
        others = mapped.join(duplicates, on=SOURCE_PK, how="anti", maintain_order="left")
        owners = others.with_columns(key_hashes(others[KEY], run.salt)).join(words.known, on=KEY_HASH, how="semi")
        own = owners.select(KEY_HASH, states_of(owners, columns).alias("heard"))
        words.heard[batch] = words.known.drop("heard").join(own, on=KEY_HASH, how="inner")


def _tells_consent(run: SyncRun) -> bool:
    return any(column.role != "attribute" for column in run.mapping.columns)


async def note_heard(run: SyncRun, batch: int) -> None:
    """The batch is recorded: what its rows were compared with is heard."""
    heard = run.words.heard.pop(batch, None)
    if heard is not None and not heard.is_empty():
        await run.ledger.do(run.ledger.ledger.note_heard, run.name, heard)


async def read_owners_again(run: SyncRun) -> bool:
    """Once all rows are recorded: have those read whose duplicates said something new since; whether there are any.

    A shard leaves it to the next run: the owner may be another shard's.
    """
    if run.options.baseline or run.options.pk_range is not None:
        return False
    prepared = run.prepared
    owners = await run.ledger.do(run.ledger.ledger.unheeding_owners, run.name)
    return run.reading.read_again(
        prepared.reader(run.caspio, and_(prepared.definition.source.where, where), run.clock)
        for where in keys_where(prepared.key, [str(owner) for owner in owners])
    )


async def settle_words(run: SyncRun) -> None:
    """Whoever was asked for and not found has nobody to tell."""
    if run.blocked is None:
        await run.ledger.do(run.ledger.ledger.settle_duplicates, run.name)


async def words_known(run: SyncRun) -> pl.DataFrame:
    """WORDS of the duplicates that were read in this run and before."""
    if run.words.known is None:
        run.words.known = await run.ledger.do(run.ledger.ledger.duplicate_words, run.name)
    return run.words.known


async def _without_gone(run: SyncRun, asked: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """The words without those of rows that are gone from Caspio, or bear another key by now."""
    present = await present_keys(run.caspio, run.prepared, asked[SOURCE_PK].unique(maintain_order=True))
    there = present.select(SOURCE_PK, key_hashes(present["present_key"], run.salt))
    gone = asked.join(there, on=[SOURCE_PK, KEY_HASH], how="anti")[SOURCE_PK].unique()
    if not run.planned and len(gone):
        await run.ledger.do(run.ledger.ledger.drop_duplicates, run.name, gone.to_list())
    left = words.filter(~pl.col(SOURCE_PK).is_in(gone.implode()))
    run.words.known = left
    return left
