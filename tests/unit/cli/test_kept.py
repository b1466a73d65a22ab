"""Processes of `serve` end with it, with all that they started, however it ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from caspio_sync.cli import kept

# A command whose child has a session of its own, as the runs of a worker have; both tell their number.
COMMAND = (
    "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
    " start_new_session=True); print(os.getpid(), child.pid, flush=True); time.sleep(60)"
)
PARENT = f"""
import sys, time
from caspio_sync.cli import kept
keeper = kept.start([sys.executable, '-c', {COMMAND!r}], sys.stdout.buffer)
time.sleep(60)
"""


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not any(is_alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_parent_takes_all_of_them_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(each) for each in parent.stdout.readline().split()]
        assert all(map(is_alive, pids))
        parent.kill()
        parent.wait()
        assert gone(pids)


def test_they_are_ended_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as log:
        keeper = kept.start([sys.executable, "-c", COMMAND], log)
        until = time.monotonic() + 30
        while not (told := (tmp_path / "log").read_text().split()):
            assert time.monotonic() < until
            time.sleep(0.05)
        kept.end(keeper)
    assert gone([int(each) for each in told])


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_ends_by_itself_tells_its_exit_code(tmp_path: Path, code: int) -> None:
    with (tmp_path / "log").open("wb") as log:
        keeper = kept.start([sys.executable, "-c", f"raise SystemExit({code})"], log)
        assert keeper.wait(timeout=60) == code
        kept.end(keeper)
