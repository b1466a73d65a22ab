"""The fork server alone: a package `prefect` of three lines stands in for Prefect's engine, and a socket for the worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tasks.fork_server import Begun, Ended, Wanted, Warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks on Linux alone")

ROOT = Path(__file__).parents[2]
SERVER = "import os, sys; from tasks.fork_server import *; serve(Connection(int(sys.argv[1])), dict(os.environ))"
SECONDS = 20.0
TELL = """\
import json, os, signal, sys, time
told = {"cwd": os.getcwd(), "environment": dict(os.environ), "zone": time.tzname[0], "argv": sys.argv,
        "main": __name__, "path": sys.path[0], "files": [os.readlink(f"/proc/self/fd/{each}")
        for each in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{each}")],
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "masked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])]}
open("told", "w").write(json.dumps(told))
"""


class Server:
    """A fork server, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "prefect" / "logging").mkdir(parents=True)
        (folder / "prefect" / "__init__.py").touch()
        (folder / "prefect" / "logging" / "__init__.py").touch()
        (folder / "prefect" / "context.py").write_text(
            "def refresh_global_settings_context(): open('settled', 'w').close()"
        )
        (folder / "prefect" / "logging" / "configuration.py").write_text("def setup_logging(incremental): pass")
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", SERVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PREFECT_API_URL": "one"},
                stdin=subprocess.DEVNULL,
            )
        self.channel = Connection(ours.detach())
        assert self.heard() == Warm()

    def heard(self) -> Any:
        assert self.channel.poll(SECONDS)
        return self.channel.recv()

    def forked(self, engine: str, **environment: str) -> int:
        """A fork that runs this text as Prefect's engine; its pid."""
        written = self.folder / "engine.py"
        written.write_text(engine)
        written.replace(self.folder / "prefect" / "engine.py")  # whole at once: the fork before may just be reading it
        self.channel.send(Wanted(7, {"PREFECT_API_URL": "one", **environment}, str(self.folder)))
        begun = self.heard()
        assert isinstance(begun, Begun)
        assert begun.number == 7
        return begun.pid


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.channel.close()
    made.process.kill()
    made.process.wait()


def ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def wait_for(holds: Any) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_fork_is_as_a_process_that_is_started_with_its_environment(server: Server) -> None:
    pid = server.forked(TELL, TZ="Asia/Tokyo", MINE="1", PREFECT__FLOW_RUN_ID="x")
    assert server.heard() == Ended(pid, 0)
    told = json.loads((server.folder / "told").read_text())
    assert told["environment"] == {
        "PREFECT_API_URL": "one", "TZ": "Asia/Tokyo", "MINE": "1", "PREFECT__FLOW_RUN_ID": "x"
    }  # fmt: skip
    assert told["zone"] == "JST"
    assert told["argv"][1:] == []
    assert (told["cwd"], told["path"], told["main"]) == (str(server.folder), str(server.folder), "__main__")
    assert not [each for each in told["files"] if each.startswith("socket:")]
    assert (told["term"], told["int"], told["masked"]) == (True, True, [])
    assert not (server.folder / "settled").exists()


@pytest.mark.parametrize("other", [{"PREFECT_API_URL": "two"}, {"PREFECT_LOGGING_LEVEL": "DEBUG"}])
def test_prefects_settings_are_read_again_where_they_differ(server: Server, other: dict[str, str]) -> None:
    pid = server.forked("pass", **other)
    assert server.heard() == Ended(pid, 0)
    assert (server.folder / "settled").exists()


def test_they_are_read_again_in_a_folder_with_settings_of_its_own(server: Server) -> None:
    (server.folder / "prefect.toml").touch()
    pid = server.forked("pass")
    assert server.heard() == Ended(pid, 0)
    assert (server.folder / "settled").exists()


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('why')", 1),
        ("raise KeyError", 1),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import atexit, os; atexit.register(lambda: open('left', 'w').close())", 0),
        ("import threading, time; threading.Thread(target=lambda: (time.sleep(.2), open('left', 'w').close())).start()", 0),
    ],
)  # fmt: skip
def test_its_exit_code_is_told(server: Server, engine: str, code: int) -> None:
    pid = server.forked(engine)
    assert server.heard() == Ended(pid, code)
    if "left" in engine:  # as an interpreter ends, which waits for threads and calls what was registered
        assert (server.folder / "left").exists()


def test_forks_are_under_way_side_by_side(server: Server) -> None:
    pids = [server.forked("import time; time.sleep(60)") for _ in range(3)]
    assert not any(ended(pid) for pid in pids)
    os.kill(pids[1], signal.SIGKILL)
    assert server.heard() == Ended(pids[1], -signal.SIGKILL)
    assert not ended(pids[0])


@pytest.mark.parametrize("end", ["worker gone", "told to end", "killed"])
def test_forks_end_with_the_server_and_it_with_the_worker(server: Server, end: str) -> None:
    pids = [server.forked("import time; time.sleep(60)") for _ in range(2)]
    if end == "worker gone":
        server.channel.close()
    else:
        server.process.send_signal(signal.SIGKILL if end == "killed" else signal.SIGTERM)
    server.process.wait(SECONDS)
    wait_for(lambda: all(ended(pid) for pid in pids))


def test_it_holds_one_thread(server: Server) -> None:
    assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) == 1
