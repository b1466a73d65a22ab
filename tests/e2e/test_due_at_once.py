"""Deployments due in one minute, on each of Prefect's databases and workers: each runs once, and ends well."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import PEOPLE, Cluster, running, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning"),
]

ROWS = 300


def ended(cluster: Cluster) -> dict[str, str]:
    """State by flow run, of every run that a schedule made and that is over."""
    runs = cluster.api(
        "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}}
    )
    assert all(each["auto_scheduled"] for each in runs)
    return {each["parameters"]["parameters"]["sync"]: each["state"]["name"] for each in runs}


@pytest.mark.parametrize(
    ("database", "syncs", "workers", "limit"), [("sqlite", 20, ["warm"], 4), ("postgresql", 10, ["process"] * 2, 3)]
)
def test_many_deployments_are_due_at_once(
    *, database: str, syncs: int, workers: list[str], limit: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: Any = request.getfixturevalue("postgresql_server") if database == "postgresql" else None
    with running(tmp_path, server, rows=ROWS, name="due") as cluster:
        due = (datetime.now(UTC) + timedelta(seconds=90)).replace(second=0)
        for number in range(syncs):
            # Each sees profiles of its own: two syncs may not write one attribute.
            identity = f"identity: {{user_alias: {{name: CustomerNo, label: l{number}}}}}"
            text = PEOPLE.replace("identity: {external_id: CustomerNo}", identity)
            cluster.sync(f"people{number}", text.replace("0 0 1 1 *", f"{due.minute} {due.hour} * * *"))
        cluster.deploy(paused=False)
        for number, kind in enumerate(workers):
            cluster.start_worker(f"w{number}", limit=limit, kind=kind)
        until("the end of all runs", lambda: len(ended(cluster)) == syncs, every=2, patience=500)
        assert ended(cluster) == {f"people{number}": "Completed" for number in range(syncs)}
        with cluster.ledger() as ledger:
            for number in range(syncs):
                assert ledger.verdict_counts(f"people{number}") == {"sent": ROWS}
                assert len(ledger.runs(f"people{number}")) == 1
        assert cluster.emulators.braze.objects == syncs * ROWS
        if workers == ["warm"]:  # the worker and what it forks from are left, and no run's process
            own = {cluster.workers["w0"].pid, cluster.fork_server("w0")}
            until("the end of each fork", lambda: cluster.processes() == own, patience=40)
