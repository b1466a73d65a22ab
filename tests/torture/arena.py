"""Where a sync is killed and started again: emulators here, runs in processes of their own, and somebody who watches.

The emulators are in this process, on loopback: what has arrived survives the kill. Every request is looked at when it
arrives; the ledger is looked at whenever a process has ended.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import orjson
import uvicorn
from uvicorn.server import ServerState

from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.server import SandboxProtocol
from tests.prefect_server import AUTHORITY
from tests.torture.processes import Order

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}",
    "SSL_CERT_FILE": str(AUTHORITY),  # all is on loopback: reading the machine's certificates takes 20 ms a client
}
RUN_SECONDS = 300.0  # a run that takes longer hangs; on a machine that does other work a short one takes a minute


class Ended:
    """How a process ended: its exit code, or the signal as a negative number; and what it said where it could."""

    def __init__(self, status: int, said: dict[str, Any] | None) -> None:
        self.status = status
        self.killed = status < 0
        self.message = said["message"] if said else ""
        self.report: dict[str, Any] = (said and said["report"]) or {}


class Arena:
    """The server for all schedules, and the process that forks their runs."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment
        self.app: Callable[..., Awaitable[None]] | None = None
        self.url = ""
        self._stack = AsyncExitStack()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._started: asyncio.Queue[int] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert self.app is not None
            await self.app(scope, receive, send)

        config = uvicorn.Config(
            app, http=SandboxProtocol, interface="asgi3", lifespan="off", ws="none", access_log=False,
            log_level="critical", date_header=False, server_header=False, timeout_keep_alive=600,
        )  # fmt: skip
        config.load()
        self._state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SandboxProtocol(config=config, server_state=self._state, app_state={}), "127.0.0.1", 0
        )
        self._stack.callback(server.close)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("processes.py")), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, env={**os.environ, **_ENVIRONMENT, **self._environment},
        )  # fmt: skip
        self._stack.push_async_callback(self._stop)
        assert "ready" in await self._line()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _stop(self) -> None:
        self._reader.cancel()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _line(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process that forks the runs has ended"
        return dict(orjson.loads(line))

    async def _read(self) -> None:
        while True:
            told = await self._line()
            if "started" in told:
                self._waiting[told["started"]] = asyncio.get_running_loop().create_future()
                self._started.put_nowait(told["started"])
            else:
                self._waiting[told["ended"]].set_result(told["status"])

    async def start(self, order: Order) -> int:
        """Start a run; its pid."""
        assert self._process.stdin is not None
        for name in ("end.json", "bug.txt"):
            Path(order.folder, name).unlink(missing_ok=True)
        self._process.stdin.write(orjson.dumps(asdict(order)) + b"\n")
        return await self._started.get()

    async def ended(self, pid: int, order: Order) -> Ended:
        """Wait for the end of a run."""
        try:
            status = await asyncio.wait_for(asyncio.shield(self._waiting[pid]), RUN_SECONDS)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"a run hangs: {order}") from None
        del self._waiting[pid]
        bug, end = Path(order.folder, "bug.txt"), Path(order.folder, "end.json")
        assert not bug.exists(), bug.read_text(encoding="utf-8")
        return Ended(status, orjson.loads(end.read_bytes()) if end.exists() else None)


def migrated(folder: Path) -> Path:
    """An empty ledger, migrated once."""
    path = folder / "template.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


def copied(source: Path, folder: Path) -> str:
    """URL of a fresh ledger."""
    shutil.copy(source, folder / "ledger.db")
    return f"sqlite:///{folder}/ledger.db"
