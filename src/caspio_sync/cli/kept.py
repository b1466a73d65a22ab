"""A process that ends with the one that started it, however that ends: `python -m caspio_sync.cli.kept COMMAND…`.

The command's keeper reads standard input, which closes when its parent ends (also by `kill -9`), and then ends the
command with all that it started.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

GRACE_SECONDS = 15.0


def start(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command and its keeper, whose exit code is the command's; `end` it."""
    # A session of its own: a Ctrl-C in the terminal reaches us, and we end them in order.
    return subprocess.Popen(  # noqa: S603 - no shell
        [sys.executable, "-m", __name__, *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def end(keeper: subprocess.Popen[bytes]) -> None:
    """End the command with all that it started: politely, and then not."""
    family = descendants(keeper.pid)
    if keeper.stdin is not None:
        keeper.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        keeper.wait(GRACE_SECONDS + 5.0)
    _kill([keeper.pid, *family])
    keeper.wait()


def descendants(pid: int) -> list[int]:
    """Children and theirs, where the system tells (/proc)."""
    try:
        told = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    children = [int(each) for text in told for each in text.split()]
    return [each for child in children for each in (child, *descendants(child))]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _keep(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - what serve asked for
    orphaned = threading.Event()
    ending = threading.Thread(target=_end_with_parent, args=(process, orphaned), daemon=True)
    ending.start()
    code = process.wait()
    if orphaned.is_set():
        ending.join()
    return code


def _end_with_parent(process: subprocess.Popen[bytes], orphaned: threading.Event) -> None:
    # Read unbuffered: a thread inside a buffered read would hold its lock while the interpreter ends.
    while os.read(0, 1024):
        pass
    orphaned.set()
    # A worker's runs have sessions of their own, so they are looked up before it is gone.
    family = descendants(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _kill([process.pid, *family])


if __name__ == "__main__":
    sys.exit(_keep(sys.argv[1:]))
