"""`make bench` (`JSON=file` writes the metrics): every stage alone, the sending as a whole, and the whole run."""

import argparse
import json
from pathlib import Path

from benchmarks import catalogs, engagement, receiving, sending, stages, whole, writeback


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--json", type=Path, help="write {'metrics': {name: {'value', 'unit'}}} to this file")
    parser.add_argument("--rows", type=int, default=200_000, help="rows for stages and sending")
    parser.add_argument("--whole-rows", type=int, default=1_000_000, help="rows of the whole run")
    options = parser.parse_args()
    metrics: dict[str, tuple[float, str]] = {}
    for part in (
        lambda: stages.measure(options.rows),
        lambda: sending.measure(options.rows),
        catalogs.measure,
        receiving.measure,
        engagement.measure,
        writeback.measure,
        lambda: whole.measure(options.whole_rows),
    ):
        for name, (value, unit) in part().items():
            metrics[name] = (value, unit)
            print(
                f"{name:40} {value:>14,.3f} {unit}" if value < 100 else f"{name:40} {value:>14,.0f} {unit}", flush=True
            )
    if options.json:
        document = {"metrics": {name: {"value": value, "unit": unit} for name, (value, unit) in metrics.items()}}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
