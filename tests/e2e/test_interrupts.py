"""Real runs on the sandbox, broken off: told by a signal they end in two seconds and say so; killed, they leave nobody."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
import sqlalchemy as sa

from caspio_sync.cli.sandbox import environment
from caspio_sync.ledger import schema
from caspio_sync.sandbox.server import SandboxProcesses
from caspio_sync.sync_files import shipped_examples

pytestmark = pytest.mark.long

# Two seconds are promised; the rest is for a machine that is busy with other tests. It was minutes.
MOST_SECONDS = 10.0
LINE = "stopped by {}; what Braze acknowledged is in the ledger, and the next run goes on from there\n"


class Machine:
    """A folder, its accounts, and runs in it."""

    def __init__(self, folder: Path, processes: SandboxProcesses) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **environment(processes, folder / "home"),
            "CASPIO_SYNC_SYNCS": str(shipped_examples()),
        }
        self.environment.pop("PREFECT_API_URL", None)

    def started(self, *more: str, sender: str) -> subprocess.Popen[str]:
        """A run that has sent something, and has more to send."""
        known = len(self.runs())
        process = subprocess.Popen(
            [sys.executable, "-m", "caspio_sync", "run", "customers", "--resend", *more],
            env={**self.environment, "CASPIO_SYNC_SENDER": sender},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        wait_for(lambda: len(self.runs()) > known or process.poll() is not None, 120)
        assert process.poll() is None, process.communicate()
        return process

    def runs(self) -> list[tuple[str, int | None]]:
        """State and exit code of each, newest first."""
        if not (self.folder / "home" / "ledger.db").is_file():
            return []
        engine = sa.create_engine(f"sqlite:///{self.folder}/home/ledger.db")
        try:
            with engine.connect() as connection:
                run = schema.run.c
                rows = connection.execute(sa.select(run.state, run.exit_code).order_by(run.started_at.desc()))
                return [(state, code) for state, code in rows]
        except sa.exc.OperationalError:  # its tables are just made
            return []
        finally:
            engine.dispose()

    def family(self) -> list[int]:
        """Processes that were started for this folder and are still there."""
        mark = f"CASPIO_SYNC_HOME={self.folder / 'home'}".encode()
        found = []
        for each in Path("/proc").iterdir():
            try:
                if each.name.isdigit() and mark in (each / "environ").read_bytes().split(b"\0"):
                    found.append(int(each.name))
            except OSError:  # ended meanwhile
                continue
        return found


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    # Each answer takes a second and there is one connection: a run lasts for minutes.
    with SandboxProcesses(rows=20_000, braze={"latency_ms": 1000}) as processes:
        made = Machine(tmp_path_factory.mktemp("machine"), processes)
        made.environment["BRAZE_CONNECTIONS"] = "1"
        yield made


@pytest.mark.parametrize("more", [(), ("--prefect",)])
@pytest.mark.parametrize(
    ("seconds", "told", "code"),
    [
        (0.0, signal.SIGINT, 130),
        (0.2, signal.SIGTERM, 143),
        (1.5, signal.SIGINT, 130),
        (5.0, signal.SIGTERM, 143),
        (9.0, signal.SIGINT, 130),
    ],
)
def test_a_signal_at_any_moment_ends_a_run_without_a_traceback(
    machine: Machine, seconds: float, told: signal.Signals, code: int, more: tuple[str, ...]
) -> None:
    begun, said = threading.Event(), []

    def listen(stderr: TextIO) -> None:
        for line in stderr:
            if "caspio_sync.cli" in line:  # our own package has begun, and the signals are ours from here on
                begun.set()
            if not line.startswith("import time:"):
                said.append(line)

    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "caspio_sync", "run", "customers", *more],
        env=machine.environment,
        cwd=machine.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        listening = threading.Thread(target=listen, args=(process.stderr,))
        listening.start()
        assert begun.wait(60)
        time.sleep(seconds)
        began = time.monotonic()
        os.killpg(process.pid, told)
        process.wait(timeout=60)
        took = time.monotonic() - began
        listening.join(timeout=60)
    assert process.returncode == code
    if not more:  # Prefect logs, besides, which of its tasks are broken off
        assert [line for line in said if not line.startswith("without Prefect: ")] == [said[-1]]
    assert said[-1].startswith("stopped by ")
    assert not any("Traceback" in line for line in said)
    assert took < MOST_SECONDS


@pytest.mark.parametrize(
    ("sender", "more"), [("inline", ()), ("process", ()), ("inline", ("--prefect",)), ("process", ("--prefect",))]
)
@pytest.mark.parametrize(("tell", "told"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)])
def test_a_run_in_the_middle_is_written_down_as_interrupted(
    machine: Machine,
    sender: str,
    more: tuple[str, ...],
    tell: Callable[[int, int], None],
    told: signal.Signals,
) -> None:
    code = 128 + told
    with machine.started(*more, sender=sender) as process:
        began = time.monotonic()
        tell(process.pid, told)
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert (process.returncode, out) == (code, "")
    # Lines of the log may come before it, such as one of a machine that was too busy.
    assert err.endswith(LINE.format("Ctrl-C" if told == signal.SIGINT else "SIGTERM"))
    assert "Traceback" not in err
    assert took < MOST_SECONDS
    assert machine.runs()[0] == ("interrupted", code)
    wait_for(lambda: not machine.family(), 15)


@pytest.mark.parametrize("sender", ["inline", "process"])
def test_a_killed_run_takes_its_server_and_its_sender_with_it(machine: Machine, sender: str) -> None:
    with machine.started("--prefect", sender=sender) as process:
        if sender == "process":
            wait_for(lambda: len(machine.family()) == 3, 30)
        assert len(machine.family()) == (3 if sender == "process" else 2)
        process.kill()
        process.communicate()
    assert machine.runs()[0] == ("running", None)
    wait_for(lambda: not machine.family(), 15)
