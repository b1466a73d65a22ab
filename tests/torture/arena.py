"""Where a sync is killed and started again: emulators here, runs in processes of their own, and somebody who watches.

The emulators are in this process, on loopback: what has arrived survives the kill. Every request is looked at when it
arrives; the ledger is looked at whenever a process has ended.
"""

import asyncio
import io
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import orjson
import polars as pl
import sqlalchemy as sa
import uvicorn
from processes import Order
from shop import STATES, SYNC, Shop, is_sound
from uvicorn.server import ServerState

from caspio_sync.clock import SystemClock
from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.server import SandboxProtocol

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}"}
COMMIT_SECONDS = 0.05  # as `processes` sets it
RUN_SECONDS = 300.0  # a run that takes longer hangs; on a machine that does other work a short one takes a minute


# The object of a "no" alone.
OPT_OUT = {"external_id", "_update_existing_only", "email_subscribe"}


class MovedClock(SystemClock):
    """The machine's clock, moved on by hand."""

    offset = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)


def repeated_at_most(order: Order) -> int:
    """Requests that Braze may have taken without an outcome in the ledger, however slow that is.

    Five commits' worth is being committed, as much waits, and each connection holds an answer and a request.
    """
    return 2 * 5 * order.commit_requests + 2 * order.connections + 1


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


class Watched:
    """One shop whose sync is killed and started again, and what is noticed while that happens.

    Args:
        arena: where runs are started.
        folder: for the sync file and the SQLite ledger.
        ledger: URL of the ledger.
        rng: decides everything.
        always: part of every order.
    """

    def __init__(
        self, arena: Arena, folder: Path, ledger: str, rng: random.Random, always: dict[str, Any] | None = None
    ) -> None:
        self._always = always or {}
        self.arena, self.folder, self.ledger, self.rng = arena, folder, ledger, rng
        self.clock = MovedClock()
        self.shop = Shop(rng, self.clock)
        self.faults: list[str] = []
        self.kills: Counter[str] = Counter()
        self.ordered = ""
        self.lost = 0
        (folder / "customers.yaml").write_text(SYNC, encoding="utf-8")
        arena.app = self.app
        self.acknowledged: set[str] = set()  # keys whose present version is committed as sent
        self.moments: dict[tuple[str, int], Callable[[], None]] = {}  # what happens at the n-th of a step
        self._seen: Counter[str] = Counter()
        self._pid = 0
        self._last_request = 0
        self._arrived: list[tuple[float, int, list[str]]] = []  # this step's requests
        self._loose: dict[str, int] = {}  # version of the last state that was not an opt-out, by key
        self._strict: dict[str, str] = {}  # state of the profiles, by key
        self._runs: set[str] = set()

    # What arrives.

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        braze = scope["path"].startswith("/users/")
        name = "track" if braze else "caspio"
        self._happens(f"{name}:comes")

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                if braze:
                    self._look()
                self._happens(f"{name}:done")
            await send(message)

        await (self.shop.braze.app if braze else self.shop.caspio.app)(scope, receive, answer)

    def _happens(self, name: str) -> None:
        self._seen[name] += 1
        if (act := self.moments.pop((name, self._seen[name]), None)) is not None:
            act()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def edit_meanwhile(self) -> None:
        """Somebody edits while a run is under way; then ten minutes pass at Caspio, more than any overlap."""
        for _ in range(self.rng.randint(1, 3)):
            self.edit()
        self.clock.offset += 600

    def _look(self) -> None:
        """Look at what Braze has just taken."""
        fresh = [entry for entry in self.shop.braze.log if entry.request > self._last_request]
        if not fresh:
            return
        self._last_request = fresh[-1].request
        keys = [str(entry.object["external_id"]) for entry in fresh]
        self._arrived.append((asyncio.get_running_loop().time(), self._last_request, keys))
        for key, entry in zip(keys, fresh, strict=True):
            # A "no" is told again after a death: what a batch left open sent last is not known (`Ledger.unfinished`).
            if key in self.acknowledged and not OPT_OUT.issuperset(entry.object):
                self.faults.append(f"{key} was acknowledged and arrived again: {entry.object}")
            self._look_at_consent(key, entry.object)

    def _look_at_consent(self, key: str, sent: dict[str, Any]) -> None:
        profile = self.shop.braze.profile(key)
        if profile is None:
            return  # an opt-out makes no profile
        state, before = profile["email_subscribe"], self._strict.get(key)
        self._strict[key] = state
        version = sent.get("version")
        if state == "unsubscribed":
            return
        history, since = self.shop.history[key], self._loose.get(key, -1)
        read = [
            each.number for each in history if (each.row["Version"], STATES[each.row["Newsletter"]]) == (version, state)
        ]
        optouts = [each.number for each in history if each.number > since and each.row["Newsletter"] == "no"]
        if before == "unsubscribed" and (not read or not optouts or min(optouts) > max(read)):
            self.faults.append(f"{key} was {before} and became {state} by an older version: {sent}")
        if read:
            self._loose[key] = max(since, read[0])

    # What happens in the shop between runs.

    def edit(self) -> None:
        self.shop.edit()
        self._forget_edited()

    def _forget_edited(self) -> None:
        self.acknowledged = {
            key for key in self.acknowledged if self.shop.last_edit(key).step < self.shop.step
        } - self.shop.shared

    # Runs.

    def order(self, **more: Any) -> Order:
        return Order(
            str(self.folder), self.ledger, self.arena.url, **{"offset": self.clock.offset, **more, **self._always}
        )

    async def run(self, order: Order) -> Ended:
        """A run from its start to its end, whatever ends it; then the ledger is looked at."""
        self.shop.step += 1
        self._seen.clear()
        self._arrived.clear()
        self._pid = await self.arena.start(order)
        ended = await self.arena.ended(self._pid, order)
        self.moments.clear()
        await asyncio.sleep(0.002)  # what was in flight arrives
        self._forget_edited()
        self._look_at_ledger(asyncio.get_running_loop().time(), order)
        return ended

    def _look_at_ledger(self, now: float, order: Order) -> None:
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger._read("look") as connection:
            rows = connection.execute(
                sa.text("SELECT source_pk, key, verdict, run FROM row WHERE verdict IS NOT NULL")
            ).all()
            outcomes = connection.execute(sa.text("SELECT run, batch, part, rows FROM outcome")).all()
            watermark = connection.execute(sa.text("SELECT watermark FROM cursor")).scalar()
            runs = {run for (run,) in connection.execute(sa.text("SELECT id FROM run"))}
        fresh, self._runs = runs - self._runs, runs
        self._look_at_window(
            now, {pk: str(key) for pk, key, *_ in rows}, [each for each in outcomes if each.run in fresh]
        )
        if order.sender == "inline" and self.lost > (most := repeated_at_most(order)):
            self.faults.append(f"{self.lost} requests were taken and have no outcome, more than {most}")
        for _, key, verdict, run in rows:
            if verdict == "sent" and run in fresh and key not in self.shop.shared:
                if self.shop.last_edit(key).step < self.shop.step:
                    self.acknowledged.add(key)
        if watermark is not None:
            self._look_at_cursor(watermark / 1e6, {pk: verdict for pk, _, verdict, _ in rows})

    def _look_at_window(self, now: float, keys: dict[int, str], outcomes: list[Any]) -> None:
        """Every outcome once; and what Braze took without an outcome came within the last moments."""
        told: Counter[tuple[int, str]] = Counter()
        for each in outcomes:
            told.update((pk, each.part) for pk in pl.read_ipc(io.BytesIO(each.rows))["source_pk"])
        self.faults += [
            f"row {pk} has {count} outcomes ({part}) in one run" for (pk, part), count in told.items() if count > 1
        ]
        known = {keys.get(pk) for pk, _ in told} | {
            key for pk, _ in told if pk in self.shop.rows for key in [self.shop.rows[pk]["CustomerNo"]]
        }
        lost = [
            (came, request)
            for came, request, arrived in self._arrived
            if any(key not in known and key not in self.shop.shared for key in arrived)
        ]
        self.lost = len(lost)
        self.faults += [
            f"request {request} was taken {now - came:.2f} s before the end and has no outcome"
            for came, request in lost
            if now - came > COMMIT_SECONDS + 2.0
        ]

    def _look_at_cursor(self, watermark: float, verdicts: dict[int, str]) -> None:
        """What was edited before the cursor has its verdict, and Braze holds it."""
        for pk, row in self.shop.rows.items():
            key = row["CustomerNo"]
            if key in self.shop.shared or self.shop.last_edit(key).at >= watermark:
                continue
            if is_sound(row):
                self.faults += [f"the cursor passed it: {fault}" for fault in self.shop.faults_of(key)]
            elif verdicts.get(pk) != "quarantined":
                self.faults.append(
                    f"the cursor passed {key}, which is not sound and has the verdict {verdicts.get(pk)}"
                )

    def look_at_everything(self, *, shared: bool) -> None:
        """After a run that ended well: Braze holds what the rows say.

        Args:
            shared: also the keys that two rows have or had; an incremental run does not read the other row again.
        """
        for key in self.shop.history:
            if shared or key not in self.shop.shared:
                self.faults += self.shop.faults_of(key)
        others = set(self.shop.braze.profiles()) - set(self.shop.history)
        self.faults += [f"nobody is called {key}" for key in others]
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger._read("look") as connection:
            verdicts = dict(connection.execute(sa.text("SELECT source_pk, verdict FROM row")).all())
        for pk, row in self.shop.rows.items():
            if row["CustomerNo"] not in self.shop.shared:
                wanted = "sent" if is_sound(row) else "quarantined"
                if verdicts.get(pk) != wanted:
                    self.faults.append(
                        f"row {pk} ({row['CustomerNo']}) has the verdict {verdicts.get(pk)}, not {wanted}"
                    )


def template(folder: Path) -> Path:
    """An empty ledger, migrated once."""
    path = folder / "template.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


def copied(source: Path, folder: Path) -> str:
    """URL of a fresh ledger."""
    shutil.copy(source, folder / "ledger.db")
    return f"sqlite:///{folder}/ledger.db"
