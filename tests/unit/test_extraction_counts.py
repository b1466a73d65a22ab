"""A read held against Caspio's own count: what a page, a server or a fault leaves out is read again or told, never lost."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caspio_sync.caspio.client import Aggregate, Source
from caspio_sync.caspio.read_clock import ReadClock
from caspio_sync.caspio.records import RecordReader
from caspio_sync.errors import TransientError
from caspio_sync.schemas import SOURCE_PK
from tests.unit.test_extraction_records import NAME, NOW, FakeCaspio, keys_laid_out, keys_of, read
from tests.virtual_clock import VirtualClock

Spoil = Callable[[int, list[int]], list[int]]

LOSSES: dict[str, Spoil] = {
    "the first page is empty": lambda page, found: [] if page == 1 else found,
    "a page in the middle is empty": lambda page, found: [] if page == 7 else found,
    "a later page is empty": lambda page, found: [] if page == 30 else found,
    "a page is cut short": lambda page, found: found[:3] if page == 5 else found,
    "a page is thinned out": lambda page, found: found[:1] + found[40:] if page == 6 else found,
    "a server gives 40 rows where 100 are asked": lambda _page, found: found[:40],
    "a server gives one row where 100 are asked": lambda _page, found: found[:1],
}


class Lossy(FakeCaspio):
    """Gives of each page what `loss` leaves of it, by its number."""

    def __init__(self, keys: Sequence[int], loss: Spoil) -> None:
        super().__init__(keys)
        self.loss = loss

    def spoil(self, found: list[int]) -> list[int]:
        return self.loss(len(self.pages), found)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layout", ["dense", "thinned", "sparse", "blocks", "late clump", "dense then thin"])
def test_what_a_page_leaves_out_is_read_all_the_same(layout: str, loss: str) -> None:
    keys = keys_laid_out(layout)[: 2000 if "one row" in loss else None]
    client = Lossy(keys, LOSSES[loss])
    assert keys_of(read(client, batch_size=2500, parallel=4, page_rows=100)) == keys


def test_a_table_of_one_batch_is_held_against_the_count_that_opened_the_read() -> None:
    keys = sorted(random.Random(3).sample(range(1, 10**6), 900))
    client = FakeCaspio(keys)
    assert keys_of(read(client, batch_size=1000, page_rows=100)) == keys
    assert len(client.counts) == 1
    short = Lossy(keys, lambda page, found: found[:10] if page == 3 else found)
    assert keys_of(read(short, batch_size=1000, page_rows=100)) == keys


@pytest.mark.parametrize("layout", ["dense", "thinned", "sparse"])
def test_counting_costs_nothing_without_holes_and_a_call_a_batch_with_them(layout: str) -> None:
    client = FakeCaspio(keys_laid_out(layout))
    batches = read(client, batch_size=2500, parallel=4, page_rows=100)
    assert len(client.counts) == 1 + (0 if layout == "dense" else len(batches))


def test_rows_that_are_missing_again_end_the_read_and_none_of_their_stretch_comes_out() -> None:
    keys = keys_laid_out("thinned")
    lost = set(keys[2500:2510])
    client = Lossy(keys, lambda _page, found: [key for key in found if key not in lost])
    reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=2500, parallel=4, page_rows=100)

    async def taken() -> list[int]:
        await reader.open()
        first = await reader.next_batch()
        assert first is not None
        for _ in range(3):  # as often as a task is repeated
            with pytest.raises(TransientError, match=r"table T: Caspio counts [\d,]+ rows .* the cursor stays"):
                await reader.next_batch()
        client.loss = lambda _page, found: found
        return keys_of([first, *[batch async for batch in reader.batches()]])

    assert asyncio.run(taken()) == keys


@pytest.mark.parametrize(
    "change", ["deleted ahead", "deleted at the end", "deleted behind", "joined behind", "joined ahead", "both"]
)
def test_rows_that_really_come_and_go_meanwhile_are_no_shortfall(change: str) -> None:
    keys = keys_laid_out("thinned")
    client = FakeCaspio(keys)
    others = sorted(set(range(1, 40_001)) - set(keys))

    def changed() -> list[int]:
        place = len(client.pages)
        behind, ahead = keys[: place * 50], keys[place * 150 :]
        taken = {"deleted ahead": ahead[:5], "deleted at the end": keys[-place:], "deleted behind": behind[-5:]}
        gone = {**taken, "both": ahead[:5]}.get(change, [])
        come = {"joined behind": others[place * 3 : place * 3 + 3], "joined ahead": others[-place:]}.get(change, [])
        come = others[place : place + 5] if change == "both" else come
        return sorted({*client.keys, *come} - set(gone))

    async def seen() -> list[int]:
        reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=2500, parallel=4, page_rows=100)
        await reader.open()
        found: list[int] = []
        async for batch in reader.batches():
            found += batch.frame[SOURCE_PK].to_list()
            client.keys = changed()
        return found

    found = asyncio.run(seen())
    assert found == sorted(set(found))
    assert set(found) >= set(keys) & set(client.keys)


@pytest.mark.parametrize(
    "row",
    [
        {"row_count": 3000, "low_key": None, "high_key": None},
        {"row_count": 3000, "low_key": 1, "high_key": None},
        {"row_count": 3000, "low_key": 9, "high_key": 1},
        {"row_count": 0, "low_key": 1, "high_key": 9},
        {"row_count": None, "low_key": 1, "high_key": 9},
        {"row_count": "many", "low_key": 1, "high_key": 9},
        {"row_count": True, "low_key": 1, "high_key": 1},
        {"row_count": -1, "low_key": 1, "high_key": 9},
        {"row_count": "", "low_key": "", "high_key": ""},
    ],
)
def test_a_count_without_its_numbers_opens_no_read(row: dict[str, Any]) -> None:
    class Counting(FakeCaspio):
        async def aggregate(self, source: Source, **query: Any) -> Aggregate:
            return Aggregate(row, NOW)

    client = Counting([1, 2, 3])
    with pytest.raises(TransientError, match="counting table T"):
        read(client)
    assert client.pages == []


def test_a_count_may_come_as_text() -> None:
    class Texts(FakeCaspio):
        async def aggregate(self, source: Source, **query: Any) -> Aggregate:
            found = await super().aggregate(source, **query)
            return Aggregate({name: str(cell) for name, cell in found.row.items()}, NOW)

    assert keys_of(read(Texts([1, 2, 30]))) == [1, 2, 30]


AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("header", "began_at", "skew"),
    [
        (None, AT, None),
        (AT, AT, timedelta(0)),
        (AT + timedelta(seconds=3), AT, timedelta(0)),  # answered in that second
        (AT + AN_HOUR, AT, AN_HOUR - timedelta(seconds=5)),
        (AT - AN_HOUR, AT - AN_HOUR, -AN_HOUR + timedelta(seconds=1)),
        (datetime(1, 1, 1, tzinfo=UTC), AT, None),
        (datetime(1970, 1, 1, tzinfo=UTC), AT, None),
        (datetime(9999, 12, 31, tzinfo=UTC), AT, datetime(9999, 12, 31, tzinfo=UTC) - AT - timedelta(seconds=5)),
    ],
)
def test_a_read_began_at_the_earlier_of_both_clocks(
    header: datetime | None, began_at: datetime, skew: timedelta | None
) -> None:
    found = ReadClock(AT, AT + timedelta(seconds=5), header)
    assert (found.began_at, found.skew) == (began_at, skew)


def test_a_read_without_a_time_of_caspio_is_opened_once_at_the_time_before_the_call() -> None:
    clock = VirtualClock(AT)

    class Silent(FakeCaspio):
        async def aggregate(self, source: Source, **query: Any) -> Aggregate:
            clock.advance(40)
            return Aggregate((await super().aggregate(source, **query)).row, None)

    reader = RecordReader(Silent([1, 2]), Source("T"), fields=[NAME], clock=clock)
    asyncio.run(reader.open())
    assert reader.opened is not None
    assert (reader.opened.began_at, reader.opened.server_time) == (AT, None)
