"""`caspio-sync run` as a user has it, whole, beside httpx alone; both against a vendor that costs little.

`python -m benchmarks.moving --rows 500000` for this alone.
"""

import argparse
import contextlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.customers import SYNC

LATENCY_MS = 50
ROOT = Path(__file__).parents[1]
_LOOK_SECONDS = 0.1
_NAME = "customers"


@dataclass(frozen=True, slots=True)
class Vendor:
    """The process of `benchmarks.vendor`."""

    url: str
    key: str

    def reset(self, **how: float) -> None:
        self._ask("/_reset", json.dumps(how).encode())

    def counts(self) -> dict[str, float]:
        counts: dict[str, float] = self._ask("/_counts")
        return counts

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=120) as answer:
            return json.load(answer)


@contextlib.contextmanager
def vendor(rows: int) -> Iterator[Vendor]:
    """The vendor's process, with a table of so many rows, which takes one key alone."""
    key = secrets.token_hex(12)
    command = [sys.executable, "-m", "benchmarks.vendor", "--rows", str(rows), "--key", key]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment())
    try:
        assert process.stdout is not None
        yield Vendor(f"http://127.0.0.1:{int(process.stdout.readline())}", key)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True)
class Ran:
    """One command.

    Args:
        seconds: from its start to its end.
        processor: seconds of all its processes.
        peak_mb: of all its processes together, pages that several of them use counted once.
        out: what it printed.
    """

    seconds: float
    processor: float
    peak_mb: float
    out: str


def run(command: list[str], environment: dict[str, str]) -> Ran:
    """Run a command to its end; one that fails is an error."""
    started, before = time.perf_counter(), _processor_of_children()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    watch = _Peak(process.pid)
    watch.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - started
    watch.ended.set()
    watch.join()
    assert process.returncode == 0, f"{command} ended with {process.returncode}: {out}"
    return Ran(seconds, _processor_of_children() - before, watch.peak / 1e6, out)


class _Peak(threading.Thread):
    """The most memory that a process and its children held together, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            self.peak = max(self.peak, sum(map(_resident, _tree(self._pid))))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    """Bytes; of pages that several processes use, each has its part."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


class OurRuns:
    """Runs of `caspio-sync run` on one state folder.

    Args:
        at: the vendor.
        home: an empty folder.
        more: settings besides.
    """

    def __init__(self, at: Vendor, home: Path, **more: str) -> None:
        (home / "syncs").mkdir()
        (home / "syncs" / f"{_NAME}.yaml").write_text(SYNC, encoding="utf-8")
        self._environment = {
            **_environment(),
            "CASPIO_INTEGRATION_URL": at.url,
            "CASPIO_CLIENT_ID": "bench",
            "CASPIO_CLIENT_SECRET": "bench",
            "CASPIO_CALLS_PER_SECOND": "0",
            "CASPIO_CALLS_PER_WINDOW": "0",
            "BRAZE_REST_ENDPOINT": at.url,
            "BRAZE_API_KEY": at.key,
            "BRAZE_TRACK_LIMIT": "1000000",  # the pacer out of the way: what is measured is what we cost
            "CASPIO_SYNC_HOME": str(home / "state"),
            "CASPIO_SYNC_SYNCS": str(home / "syncs"),
            **more,
        }

    def run(self, *arguments: str, module: Sequence[str] = ("-m", "caspio_sync")) -> tuple[Ran, dict[str, Any]]:
        """A run, and its report."""
        command = [sys.executable, *module, "run", _NAME, "--json", *arguments]
        ran = run(command, self._environment)
        return ran, json.loads(ran.out[ran.out.index("{") :])


def measure(rows: int) -> dict[str, tuple[float, str]]:
    """A first load, then a run that finds nothing changed, then one in which two fields of each row changed."""
    with vendor(rows) as at, tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        at.reset(latency_ms=LATENCY_MS)
        bare = json.loads(run([sys.executable, "-m", "benchmarks.bare", at.url, at.key, str(rows)], _environment()).out)
        _delivered(at, rows)
        ours = OurRuns(at, Path(home))
        at.reset(latency_ms=LATENCY_MS)
        first, report = ours.run()
        sending = _delivered(at, rows)["sending_seconds"]
        print({name: round(seconds, 2) for name, seconds in report["seconds"].items()}, file=sys.stderr)
        at.reset(latency_ms=LATENCY_MS)
        same, _ = ours.run()
        _delivered(at, 0)
        at.reset(latency_ms=LATENCY_MS, changed_every=10)
        tenth, _ = ours.run()
        _delivered(at, -(-rows // 10))
        at.reset(latency_ms=LATENCY_MS)
        back, _ = ours.run()
        _delivered(at, -(-rows // 10))
        at.reset(latency_ms=LATENCY_MS, changed_every=1)
        every, _ = ours.run()
        _delivered(at, rows)
    most = max(ran.peak_mb for ran in (same, tenth, back, every))
    rate = rows / bare["seconds"]
    return {
        "moving.bare_httpx_rows_per_second": (rate, "rows/s"),
        "moving.bare_httpx_processor_per_row": (bare["processor"] / rows * 1e6, "µs"),
        "moving.first_load_rows_per_second_sending": (rows / sending, "rows/s"),
        "moving.first_load_rows_per_second": (rows / first.seconds, "rows/s"),
        "moving.first_load_processor_per_row": (first.processor / rows * 1e6, "µs"),
        "moving.first_load_peak": (first.peak_mb, "MB"),
        "moving.first_load_sending_share_of_httpx": (rows / sending / rate, "ratio"),
        "moving.first_load_share_of_httpx": (rows / first.seconds / rate, "ratio"),
        "moving.unchanged_rows_per_second": (rows / same.seconds, "rows/s"),
        "moving.unchanged_peak": (same.peak_mb, "MB"),
        "moving.tenth_changed_share_of_httpx": (rows / tenth.seconds / rate, "ratio"),
        "moving.all_changed_share_of_httpx": (rows / every.seconds / rate, "ratio"),
        "moving.changed_peak": (most, "MB"),
    }


def _delivered(at: Vendor, rows: int) -> dict[str, float]:
    """The vendor's counts; anything but these rows, each once and whole, is an error."""
    counts = at.counts()
    found = {name: counts[name] for name in ("objects", "cut", "doubled", "refused")}
    assert found == {"objects": rows, "cut": 0, "doubled": 0, "refused": 0}, found
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moving")
    parser.add_argument("--rows", type=int, default=500_000)
    for name, (value, unit) in measure(parser.parse_args().rows).items():
        print(f"{name:45} {value:>14,.2f} {unit}")


if __name__ == "__main__":
    main()
