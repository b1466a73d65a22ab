"""Compare, gate, send, record from mapped frames in memory, with a Braze that answers after 50 ms; and httpx alone."""

import asyncio
import time
from dataclasses import replace

from pydantic import SecretStr

from benchmarks.world import opened, read_all, sandboxes
from caspio_sync.concurrency import all_of
from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.engine import comparing
from caspio_sync.engine.line import move
from caspio_sync.engine.sending import planned_writes
from caspio_sync.engine.steps import MAP
from caspio_sync.kinds.profiles.line import PROFILES

LATENCY_MS = 50
FROM_MAPPED = replace(PROFILES, batch=[step for step in PROFILES.batch if step is not MAP])


def measure(rows: int) -> dict[str, tuple[float, str]]:
    with sandboxes(rows, latency_ms=LATENCY_MS) as processes:
        return asyncio.run(_measure(processes.braze_url, processes.braze_key))


async def _measure(url: str, key: str) -> dict[str, tuple[float, str]]:
    async with opened() as run:
        batches = await read_all(run)
        for batch in batches:
            await MAP.do(run, batch)
        first = (await comparing.compare_batch(run, batches[0].source, batches[0].mapped)).changes
        await run.gates.rows(first.head(1000))  # the first judgement is slower than the others
        (write,) = planned_writes(run, first)
        requests = list(fill_requests(write.encode(first), envelope=write.envelope, first_number=1))
        started = time.perf_counter()
        await all_of(move(run, FROM_MAPPED, batch) for batch in batches)
        seconds = time.perf_counter() - started
        sent = run.report.verdicts["sent"]
    bare = await _bare(requests, url, key)
    rate = sent / seconds
    return {
        "send.profiles_per_second_50ms": (rate, "profiles/s"),
        "send.share_of_bare_httpx": (rate / bare, "ratio"),
    }


async def _bare(requests: list[Request], url: str, key: str) -> float:
    """Objects a second when nothing but httpx stands between ready bodies and Braze."""
    async with BrazeClient(endpoint=url, api_key=SecretStr(key)) as client:
        waiting = iter(requests)

        async def work() -> None:
            for request in waiting:
                await client.track(request.body, sent={"attributes": request.count})

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(64)))
        return sum(request.count for request in requests) / (time.perf_counter() - started)
