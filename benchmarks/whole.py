"""The whole flow under Prefect, in a process of its own whose memory is measured."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.world import SYNC, sandboxes


def measure(rows: int) -> dict[str, tuple[float, str]]:
    with sandboxes(rows):
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.whole"],
            check=True,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
    report = json.loads(answer.stdout.splitlines()[-1])
    millions = f"{rows // 1_000_000}m" if rows >= 1_000_000 else f"{rows // 1000}k"
    return {
        "profile_sync.rows_per_second": (report["rows_per_second"], "rows/s"),
        f"profile_sync.peak_rss_mb_{millions}": (report["peak_mb"], "MB"),
        "gate.share_of_run": (report["gate"] / report["moving"], "ratio"),
    }


def main() -> None:
    from caspio_sync.observe.report import RunOptions
    from caspio_sync.settings import load_settings
    from tasks.orchestration import use_prefect

    settings = load_settings()
    use_prefect(settings.home, server=None)
    from flows.kinds import run_sync

    report = run_sync(SYNC, RunOptions(), settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {name: report.seconds.get(name, 0.0) for name in ("gate", "moving")}
    print(json.dumps({"rows_per_second": report.rows_per_second, "peak_mb": peak, **seconds}))


if __name__ == "__main__":
    main()
