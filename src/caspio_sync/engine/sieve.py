"""Rows that end before the mapping: their cells are as they were, and what they became then was acknowledged.

    pages ─▶ sieve ─▶ rows met   ─▶ SourceBatch.met, counted as unchanged
                      the others ─▶ decoded, mapped, compared (comparing.py) ─▶ kept for the next read

A verdict hangs on more than cells, and whatever of it may be another one lets the row go the long way: the mapping and
all it is made of (`_digest`), what the ledger knows of the row (`Ledger.acknowledged`), runs that died (`unfinished`),
rows that bear the same key (`comparing.recalled`). Who asks for everything (`--full`) gets all rows mapped.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import polars as pl

import caspio_sync
from caspio_sync.caspio.key_ranges import Page
from caspio_sync.caspio.raw_rows import NOBODY, RAW_PRINT, Met, Sifted, cut, pages_of, raw_prints
from caspio_sync.clock import Clock
from caspio_sync.engine.prepared import Prepared
from caspio_sync.ledger.compare import Versions, left_unrecorded
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.schemas import SOURCE_PK

# Raised when what is kept of a row means something else than before.
_VERSION = 1
# What reads cells: another version may read them otherwise. A clone of ours that is updated keeps its number, so that
# our code itself is looked at.
_READERS = ("polars", "phonenumbers", "pycountry")
_OUR_READERS = ("*.py", "caspio/*.py", "destinations/**/*.py", "kinds/**/*.py", "ledger/*.py", "mapping/*.py")


class RowSieve:
    """Knows rows by their raw prints; a `caspio.raw_rows.Sieve`.

    Args:
        name: name of the sync.
        prepared: the sync held against its table.
        ledger: the ledger, in its thread.
        versions: what the run judges rows under.
        clock: tells the day.
        takes_out: whether rows that are met go no further; where not, or none is known (`begin`), all are mapped, and
            kept for the next read.
    """

    def __init__(
        self,
        name: str,
        prepared: Prepared,
        ledger: LedgerThread,
        versions: Versions,
        *,
        clock: Clock,
        takes_out: bool,
    ) -> None:
        identity = prepared.mapping.identity
        self._name = name
        self._key_field = prepared.key.name
        self._ledger = ledger
        self._unfinished = versions.unfinished
        self.salt = identity_salt(ledger.ledger.salt, identity.kind, identity.label)
        self._clock = clock
        self.takes_out = takes_out
        self._digest = _digest(prepared, self.salt)

    async def begin(self) -> None:
        """Look whether any row is known."""
        known = self._ledger.ledger.has_prints
        self.takes_out = self.takes_out and await self._ledger.do(known, self._name, self._digest)

    async def __call__(self, low: int, high: int, pages: Sequence[Page]) -> Sifted:
        """See `caspio.raw_rows.Sieve`."""
        known = await self._known(low, high)
        return await asyncio.to_thread(self._sifted, pages, known)

    async def _known(self, low: int, high: int) -> pl.DataFrame:
        """source_pk, raw_print, key_hash and price of the rows that are nothing but unchanged while their cells are."""
        ledger, today = self._ledger.ledger, self._clock.now().date()
        prints = await self._ledger.do(ledger.raw_prints, self._name, self._digest, low=low, high=high, today=today)
        if prints.is_empty():
            return prints.with_columns(key_hash=pl.lit(None, dtype=pl.Int64))
        acknowledged = await self._ledger.do(ledger.acknowledged, self._name, low, high)
        known = prints.join(acknowledged, on=[SOURCE_PK, "fp"])
        # Of two rows with one key, each counts for what becomes of the other.
        alone = ~pl.col("key_hash").is_duplicated()
        return known.filter(alone, ~left_unrecorded(SOURCE_PK, self._unfinished))

    def _sifted(self, pages: Sequence[Page], known: pl.DataFrame) -> Sifted:
        rows = cut(pages, self._key_field)
        if rows is None:
            return Sifted(pages)
        prints = raw_prints(rows, self.salt)
        by_print = known.unique(RAW_PRINT, keep="any")
        looked_up = pl.DataFrame({RAW_PRINT: prints}).join(by_print, on=RAW_PRINT, how="left", maintain_order="left")
        is_met = looked_up[SOURCE_PK].is_not_null().to_numpy()
        if not is_met.any():
            return Sifted(pages, prints, NOBODY, is_met)
        met = looked_up.filter(pl.Series(is_met)).select(NOBODY.rows.columns)
        texts: tuple[list[bytes], list[bytes]] = [], []
        for row, same in zip(rows, is_met.tolist(), strict=True):
            texts[same].append(row)
        others = list(pages_of(texts[False], self._key_field))
        return Sifted(others, prints[~is_met], Met(met, texts[True], self._key_field), is_met)

    async def keep(self, low: int, high: int, rows: pl.DataFrame, mapped: pl.Series) -> None:
        """Remember what rows became, for the next read.

        Args:
            low: first key of the batch.
            high: last key.
            rows: PRINTS of ledger/raw_prints.py.
            mapped: `source_pk` of the rows that were mapped: what was remembered of them goes.
        """
        keep, today = self._ledger.ledger.record_prints, self._clock.now().date()
        await self._ledger.do(keep, self._name, self._digest, rows, mapped, low=low, high=high, today=today)


def _digest(prepared: Prepared, salt: int) -> str:
    """Hash of all that the mapped form of a row hangs on besides its cells, the day apart (raw_prints.py)."""
    definition, mapping = prepared.definition, prepared.mapping
    readers = [version(each) for each in _READERS]
    content = [
        _VERSION,
        _our_code(),
        *readers,
        definition.kind,
        definition.model_dump_json(),
        mapping.digest,
        mapping.columns,
        str(prepared.source),
        prepared.key,
        prepared.read_fields,
        salt,
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


@cache
def _our_code() -> str:
    """Hash of our files that read cells; it takes a few milliseconds."""
    root = Path(caspio_sync.__file__).parent
    paths = sorted(path for each in _OUR_READERS for path in root.glob(each))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
