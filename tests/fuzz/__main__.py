"""`python -m tests.fuzz`: fuzz every target, or one, for some time; what is found stands below `found` afterwards.

Exit code 1 where something broke a promise, 2 where there is no such target.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from tests.fuzz import kept
from tests.fuzz.registry import TARGETS, fuzz

_SHOWN_CHARS = 600


def say(text: str) -> None:
    """For people, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Share the time among the targets and processes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in all")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="one of them; again for more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = options.target or sorted(TARGETS)
    workers = min(options.processes, len(names))
    share = options.seconds * workers / len(names)
    reports = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(fuzz, name, share, options.seed) for name in names]):
            report = done.result()
            say(report.line)
            reports.append(report)
    for report in reports:
        for fault, data in report.found.values():
            path = kept.keep(report.target, fault.what, data)
            say(
                f"\n{report.target}: {fault.what}\n  {fault.told}\n  kept as {path}\n{kept.written(data)[:_SHOWN_CHARS]}"
            )
    total = sum(report.inputs for report in reports)
    say(f"{total} inputs, {sum(len(each.found) for each in reports)} faults, seed {options.seed}")
    return 1 if any(report.found for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
