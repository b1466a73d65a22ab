"""`caspio-sync serve` as a user starts it: a real Prefect server, a warm worker, the sandbox, nothing from outside.

One server for the whole story: a schedule fires, a run by hand, a run whose machine dies, the doctor, and the end.
"""

import contextlib
import json
import os
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.ledger.run_record import KILLED, RUNNING
from caspio_sync.ledger.store import Ledger
from tests.e2e.prefect_api import asked

pytestmark = [
    pytest.mark.long,
    # Prefect leaves connections to its own server to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning"),
]


def test_from_the_first_schedule_to_ctrl_c(machine: Any, until: Any) -> None:
    until("the UI", lambda: "UI: http" in machine.said() or machine.process.poll() is not None)
    assert machine.process.poll() is None, machine.said()

    # So does the page, on this machine alone; its token is printed nowhere.
    page = re.search(r"Page: (http://127\.0\.0\.1:\d+)", machine.said())
    assert page is not None

    def answered() -> str:
        address = f"{page[1]}/sync/customers"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as answer:
            return str(answer.read().decode())
        return ""

    assert 'id="mapping-table"' in until("the page", answered)
    first_line = (machine.folder / ".caspio-sync" / "serve" / "page.log").read_text().splitlines()[0]
    assert first_line.startswith(f"open {page[1]}/#token=")
    assert first_line.rpartition("=")[2] not in machine.said()

    # Every deployment stands there with description, tags, schedules and a form with help texts.
    deployments = {each["name"]: each for each in machine.api("deployments/filter", {})}
    assert set(deployments) == {"customers", "customers-nightly", "housekeeping"}
    deployment = deployments["customers"]
    assert set(deployment["tags"]) == {"caspio-sync", "profiles"}
    assert {each["slug"]: each["schedule"]["cron"] for each in deployment["schedules"]}["regular"] == "* * * * *"
    form = next(iter(deployment["parameter_openapi_schema"]["definitions"].values()))["properties"]
    assert form["limit"]["description"].startswith("Read this many rows")

    # A schedule fires, and leaves its summary.
    until("the first scheduled run", lambda: machine.flow_runs("CompletedWithRejects", auto_scheduled=True))
    artifacts = machine.api("artifacts/filter", {})
    (summary,) = [each["data"] for each in artifacts if each["key"] == "customers-summary"][:1]
    assert "customers: done" in summary
    first = machine.newest()
    assert first is not None

    # From here on by hand.
    for schedule in deployment["schedules"]:
        asked(
            "PATCH",
            f"http://127.0.0.1:{machine.port}/api/deployments/{deployment['id']}/schedules/{schedule['id']}",
            {"active": False},
        )
    until("quiet", lambda: machine.is_quiet(deployment["id"]))
    parameters = {"parameters": {"sync": "customers", "keys": ["12747", "12748"]}}
    by_hand = machine.api(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
    (ended,) = until("the run by hand", lambda: machine.flow_runs("Completed", id=by_hand["id"]))
    assert machine.newest().report["read"] == 2
    # A key can be an address; Prefect would keep what was typed into the form.
    assert ended["parameters"] == {"parameters": {"sync": "customers", "keys": ["**********"] * 2}}

    # The worker's machine dies with a run on it: the worker, stopped, cannot say so.
    dying = machine.api(
        f"deployments/{deployment['id']}/create_flow_run",
        {"parameters": {"parameters": {"sync": "customers", "resend": True}}},
    )
    until(
        "the dying run",
        lambda: (run := machine.newest()).state == RUNNING and run.flow_run_id == dying["id"],
        every=0.02,
    )
    pid = machine.holder_pid()
    workers = [each for each, line in machine.family().items() if "caspio_sync worker" in line]
    assert pid is not None
    assert workers
    for each in workers:
        os.kill(each, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    try:
        code, said = machine.command("doctor", "--json")
        findings = json.loads(said)["findings"]
        assert code == 2
        assert any(
            "written down as running" in each["what"] and "caspio-sync run" in each["remedy"] for each in findings
        )
        assert any("schedule regular is paused" in each["what"] for each in findings)
        assert machine.api(f"flow_runs/{dying['id']}")["state"]["name"] == "Running"
        code, said = machine.command("run", "customers", "--json")
        assert code == 0, said
        report, _ = json.JSONDecoder().raw_decode(said, said.index("{"))  # Prefect may have a word to add
        assert any("was killed" in note for note in report["notes"])
        # By hand, it is a run in the UI of the server that `serve` runs, of no deployment.
        seen = machine.api(f"flow_runs/{machine.newest().flow_run_id}")
        assert (machine.newest().id, seen["deployment_id"]) == (report["run"], None)
        assert seen["state"]["type"] == "COMPLETED"
        assert machine.api("task_runs/filter", {"flow_runs": {"id": {"any_": [seen["id"]]}}})
    finally:
        for each in workers:
            os.kill(each, signal.SIGCONT)
    state = machine.api(f"flow_runs/{dying['id']}")["state"]
    assert (state["type"], state["name"]) == ("CRASHED", "Killed")
    with Ledger.open(f"sqlite:///{machine.folder}/.caspio-sync/serve/sandbox/ledger.db") as ledger:
        assert [each.state for each in ledger.runs_of([dying["id"]])] == [KILLED]

    # Deploying again changes nothing, and leaves the paused schedules paused; --prune removes what has no file.
    code, said = machine.command("deploy", "--json")
    assert (code, [each["action"] for each in json.loads(said)]) == (0, ["unchanged"] * 3), said
    (machine.folder / "syncs" / "customers.yaml").rename(machine.folder / "syncs" / "people.yaml")
    code, said = machine.command("deploy", "--prune", "--json")
    assert [(each["name"], each["action"]) for each in json.loads(said)] == [
        ("profile-sync/people", "made"),
        ("profile-sync/people-nightly", "made"),
        ("housekeeping/housekeeping", "unchanged"),
        ("customers", "removed"),
        ("customers-nightly", "removed"),
    ]
    assert {each["name"] for each in machine.api("deployments/filter", {})} == {
        "people",
        "people-nightly",
        "housekeeping",
    }

    # Ctrl-C ends all of it.
    family = machine.family()
    machine.process.send_signal(signal.SIGINT)
    assert machine.process.wait(timeout=120) == 0, machine.said()
    until("the end of every process", lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))
    assert not (machine.folder / ".caspio-sync" / "sandbox" / "sandbox.env").exists()
