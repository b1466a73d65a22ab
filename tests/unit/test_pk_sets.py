"""Sets of keys in little room."""

import random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.ledger.pk_sets import pack_pks, unpack_pks

KEYS = st.lists(st.integers(-(2**62), 2**62))


@given(KEYS)
def test_what_is_packed_comes_back_sorted_and_each_once(keys: list[int]) -> None:
    assert unpack_pks(pack_pks(pl.Series("k", keys, dtype=pl.Int64))).to_list() == sorted(set(keys))


def test_a_hundred_thousand_rows_take_kilobytes() -> None:
    dense = pl.Series(range(1, 100_001))
    assert len(pack_pks(dense)) < 2_000
    chance = random.Random(3)
    half = pl.Series(sorted(chance.sample(range(1, 200_001), 100_000)))
    assert len(pack_pks(half)) < 40_000
