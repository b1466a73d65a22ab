"""Compare, gate, send, record from mapped frames in memory, with a Braze that answers after 50 ms; and httpx alone."""

import asyncio
import time

import polars as pl
from pydantic import SecretStr

from benchmarks.world import opened, read_all, sandboxes
from caspio_sync.clients.braze import BrazeClient
from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.extraction.records import SourceBatch
from caspio_sync.run import comparing, recording, sending
from caspio_sync.run.context import SyncRun
from caspio_sync.run.writes import planned_writes
from expectations.gate import Gate
from expectations.suites import gate_of, judged_frame

LATENCY_MS = 50
CHANGED = pl.col("_op") == "changed"


def measure(rows: int) -> dict[str, tuple[float, str]]:
    with sandboxes(rows, latency_ms=LATENCY_MS) as processes:
        return asyncio.run(_measure(processes.braze_url, processes.braze_key))


async def _measure(url: str, key: str) -> dict[str, tuple[float, str]]:
    async with opened() as run:
        batches = await read_all(run)
        mapped = [await comparing.map_batch(run, batch) for batch in batches]
        gate = await asyncio.to_thread(gate_of, run.name, run.definition, run.mapping)
        first = (await comparing.compare_batch(run, batches[0], mapped[0])).changes
        gate.judge(
            judged_frame(first.head(1000), run.definition, run.mapping)
        )  # the first judgement is slower than the others
        (write,) = planned_writes(run, first)
        requests = list(fill_requests(write.encode(first), first_number=1))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for batch, frame in zip(batches, mapped, strict=True):
                group.create_task(_move(run, gate, batch, frame))
        seconds = time.perf_counter() - started
        sent = run.report.verdicts["sent"]
    bare = await _bare(requests, url, key)
    rate = sent / seconds
    return {
        "send.profiles_per_second_50ms": (rate, "profiles/s"),
        "send.share_of_bare_httpx": (rate / bare, "ratio"),
    }


async def _move(run: SyncRun, gate: Gate, batch: SourceBatch, mapped: pl.DataFrame) -> None:
    """The flow's own order of stages, without Prefect and without reading."""
    async with run.turn("compare"):
        await comparing.open_batch(run, batch)
        compared = await comparing.compare_batch(run, batch, mapped)
    async with run.turn("gate"):
        opt_outs, judged = await asyncio.gather(
            sending.send_opt_outs(run, batch.number, compared.changes.filter(CHANGED)),
            asyncio.to_thread(lambda: gate.judge(judged_frame(compared.changes, run.definition, run.mapping))),
        )
        await sending.send_opt_outs(run, batch.number, judged.held.filter(~CHANGED))
    async with run.turn("send"):
        outstanding = await sending.send_batch(run, batch.number, judged.accepted, opt_outs)
    async with run.turn("record"):
        await recording.record_batch(run, batch, compared.without_changes(), judged.held, outstanding)


async def _bare(requests: list[Request], url: str, key: str) -> float:
    """Objects a second when nothing but httpx stands between ready bodies and Braze."""
    async with BrazeClient(endpoint=url, api_key=SecretStr(key)) as client:
        waiting = iter(requests)

        async def work() -> None:
            for request in waiting:
                await client.track(request.body)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(64)))
        return sum(request.count for request in requests) / (time.perf_counter() - started)
