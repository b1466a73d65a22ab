"""More than one machine: PostgreSQL, a Prefect server and workers, each a process that is killed or restarted here."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import PATIENCE, PEOPLE, Cluster, running, shards_of, until
from tests.postgresql import PostgreSQL

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning"),
]

ROWS = 12_000
# Profiles of their own: two syncs may not write one attribute.
PICKY, STRICT = (
    PEOPLE.replace("external_id: CustomerNo", f"user_alias: {{name: CustomerNo, label: {label}}}")
    for label in ("picky", "strict")
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgreSQL) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster"), postgresql_server, rows=ROWS, name="workers") as made:
        made.sync("people")
        made.sync("picky", PICKY + "gate: {max_quarantined_rows: 1000}\n")
        made.sync("strict", STRICT + "gate: {max_quarantined_rows: 0}\n")
        made.deploy()
        with made.ledger():  # its tables are there, whichever test comes first
            made.start_worker("one", limit=2)
        made.start_worker("two", limit=2)
        yield made


def keys(first: int, last: int) -> list[str]:
    return [f"c{each}" for each in range(first, last + 1)]


def test_the_command_of_ci_follows_its_shards_and_ends_with_their_code(cluster: Cluster) -> None:
    code, said = cluster.command("backfill", "people", "--pk", "1..2000", "--shards", "2", "--wait", "--json")
    shards = shards_of(said)
    assert (code, [each["state"] for each in shards]) == (0, ["Completed", "Completed"]), said
    assert [cluster.state(each["flow_run"])[1] for each in shards] == ["Completed", "Completed"]
    assert sorted(cluster.emulators.arrived) == sorted(keys(1, 2000))

    cluster.emulators.caspio.update_rows("Customers", {"Email": "no address"}, "PK_ID = 5")
    code, said = cluster.command("backfill", "picky", "--pk", "1..100", "--strict", "--wait", "--json")
    assert (code, shards_of(said)[0]["state"]) == (5, "CompletedWithRejects"), said

    code, said = cluster.command("backfill", "strict", "--pk", "1..100", "--wait", "--json")
    assert (code, shards_of(said)[0]["state"]) == (3, "Blocked"), said
    assert cluster.state(shards_of(said)[0]["flow_run"])[:2] == ("FAILED", "Blocked")

    wrong = STRICT.replace("FirstName", "NoSuchField")
    cluster.sync("strict", wrong)
    code, said = cluster.command("backfill", "strict", "--pk", "1..100", "--wait", "--json")
    assert code == 2, said
    assert "NoSuchField" in json.loads(said)["error"]
    code, said = cluster.command("backfill", "people", "--pk", "1..100", "--shards", "2", "--json")
    assert (code, {each["state"] for each in shards_of(said)}) == (0, {"Scheduled"}), said  # nobody waits
    for each in shards_of(said):
        assert cluster.final(each["flow_run"])[0] == "COMPLETED"


def test_a_worker_dies_and_another_finishes_its_shards(cluster: Cluster) -> None:
    """Braze holds what it should, and nothing that was acknowledged is sent twice."""
    cluster.emulators.caspio.update_rows("Customers", {"FirstName": "New", "Email": "new@example.com"}, "PK_ID > 0")
    newest = max((number for number, _ in cluster.outcomes("people")), default=0)
    cluster.emulators.arrived.clear()
    command = cluster.started(
        "backfill", "people", "--pk", f"1..{ROWS}", "--shards", "4", "--resend", "--wait", "--json"
    )  # fmt: skip
    until("the first rows in Braze", lambda: len(cluster.emulators.arrived) > ROWS // 8, every=0.02)
    cluster.kill_worker("one")
    out, err = command.communicate(timeout=2 * PATIENCE)
    assert command.returncode == 0, err
    assert all(each["exit_code"] == 0 for each in shards_of(out))
    arrived = Counter(cluster.emulators.arrived)
    assert set(arrived) == set(keys(1, ROWS))
    assert {each["first_name"] for each in cluster.emulators.braze.profiles().values()} == {"New"}
    acknowledged = cluster.acknowledged("people", newest)
    assert acknowledged == Counter(range(1, ROWS + 1))
    # What was under way when the worker died was repeated, and that alone.
    assert sum(arrived.values()) - ROWS < ROWS // 4
    cluster.start_worker("one", limit=2)


def test_two_workers_race_for_one_sync(cluster: Cluster) -> None:
    cluster.emulators.arrived.clear()
    cluster.emulators.away = True  # whoever holds the sync is not done before the others have come
    runs = [cluster.trigger("people", resend=True) for _ in range(3)]
    until("two that go", lambda: sum(cluster.state(each)[1] == "Failed" for each in runs) == 2, every=0.5)
    cluster.emulators.away = False
    states = [cluster.final(each) for each in runs]
    assert sorted(name for _, name, _ in states) == ["Completed", "Failed", "Failed"]
    assert all("is being written by run" in str(message) for _, name, message in states if name == "Failed")
    assert Counter(cluster.emulators.arrived) == Counter(keys(1, ROWS))


def test_the_server_is_killed_and_started_again_while_a_run_is_under_way(cluster: Cluster) -> None:
    cluster.emulators.arrived.clear()
    run = cluster.trigger("people", resend=True)
    until("the first rows in Braze", lambda: len(cluster.emulators.arrived) > 1000, every=0.02)
    cluster.kill_server()
    time.sleep(3)
    cluster.start_server()
    assert cluster.final(run)[1] == "Completed"
    assert Counter(cluster.emulators.arrived) == Counter(keys(1, ROWS))
    # The workers found it again.
    assert cluster.final(cluster.trigger("people", limit=10))[1] == "Completed"


def test_postgresql_is_restarted_while_a_run_is_under_way(cluster: Cluster, postgresql_server: PostgreSQL) -> None:
    """Ledger and Prefect lose their database at once; what was acknowledged is not sent again."""
    newest = max(number for number, _ in cluster.outcomes("people"))
    cluster.emulators.arrived.clear()
    run = cluster.trigger("people", resend=True)
    until("the first rows in Braze", lambda: len(cluster.emulators.arrived) > 2000, every=0.02)
    postgresql_server.stop()
    time.sleep(2)
    postgresql_server.start()
    until("the end of its process", lambda: not cluster.at_work())
    # Where it ended with the database away, even Prefect's record may not say so; another run does what is left.
    if cluster.state(run)[1] != "Completed":
        assert cluster.final(cluster.trigger("people", resend=True))[1] == "Completed"
    assert set(cluster.emulators.arrived) == set(keys(1, ROWS))
    with cluster.ledger() as ledger:
        assert ledger.verdict_counts("people") == {"sent": ROWS}
        assert ledger.last_run("people").state == "done"
    assert len(cluster.acknowledged("people", newest)) == ROWS
