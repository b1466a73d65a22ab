"""Where a row's processor time goes, stage by stage and thread by thread: `python -m benchmarks.costs --rows 300000`.

A run with the times of its threads taken: what goes to threads is timed there, the main thread is looked at a thousand
times a second, and what it used in all is shared out by what it was seen at. polars' own threads come as one.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.moving import LATENCY_MS, OurRuns, vendor

_LOOKS_A_SECOND = 1000


class Costs:
    """Processor seconds by thread and stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._seen: dict[str, float] = collections.defaultdict(float)
        self._main = threading.get_ident()
        threading.Thread(target=self._look, daemon=True).start()

    def timed(self, thread: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its thread's time counted."""
        place = f"{thread} {getattr(call, '__module__', '')}.{getattr(call, '__qualname__', call)}"

        def counted(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[place] += time.thread_time() - started

        return counted

    def _look(self) -> None:
        before = time.perf_counter()
        while True:
            time.sleep(1 / _LOOKS_A_SECOND)
            frame, now = sys._current_frames().get(self._main), time.perf_counter()  # noqa: SLF001 - its documented name
            if frame is not None and frame.f_code.co_name != "select":
                self._seen[next(_ours(frame), "the event loop")] += (
                    now - before
                )  # a call that let no one look is longer
            before = now

    def share_out(self) -> None:
        """Share the main thread's time out by what it was seen at."""
        spent, looks = time.thread_time(), sum(self._seen.values())
        for place, seen in self._seen.items():
            self.seconds[f"main {place}"] += spent * seen / looks


def _ours(frame: FrameType | None) -> Iterator[str]:
    """The modules of the product that are at work, the innermost first."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("caspio_sync", "expectations", "tasks", "flows")):
            yield f"{name}.{frame.f_code.co_qualname if hasattr(frame.f_code, 'co_qualname') else frame.f_code.co_name}"
        frame = frame.f_back


def instrumented(out: Path) -> None:
    """`caspio-sync run`, whose costs are written to a file."""
    from caspio_sync.__main__ import main
    from caspio_sync.ledger.thread import LedgerThread

    started, costs = time.thread_time(), Costs()
    to_thread, do = asyncio.to_thread, LedgerThread.do
    asyncio.to_thread = lambda call, /, *args, **kwargs: to_thread(costs.timed("worker", call), *args, **kwargs)
    LedgerThread.do = lambda self, call, *args, **kwargs: do(self, costs.timed("ledger", call), *args, **kwargs)  # type: ignore[method-assign]
    try:
        main()
    finally:
        costs.share_out()
        costs.seconds["main start"] += started
        costs.seconds["polars its own threads"] = sum(_polars())
        costs.seconds["sender all of its process"] = _used(resource.RUSAGE_CHILDREN)
        costs.seconds["in all"] = _used(resource.RUSAGE_CHILDREN) + _used(resource.RUSAGE_SELF)
        out.write_text(json.dumps(costs.seconds), encoding="utf-8")


def _polars() -> Iterator[float]:
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            name, _, told = (task / "stat").read_text().rpartition(")")
            if "(polars" in name:
                fields = told.split()
                yield (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used(of: int) -> float:
    used = resource.getrusage(of)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--again", action="store_true", help="of the run after the first, which finds nothing changed")
    parser.add_argument("--changed-every", type=int, default=0, help="with --again: of so many rows one has changed")
    options = parser.parse_args()
    with vendor(options.rows) as at, tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        at.reset(latency_ms=LATENCY_MS)
        ours, out = OurRuns(at, Path(home)), Path(home, "costs.json")
        if options.again:
            ours.run()
            at.reset(latency_ms=LATENCY_MS, changed_every=options.changed_every)
        more = ["--full"] if options.again else []
        ran, report = ours.run(*more, module=["-m", "benchmarks.costs", "--of-a-run", str(out)])
        spent = json.loads(out.read_text(encoding="utf-8"))
        took = at.counts()["processor"]
    whole = spent.pop("in all")
    threads: dict[str, float] = collections.defaultdict(float)
    for place, seconds in spent.items():
        threads[place.partition(" ")[0]] += seconds
    threads["not told apart"] = whole - sum(threads.values())
    for thread, seconds in sorted(threads.items(), key=lambda each: -each[1]):
        print(f"{seconds / options.rows * 1e6:8.2f} µs a row  {thread}")
        for place, part in sorted(spent.items(), key=lambda each: -each[1]):
            if place.startswith(f"{thread} ") and part > whole / 300:
                print(f"{part / options.rows * 1e6:16.2f}  {place.partition(' ')[2]}")
    print(f"{whole / options.rows * 1e6:8.2f} µs a row in all, and the vendor's {took / options.rows * 1e6:.2f}")
    print(
        f"{ran.seconds:.1f} s, {ran.peak_mb:.0f} MB", {name: round(each, 1) for name, each in report["seconds"].items()}
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--of-a-run"]:
        place = Path(sys.argv[2])
        sys.argv = ["caspio-sync", *sys.argv[3:]]
        instrumented(place)
    else:
        main()
