"""Pages are read without a pause, no more of them than may be held, and none once the reader is closed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from caspio_sync.caspio.client import Aggregate, RecordPage, Source
from caspio_sync.caspio.records import RecordReader, SourceBatch
from caspio_sync.wire.pacing import Pace, RollingWindow
from tests.unit.test_extraction_records import NAME, FakeCaspio, keys_laid_out, keys_of, read
from tests.virtual_clock import VirtualClock


class Slow(FakeCaspio):
    """Answers each call after 0.7 s of a clock of its own."""

    def __init__(self, keys: Sequence[int]) -> None:
        super().__init__(keys)
        self.clock = VirtualClock()

    async def aggregate(self, source: Source, **asked: Any) -> Aggregate:
        await self.clock.sleep(0.7)
        return await super().aggregate(source, **asked)

    async def records(self, source: Source, **asked: Any) -> RecordPage:
        await self.clock.sleep(0.7)
        return await super().records(source, **asked)


async def at_once(call: Callable[..., Any], *arguments: Any) -> Any:
    """In place of `asyncio.to_thread`: while a thread works, the clock would go on."""
    return call(*arguments)


@pytest.mark.parametrize("step", [1, 2])
def test_calls_hardly_wait_for_each_other(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    client = Slow(range(1, 40_001 * step, step))
    read(client, batch_size=2500, parallel=16, page_rows=100)
    calls = len(client.pages) + len(client.counts)
    assert client.clock.monotonic() <= 1.1 * calls / 16 * 0.7 + 2 * 0.7


def test_a_reader_that_is_closed_reads_nothing_more() -> None:
    client = Slow(range(1, 20_001))

    async def run() -> int:
        reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=2000, parallel=4, page_rows=100)
        await reader.open()
        await reader.next_batch()
        await asyncio.sleep(0)
        await reader.aclose()
        asked = len(client.pages)
        assert len(asyncio.all_tasks()) == 1
        await client.clock.sleep(100)
        return len(client.pages) - asked

    assert asyncio.run(run()) == 0


def test_no_more_than_a_batch_is_read_before_it_is_wanted() -> None:
    client = FakeCaspio(range(1, 20_001))

    async def run() -> None:
        reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=2000, parallel=4, page_rows=100)
        await reader.open()
        await reader.next_batch()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert len(client.pages) == (2000 + 2000) / 100
        await reader.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["dense", "late clump", "blocks", "dense then thin"])
@pytest.mark.parametrize("batch_size", [7, 60, 500])
def test_a_server_that_gives_more_rows_than_it_is_asked_for_stops_no_read(kind: str, batch_size: int) -> None:
    class Generous(FakeCaspio):
        async def records(self, source: Source, *, limit: int, **asked: Any) -> RecordPage:
            return await super().records(source, limit=20 * limit, **asked)

    keys = keys_laid_out(kind)[:3000]
    batches = asyncio.run(asyncio.wait_for(all_of(Generous(keys), batch_size), 60))
    assert keys_of(batches) == keys


async def all_of(client: FakeCaspio, batch_size: int) -> list[SourceBatch]:
    reader = RecordReader(client, Source("T"), fields=[NAME], batch_size=batch_size, parallel=4, page_rows=50)
    await reader.open()
    return [batch async for batch in reader.batches()]


class Limited(Slow):
    """Takes 20 calls a second, by its own count."""

    def __init__(self, keys: Sequence[int]) -> None:
        super().__init__(keys)
        self.pace = Pace([RollingWindow.per_second(20)], self.clock)
        self.arrived: list[float] = []

    async def aggregate(self, source: Source, **asked: Any) -> Aggregate:
        admitted = await self._arrive()
        answer = await super().aggregate(source, **asked)
        self.pace.answered(admitted, "counting")
        return answer

    async def records(self, source: Source, **asked: Any) -> RecordPage:
        admitted = await self._arrive()
        page = await super().records(source, **asked)
        self.pace.answered(admitted, "reading")
        return page

    async def _arrive(self) -> float:
        admitted = await self.pace.admit()
        self.arrived.append(self.clock.monotonic())
        return admitted


@pytest.mark.parametrize(("step", "least"), [(1, 18.5), (2, 18.0)])
def test_a_limit_of_20_calls_a_second_is_used_where_a_page_takes_long(
    step: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    client = Limited(range(1, 50_001 * step, step))
    read(client, batch_size=2500, parallel=16, page_rows=100)
    calls = client.arrived
    assert len(calls) / client.clock.monotonic() >= least
    assert all(later - call >= 1 - 1e-6 for call, later in zip(calls, calls[20:], strict=False))
