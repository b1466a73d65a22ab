"""How a run grows with its table: a first load, nothing changed, one row of a hundred changed.

`python -m benchmarks.growing 10000 100000 1000000` for these sizes alone. The vendor answers at once: what is measured
is what each row costs, and what a run holds in memory. The sync has no cursor field, so that each run reads every row.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.moving import OurRuns, Ran, Vendor, vendor

SIZES = (10_000, 100_000, 1_000_000)
_CHANGED_EVERY = 100


def measure(sizes: Sequence[int]) -> dict[str, tuple[float, str]]:
    return {name: value for rows in sizes for name, value in _measure(rows)}


def _measure(rows: int) -> Iterator[tuple[str, tuple[float, str]]]:
    size = f"{rows // 1_000_000}m" if rows >= 1_000_000 else f"{rows // 1000}k"
    with vendor(rows) as at, tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        ours = OurRuns(at, Path(home))
        for name, sent, every in (
            ("first", rows, 0),
            ("same", 0, 0),
            ("hundredth", -(-rows // _CHANGED_EVERY), _CHANGED_EVERY),
        ):
            ran = _run(at, ours, sent, changed_every=every)
            yield f"growing.{name}_{size}_rows_per_second", (rows / ran.seconds, "rows/s, start included")
            yield f"growing.{name}_{size}_processor_per_row", (ran.processor / rows * 1e6, "µs, start included")
            yield f"growing.{name}_{size}_peak", (ran.peak_mb, "MB")


def _run(at: Vendor, ours: OurRuns, sent: int, *, changed_every: int) -> Ran:
    at.reset(latency_ms=0, changed_every=changed_every)
    ran, report = ours.run()
    assert (report["verdicts"].get("sent", 0), at.counts()["objects"]) == (sent, sent), report["verdicts"]
    return ran


if __name__ == "__main__":
    for name, (value, unit) in measure([int(each) for each in sys.argv[1:]] or SIZES).items():
        print(f"{name:45} {value:>14,.2f} {unit}", flush=True)
