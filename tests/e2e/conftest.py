"""`caspio-sync serve` on a folder of its own, as a user has it."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.ledger.run_record import Run
from caspio_sync.ledger.store import Ledger
from tests.e2e import cluster
from tests.e2e.prefect_api import asked
from tests.postgresql import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0


class Machine:
    """A folder, and `serve` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        (folder / "syncs").mkdir()
        shipped = (ROOT / "examples" / "customers.yaml").read_text(encoding="utf-8")
        # The schedule of its kind: every minute.
        (folder / "syncs" / "customers.yaml").write_text(
            shipped.replace('schedule: "*/5 * * * *"', ""), encoding="utf-8"
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "COLUMNS": "300",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }
        self.log = (folder / "serve.out").open("w+b")
        self.process = self.start("serve", "--port", str(self.port), stdout=self.log, stderr=self.log)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "caspio_sync", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **more)

    def command(self, *arguments: str) -> tuple[int, str]:
        started = self.start("--sandbox", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = started.communicate(timeout=PATIENCE)
        return started.returncode, out

    def said(self) -> str:
        return (self.folder / "serve.out").read_text(encoding="utf-8")

    def api(self, path: str, body: Any = None) -> Any:
        return asked("GET" if body is None else "POST", f"http://127.0.0.1:{self.port}/api/{path}", body)

    def flow_runs(self, state: str, **more: Any) -> list[Any]:
        found = self.api("flow_runs/filter", {"flow_runs": {"state": {"name": {"any_": [state]}}}, "limit": 200})
        return [each for each in found if all(each[name] == value for name, value in more.items())]

    def is_quiet(self, deployment: str) -> bool:
        """Whether no run of a deployment is under way or to come: asked at once, for a run passes from state to state."""
        chosen = {"deployments": {"id": {"any_": [deployment]}}}
        states = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}}}}
        return not self.api("flow_runs/filter", {**chosen, **states})

    def newest(self) -> Run | None:
        ledger = self.folder / ".caspio-sync" / "serve" / "sandbox" / "ledger.db"
        if not ledger.is_file():
            return None
        with Ledger.open(f"sqlite:///{ledger}") as opened:
            return opened.last_run("customers")

    def holder_pid(self) -> int | None:
        with Ledger.open(f"sqlite:///{self.folder}/.caspio-sync/serve/sandbox/ledger.db") as opened:
            held = opened.leases("customers")
        return int(str(held[0].process).split(" ")[1]) if held else None

    def family(self) -> dict[int, str]:
        """`serve` and what it started, by pid, with their command lines."""
        from caspio_sync.cli.kept import descendants

        found = {}
        for pid in (self.process.pid, *descendants(self.process.pid)):
            try:
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Waits until something is found."""
    return functools.partial(cluster.until, every=0.5, patience=PATIENCE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.send_signal(signal.SIGINT)
        try:
            made.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            for pid in made.family():
                os.kill(pid, signal.SIGKILL)
            made.process.wait()
    made.log.close()
