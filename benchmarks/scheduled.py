"""`python -m benchmarks.scheduled`: what a flow run on a worker costs that sends 25 rows, and ten syncs every minute.

Prefect's server is a process of its own, and both emulators are in this one: neither is counted.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from caspio_sync.cli.kept import descendants
from tests.e2e.cluster import PEOPLE, Cluster, running, until

ROWS, CHANGED, SYNCS = 300, 25, 10


def processor_seconds(pid: int, *, children: bool) -> float:
    """Of a process; or of its children that have ended, and theirs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15] if children else fields[11:13])) / os.sysconf("SC_CLK_TCK")


def own_megabytes(pids: list[int]) -> float:
    """What these processes share with nobody."""

    def kilobytes() -> Iterator[int]:
        for pid in pids:
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # ended meanwhile
                continue
            yield from (int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))

    return sum(kilobytes()) / 1024


def of_a_run(cluster: Cluster, number: int) -> tuple[float, float]:
    """Processor seconds of a run that sends 25 rows, and the megabytes it had for itself at the most."""
    (name,) = cluster.workers
    parent = cluster.fork_server(name) or cluster.workers[name].pid
    cluster.emulators.caspio.update_rows("Customers", {"FirstName": f"New {number}"}, f"PK_ID <= {CHANGED}")
    before, most = processor_seconds(parent, children=True), 0.0
    run = cluster.trigger("people")
    until("its process", lambda: cluster.forks(name), every=0.01)
    while forks := cluster.forks(name):
        most = max(most, own_megabytes(forks))
        time.sleep(0.02)
    assert cluster.final(run)[1] == "Completed"
    return processor_seconds(parent, children=True) - before, most


def share_of_a_core(cluster: Cluster, minutes: int) -> tuple[float, float]:
    """Of worker, fork server and forks, while ten syncs run every minute; and of Prefect's server beside them."""
    worker, server = cluster.workers["warm"], cluster.server
    assert server is not None

    def spent() -> tuple[float, float]:
        ours = (worker.pid, until("the fork server", lambda: cluster.fork_server("warm")))
        return (
            sum(processor_seconds(pid, children=each) for pid in ours for each in (False, True)),
            sum(processor_seconds(pid, children=False) for pid in (server.pid, *descendants(server.pid))),
        )

    def completed() -> int:
        states = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        return int(cluster.api("flow_runs/count", states))

    until("the first ones, which load everything", lambda: completed() >= 2 * SYNCS, every=1)
    (ours, servers), runs = spent(), completed()
    until("the others", lambda: completed() >= runs + SYNCS * minutes, every=1, patience=60 * minutes + 120)
    now, a_second = spent(), SYNCS / 60 / (completed() - runs)
    return (now[0] - ours) * a_second, (now[1] - servers) * a_second


def measure(*, runs: int, minutes: int, kinds: tuple[str, ...] = ("warm",)) -> dict[str, tuple[float, str]]:
    """The metrics of each kind of worker.

    Args:
        runs: that are measured; the last one counts.
        minutes: of ten syncs a minute under the warm worker; 0 leaves them out.
        kinds: of worker.
    """
    metrics: dict[str, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), rows=ROWS) as cluster:
        cluster.sync("people", PEOPLE)
        cluster.deploy()
        for kind in kinds:
            cluster.start_worker(kind, kind=kind)
            if kind == "warm":
                until("the fork server", lambda: cluster.fork_server("warm"))
            assert cluster.final(cluster.trigger("people"))[1] == "Completed"  # a new ledger is made once
            until("its end", lambda: not cluster.at_work())
            for number in range(runs):
                seconds, megabytes = of_a_run(cluster, number)
                metrics[f"scheduled.{kind}_run_processor"] = (seconds, f"s of a core for {CHANGED} rows sent")
                metrics[f"scheduled.{kind}_run_own_memory"] = (megabytes, "MB")
            cluster.kill_worker(kind)
        if minutes:
            for number in range(SYNCS):
                identity = f"identity: {{user_alias: {{name: CustomerNo, label: l{number}}}}}"
                text = PEOPLE.replace("identity: {external_id: CustomerNo}", identity)
                cluster.sync(f"people{number}", text.replace("0 0 1 1 *", "* * * * *"))
            cluster.deploy(paused=False)
            cluster.start_worker("warm")
            ours, server = share_of_a_core(cluster, minutes)
            metrics["scheduled.ten_syncs_a_minute"] = (ours, "of a core")
            metrics["scheduled.ten_syncs_a_minute_server"] = (server, "of a core, Prefect's server beside it")
    return metrics


def main() -> None:
    for name, (value, unit) in measure(runs=3, minutes=3, kinds=("warm", "process")).items():
        print(f"{name:40} {value:10,.2f} {unit}", flush=True)


if __name__ == "__main__":
    main()
