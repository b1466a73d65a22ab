"""Fingerprints are the same for ever: a stored one must mean tomorrow what it meant when it was stored."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.ledger.fingerprints import (
    NEVER_SENT,
    NULL,
    FieldPrints,
    field_fingerprints,
    key_hashes,
    mask_names,
    pack,
    pack_mask,
    row_fingerprints,
    state_fingerprint,
    unpack,
)
from caspio_sync.schemas import MappedColumn

SALT = 0x0123456789ABCDEF
COLUMNS = (
    MappedColumn("first_name", pl.String),
    MappedColumn("orders", pl.Int64),
    MappedColumn("spend", pl.Float64),
    MappedColumn("wholesale", pl.Boolean),
    MappedColumn("interests", pl.List(pl.String)),
    MappedColumn("shopping", pl.String, encoding="json"),
    MappedColumn("notes", pl.String, on_null="clear"),
)
FRAME = pl.DataFrame(
    {
        "source_pk": [1, 2, 3],
        "key": ["17850", "ÄB", "c"],
        "first_name": ['Zoë "Z" \\ \x01\t☃😀', "", None],
        "orders": [-1, 2**53, None],
        "spend": [1e-7, 1234.5, None],
        "wholesale": [True, False, None],
        "interests": [["tea", 'x"y'], [], None],
        "shopping": ['{"a":1}', '{"b":[null]}', None],
        "notes": ["n", " ", None],
        "problems": [None, "email: bad", None],
    },
    schema_overrides={"interests": pl.List(pl.String)},
)


def one(
    name: str, value: object, dtype: pl.DataType | type[pl.DataType], **column: object
) -> tuple[pl.DataFrame, tuple[MappedColumn]]:
    frame = pl.DataFrame(
        {"key": ["k"], name: pl.Series([value], dtype=dtype), "problems": pl.Series([None], dtype=pl.String)}
    )
    return frame, (MappedColumn(name, dtype, **column),)  # type: ignore[arg-type]


# A ledger that is upgraded must not find a million rows changed. Where one of these three fails after an upgrade, the
# canonical form changed: every stored fingerprint would have to be rebuilt.
def test_row_fingerprints_never_change() -> None:
    assert [digest.hex() for digest in row_fingerprints(FRAME, COLUMNS, SALT)] == [
        "44a84a22ef6fe782f70fc90bbfcac0a1",
        "a174c66924ee94b2a9f978f787c91a5f",
        "f495390c0cdb2bd9ccb03853945259a1",
    ]


def test_field_fingerprints_never_change() -> None:
    assert field_fingerprints(FRAME, COLUMNS, SALT).tolist() == [
        [
            0x8CA5BE919D54DFC7, 0xEE128D82CE22FE61, 0x2C067FC0DBEFE482, 0x485156A62597B055,
            0x2B246D687A84850A, 0x81C78C76AD314DDF, 0x44F6C3AE285AA385,
        ],
        [
            0xCC1CA35A1B089C5C, 0x71F5FD6A80EF005E, 0x4FE2260850164CC4, 0xB2C058E4EBB5112C,
            0xD4A15B19A50B122B, 0xEA24F114999B5EAA, 0x3A0B9339E4484472,
        ],
        [NEVER_SENT, NEVER_SENT, NEVER_SENT, NEVER_SENT, NEVER_SENT, NEVER_SENT, NULL],
    ]  # fmt: skip


def test_key_hashes_and_state_fingerprints_never_change() -> None:
    assert key_hashes(FRAME["key"], SALT).to_list() == [-8694298486265859571, 1630864933729976307, -7618888347437063538]
    assert state_fingerprint("unsubscribed", SALT) == 0x33C391083BBCB92A


def test_the_row_fingerprint_does_not_hang_on_the_order_of_columns() -> None:
    shuffled = FRAME.select(reversed(FRAME.columns))
    assert row_fingerprints(shuffled, COLUMNS[::-1], SALT).equals(row_fingerprints(FRAME, COLUMNS, SALT))


@pytest.mark.parametrize(
    "name", ["key", "first_name", "orders", "spend", "wholesale", "interests", "shopping", "notes", "problems"]
)
def test_every_column_counts_in_the_row_fingerprint(name: str) -> None:
    emptied = FRAME.with_columns(pl.lit(None, dtype=FRAME.schema[name]).alias(name))
    row = 1 if name == "problems" else 0
    assert row_fingerprints(FRAME, COLUMNS, SALT)[row] != row_fingerprints(emptied, COLUMNS, SALT)[row]


def test_source_pk_and_what_is_well_formed_do_not_count() -> None:
    other = FRAME.with_columns(source_pk=pl.lit(9), orders__ok=pl.lit(value=True))
    assert row_fingerprints(other, COLUMNS, SALT).equals(row_fingerprints(FRAME, COLUMNS, SALT))


def test_a_column_that_begins_to_clear_on_null_makes_another_version() -> None:
    skip, clear = (one("notes", None, pl.String, on_null=on_null) for on_null in ("skip", "clear"))
    assert row_fingerprints(*skip, SALT)[0] != row_fingerprints(*clear, SALT)[0]


def test_ledgers_do_not_share_fingerprints() -> None:
    assert row_fingerprints(FRAME, COLUMNS, 1)[0] != row_fingerprints(FRAME, COLUMNS, 2)[0]
    assert not (field_fingerprints(FRAME, COLUMNS, 1)[0] == field_fingerprints(FRAME, COLUMNS, 2)[0]).any()
    assert key_hashes(FRAME["key"], 1)[0] != key_hashes(FRAME["key"], 2)[0]


def test_minus_zero_is_zero() -> None:
    minus, zero = one("n", -0.0, pl.Float64), one("n", 0.0, pl.Float64)
    assert row_fingerprints(*minus, SALT)[0] == row_fingerprints(*zero, SALT)[0]
    assert field_fingerprints(*minus, SALT) == field_fingerprints(*zero, SALT)


@pytest.mark.parametrize(
    ("dtype", "empty"),
    [(pl.String, ""), (pl.Int64, 0), (pl.Float64, 0.0), (pl.Boolean, False), (pl.List(pl.String), [])],
)
def test_a_null_is_no_empty_value(dtype: pl.DataType, empty: object) -> None:
    present = field_fingerprints(*one("n", empty, dtype), SALT)
    assert present not in (NEVER_SENT, NULL)
    assert field_fingerprints(*one("n", None, dtype), SALT) == NEVER_SENT
    assert field_fingerprints(*one("n", None, dtype, on_null="clear"), SALT) == NULL
    assert row_fingerprints(*one("n", None, dtype), SALT)[0] != row_fingerprints(*one("n", empty, dtype), SALT)[0]


def test_a_value_of_another_type_is_another_value() -> None:
    values: list[tuple[Any, Any]] = [("5", pl.String), (5, pl.Int64), (5.0, pl.Float64), (["5"], pl.List(pl.String))]
    assert len({int(field_fingerprints(*one("n", value, dtype), SALT)[0, 0]) for value, dtype in values}) == 4


def test_two_arrays_with_the_same_letters_differ() -> None:
    pairs = [["a,b"], ["a", "b"], ['a","b'], ["ab"], [None, "ab"]]
    assert len({int(field_fingerprints(*one("n", each, pl.List(pl.String)), SALT)[0, 0]) for each in pairs}) == len(
        pairs
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30, unique=True))
def test_two_integers_of_a_field_never_share_a_fingerprint(numbers: list[int]) -> None:
    frame = pl.DataFrame({"n": pl.Series(numbers, dtype=pl.Int64)})
    prints = field_fingerprints(frame, (MappedColumn("n", pl.Int64),), SALT)
    assert len(np.unique(prints)) == len(numbers)


def test_a_value_never_takes_a_reserved_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xxhash, "xxh3_64_intdigest", lambda text, _: len(text))
    frame = pl.DataFrame({"s": ["", "a", "bb"]})
    prints = field_fingerprints(frame, (MappedColumn("s", pl.String),), SALT)
    assert prints.ravel().tolist() == [3, 4, 5]
    assert [state_fingerprint(state, SALT) for state in ("", "a")] == [3, 4]


def test_the_state_fingerprint_is_that_of_the_state_as_a_field() -> None:
    frame = pl.DataFrame({"email_subscribe": ["opted_in", "subscribed", "unsubscribed"]})
    prints = field_fingerprints(frame, (MappedColumn("email_subscribe", pl.String, role="consent"),), SALT)
    assert prints.ravel().tolist() == [state_fingerprint(state, SALT) for state in frame["email_subscribe"]]


def test_keys_that_differ_in_case_share_a_hash_and_null_has_none() -> None:
    hashes = key_hashes(pl.Series(["Ünï-1", "üNÏ-1", None, "", "x"]), SALT)
    assert hashes[0] == hashes[1]
    assert hashes[2] is None
    assert hashes.dtype == pl.Int64
    assert hashes.n_unique() == 4


matrices = st.integers(1, 12).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 2**64 - 1), min_size=width, max_size=width), max_size=8).map(
        lambda rows: np.array(rows, dtype=np.uint64).reshape(len(rows), width)
    )
)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_what_is_packed_is_unpacked(prints: FieldPrints) -> None:
    names = [f"c{number}" for number in range(prints.shape[1])]
    packed = pack(prints)
    assert packed.dtype == pl.Binary
    assert [len(row) for row in packed] == [8 * len(names)] * len(prints)
    assert np.array_equal(unpack(packed, names, names), prints)


def test_packed_fingerprints_are_little_endian_in_the_order_of_the_columns() -> None:
    assert pack(np.array([[1, 2**63]], dtype=np.uint64))[0] == bytes([1, *[0] * 7, *[0] * 7, 0x80])


def test_unpacking_under_another_mapping_follows_the_names() -> None:
    prints = np.array([[10, 20, 30], [11, 21, 31]], dtype=np.uint64)
    assert unpack(pack(prints), ["a", "b", "c"], ["c", "new", "a"]).tolist() == [
        [30, NEVER_SENT, 10],
        [31, NEVER_SENT, 11],
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_a_mask_names_its_columns(bits: list[bool]) -> None:
    names = [f"c{number}" for number in range(len(bits))]
    packed = pack_mask(np.array([bits]))
    assert mask_names(packed[0], names) == [name for name, bit in zip(names, bits, strict=True) if bit]


def test_a_mask_has_the_first_column_in_the_highest_bit() -> None:
    assert pack_mask(np.array([[True, False, False, False, False, False, False, False, True]]))[0] == b"\x80\x80"


def test_an_empty_frame_has_binary_fingerprints() -> None:
    nothing = FRAME.clear()
    prints = field_fingerprints(nothing, COLUMNS, SALT)
    packed = row_fingerprints(nothing, COLUMNS, SALT), pack(prints), pack_mask(prints != 0)
    assert [(series.dtype, len(series)) for series in packed] == [(pl.Binary(), 0)] * 3
