"""`caspio-sync serve` as a user starts it: a real Prefect server, a process worker, the sandbox, nothing from outside.

One server for the whole story: a schedule fires, a run by hand, a run whose machine dies, the doctor, and the end.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.ledger.runs import KILLED, RUNNING, Run
from caspio_sync.ledger.store import Ledger

pytestmark = [
    pytest.mark.long,
    # Prefect leaves connections to its own server to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning"),
]

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0


def until(what: str, look: Callable[[], Any], *, every: float = 0.5) -> Any:
    """What `look` finds once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every)
    raise AssertionError(f"{what}: not within {PATIENCE:.0f} s")


class Machine:
    """A folder, and `serve` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "syncs").mkdir()
        shipped = (ROOT / "syncs" / "customers.yaml").read_text(encoding="utf-8")
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
        command = [sys.executable, "-m", "caspio_sync.cli.main", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **more)

    def command(self, *arguments: str) -> tuple[int, str]:
        started = self.start("--sandbox", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = started.communicate(timeout=PATIENCE)
        return started.returncode, out

    def said(self) -> str:
        return (self.folder / "serve.out").read_text(encoding="utf-8")

    def api(self, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        answer = httpx.get(url, timeout=30) if body is None else httpx.post(url, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, state: str, **more: Any) -> list[Any]:
        found = self.api("flow_runs/filter", {"flow_runs": {"state": {"name": {"any_": [state]}}}, "limit": 200})
        return [each for each in found if all(each[name] == value for name, value in more.items())]

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
        from caspio_sync.cli.serve import _descendants

        found = {}
        for pid in (self.process.pid, *_descendants(self.process.pid)):
            try:
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


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


def test_from_the_first_schedule_to_ctrl_c(machine: Machine) -> None:
    until("the UI", lambda: "UI: http" in machine.said() or machine.process.poll() is not None)
    assert machine.process.poll() is None, machine.said()

    # Every deployment stands there with description, tags, schedules and a form with help texts.
    (deployment,) = machine.api("deployments/filter", {})
    assert (deployment["name"], set(deployment["tags"])) == ("customers", {"caspio-sync", "profiles"})
    assert {each["slug"]: each["schedule"]["cron"] for each in deployment["schedules"]}["regular"] == "* * * * *"
    form = next(iter(deployment["parameter_openapi_schema"]["definitions"].values()))["properties"]
    assert form["limit"]["description"].startswith("Read this many rows")

    # A schedule fires, and leaves its summary.
    until("the first scheduled run", lambda: machine.flow_runs("Completed", auto_scheduled=True))
    artifacts = machine.api("artifacts/filter", {})
    (summary,) = [each["data"] for each in artifacts if each["key"] == "customers-summary"][:1]
    assert "customers: done" in summary
    first = machine.newest()
    assert first is not None

    # From here on by hand.
    for schedule in deployment["schedules"]:
        httpx.patch(
            f"http://127.0.0.1:{machine.port}/api/deployments/{deployment['id']}/schedules/{schedule['id']}",
            json={"active": False},
        ).raise_for_status()
    until("quiet", lambda: not machine.flow_runs("Running") and not machine.flow_runs("Pending"))
    parameters = {"parameters": {"sync": "customers", "limit": 10}}
    by_hand = machine.api(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
    until("the run by hand", lambda: machine.flow_runs("Completed", id=by_hand["id"]))
    assert machine.newest().report["read"] == 10

    # The worker's machine dies with a run on it: the worker, stopped, cannot say so.
    dying = machine.api(
        f"deployments/{deployment['id']}/create_flow_run",
        {"parameters": {"parameters": {"sync": "customers", "resend": True}}},
    )
    until(
        "the dying run",
        lambda: (run := machine.newest()).state == RUNNING and run.flow_run_id == dying["id"],
        every=0.02,
    )
    pid = machine.holder_pid()
    workers = [each for each, line in machine.family().items() if "worker start" in line]
    assert pid is not None
    assert workers
    for each in workers:
        os.kill(each, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    try:
        code, said = machine.command("doctor", "--json")
        findings = json.loads(said)["findings"]
        assert code == 2
        assert any(
            "written down as running" in each["what"] and "caspio-sync run" in each["remedy"] for each in findings
        )
        assert any("schedule regular is paused" in each["what"] for each in findings)
        assert machine.api(f"flow_runs/{dying['id']}")["state"]["name"] == "Running"
        code, said = machine.command("run", "customers", "--json")
        assert code == 0, said
        report = json.loads(said[said.index("{") :])
        assert any("was killed" in note for note in report["notes"])
    finally:
        for each in workers:
            os.kill(each, signal.SIGCONT)
    state = machine.api(f"flow_runs/{dying['id']}")["state"]
    assert (state["type"], state["name"]) == ("CRASHED", "Killed")
    with Ledger.open(f"sqlite:///{machine.folder}/.caspio-sync/serve/sandbox/ledger.db") as ledger:
        assert [each.state for each in ledger.runs_of([dying["id"]])] == [KILLED]

    # Deploying again changes nothing, and leaves the paused schedules paused; --prune removes what has no file.
    code, said = machine.command("deploy", "--json")
    assert (code, [each["action"] for each in json.loads(said)]) == (0, ["unchanged"]), said
    (machine.folder / "syncs" / "customers.yaml").rename(machine.folder / "syncs" / "people.yaml")
    code, said = machine.command("deploy", "--prune", "--json")
    assert [(each["name"], each["action"]) for each in json.loads(said)] == [
        ("profile-sync/people", "made"),
        ("customers", "removed"),
    ]
    assert [each["name"] for each in machine.api("deployments/filter", {})] == ["people"]

    # Ctrl-C ends all of it.
    family = machine.family()
    machine.process.send_signal(signal.SIGINT)
    assert machine.process.wait(timeout=120) == 0, machine.said()
    until("the end of every process", lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))
    assert not (machine.folder / ".caspio-sync" / "sandbox" / "sandbox.env").exists()
