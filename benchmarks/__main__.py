"""`make bench` (`JSON=file` writes the metrics): every stage alone, the sending as a whole, and the whole run.

Ends with 1 where a share of httpx fell under 0.7 of the one in docs/benchmarks.md; rates go by the machine.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import (
    announcing,
    catalogs,
    endpoint,
    engagement,
    growing,
    moving,
    receiving,
    scheduled,
    sending,
    stages,
    starting,
    whole,
    writeback,
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        rows: for stages and sending.
        moved_rows: of the whole command, beside httpx alone.
        whole_rows: of the whole run.
        items: of the catalog; None for all there are.
        paced_posts: to the receiver, 200 a second.
        fast_posts: to the receiver, flat out.
        events: to fold.
        customers: whose day is written back.
        turns: of each command beside its imports.
        scheduled_runs: on a worker.
        scheduled_minutes: of ten syncs that run every minute.
        tickets: a second, and for so many seconds, that webhooks announce.
        growing: tables, by their rows, of which a run is to cost the same a row.
    """

    rows: int = 200_000
    moved_rows: int = 500_000
    whole_rows: int = 1_000_000
    items: int | None = None
    paced_posts: int = 3_000
    fast_posts: int = 2_000
    events: int = 1_000_000
    customers: int = 100_000
    turns: int = 7
    scheduled_runs: int = 3
    scheduled_minutes: int = 3
    growing: tuple[int, ...] = growing.SIZES
    tickets: tuple[int, float] = (200, 600.0)


_SHARE = re.compile(r"^\| (\S+_share_of_httpx|send\.share_of_bare_httpx) \| ([\d.]+)", re.MULTILINE)
_KEPT = 0.7

TINY = Sizes(2_000, 2_000, 1_000, 2_000, 100, 100, 20_000, 2_000, 1, 1, 0, (1_000,), (20, 3.0))


def main() -> None:
    usual = Sizes()
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--json", type=Path, help="write {'metrics': {name: {'value', 'unit'}}} to this file")
    parser.add_argument("--rows", type=int, default=usual.rows, help="rows for stages and sending")
    parser.add_argument("--moved-rows", type=int, default=usual.moved_rows, help="rows of the command beside httpx")
    parser.add_argument("--whole-rows", type=int, default=usual.whole_rows, help="rows of the whole run")
    parser.add_argument("--tiny", action="store_true", help="so little of each that it only shows whether it works")
    options = parser.parse_args()
    sizes = (
        TINY
        if options.tiny
        else replace(usual, rows=options.rows, moved_rows=options.moved_rows, whole_rows=options.whole_rows)
    )
    metrics: dict[str, tuple[float, str]] = {}
    parts: tuple[Callable[[], dict[str, tuple[float, str]]], ...] = (
        lambda: stages.measure(sizes.rows),
        lambda: sending.measure(sizes.rows),
        lambda: moving.measure(sizes.moved_rows),
        lambda: endpoint.measure(sizes.rows),
        lambda: catalogs.measure(sizes.items),
        lambda: receiving.measure(sizes.paced_posts, sizes.fast_posts),
        lambda: announcing.measure(*sizes.tickets),
        lambda: engagement.measure(sizes.events),
        lambda: writeback.measure(sizes.customers),
        lambda: whole.measure(sizes.whole_rows),
        lambda: starting.measure(sizes.turns),
        lambda: growing.measure(sizes.growing),
        lambda: scheduled.measure(runs=sizes.scheduled_runs, minutes=sizes.scheduled_minutes),
    )
    for part in parts:
        for name, (value, unit) in part().items():
            metrics[name] = (value, unit)
            shown = f"{value:>14,.3f}" if value < 100 else f"{value:>14,.0f}"
            print(f"{name:40} {shown} {unit}", flush=True)
    if options.json:
        document = {"metrics": {name: {"value": value, "unit": unit} for name, (value, unit) in metrics.items()}}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if not options.tiny and (slower := fallen({name: value for name, (value, _) in metrics.items()})):
        sys.exit("slower than docs/benchmarks.md says: " + "; ".join(slower))


def fallen(metrics: Mapping[str, float], told: str | None = None) -> list[str]:
    """Which shares of httpx fell under 0.7 of those that docs/benchmarks.md tells."""
    told = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8") if told is None else told
    last = {name: float(share) for name, share in _SHARE.findall(told)}
    return [
        f"{name} is {metrics[name]:.2f}, was {share:.2f}"
        for name, share in last.items()
        if name in metrics and metrics[name] < _KEPT * share
    ]


if __name__ == "__main__":
    main()
