"""Whether the process that holds a lease still lives, as far as this one can tell."""

import os
from pathlib import Path

_ENDED = ("Z", "X")  # a zombie runs no more


def this_process() -> str | None:
    """This process, told apart from every other one there ever was: boot, pid namespace, pid and start time.

    None where the system does not tell (no /proc): such a process is never taken for dead, its lease has to lapse.
    """
    place, pid = _place(), os.getpid()
    started = _started(pid)
    return None if place is None or started is None else f"{place} {pid} {started}"


def has_died(process: str | None) -> bool:
    """Whether a process of this machine and pid namespace runs no more; False where that cannot be known."""
    if process is None or process.count(" ") != 2:
        return False
    place, pid, started = process.split(" ")
    return place == _place() and _started(int(pid)) != started


def _place() -> str | None:
    """The machine since it was last started, and the namespace in which a pid means something.

    Two containers may bear one host name and not see each other's processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the machine's: a pid is given again, the two together are not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the command's name stands in brackets and may hold anything
    return None if state in _ENDED else fields[18]
