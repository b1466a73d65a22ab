import asyncio
import bisect
import math
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.client import Aggregate, RecordPage, Source
from caspio_sync.caspio.query import keys_where
from caspio_sync.caspio.records import RecordReader, SourceBatch
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.schemas import SOURCE_PK, CaspioField

NAME = CaspioField("Name", "STRING")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class FakeCaspio:
    """A table of keys, answering the pages and the aggregate that a reader asks for."""

    def __init__(self, keys: Sequence[int], *, shuffled: bool = False) -> None:
        self.keys = sorted(keys)
        self.pages: list[str] = []
        self.counts: list[str | None] = []
        self.limits: list[int] = []
        self.in_flight = self.most_in_flight = 0
        self.shuffled = shuffled

    def spoil(self, found: list[int]) -> list[int]:
        """What of a page's rows is given."""
        return found

    async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
        self.counts.append(where)
        low, high = (self.keys[0], self.keys[-1]) if self.keys else (None, None)
        found = re.search(r"PK_ID>=(-?\d+) AND PK_ID<=(-?\d+)", where or "")
        within = [key for key in self.keys if int(found[1]) <= key <= int(found[2])] if found else self.keys
        return Aggregate({"row_count": len(within), "low_key": low, "high_key": high}, NOW)

    async def records(
        self,
        source: Source,
        *,
        select: Sequence[str],
        where: str | None,
        order_by: str | None,
        limit: int,
        check_fields: bool = True,
    ) -> RecordPage:
        assert order_by == "PK_ID ASC"
        low, high = (int(number) for number in re.search(r"PK_ID>(-?\d+) AND PK_ID<=(-?\d+)", where).groups())
        self.pages.append(where)
        self.limits.append(limit)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        found = self.keys[bisect.bisect_right(self.keys, low) : bisect.bisect_right(self.keys, high)][:limit]
        if self.shuffled:
            found = found[::-1]
        found = self.spoil(found)
        return RecordPage(b"[" + b",".join(b'{"PK_ID":%d,"Name":"n%d"}' % (key, key) for key in found) + b"]", NOW)


def read(client: FakeCaspio, **options: Any) -> list[SourceBatch]:
    async def run() -> list[SourceBatch]:
        reader = RecordReader(client, Source("T"), fields=[NAME], **options)
        await reader.open()
        return [batch async for batch in reader.batches()]

    return asyncio.run(run())


def keys_of(batches: Sequence[SourceBatch]) -> list[int]:
    return [key for batch in batches for key in batch.frame[SOURCE_PK].to_list()]


@st.composite
def key_sets(draw: st.DrawFn) -> list[int]:
    """Runs of keys with gaps between and holes within."""
    keys: set[int] = set()
    start = draw(st.integers(-50, 10**6))
    for _ in range(draw(st.integers(0, 6))):
        length, step = draw(st.integers(1, 400)), draw(st.sampled_from([1, 1, 1, 2, 7, 1000]))
        keys |= set(range(start, start + length * step, step))
        start += length * step + draw(st.sampled_from([0, 3, 1000, 10**7]))
    return sorted(keys)


@given(key_sets(), st.integers(10, 200), st.integers(1, 8), st.integers(5, 20))
@settings(max_examples=60, deadline=None)
def test_every_row_is_read_once_in_the_order_of_its_key_and_in_bounded_batches(
    keys: Sequence[int], batch_size: int, parallel: int, page_rows: int
) -> None:
    client = FakeCaspio(keys)
    batches = read(client, batch_size=batch_size, parallel=parallel, page_rows=page_rows)
    assert keys_of(batches) == keys
    assert all(batch.frame.height <= 1.5 * batch_size + page_rows for batch in batches)
    assert client.most_in_flight <= parallel


@given(key_sets(), st.integers(10, 200))
@settings(max_examples=20, deadline=None)
def test_batches_tile_the_key_space(keys: Sequence[int], batch_size: int) -> None:
    batches = read(FakeCaspio(keys), batch_size=batch_size, parallel=4, page_rows=10)
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    for left, right in pairwise(batches):
        assert right.low == left.high + 1
    for batch in batches:
        assert batch.low <= batch.frame[SOURCE_PK][0]
        assert batch.frame[SOURCE_PK][-1] <= batch.high


def keys_laid_out(kind: str) -> list[int]:
    random.seed(7)
    return {
        "dense": list(range(1, 20_001)),
        "thinned": sorted(random.sample(range(1, 40_001), 20_000)),
        "sparse": sorted(random.sample(range(1, 10**9), 20_000)),
        "late clump": [1, *range(10**8, 10**8 + 20_000)],
        "early clump": [*range(1, 20_001), 10**8],
        "middle clump": [1, 2, *range(10**7, 10**7 + 20_000), 10**8],
        "blocks": [start + one for start in range(1, 10**8, 5 * 10**6) for one in range(1000)],
        "dense then thin": [*range(1, 10_001), *range(10_001, 10**7, 1000)],
        "thin then dense": [*range(1, 10**7, 1000), *range(10**7, 10**7 + 10_000)],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "dense",
        "thinned",
        "sparse",
        "late clump",
        "early clump",
        "middle clump",
        "blocks",
        "dense then thin",
        "thin then dense",
    ],
)
def test_hardly_a_call_is_wasted(kind: str) -> None:
    keys = keys_laid_out(kind)
    client = FakeCaspio(keys)
    batches = read(client, batch_size=5000, parallel=8, page_rows=100)
    assert keys_of(batches) == keys
    wasted = len(client.pages) - math.ceil(len(keys) / 100)
    assert wasted <= 8 + len(batches) * 8 / 2 + (20 if kind == "blocks" else 0)


class Counting(FakeCaspio):
    """Counts the pages that are asked for while a stretch is being counted."""

    came = 0

    async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
        before = len(self.pages)
        for _ in range(20 if where else 0):
            await asyncio.sleep(0)
        self.came += len(self.pages) - before
        return await super().aggregate(source, select=select, where=where)


def test_pages_are_read_while_a_stretch_is_counted() -> None:
    client = Counting(range(1, 20_001, 2))
    batches = read(client, batch_size=2000, parallel=4, page_rows=100)
    assert keys_of(batches) == list(range(1, 20_001, 2))
    assert client.came >= 4 * (len(batches) - 2)
    assert client.most_in_flight <= 4
    assert max(batch.rows for batch in batches) <= 1.5 * 2000


def test_a_page_read_ahead_that_fails_holds_up_no_rows_that_are_there() -> None:
    class Failing(Counting):
        async def records(self, source: Source, **asked: Any) -> RecordPage:
            await asyncio.sleep(0)
            if self.counts[1:] and self.broken:
                raise TransientError("overloaded")
            return await super().records(source, **asked)

        async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
            self.counts.append(where)
            self.broken = where is not None
            return await super().aggregate(source, select=select, where=where)

    client = Failing(range(1, 20_001, 2))

    async def run() -> list[SourceBatch]:
        reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=2000, parallel=4, page_rows=100)
        await reader.open()
        batches = [await reader.next_batch()]
        with pytest.raises(TransientError, match="overloaded"):
            await reader.next_batch()
        while batches[-1] is not None:
            client.broken = False
            batches.append(await reader.next_batch())
        return [batch for batch in batches if batch is not None]

    assert keys_of(asyncio.run(run())) == list(range(1, 20_001, 2))


def test_a_page_that_ends_on_the_last_key_is_not_asked_for_again() -> None:
    client = FakeCaspio(range(1, 101))
    assert keys_of(read(client, batch_size=1000, page_rows=100)) == list(range(1, 101))
    assert len(client.pages) == 1


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=99, unique=True))
@settings(max_examples=30, deadline=None)
def test_few_rows_in_a_huge_key_space_cost_one_call(keys: Sequence[int]) -> None:
    client = FakeCaspio(keys)
    assert keys_of(read(client, batch_size=1000, page_rows=100)) == sorted(keys)
    assert len(client.pages) == 1


@pytest.mark.parametrize("limit", [1, 7, 100, 250, 10_000])
def test_a_limit_takes_the_first_rows_and_no_more_calls_than_they_need(limit: int) -> None:
    client = FakeCaspio(range(1, 5001))
    batches = read(client, batch_size=200, parallel=4, page_rows=100, limit=limit)
    assert keys_of(batches) == list(range(1, 5001))[:limit]
    assert len(client.pages) <= math.ceil(min(limit, 5000) / 100) + 4
    assert batches[-1].high == min(limit, 5000)


def test_a_limit_of_nothing_reads_nothing() -> None:
    client = FakeCaspio(range(10))
    assert read(client, limit=0) == []
    assert client.pages == []


def test_a_page_asks_for_no_fewer_rows_than_caspio_accepts() -> None:
    client = FakeCaspio(range(1, 100))
    read(client, limit=1)
    assert client.limits == [5]


def test_an_empty_table_costs_no_page() -> None:
    client = FakeCaspio([])
    assert read(client) == []
    assert client.pages == []


def test_rows_added_while_reading_are_no_reason_to_lose_any() -> None:
    client = FakeCaspio(range(0, 4000, 2))

    async def run() -> list[int]:
        reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=300, page_rows=100, parallel=3)
        await reader.open()
        seen: list[int] = []
        async for batch in reader.batches():
            seen += batch.frame[SOURCE_PK].to_list()
            client.keys = sorted({*client.keys, *range(batch.high + 1, batch.high + 700)})
        return seen

    seen = asyncio.run(run())
    assert set(range(0, 4000, 2)) <= set(seen)
    assert len(set(seen)) == len(seen)


def test_the_condition_stays_whole_beside_the_key() -> None:
    client = FakeCaspio(range(5))
    read(client, where="A=1 OR B=2")
    assert client.pages == ["(A=1 OR B=2) AND (PK_ID>-1 AND PK_ID<=4)"]


def test_opening_tells_total_keys_and_the_time_of_caspio() -> None:
    reader = RecordReader(FakeCaspio([3, 9]), Source("T"), fields=[NAME])
    asyncio.run(reader.open())
    assert (reader.total, reader.low, reader.high, reader.opened.server_time) == (2, 3, 9, NOW)


def test_pages_out_of_order_are_an_error_not_an_endless_loop() -> None:
    with pytest.raises(PermanentError, match="order"):
        read(FakeCaspio(range(50), shuffled=True), page_rows=10, batch_size=20)


def test_a_key_that_repeats_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="PK_ID is not unique, 1 rows"):
        read(FakeCaspio([1, 2, 2, 3]))


def test_a_key_that_is_no_whole_number_is_a_configuration_error() -> None:
    client = FakeCaspio([1, 2])
    client.keys = ["a", "b"]  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="unique whole number"):
        read(client)


def test_an_error_of_one_range_is_raised_as_it_is() -> None:
    class Failing(FakeCaspio):
        async def records(self, source: Source, **query: Any) -> RecordPage:
            raise TransientError("reading table T: 503", status=503)

    with pytest.raises(TransientError, match="503"):
        read(Failing(range(5000)), page_rows=100, batch_size=1000)


@given(key_sets(), st.integers(10, 200), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_a_read_that_failed_midway_goes_on_where_it_stood(
    keys: Sequence[int], batch_size: int, chance: random.Random
) -> None:
    class Flaky(FakeCaspio):
        async def records(self, source: Source, **query: Any) -> RecordPage:
            page = await super().records(source, **query)
            if chance.random() < 0.1:
                raise TransientError("reading table T: 503", status=503)
            return page

    async def run() -> list[SourceBatch]:
        reader = RecordReader(Flaky(keys), Source("T"), fields=[NAME], batch_size=batch_size, parallel=4, page_rows=10)
        await reader.open()
        batches: list[SourceBatch] = []
        while True:
            try:
                batch = await reader.next_batch()
            except TransientError:
                continue
            if batch is None:
                return batches
            batches.append(batch)

    batches = asyncio.run(run())
    assert keys_of(batches) == keys
    assert all(batch.frame.height <= 1.5 * batch_size + 10 for batch in batches)


@pytest.mark.parametrize(
    ("page", "end"),
    [
        (b"[]", (0, 0)),
        (b'[{"PK_ID":4,"Name":"a"},{"PK_ID":17,"Name":"b"}]', (2, 17)),
        (b'[{"Name":"a","PK_ID":-3}]', (1, -3)),
        (b'[ { "PK_ID" : 5 } ]', (1, 5)),
        (b'[{"PK_ID":"12","Name":"x"}]', (1, 12)),
        (b'[{"PK_ID":12.0,"Name":"x"}]', (1, 12)),
        (orjson.dumps([{"PK_ID": 8, "Name": '"PK_ID":99,'}]), (1, 8)),
    ],
)
def test_the_end_of_a_page_is_found_without_decoding_it(page: Any, end: Any) -> None:
    assert RecordReader(FakeCaspio([]), Source("T"), fields=[NAME]).end_of(page) == end


def test_keys_become_conditions_of_bounded_length() -> None:
    conditions = keys_where(CaspioField("CustomerNo", "STRING"), [str(10**7 + one) for one in range(500)])
    assert len(conditions) > 1
    assert all(len(one) <= 900 for one in conditions)
    assert conditions[0].startswith("CustomerNo IN ('10000000','10000001',")
    assert sum(one.count(",") + 1 for one in conditions) == 500


def test_keys_of_a_numeric_field_are_numbers_each_once() -> None:
    assert keys_where(CaspioField("No", "INTEGER"), ["5", "7", "5"]) == ["No IN (5,7)"]


def test_a_key_that_is_no_number_is_named_by_its_field() -> None:
    with pytest.raises(ConfigurationError, match="No is a number"):
        keys_where(CaspioField("No", "INTEGER"), ["5", "x"])
