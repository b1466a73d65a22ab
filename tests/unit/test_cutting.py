"""Ranges of keys cut into parts: every key in exactly one, about as many rows in each, few calls."""

import asyncio
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.cutting import equal_in_keys, equal_in_rows


def cut(keys: list[int], parts: int) -> tuple[list[tuple[int, int, int]], int]:
    calls = 0

    async def count_up_to(key: int) -> int:
        nonlocal calls
        calls += 1
        return bisect_right(keys, key)

    made = asyncio.run(equal_in_rows(keys[0], keys[-1], parts, total=len(keys), count_up_to=count_up_to))
    return made, calls


@settings(deadline=None, max_examples=50)
@given(st.integers(-1000, 1000), st.integers(0, 5000), st.integers(1, 64))
def test_equal_in_keys_tiles_the_range(low: int, width: int, parts: int) -> None:
    ranges = equal_in_keys(low, low + width, parts)
    assert [ranges[0][0], ranges[-1][1]] == [low, low + width]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))
    sizes = [last - first + 1 for first, last in ranges]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert len(ranges) == min(parts, width + 1)


def test_keys_without_holes_cost_no_call() -> None:
    made, calls = cut(list(range(1, 40_001)), 4)
    assert made == [(1, 10_000, 10_000), (10_001, 20_000, 10_000), (20_001, 30_000, 10_000), (30_001, 40_000, 10_000)]
    assert calls == 0


@pytest.mark.parametrize(
    "keys",
    [
        [*range(1, 1_001), *range(1_000_000, 1_039_000)],  # nearly all rows at the end
        [number * number for number in range(1, 40_001)],  # ever sparser
        [*range(0, 30_000, 10), *range(500_000, 530_000), *range(900_000, 1_000_000, 14)],
    ],
)
def test_uneven_keys_are_cut_evenly_in_rows(keys: list[int]) -> None:
    made, calls = cut(keys, 4)
    assert [made[0][0], made[-1][1]] == [keys[0], keys[-1]]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(made))
    real = [bisect_right(keys, last) - bisect_right(keys, first - 1) for first, last, _ in made]
    assert [rows for _, _, rows in made] == real
    share = len(keys) / 4
    assert all(abs(rows - share) <= 0.15 * share for rows in real), real
    assert calls <= 18


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60, unique=True).map(sorted), st.integers(1, 64))
def test_few_rows_are_tiled_by_keys(keys: list[int], parts: int) -> None:
    made, calls = cut(keys, parts)
    assert [made[0][0], made[-1][1]] == [keys[0], keys[-1]]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(made))
    assert calls == 0
