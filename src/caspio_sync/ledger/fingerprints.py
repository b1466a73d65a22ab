"""What a row, and each of its fields, looked like: short hashes that are the same on every machine and every version.

Row fingerprints (xxh3_128 of canonical JSON) tell whether a row changed at all. Field fingerprints (64 bits each,
packed in the order of the mapping version's columns) tell which fields did; they are computed for new and changed rows
only. Both are salted per ledger, so that a ledger alone does not tell that two customers share an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import polars as pl
import xxhash

from caspio_sync.deferred import np
from caspio_sync.schemas import KEY, PROBLEMS, MappedColumn
from caspio_sync.text_columns import trimmed_values

if TYPE_CHECKING:
    import numpy.typing as npt

FieldPrints: TypeAlias = "npt.NDArray[np.uint64]"  # shape (rows, columns)

# Reserved field fingerprints; a value's own hash never takes them.
NEVER_SENT = 0  # nothing was acknowledged for this field
NULL = 1  # a null was, or is to be, sent
ANOTHER = 2  # something is there that is not what was sent: whatever is wanted now travels
_VALUES_FROM = 3

# The text of a row is long and needed once: that of a few thousand stays in the processor's cache.
_CHUNK_ROWS = 4_000

_SHIFTS_AND_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def row_fingerprints(mapped: pl.DataFrame, columns: Sequence[MappedColumn], salt: int) -> pl.Series:
    """One Binary(16) a row: the fingerprint of the full mapped row.

    `problems` belongs to it: a cell that cannot be cast maps to null, and is not the same version as an empty one. So
    do the columns that clear on null: under another choice the same row asks for something else there.
    """
    names = sorted([KEY, PROBLEMS, *(column.name for column in columns)])
    canonical = [_canonical(name, mapped.schema[name]) for name in names]
    text = pl.struct(canonical).struct.json_encode().cast(pl.Binary)
    digest = xxhash.xxh3_128_digest
    clearing = "\0".join(sorted(each.name for each in columns if each.on_null == "clear"))
    seed = salt ^ xxhash.xxh3_64_intdigest(clearing.encode())
    digests = [
        digest(row, seed)
        for start in range(0, mapped.height, _CHUNK_ROWS)
        for row in mapped.slice(start, _CHUNK_ROWS).select(row=text).to_series().to_list()
    ]
    return pl.Series("fp", digests, dtype=pl.Binary)


def field_fingerprints(mapped: pl.DataFrame, columns: Sequence[MappedColumn], salt: int) -> FieldPrints:
    """One 64-bit fingerprint a row and column, shape (rows, columns).

    A null is `NEVER_SENT` where the column skips nulls: there is nothing to send for it; else `NULL`.
    """
    prints = np.empty((mapped.height, len(columns)), dtype=np.uint64)
    for place, column in enumerate(columns):
        values = mapped[column.name]
        hashed = _hash_numbers(values, salt) if values.dtype.is_numeric() else _hash_texts(values, salt)
        hashed[hashed < _VALUES_FROM] += np.uint64(_VALUES_FROM)
        hashed[values.is_null().to_numpy()] = NEVER_SENT if column.on_null == "skip" else NULL
        prints[:, place] = hashed
    return prints


def identity_salt(salt: int, kind: str, label: str | None) -> int:
    """The ledger's salt for one kind of identity.

    The same key names another profile under another identity: nothing acknowledged there says anything here.
    """
    if kind == "external_id":
        return salt
    return salt ^ xxhash.xxh3_64_intdigest(f"{kind}:{label or ''}".encode())


def state_fingerprint(state: str, salt: int) -> int:
    """The field fingerprint of one consent state, by which a packed row tells the state it was acknowledged with."""
    value = xxhash.xxh3_64_intdigest(state.encode(), salt)
    return value if value >= _VALUES_FROM else value + _VALUES_FROM


def key_hashes(keys: pl.Series, salt: int) -> pl.Series:
    """Int64 hash of each key without case and outer blanks, for finding the rows that claim one.

    Caspio compares without case, and nobody sees the blanks.
    """
    return text_hashes(keys.to_frame("key").select(trimmed_values(pl.col("key"))).to_series(), salt).alias("key_hash")


def text_hashes(texts: pl.Series, salt: int) -> pl.Series:
    """Int64 hash of each text without case."""
    lowered = texts.str.to_lowercase().cast(pl.Binary).to_list()
    digest = xxhash.xxh3_64_intdigest
    hashed = np.array([0 if text is None else digest(text, salt) for text in lowered], dtype=np.uint64)
    return pl.Series(texts.name, hashed.view(np.int64)).set(texts.is_null(), None)


def pack(prints: FieldPrints) -> pl.Series:
    """Binary(8 x columns) a row, little-endian."""
    width = prints.shape[1] * 8
    if not width:
        return pl.Series("fields", [b""] * len(prints), dtype=pl.Binary)
    rows = np.ascontiguousarray(prints.astype("<u8", copy=False)).view(f"V{width}").ravel()
    return pl.Series("fields", rows.tolist(), dtype=pl.Binary)


def unpack(packed: pl.Series, stored: Sequence[str], wanted: Sequence[str]) -> FieldPrints:
    """Field fingerprints in the order of `wanted`; a field the stored mapping version did not have is `NEVER_SENT`.

    Args:
        packed: Binary, each of 8 x len(stored) bytes.
        stored: the columns of the mapping version the rows were packed under.
        wanted: the columns of the present mapping.
    """
    table = np.frombuffer(b"".join(packed.to_list()), dtype="<u8").reshape(len(packed), len(stored))
    places = {name: place for place, name in enumerate(stored)}
    prints = np.full((len(packed), len(wanted)), NEVER_SENT, dtype=np.uint64)
    for place, name in enumerate(wanted):
        if name in places:
            prints[:, place] = table[:, places[name]]
    return prints


def pack_mask(mask: npt.NDArray[np.bool_]) -> pl.Series:
    """Binary a row: one bit a column, the first column in the highest bit."""
    bits = np.packbits(mask, axis=1)
    rows = bits.view(f"V{bits.shape[1]}").ravel() if bits.size else bits
    return pl.Series("changed", rows.tolist(), dtype=pl.Binary)


def mask_names(packed: bytes, names: Sequence[str]) -> list[str]:
    """The columns whose bit is set, the inverse of `pack_mask` for one row."""
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=len(names))
    return [name for name, bit in zip(names, bits, strict=True) if bit]


def _canonical(name: str, dtype: pl.DataType) -> pl.Expr:
    # -0.0 and 0.0 are one value on both sides. Adding 0.0 is left out by polars where a frame has many rows.
    return (
        pl.when(pl.col(name) != 0).then(name).otherwise(pl.col(name).abs()).alias(name)
        if dtype.is_float()
        else pl.col(name)
    )


def _hash_numbers(values: pl.Series, salt: int) -> FieldPrints:
    """The splitmix64 finalizer over a number's 8 bytes: a bijection, so two numbers of a field never collide."""
    filled = values.fill_null(0)
    array = filled.to_numpy()
    bits = (array + 0.0).view(np.uint64) if values.dtype.is_float() else array.astype(np.int64).view(np.uint64)
    mixed = bits ^ np.uint64(salt)
    for shift, factor in _SHIFTS_AND_FACTORS:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


# Hashing a text costs as much as finding several among the distinct ones.
_REPEATED = 4


def _hash_texts(values: pl.Series, salt: int) -> FieldPrints:
    if values.dtype == pl.Boolean:
        return _hash_numbers(values.cast(pl.Int64), salt)
    if values.dtype != pl.String:
        values = values.to_frame().select(pl.struct(pl.all()).struct.json_encode()).to_series()
    values = values.fill_null("")
    distinct = values.unique()
    if len(distinct) * _REPEATED > len(values):
        return _hash_each(values, salt)
    hashes = pl.Series(_hash_each(distinct, salt))
    return values.replace_strict(distinct, hashes, return_dtype=pl.UInt64).to_numpy(writable=True)


def _hash_each(texts: pl.Series, salt: int) -> FieldPrints:
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(text, salt) for text in texts.cast(pl.Binary).to_list()], dtype=np.uint64)
