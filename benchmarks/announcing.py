"""`python -m benchmarks.announcing`: from a row in Caspio to its event in Braze, by webhook.

A person at the Datasheet adds tickets; Caspio announces them, some not at all, some twice, none in order; the receiver
and a resident run are processes as users have them, and both APIs answer after 50 ms. Both emulators and the person are
this process, so one clock says how long each took. At the end every ticket is in Braze exactly once, or known to be in
doubt, or the measurement fails.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from benchmarks.moving import ROOT
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from caspio_sync.sandbox.server import BRAZE_KEY, CLIENT_ID, CLIENT_SECRET, HOST, SandboxProtocol, listen

LATENCY_SECONDS = 0.05
LOST, DOUBLED = 0.2, 0.2
PEOPLE = 5_000
_SETTLES_SECONDS = 60.0
_STARTS_SECONDS = 30.0
_TABLE: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "Subject", "Type": "STRING"},
    {"Name": "OpenedAt", "Type": "DATE/TIME"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
_SYNC = """\
kind: events
source: {table: Tickets, cursor: ChangedAt, time_zone: UTC}
identity: {external_id: CustomerNo}
event: support_ticket_opened
time: OpenedAt
properties: {subject: Subject}
"""


class HelpDesk:
    """A help desk: both accounts served from this process, and when each ticket was written, and reached Braze."""

    def __init__(self) -> None:
        self.caspio = CaspioSandbox(
            CaspioBehaviour(
                webhook_loss=LOST, webhook_duplicates=DOUBLED, webhook_disorder=True, webhook_calls_per_second=1_000
            )
        )
        self.caspio.create_table("Tickets", _TABLE)
        self.braze = BrazeSandbox(BrazeBehaviour(latency_ms=0))
        self.written: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.arrivals: Counter[str] = Counter()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Braze, that notes when it took an event."""
        body = bytearray()
        status: list[int] = []

        async def kept() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        await asyncio.sleep(LATENCY_SECONDS)
        await self.braze.app(scope, kept, told)
        if scope["path"] == "/users/track" and status == [201]:
            now = time.perf_counter()
            for each in orjson.loads(bytes(body)).get("events", ()):
                subject = str(each["properties"]["subject"])
                self.arrived.setdefault(subject, now)
                self.arrivals[subject] += 1

    async def slow_caspio(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(LATENCY_SECONDS)
        await self.caspio.app(scope, receive, send)

    async def write(self, a_second: int, seconds: float) -> None:
        """Tickets at an even pace, of people in turn."""
        started = time.perf_counter()
        for number in range(int(a_second * seconds)):
            await asyncio.sleep(started + number / a_second - time.perf_counter())
            subject = f"ticket {number}"
            self.written[subject] = time.perf_counter()
            self.caspio.datasheet.insert("Tickets", _ticket(subject, number))


def _ticket(subject: str, number: int) -> dict[str, Any]:
    opened = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    return {"CustomerNo": f"c{number % PEOPLE}", "Subject": subject, "OpenedAt": opened}


@contextlib.asynccontextmanager
async def _served(app: Any) -> AsyncIterator[str]:
    listener = listen(0)
    config = uvicorn.Config(
        app, http=SandboxProtocol, loop="asyncio", interface="asgi3", lifespan="off", ws="none", access_log=False,
        log_level="critical", date_header=False, server_header=False, timeout_keep_alive=600,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.wait([task], timeout=10)


class _Ours:
    """The product's commands in a folder of their own."""

    def __init__(self, home: Path, caspio: str, braze: str) -> None:
        (home / "syncs").mkdir()
        (home / "syncs" / "tickets.yaml").write_text(_SYNC, encoding="utf-8")
        (home / ".env").write_text(
            f"CASPIO_INTEGRATION_URL={caspio}\nCASPIO_CLIENT_ID={CLIENT_ID}\nCASPIO_CLIENT_SECRET={CLIENT_SECRET}\n"
            f"CASPIO_CALLS_PER_SECOND=0\nCASPIO_CALLS_PER_WINDOW=0\nBRAZE_REST_ENDPOINT={braze}\n"
            f"BRAZE_API_KEY={BRAZE_KEY}\nCASPIO_SYNC_HOME={home / 'state'}\nCASPIO_SYNC_SYNCS={home / 'syncs'}\n",
            encoding="utf-8",
        )
        self._home = home
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path}

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self._home / f"{arguments[0]}.log").open("ab")
        command = [sys.executable, "-m", "caspio_sync", *arguments]
        return subprocess.Popen(command, cwd=self._home, env=self._environment, stdout=log, stderr=log)

    async def do(self, *arguments: str) -> None:
        """Run a command to its end; one that fails is an error."""
        process = self.start(*arguments)
        code = await asyncio.to_thread(process.wait)
        assert code == 0, (arguments, code, (self._home / f"{arguments[0]}.log").read_text(errors="replace")[-2_000:])

    async def json(self, *arguments: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "caspio_sync", *arguments, "--json",
            cwd=self._home, env=self._environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return json.loads(out[out.index(b"[" if out.lstrip().startswith(b"[") else b"{") :])


@contextlib.contextmanager
def _stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def _measure(home: Path, a_second: int, seconds: float) -> dict[str, tuple[float, str]]:
    desk = HelpDesk()
    async with _served(desk.slow_caspio) as caspio, _served(desk.app) as braze:
        ours, port = _Ours(home, caspio, braze), _free_port()
        await ours.do("run", "tickets")  # the ledger, and a cursor
        await ours.do("webhooks", "install", "tickets", "--url", f"http://{HOST}:{port}", "--throttle", "1000", "--yes")
        desk.caspio.deliveries.at_once = True
        listens = str(int(_STARTS_SECONDS + seconds + _SETTLES_SECONDS))
        with (
            _stopped(ours.start("receive", "--port", str(port))),
            _stopped(ours.start("run", "tickets", "--hints", "--listen", listens)),
        ):
            await _first(desk)
            await desk.write(a_second, seconds)
            await _all_told(desk)
        await ours.do("run", "tickets")
        unknown = await ours.json("unknown", "tickets", "--limit", "100000")
    return _judged(desk, unknown)


async def _first(desk: HelpDesk) -> None:
    """Write one ticket now and then until one arrives: receiver and resident have begun."""
    for number in range(int(_STARTS_SECONDS)):
        desk.caspio.datasheet.insert("Tickets", _ticket(f"first {number}", number))
        await asyncio.sleep(1)
        if desk.arrived:
            return
    raise AssertionError("nothing arrived at all")


async def _all_told(desk: HelpDesk) -> None:
    for _ in range(int(_SETTLES_SECONDS)):
        if not desk.written.keys() - desk.arrived.keys():
            return
        await asyncio.sleep(1)


def _judged(desk: HelpDesk, unknown: Any) -> dict[str, tuple[float, str]]:
    repeated = [subject for subject, count in desk.arrivals.items() if count > 1]
    missing = desk.written.keys() - desk.arrived.keys()
    assert not repeated, f"{len(repeated)} events arrived more than once: {repeated[:3]}"
    assert len(missing) <= len(unknown), f"{len(missing)} events are neither there nor unknown"
    # Which messages were lost tells no ticket's number: the fastest 75 % of all were surely announced.
    waits = sorted(desk.arrived[each] - at for each, at in desk.written.items() if each in desk.arrived)
    announced = waits[: int(len(waits) * (1 - LOST))]
    return {
        "announced.p50": (announced[len(announced) // 2], "s"),
        "announced.p99": (announced[int(len(announced) * 0.99)], "s"),
        "announced.slowest_of_all": (waits[-1], "s, those that were never announced included"),
        "announced.unknown": (float(len(unknown)), "events"),
    }


def _free_port() -> int:
    with listen(0) as listener:
        return int(listener.getsockname()[1])


def measure(a_second: int, seconds: float) -> dict[str, tuple[float, str]]:
    """So many tickets a second, for so many seconds."""
    with tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        return asyncio.run(_measure(Path(home), a_second, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.announcing")
    parser.add_argument("--rate", type=int, default=200, help="tickets a second")
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    for name, (value, unit) in measure(options.rate, options.seconds).items():
        print(f"{name:40} {value:>10,.3f} {unit}")


if __name__ == "__main__":
    main()
