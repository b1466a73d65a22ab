"""Several machines, played on one: PostgreSQL for Prefect and the ledger, a Prefect server, workers, both emulators.

The emulators are in this process, so that a test sees what arrived; everything else is a process that can be killed.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import httpx
import orjson
import polars as pl
import psycopg
import uvicorn
from starlette.responses import Response

from caspio_sync.cli.kept import descendants
from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.server import SandboxProtocol
from tests.e2e.prefect_api import asked
from tests.postgresql import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
ANSWER_MS = 50
FIELDS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
PEOPLE = """\
kind: profiles
source: {table: Customers, cursor: ChangedAt}
identity: {external_id: CustomerNo}
fields: {first_name: FirstName, email: Email}
batch_size: 1000
schedule: "0 0 1 1 *"
"""


def until(what: str, look: Callable[[], Any], *, every: float = 0.2, patience: float = PATIENCE) -> Any:
    """What `look` finds once it finds something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every)
    raise AssertionError(f"{what}: not within {patience:.0f} s")


class Emulators:
    """Both, in a thread; what arrives at Braze is kept in order."""

    def __init__(self, rows: int) -> None:
        self.caspio = CaspioSandbox()
        self.braze = BrazeSandbox(BrazeBehaviour(latency_ms=ANSWER_MS))
        self.caspio.create_table("Customers", FIELDS)
        self.caspio.insert_rows(
            "Customers",
            [
                {"CustomerNo": f"c{each}", "FirstName": f"N{each}", "Email": f"p{each}@example.com"}
                for each in range(1, rows + 1)
            ],
        )
        self.arrived: list[str] = []  # external ids, as they came
        self.away = False  # Braze answers 503 while this is set
        self._stack = contextlib.ExitStack()
        self.caspio_url = self._serve(self.caspio.app)
        self.braze_url = self._serve(self._watched)

    async def _watched(self, scope: Any, receive: Any, send: Any) -> None:
        if self.away:
            await Response(status_code=503)(scope, receive, send)
            return
        body = bytearray()

        async def kept() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        await self.braze.app(scope, kept, send)
        if scope["path"] == "/users/track":
            self.arrived += [each.get("external_id", "") for each in orjson.loads(bytes(body))["attributes"]]

    def _serve(self, app: Any) -> str:
        port = free_port()
        config = uvicorn.Config(
            app, host="127.0.0.1", port=port, http=SandboxProtocol, interface="asgi3", lifespan="off", ws="none",
            access_log=False, log_level="critical", date_header=False, server_header=False, timeout_keep_alive=600,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
        thread.start()
        until("an emulator", lambda: server.started)

        def end() -> None:
            server.should_exit = server.force_exit = True
            thread.join(10)

        self._stack.callback(end)
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Stop both."""
        self._stack.close()


class Cluster:
    """Everything that runs, and the folder it runs in."""

    def __init__(self, folder: Path, emulators: Emulators, database: str | None, ledger: str) -> None:
        self.folder, self.emulators, self.ledger_url = folder, emulators, ledger
        self.port = free_port()
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.server: subprocess.Popen[bytes] | None = None
        (folder / "syncs").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_PREFETCH_SECONDS": "2",
            "DO_NOT_TRACK": "1",
            "POLARS_MAX_THREADS": "1",
            "CASPIO_SYNC_FOLDER": str(folder),
            "CASPIO_SYNC_LEDGER_URL": ledger,
            "CASPIO_INTEGRATION_URL": emulators.caspio_url,
            "CASPIO_CLIENT_ID": "sandbox",
            "CASPIO_CLIENT_SECRET": "sandbox-secret",
            "CASPIO_CALLS_PER_SECOND": "0",
            "CASPIO_CALLS_PER_WINDOW": "0",
            "BRAZE_REST_ENDPOINT": emulators.braze_url,
            "BRAZE_API_KEY": "sandbox-key",
            "CASPIO_SYNC_SENDER": "inline",
        }
        if database is not None:
            self.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database

    def sync(self, name: str, text: str = PEOPLE) -> None:
        """Write a sync file."""
        (self.folder / "syncs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def _spawn(self, log: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start_server(self) -> None:
        """Prefect's server; ready when it answers."""
        self.server = self._spawn(
            "server", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)
        )
        until("Prefect's server", self.is_up)

    def is_up(self) -> bool:
        """Whether the server answers."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.api_url}/health", timeout=5).status_code == 200
        return False

    def kill_server(self) -> None:
        """As a machine dies."""
        assert self.server is not None
        kill(self.server.pid)
        self.server.wait()

    def start_worker(self, name: str, *, limit: int = 4, kind: str = "warm") -> None:
        """A worker that is a machine of its own: warm, or Prefect's process worker."""
        pool = ("--pool", "caspio-sync")
        command = ("caspio_sync", "worker") if kind == "warm" else ("prefect", "worker", "start", *pool, "--type", kind)
        self.workers[name] = self._spawn(name, *command, "--name", name, "--limit", str(limit))

    def kill_worker(self, name: str) -> None:
        """The worker and every run on it, at once."""
        worker = self.workers.pop(name)
        kill(worker.pid)
        worker.wait()

    def at_work(self) -> bool:
        """Whether a worker has a process that runs a flow."""
        return any(self.forks(name) for name in self.workers)

    def fork_server(self, name: str) -> int | None:
        """Process that a warm worker's runs are forks of; None as long as there is none."""
        found = [each for each in descendants(self.workers[name].pid) if is_fork_server(each)]
        return found[0] if len(found) == 1 else None

    def forks(self, name: str) -> list[int]:
        """The processes of a worker's runs."""
        return [each for each in descendants(self.workers[name].pid) if not is_fork_server(each)]

    def processes(self) -> set[int]:
        """Everything that has this folder in its environment, Prefect's server apart."""
        assert self.server is not None
        found, mark = set(), f"CASPIO_SYNC_FOLDER={self.folder}".encode()
        for pid in (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()):
            with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
                is_ours = mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if is_ours and os.getsid(pid) != self.server.pid:
                    found.add(pid)
        return found

    def command(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """`caspio-sync …` as CI calls it: exit code and standard output."""
        done = self.started(*arguments, **environment)
        out, err = done.communicate(timeout=PATIENCE)
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ {' '.join(arguments)}\n{out}{err}\n")
        return done.returncode, out

    def started(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The same, not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "caspio_sync", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deploy(self, *, paused: bool = True) -> None:
        """Every sync file a deployment; their schedules are switched off, so that a test says what runs."""
        code, said = self.command("deploy", "--prune", "--json")
        assert code == 0, said
        if not paused:
            return
        for each in self.api("deployments/filter", {}):
            for schedule in each["schedules"]:
                self.switch(each["id"], schedule["id"], on=False)

    def switch(self, deployment: str, schedule: str, *, on: bool) -> None:
        """A schedule on or off, as its toggle in the UI does."""
        asked("PATCH", f"{self.api_url}/deployments/{deployment}/schedules/{schedule}", {"active": on})

    def api(self, path: str, body: Any = None) -> Any:
        """Prefect's answer."""
        return asked("GET" if body is None else "POST", f"{self.api_url}/{path}", body)

    def trigger(self, deployment: str, *, env: Mapping[str, str] = MappingProxyType({}), **parameters: Any) -> str:
        """A custom run with these parameters, and variables of its job; its id."""
        (found,) = self.api("deployments/filter", {"deployments": {"name": {"any_": [deployment]}}})
        given = {**found["parameters"]["parameters"], **parameters}
        body = {"parameters": {"parameters": given}, "job_variables": {"env": dict(env)} if env else {}}
        return str(self.api(f"deployments/{found['id']}/create_flow_run", body)["id"])

    def state(self, flow_run: str) -> tuple[str, str, str | None]:
        """Type, name and message of a flow run's state."""
        state = self.api(f"flow_runs/{flow_run}")["state"]
        return state["type"], state["name"], state["message"]

    def final(self, flow_run: str) -> tuple[str, str, str | None]:
        """The same, once it is final."""
        found = until(
            f"the end of {flow_run}",
            lambda: (state := self.state(flow_run))[0] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} and state,
            every=0.5,
        )
        return cast("tuple[str, str, str | None]", found)

    def ledger(self) -> contextlib.closing[Ledger]:
        """The ledger, opened."""
        return contextlib.closing(Ledger.open(self.ledger_url))

    def acknowledged(self, sync: str, since: int = 0) -> Counter[int]:
        """How often the ledger has a row down as sent, by PK_ID, from this outcome on."""
        found: Counter[int] = Counter()
        for _, rows in self.outcomes(sync, since):
            found.update(pl.read_ipc(rows).filter(pl.col("verdict") == "sent")["source_pk"].to_list())
        return found

    def outcomes(self, sync: str, since: int = 0) -> list[tuple[int, bytes]]:
        """Number and rows of the ledger's outcomes after this one."""
        query = "SELECT number, rows FROM outcome WHERE sync = %s AND number > %s ORDER BY number"
        with psycopg.connect(self.ledger_url.replace("+psycopg", "")) as connection:
            return [(number, bytes(rows)) for number, rows in connection.execute(query, (sync, since))]

    def close(self) -> None:
        """End everything."""
        for worker in self.workers.values():
            kill(worker.pid)
            worker.wait()
        if self.server is not None and self.server.poll() is None:
            self.kill_server()


def is_fork_server(pid: int) -> bool:
    """Whether it leads its session; a fork, which has the same command line, does not."""
    with contextlib.suppress(OSError):
        return b"tasks.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.getsid(pid) == pid
    return False


def kill(pid: int) -> None:
    """A process and all its descendants, without a word to any of them."""
    family = [pid, *descendants(pid)]
    for each in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGSTOP)
    for each in {*family, *descendants(pid)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@contextlib.contextmanager
def running(folder: Path, server: Any = None, *, rows: int, name: str = "") -> Iterator[Cluster]:
    """A cluster without workers yet, on a PostgreSQL server; without one, on SQLite."""
    emulators = Emulators(rows)
    database, ledger = None, f"sqlite:///{folder}/ledger.db"
    if server is not None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for each in (f"prefect_{name}", f"ledger_{name}"):
                connection.execute(f"CREATE DATABASE {each}")
        host = f"ledger@127.0.0.1:{server.port}"
        database, ledger = f"postgresql+asyncpg://{host}/prefect_{name}", f"postgresql+psycopg://{host}/ledger_{name}"
    cluster = Cluster(folder, emulators, database, ledger)
    try:
        cluster.start_server()
        yield cluster
    finally:
        cluster.close()
        emulators.close()


def shards_of(said: str) -> list[dict[str, Any]]:
    """What the backfill command printed of its shards."""
    return list(json.loads(said)["shards"])
