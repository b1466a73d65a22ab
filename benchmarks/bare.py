"""What httpx reaches alone, with ready bodies: `python -m benchmarks.bare URL KEY ROWS`."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import httpx

from benchmarks.customers import bodies

CLIENTS, CONNECTIONS = 8, 8  # a client with more slows down


async def _work(client: httpx.AsyncClient, waiting: Iterator[bytes]) -> None:
    for body in waiting:  # shared by all: each is taken once
        answer = await client.post("/users/track", content=body)
        assert answer.status_code == 201, answer.text


async def send(url: str, key: str, rows: int) -> dict[str, float]:
    """Seconds, and those of the processor."""
    ready = bodies(rows)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    clients = [
        httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30, trust_env=False)
        for _ in range(CLIENTS)
    ]
    waiting, started, processor = iter(ready), time.perf_counter(), time.process_time()
    await asyncio.gather(*(_work(client, waiting) for client in clients for _ in range(CONNECTIONS)))
    seconds = {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}
    for client in clients:
        await client.aclose()
    return seconds


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
