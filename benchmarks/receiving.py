"""The receiver under load: a real process, posts of 100 events, each answered when it is on the disk."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson

from caspio_sync.inbox import Inbox

TOKEN = "YmVuY2htYXJrLXRva2Vu"
EVENTS_A_POST = 100
WANTED_A_SECOND = 200
SENDERS = 16
_FIRST = 50  # posts before anything is measured
_KINDS = ("Send", "Delivery", "Open", "Click")


def some_posts(count: int, *, seed: int) -> list[bytes]:
    """Posts of a hundred events of a mailing, with the fields of Braze's samples: 72 KB each, no id twice."""
    drawn = random.Random(seed)
    properties = [
        {
            "campaign_id": "5f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11",
            "campaign_name": "Autumn sale",
            "message_variation_id": "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22",
            "dispatch_id": f"{drawn.getrandbits(128):032x}",
            "send_id": f"{drawn.getrandbits(96):024x}",
            "email_address": f"customer{drawn.randrange(1_000_000)}@example.com",
            "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
            "ip_pool": "main",
            "esp": "sparkpost",
            "from_domain": "news.example.com",
            "machine_open": "true",
            "url": f"https://example.com/offers/{drawn.randrange(1000)}",
        }
        for _ in range(20_000)
    ]
    return [
        orjson.dumps(
            {
                "events": [
                    {
                        "event_type": f"users.messages.email.{drawn.choice(_KINDS)}",
                        "id": f"{drawn.getrandbits(128):032x}",
                        "time": 1_785_000_000 + number,
                        "user": {
                            "user_id": f"{drawn.getrandbits(96):024x}",
                            "external_user_id": f"c-{drawn.randrange(1_000_000)}",
                            "timezone": "Europe/Madrid",
                        },
                        "properties": each,
                    }
                    for each in drawn.choices(properties, k=EVENTS_A_POST)
                ]
            }
        )
        for number in range(count)
    ]


@contextlib.contextmanager
def receiving(home: Path) -> Iterator[str]:
    """A receiver as a process; its address."""
    environment = {**os.environ, "CASPIO_SYNC_RECEIVER_TOKEN": TOKEN, "CASPIO_SYNC_HOME": str(home)}
    environment.pop("CASPIO_SYNC_LEDGER_URL", None)
    command = [sys.executable, "-m", "caspio_sync", "receive", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(word for word in process.stdout.readline().split() if word.startswith("http")).rstrip(";")
        finally:
            process.terminate()


class Load:
    """Posts and how long each waited for its answer, in seconds."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self.waits: list[float] = []

    async def post(self, body: bytes) -> None:
        start = time.perf_counter()
        answer = await self._client.post(self._url, content=body)
        assert answer.status_code == 200, answer.text
        self.waits.append(time.perf_counter() - start)

    async def paced(self, bodies: list[bytes]) -> None:
        """One every 5 ms, whether or not the ones before are answered."""
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, body in enumerate(bodies):
                await asyncio.sleep(start + number / WANTED_A_SECOND - time.perf_counter())
                group.create_task(self.post(body))

    async def flat_out(self, bodies: list[bytes]) -> float:
        """As many at once as there are senders; posts a second."""
        left = iter(bodies)

        async def sender() -> None:
            for body in left:
                await self.post(body)

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(sender())
        return len(bodies) / (time.perf_counter() - start)

    def p99_ms(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)] * 1000


async def _measure(url: str, paced: list[bytes], fast: list[bytes]) -> dict[str, tuple[float, str]]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Braze-Currents-Version": "1"}
    limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=60, trust_env=False) as client:
        await Load(client, url).flat_out(some_posts(_FIRST, seed=2))
        load = Load(client, url)
        await load.paced(paced)
        posts_a_second = await Load(client, url).flat_out(fast)
    return {
        "receiver.posts_per_second": (posts_a_second, "posts/s of 100 events, each durable"),
        "receiver.p99_at_200_posts_per_second": (load.p99_ms(), "ms"),
    }


def measure(paced: int, fast: int) -> dict[str, tuple[float, str]]:
    """Posts a second flat out, and the 99th percentile of the wait at 200 posts a second."""
    bodies = some_posts(paced + fast, seed=1)
    with tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        with receiving(Path(home)) as url:
            metrics = asyncio.run(_measure(url, bodies[:paced], bodies[paced:]))
        with Inbox.open(f"sqlite:///{home}/inbox.db") as inbox:
            kept = inbox.waiting(0)
        assert kept.events == EVENTS_A_POST * (len(bodies) + _FIRST), kept
    return metrics
