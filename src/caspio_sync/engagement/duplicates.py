"""Which events were folded before: Braze posts at least once, and promises no order (Braze, 11.3).

An event that comes again bears the same id and the same time. So ids are kept by the hour of their event, as hashes
of 64 bits: of all that were ever seen, only those of the hours at hand are looked at.
"""

import polars as pl
import xxhash

from caspio_sync.deferred import np

EVENT_IDS = pl.Schema({"hour": pl.Int64(), "id_hash": pl.UInt64()})
_HOUR = 3_600_000_000  # microseconds


def with_id_hashes(events: pl.DataFrame, salt: int) -> pl.DataFrame:
    """Adds `hour` (since 1970) and `id_hash`: EVENT_IDS."""
    digest = xxhash.xxh3_64_intdigest
    ids = events["event_id"].cast(pl.Binary).to_list()
    hashes = np.fromiter((digest(each, salt) for each in ids), dtype=np.uint64, count=events.height)
    return events.with_columns(pl.col("at").dt.epoch("us").floordiv(_HOUR).alias("hour"), pl.Series("id_hash", hashes))


def pack_ids(hashes: pl.Series) -> bytes:
    """UInt64 as their bytes; nothing about them can be compressed."""
    return hashes.to_numpy().astype("<u8").tobytes()


def unpack_ids(packed: bytes) -> pl.Series:
    """The inverse of `pack_ids`."""
    return pl.Series("id_hash", np.frombuffer(packed, dtype="<u8"), dtype=pl.UInt64)
