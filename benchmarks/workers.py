"""`python -m benchmarks.workers`: a backfill in four shards on one, two and four workers.

Braze answers after 50 ms. Needs PostgreSQL's binaries; Prefect's server, the ledger, the workers and both emulators
share this machine's cores.
"""

import tempfile
import threading
import time
from pathlib import Path

from tests.e2e.cluster import PEOPLE, Cluster, running, shards_of
from tests.postgresql import started

ROWS, SHARDS = 40_000, 4


def backfilled(cluster: Cluster, workers: int) -> tuple[float, float]:
    """Rows a second of the whole command, and from the first row in Braze to the last."""
    for number in range(workers):
        cluster.start_worker(f"w{workers}-{number}", limit=1)
    cluster.emulators.arrived.clear()
    seen: list[float] = []
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            if cluster.emulators.arrived and not seen:
                seen.append(time.perf_counter())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    code, said = cluster.command(
        "backfill", "people", "--pk", f"1..{ROWS}", "--shards", str(SHARDS), "--resend", "--wait", "--json"
    )
    ended = time.perf_counter()
    stopped.set()
    watcher.join()
    assert code == 0, said
    assert len(shards_of(said)) == SHARDS
    assert len(cluster.emulators.arrived) == ROWS
    for name in list(cluster.workers):
        cluster.kill_worker(name)
    return ROWS / (ended - began), ROWS / (ended - seen[0])


def main() -> None:
    with (
        started() as server,
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), server, rows=ROWS, name="bench") as cluster,
    ):
        cluster.sync("people", PEOPLE.replace("batch_size: 1000", "batch_size: 10000"))
        cluster.deploy()
        for workers in (1, 2, 4):
            whole, moving = backfilled(cluster, workers)
            print(
                f"{workers} workers: {whole:8,.0f} rows/s in all, {moving:8,.0f} rows/s from the first row on",
                flush=True,
            )


if __name__ == "__main__":
    main()
