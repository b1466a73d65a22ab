"""`python -m benchmarks.workers`: what a run costs, and a backfill in four shards on one, two and four workers.

Braze answers after 50 ms. Needs PostgreSQL's binaries; Prefect's server, the ledger, the workers and both emulators
share this machine's cores.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

from tests.e2e.cluster import PEOPLE, Cluster, running, shards_of, until
from tests.postgresql import started

ROWS, SHARDS = 40_000, 4


def processor_seconds(cluster: Cluster, **parameters: object) -> float:
    """What one flow run took of a core, from the start of its process to the end."""
    (worker,) = cluster.workers.values()

    def of_ended_children() -> float:
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    before = of_ended_children()
    assert cluster.final(cluster.trigger("people", **parameters))[1] == "Completed"
    until("its process's end", lambda: of_ended_children() > before)
    return of_ended_children() - before


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
        cluster.start_worker("idle", limit=1)
        for what, parameters in (("500 rows sent", {"limit": 500}), ("nothing changed", {"limit": 500})):
            print(f"a run, {what}: {processor_seconds(cluster, **parameters):.1f} s of a core", flush=True)
        cluster.kill_worker("idle")
        for workers in (1, 2, 4):
            whole, moving = backfilled(cluster, workers)
            print(
                f"{workers} workers: {whole:8,.0f} rows/s in all, {moving:8,.0f} rows/s from the first row on",
                flush=True,
            )


if __name__ == "__main__":
    main()
