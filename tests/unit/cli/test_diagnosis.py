"""What the doctor makes of what it sees: a finding and a remedy for each, and nothing of what is well."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caspio_sync.cli.diagnosis import clock_finding, ledger_findings, place_findings, server_findings
from caspio_sync.deployed.server_state import DeployedSync, RunningFlow, ServerState
from caspio_sync.engine.finding import Finding
from caspio_sync.ledger import leases
from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FLOW = "11111111-1111-1111-1111-111111111111"
HERE = "sqlite:////srv/ledger.db"
WELL = ServerState("http://server/api", "caspio-sync", workers=("w1",), deployments=(DeployedSync("customers", False),))
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
nas:/data /mnt/my\\040data nfs4 rw 0 0
host:/x /mnt/ssh fuse.sshfs rw 0 0
/dev/sdb1 /mnt/my\\040data/local ext4 rw 0 0
"""


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger.open("sqlite://", clock=VirtualClock(NOW)) as opened:
        yield opened


def started(ledger: Ledger, run: str = "20260302T115000-abcdef") -> str:
    ledger.start_run(run=run, sync="customers", kind="profiles", mode="sweep", flow_run_id=FLOW)
    return f"run {run} (process 4711 on web1)"


def troubles(findings: Any) -> list[Finding]:
    found = [each for each in findings if each.level != "ok"]
    assert all(each.remedy for each in found)
    return found


def test_a_living_holder_is_named_and_no_trouble(ledger: Ledger) -> None:
    ledger.acquire_lease("customers", started(ledger))
    (finding,) = ledger_findings(ledger, ["customers"], NOW)
    assert finding.level == "ok"
    assert "process 4711 on web1" in finding.what
    assert "since 2026-03-02 12:00:00 UTC, alive" in finding.what


@pytest.mark.parametrize(
    ("ends", "incident", "told"),
    [
        (("done",), None, None),
        (("failed", "done"), None, None),
        (("done", "failed"), None, "its runs fail since 2026-03-02 12:00:00 UTC: no table"),
        (("failed", "failed", "blocked"), None, "its runs fail since 2026-03-02 12:00:00 UTC, 3 in a row: no table"),
        (("done", "interrupted"), None, None),
        ((), "failed", "its runs fail since 2026-03-02 12:00:00 UTC"),
        (("done",), "blocked", "its runs fail since 2026-03-02 12:00:00 UTC"),
        (("done",), "freshness", "its freshness target is missed since 2026-03-02 12:00:00 UTC"),
        (("done",), "share", "many of its rows are not taken since 2026-03-02 12:00:00 UTC"),
    ],
)
def test_a_sync_whose_runs_fail_is_not_well(
    ledger: Ledger, ends: tuple[str, ...], incident: str | None, told: str | None
) -> None:
    for number, state in enumerate(ends):
        started(ledger, run := f"r{number}")
        report = None if state == "done" else {"error": "no table"}
        ledger.finish_run(run, state=state, exit_code=0 if state == "done" else 4, report=report)
    if incident is not None:
        ledger.open_incident("customers", incident)
    found = troubles(ledger_findings(ledger, ["customers"], NOW))
    assert [each.what for each in found] == ([] if told is None else [f"customers: {told}"])


@pytest.mark.parametrize(("sync", "ends"), [("customers", "resume customers"), (None, "resume --all")])
def test_a_pause_is_told_with_what_ends_it(ledger: Ledger, sync: str | None, ends: str) -> None:
    ledger.pause(sync, reason="a wrong price")
    (finding,) = troubles(ledger_findings(ledger, ["customers"], NOW))
    assert finding.what == (
        "customers: paused since 2026-03-02 12:00:00 UTC (a wrong price): opt-outs and erasures alone are sent"
    )
    assert ends in finding.remedy
    ledger.pause(sync, everything=True)
    assert troubles(ledger_findings(ledger, ["customers"], NOW))[0].what.endswith("UTC: nothing is read or sent")
    ledger.resume(sync)
    assert troubles(ledger_findings(ledger, ["customers"], NOW)) == []


def test_a_dead_holder_is_an_orphaned_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.acquire_lease("customers", started(ledger))
    monkeypatch.setattr("caspio_sync.cli.diagnosis.has_died", lambda _: True)
    lease, run = troubles(ledger_findings(ledger, ["customers"], NOW))
    assert "its process is dead" in lease.what
    assert (run.level, "`caspio-sync run customers`" in run.remedy) == ("error", True)


def test_a_lease_that_was_not_renewed_is_an_orphaned_run(ledger: Ledger) -> None:
    ledger.acquire_lease("customers", started(ledger))
    later = NOW + timedelta(seconds=leases.LEASE_SECONDS + 1)
    lease, run = troubles(ledger_findings(ledger, ["customers"], later))
    assert "not renewed since 2026-03-02 12:01:00 UTC" in lease.what
    assert "was killed" in run.what


def test_a_run_beside_another_ones_lease_is_orphaned(ledger: Ledger) -> None:
    started(ledger, "20260302T110000-dead00")
    ledger.acquire_lease("customers", started(ledger))
    (run,) = troubles(ledger_findings(ledger, ["customers"], NOW))
    assert "20260302T110000-dead00" in run.what


def test_a_cursor_in_the_future(ledger: Ledger) -> None:
    ledger.move_cursor("customers", watermark=NOW + timedelta(minutes=1), where_digest="d")
    assert troubles(ledger_findings(ledger, ["customers"], NOW)) == []
    ledger.move_cursor("customers", watermark=NOW + timedelta(days=1), where_digest="d")
    (finding,) = troubles(ledger_findings(ledger, ["customers"], NOW))
    assert "in the future (2026-03-03" in finding.what
    assert "`caspio-sync run customers`" in finding.remedy


@pytest.mark.parametrize(
    ("url", "disk"),
    [
        ("sqlite:////mnt/my data/ledger.db", "nfs4"),
        ("sqlite:////mnt/ssh/a/ledger.db", "fuse.sshfs"),
        ("sqlite:////mnt/my data/local/ledger.db", None),
        ("sqlite:////mnt/my dataset/ledger.db", None),
        (HERE, None),
        ("postgresql://host/ledger", None),
    ],
)
def test_an_sqlite_ledger_on_a_network_disk(url: str, disk: str | None) -> None:
    found = list(place_findings(url, MOUNTS))
    assert [f"({disk})" in each.what and bool(each.remedy) for each in found] == ([True] if disk else [])
    assert list(place_findings(url, "")) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-31, "31 s ahead of"), (300, "300 s behind Caspio's (its Date header); runs read on from the earlier")],
)
def test_clocks_that_differ(seconds: int, said: str) -> None:
    assert clock_finding(timedelta(seconds=30)).level == "ok"
    finding = clock_finding(timedelta(seconds=seconds))
    assert (finding.level, said in finding.what, "NTP" in finding.remedy) == ("error", True, True)


def test_an_account_that_tells_no_time() -> None:
    finding = clock_finding(None)
    assert (finding.level, "no readable Date header" in finding.what) == ("warning", True)


def test_a_server_with_which_all_is_well(ledger: Ledger) -> None:
    found = server_findings(WELL, ledger, HERE, NOW)
    assert (troubles(found.findings), found.dead) == ([], [])


@pytest.mark.parametrize(
    ("server", "url", "said", "level"),
    [
        (replace(WELL, pool_exists=False), HERE, "no work pool caspio-sync", "error"),
        (replace(WELL, pool_paused=True), HERE, "is paused", "error"),
        (replace(WELL, workers=(), lost_workers=("w9",), late=3), HERE, "(lost: w9); 3 runs are late", "error"),
        (replace(WELL, late=1200), HERE, "1,200 runs are late", "warning"),
        (replace(WELL, deployments=()), HERE, "no sync is deployed", "warning"),
        (replace(WELL, deployments=(DeployedSync("customers", True),)), HERE, "its deployment is paused", "warning"),
        (
            replace(WELL, deployments=(DeployedSync("customers-nightly", False, ("nightly",)),)),
            HERE,
            "schedule nightly is paused",
            "warning",
        ),
        (replace(WELL, workers=("w1", "w2")), HERE, "2 workers, and the ledger is an SQLite file", "warning"),
    ],
)
def test_what_is_wrong_with_a_server(ledger: Ledger, server: ServerState, url: str, said: str, level: str) -> None:
    (finding,) = troubles(server_findings(server, ledger, url, NOW).findings)
    assert (said in finding.what, finding.level) == (True, level)


def test_several_workers_on_postgresql_are_well(ledger: Ledger) -> None:
    two = replace(WELL, workers=("w1", "w2"))
    assert troubles(server_findings(two, ledger, "postgresql://host/ledger", NOW).findings) == []


def running(since: timedelta = timedelta(hours=2)) -> ServerState:
    return replace(WELL, running=(RunningFlow(FLOW, "brave-lion", "customers", NOW - since),))


def test_a_flow_run_whose_run_was_killed_is_dead(ledger: Ledger) -> None:
    started(ledger)
    ledger.end_killed_runs("customers", but="another")
    found = server_findings(running(), ledger, HERE, NOW)
    (finding,) = troubles(found.findings)
    assert "Prefect says Running of brave-lion" in finding.what
    assert "doctor --repair" in finding.remedy
    assert found.dead == [FLOW]


def test_a_flow_run_that_is_at_work_or_reading_back_is_left_alone(ledger: Ledger) -> None:
    started(ledger)
    assert server_findings(running(), ledger, HERE, NOW).dead == []
    ledger.finish_run("20260302T115000-abcdef", state="done", exit_code=0)
    assert troubles(server_findings(running(), ledger, HERE, NOW).findings) == []
    assert server_findings(running(), ledger, HERE, NOW + timedelta(hours=2)).dead == [FLOW]


def test_a_flow_run_that_the_ledger_does_not_know_is_never_called_dead(ledger: Ledger) -> None:
    assert troubles(server_findings(running(timedelta(minutes=9)), ledger, HERE, NOW).findings) == []
    found = server_findings(running(), ledger, HERE, NOW)
    (finding,) = troubles(found.findings)
    assert (finding.level, found.dead) == ("warning", [])
