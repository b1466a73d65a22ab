"""Sets of `source_pk` in little room: a hundred thousand rows take some ten kilobytes."""

import zlib

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.schemas import SOURCE_PK


def pack_pks(source_pks: pl.Series) -> bytes:
    """The keys, sorted and each once, as the distances between them; b"" for none."""
    keys = source_pks.unique().sort().to_numpy().astype("<i8")
    if not keys.size:
        return b""
    # By place of the byte: most distances are small, so that all planes but one are nearly nothing but zeros.
    planes = np.diff(keys, prepend=0).astype("<i8").view(np.uint8).reshape(-1, 8).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes())


def unpack_pks(packed: bytes) -> pl.Series:
    """The inverse of `pack_pks`: Int64, sorted."""
    if not packed:
        return pl.Series(SOURCE_PK, dtype=pl.Int64)
    planes = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(8, -1).T
    return pl.Series(SOURCE_PK, np.cumsum(np.ascontiguousarray(planes).view("<i8").ravel()), dtype=pl.Int64)
