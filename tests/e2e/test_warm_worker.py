"""A warm worker on a real Prefect server: what dies ends what is its, nothing is lost, and no process is left over."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from caspio_sync.cli.kept import descendants
from tests.e2e.cluster import PEOPLE, Cluster, running, until
from tests.e2e.prefect_api import asked

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning"),
]

ROWS = 3_000
SECONDS = 40.0  # a fork has 15 to end by itself
OTHERS = PEOPLE.replace("external_id: CustomerNo", "user_alias: {name: CustomerNo, label: other}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("warm"), rows=ROWS) as made:
        made.sync("people")
        made.sync("others", OTHERS)
        made.deploy()
        made.start_worker("one")
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left_over(cluster: Cluster) -> Iterator[None]:
    """Before and after each test there is one fork server, and no fork."""
    until("a fork server", lambda: cluster.fork_server("one"))
    yield
    cluster.emulators.away = False
    until("the end of each fork", lambda: not cluster.at_work(), patience=SECONDS)
    server = until("one fork server", lambda: cluster.fork_server("one"), patience=SECONDS)
    assert cluster.processes() == {cluster.workers["one"].pid, server}


def is_running(cluster: Cluster, run: str) -> bool:
    return bool(cluster.state(run)[1] == "Running")


def in_the_middle(cluster: Cluster, *deployments: str) -> list[str]:
    """Runs that are sending: the first has sent something, and all have more to send; their ids."""
    cluster.emulators.arrived.clear()
    runs = [cluster.trigger(deployments[0], resend=True)]
    until("the first rows in Braze", lambda: cluster.emulators.arrived, every=0.02)
    cluster.emulators.away = True
    # Sooner, the first might have ended before the others begin.
    runs += [cluster.trigger(each, resend=True) for each in deployments[1:]]
    until("all of them", lambda: len(cluster.forks("one")) == len(runs))
    for run in runs:
        until("its state", partial(is_running, cluster, run), every=0.1)
    return runs


def ends(*pids: int) -> None:
    until("the end of each", lambda: not [each for each in pids if Path(f"/proc/{each}").exists()], patience=SECONDS)


def goes_on(cluster: Cluster, *deployments: str) -> None:
    """The next runs send what is left, and end well."""
    cluster.emulators.away = False
    for each in deployments:
        assert cluster.final(cluster.trigger(each, resend=True))[1] == "Completed"
        with cluster.ledger() as ledger:
            assert ledger.verdict_counts(each) == {"sent": ROWS}
            assert ledger.last_run(each).state == "done"


def test_it_holds_one_thread_besides_one_of_polars_that_sleeps(cluster: Cluster) -> None:
    server = cluster.fork_server("one")
    goes_on(cluster, "people")
    assert cluster.fork_server("one") == server
    names = [(each / "comm").read_text().strip() for each in Path(f"/proc/{server}/task").iterdir()]
    # Polars starts it when it is imported, to clean up after queries that spill to disk; a fork lives without.
    assert len([each for each in names if each != "polars-ooc-clea"]) == 1, names


def test_the_variables_of_a_job_hold_in_its_fork(cluster: Cluster) -> None:
    other = cluster.folder / "elsewhere"
    other.mkdir()
    (other / "people.yaml").write_text(PEOPLE.replace("batch_size", "active_since: [").replace("[: 1000", "[]"))
    failed = cluster.trigger("people", env={"CASPIO_SYNC_SYNCS": str(other)})
    assert cluster.final(failed)[0] == "FAILED"
    quiet = cluster.trigger("people", env={"PREFECT_LOGGING_LEVEL": "ERROR"})
    assert cluster.final(quiet)[1] == "Completed"
    usual = cluster.trigger("people")
    assert cluster.final(usual)[1] == "Completed"
    chosen = {run: {"logs": {"flow_run_id": {"any_": [run]}, "level": {"le_": 20}}} for run in (quiet, usual)}
    until("its logs", lambda: any("read" in each["message"] for each in cluster.api("logs/filter", chosen[usual])))
    assert not [each for each in cluster.api("logs/filter", chosen[quiet]) if "rows read" in each["message"]]


def test_a_fork_is_killed(cluster: Cluster) -> None:
    (run,) = in_the_middle(cluster, "people")
    (fork,) = cluster.forks("one")
    os.kill(fork, signal.SIGKILL)
    state = cluster.final(run)
    assert state[0] == "CRASHED"
    assert "-9" in str(state[2])
    goes_on(cluster, "people")


def test_the_fork_server_is_killed(cluster: Cluster) -> None:
    runs = in_the_middle(cluster, "people", "others")
    server = cluster.fork_server("one")
    forks = cluster.forks("one")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert [cluster.final(run)[0] for run in runs] == ["CRASHED", "CRASHED"]
    ends(*forks)
    goes_on(cluster, "people", "others")
    assert cluster.fork_server("one") != server


@pytest.mark.parametrize("told", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_worker_ends(cluster: Cluster, told: signal.Signals) -> None:
    (run,) = in_the_middle(cluster, "people")
    worker = cluster.workers["one"]
    family = descendants(worker.pid)
    worker.send_signal(told)
    worker.wait(SECONDS)
    ends(*family)
    cluster.start_worker("one")
    goes_on(cluster, "people")
    assert cluster.state(run)[0] == "CRASHED"  # as it said itself, or the next run for it


def test_a_run_is_cancelled_while_it_sends(cluster: Cluster) -> None:
    (run,) = in_the_middle(cluster, "people")
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    asked("POST", f"{cluster.api_url}/flow_runs/{run}/set_state", cancelling)
    assert cluster.final(run)[0] == "CANCELLED"
    until("the end of its fork", lambda: not cluster.forks("one"), patience=SECONDS)
    goes_on(cluster, "people")


def test_what_it_was_warmed_with_has_changed(cluster: Cluster) -> None:
    """Prefect's profiles count as code: they are what a test can change."""
    server = cluster.fork_server("one")
    (cluster.folder / "prefect" / "profiles.toml").write_text('active = "mine"\n[profiles.mine]\n')
    cluster.trigger("people")
    until("another one", lambda: cluster.fork_server("one") not in {None, server})
    goes_on(cluster, "people")
