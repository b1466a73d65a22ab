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
from urllib.parse import urlsplit

import orjson

from caspio_sync.inbox import Inbox

TOKEN = "YmVuY2htYXJrLXRva2Vu"
EVENTS_A_POST = 100
WANTED_A_SECOND = 200
SENDERS = 16
_FIRST = 50  # posts before anything is measured
_KINDS = ("Send", "Delivery", "Open", "Click")
_HEAD = (
    b"POST /currents HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer %b\r\nBraze-Currents-Version: 1\r\n"
    b"Content-Type: application/json\r\nContent-Length: %%d\r\n\r\n" % TOKEN.encode()
)


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
def receiving(home: Path) -> Iterator[tuple[str, int]]:
    """A receiver as a process; its address, and the process's id."""
    environment = {**os.environ, "CASPIO_SYNC_RECEIVER_TOKEN": TOKEN, "CASPIO_SYNC_HOME": str(home)}
    environment.pop("CASPIO_SYNC_LEDGER_URL", None)
    command = [sys.executable, "-m", "caspio_sync", "receive", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            words = process.stdout.readline().split()
            yield next(word for word in words if word.startswith("http")).rstrip(";"), process.pid
        finally:
            process.terminate()


class Load:
    """Posts over connections that stay, and how long each waited for its answer, in seconds.

    The requests are ready bytes: a client of HTTP costs more than the receiver, and both share this machine.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(SENDERS)
        self.waits: list[float] = []

    async def post(self, body: bytes) -> None:
        start = time.perf_counter()
        async with self._room:
            await self._post(body)
        self.waits.append(time.perf_counter() - start)

    async def _post(self, body: bytes) -> None:
        streams = self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
        reader, writer = streams
        writer.write(_HEAD % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200 "), head
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        self._free.append(streams)

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

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def _measure(url: str, process: int, paced: list[bytes], fast: list[bytes]) -> dict[str, tuple[float, str]]:
    warming, slow, quick = Load(url), Load(url), Load(url)
    await warming.flat_out(some_posts(_FIRST, seed=2))
    await slow.paced(paced)
    before = _processor_seconds(process)
    posts_a_second = await quick.flat_out(fast)
    spent = _processor_seconds(process) - before
    for each in (warming, slow, quick):
        each.close()
    return {
        "receiver.posts_per_second": (posts_a_second, "posts/s of 100 events, each durable"),
        "receiver.processor_ms_a_post": (1_000 * spent / len(fast), "ms"),
        "receiver.p99_at_200_posts_per_second": (slow.p99_ms(), "ms"),
    }


def _processor_seconds(process: int) -> float:
    """What a process has used of the processor, by Linux."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(paced: int, fast: int) -> dict[str, tuple[float, str]]:
    """Posts a second flat out, and the 99th percentile of the wait at 200 posts a second."""
    bodies = some_posts(paced + fast, seed=1)
    with tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        with receiving(Path(home)) as (url, process):
            metrics = asyncio.run(_measure(url, process, bodies[:paced], bodies[paced:]))
        with Inbox.open(f"sqlite:///{home}/inbox.db") as inbox:
            kept = inbox.waiting(0)
        assert kept.events == EVENTS_A_POST * (len(bodies) + _FIRST), kept
    return metrics
