"""`caspio-sync erase` and `audit`, between whole runs."""

import csv
import hashlib
import json
import sqlite3
from datetime import datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.form import microseconds
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.flows.world import World

A_DAY = 86_400.0


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def document(*arguments: str) -> Any:
    """What a command prints with --json, having ended well."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> CaspioSyncError:
    """The error a command ends with."""
    error = invoke(*arguments).exception
    assert isinstance(error, CaspioSyncError)
    return error


@pytest.fixture
def shop(world: World) -> World:
    """Three people in Braze, a day ago."""
    world.people(3)
    world.sync()
    world.run()
    world.clock.advance(A_DAY)
    world.forget()
    return world


def test_a_person_is_erased_and_not_made_again(shop: World) -> None:
    told = document("erase", "customers", "c2", "--yes")
    (subject,) = told["subjects"]
    assert (subject["key"], subject["state"], subject["in_braze"], subject["ledger_rows"]) == ("c2", "proven", False, 0)
    assert set(shop.profiles()) == {"c1", "c3"}
    report = shop.run(full=True)
    assert report.verdicts == {"blocked": 1}
    assert shop.sent() == []


def test_a_dry_run_tells_and_writes_nothing(shop: World) -> None:
    told = document("erase", "customers", "C2", "c9", "--dry-run")
    subjects = {each["key"]: each for each in told["subjects"]}
    assert told["dry_run"] is True
    # Braze's external ids have their case; the ledger, as Caspio, does not look at it.
    assert (subjects["C2"]["in_braze"], subjects["C2"]["ledger_rows"], subjects["C2"]["state"]) == (False, 1, None)
    assert (subjects["c9"]["in_braze"], subjects["c9"]["ledger_rows"]) == (False, 0)
    assert set(shop.profiles()) == {"c1", "c2", "c3"}
    assert shop.run(full=True).unchanged == 3
    assert invoke("audit", "export").stdout == ""


def test_the_spelling_that_was_sent_is_deleted_whatever_was_typed(shop: World) -> None:
    assert invoke("erase", "customers", " C2", "--yes").exit_code == 0
    assert set(shop.profiles()) == {"c1", "c3"}


def test_a_person_nobody_knows_is_blocked_all_the_same(shop: World) -> None:
    assert invoke("erase", "customers", "c9", "--yes").exit_code == 0
    shop.caspio.insert_rows("Customers", [shop.person(9)])
    assert shop.run().verdicts == {"blocked": 1}


def test_erasing_again_deletes_what_somebody_else_made_anew(shop: World) -> None:
    invoke("erase", "customers", "c2", "--yes")
    again = document("erase", "customers", "c2", "--yes")
    assert again["subjects"][0]["state"] == "proven"
    assert [json.loads(line)["event"] for line in invoke("audit", "export").stdout.splitlines()] == 2 * [
        *("requested", "deleted", "proven", "cleared")
    ]


def test_without_a_terminal_it_must_be_told_yes(shop: World) -> None:
    error = refused("erase", "customers", "c2")
    assert isinstance(error, ConfigurationError)
    assert "--yes" in str(error)
    assert set(shop.profiles()) == {"c1", "c2", "c3"}


def test_a_release_lets_the_next_read_make_the_profile_again(shop: World) -> None:
    invoke("erase", "customers", "c2", "--yes")
    shop.run(full=True)
    told = document("erase", "customers", "C2", "c3", "--release")
    assert told == {"sync": "customers", "released": ["C2"], "not_blocked": ["c3"]}
    report = shop.run(row_keys=("c2",))
    assert (report.new, report.sent) == (1, 1)
    assert shop.profiles()["c2"]["email"] == "c2@example.com"
    assert shop.profiles()["c2"]["email_subscribe"] == "subscribed"


def test_a_release_is_refused_with_dry_run(shop: World) -> None:
    assert "leave one of them out" in str(refused("erase", "customers", "c2", "--release", "--dry-run"))


def test_while_a_run_holds_the_sync_the_key_is_blocked_and_the_next_run_erases(shop: World) -> None:
    with shop.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "run r9")
        error = refused("erase", "customers", "c2", "--yes")
        assert "run r9" in str(error)
        assert "blocked from now on" in str(error)
        ledger.release_lease(lease)
    assert "c2" in shop.profiles()
    shop.caspio.update_rows("Customers", {"FirstName": "Changed"}, where="CustomerNo='c2'")
    report = shop.run()
    assert report.erased == 1
    assert report.verdicts == {"blocked": 1}
    assert set(shop.profiles()) == {"c1", "c3"}
    assert shop.sent() == []


def test_a_batch_under_way_when_the_request_comes_does_not_bring_the_person_back(shop: World) -> None:
    """The request comes while a run is between two batches: what it still sends is deleted by the next run."""
    more = [shop.person(number) for number in range(4, 2_000)]
    shop.caspio.insert_rows("Customers", more)
    shop.sync(shop.SYNC + "batch_size: 1000\n")
    asked: list[str] = []

    def ask(report: Any) -> None:
        if report.batches == 1 and not asked:
            asked.append(str(refused_elsewhere(shop)))

    shop.observer = ask
    from caspio_sync.engine.connect import CONNECT

    token = CONNECT.set(shop.connect())
    shop.run(full=True)
    CONNECT.reset(token)
    assert "blocked from now on" in asked[0]
    shop.observer = None
    shop.clock.advance(A_DAY)
    shop.run()
    assert "c1999" not in shop.profiles()
    assert len(shop.profiles()) == 1_998


def refused_elsewhere(shop: World) -> CaspioSyncError:
    """`erase` from a thread that knows nothing of this one's run."""
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    from caspio_sync.engine.connect import CONNECT

    def run() -> CaspioSyncError:
        CONNECT.set(shop.connect())
        return refused("erase", "customers", "c1999", "--yes")

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(contextvars.Context().run, run).result()


def test_what_braze_has_not_done_yet_ends_with_exit_code_4_and_is_proven_by_the_next_call(shop: World) -> None:
    slow = BrazeSandbox(BrazeBehaviour(delete_delay_seconds=290), shop.clock)
    shop.braze = slow
    shop.run(resend=True)
    ended = invoke("erase", "customers", "c2", "--yes")
    assert (ended.exit_code, "1 of 1 deletions are not proven yet" in ended.stdout, ended.stderr) == (4, True, "")
    shop.clock.advance(300)
    assert document("erase", "customers", "c2", "--yes")["subjects"][0]["state"] == "proven"


def test_a_key_that_cannot_be_one_is_refused_by_its_place(shop: World) -> None:
    assert "key number 2 cannot be a key" in str(refused("erase", "customers", "c1", "x" * 1_000, "--yes"))
    assert set(shop.profiles()) == {"c1", "c2", "c3"}


def test_the_story_of_an_erased_row_tells_why_it_is_blocked(shop: World) -> None:
    invoke("erase", "customers", "c2", "--yes")
    shop.run(full=True)
    story = invoke("why", "customers", "c2")
    assert (story.exit_code, "erased: blocked" in story.stdout) == (0, True)
    (held,) = document("quarantine", "list", "customers", "--verdict", "blocked")
    assert (held["key"], held["source_pk"]) == (None, 2)
    assert invoke("quarantine", "list", "customers", "--verdict", "blocked").exit_code == 0


# The trail.


def test_the_exports_can_be_checked_without_us(shop: World) -> None:
    invoke("erase", "customers", "c2", "--yes")
    file = shop.folder / "audit.csv"
    assert invoke("audit", "export", "--format", "csv", "--output", str(file)).exit_code == 0
    lines = [json.loads(line) for line in invoke("audit", "export").stdout.splitlines()]
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["hash"] for row in rows] == [line["hash"] for line in lines]
    before = "0" * 64
    for line in lines:
        told = {name: line[name] for name in ("number", "sync", "event", "key_digest", "details")}
        told["at"] = microseconds(datetime.fromisoformat(line["at"]))
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256((before + text).encode()).hexdigest()
        assert line["hash"] == before
    assert document("audit", "verify") == {"sound": True, "entries": 4, "hash": before}
    digest = document("erase", "customers", "c2", "--dry-run")["subjects"][0]["digest"]
    assert {line["key_digest"] for line in lines} == {digest}
    assert "c2" not in json.dumps([line["details"] for line in lines])


def test_a_changed_entry_is_named_with_exit_code_4(shop: World) -> None:
    invoke("erase", "customers", "c2", "--yes")
    with sqlite3.connect(shop.ledger_file) as connection:
        connection.execute("UPDATE audit SET event = 'proven' WHERE number = 2")
    error = refused("audit", "verify")
    assert (error.exit_code, "entry 2" in str(error)) == (4, True)
    result = invoke("audit", "verify", "--json")
    assert (result.exit_code, json.loads(result.stdout)["first_broken"]) == (4, 2)


def test_without_a_ledger_there_is_no_trail(world: World) -> None:
    assert isinstance(refused("audit", "verify"), ConfigurationError)
    assert not world.ledger_file.exists()


def test_a_file_that_cannot_be_written_is_told(shop: World) -> None:
    assert "cannot be written" in str(refused("audit", "export", "--output", str(shop.folder / "no" / "file")))


def test_the_story_of_a_key_tells_of_its_erasure_before_it_is_proven(shop: World) -> None:
    shop.caspio.update_rows("Customers", {"FirstName": "Anew"}, "CustomerNo = 'c2'")
    shop.run()  # what was just sent may arrive later: the proof has to wait
    assert invoke("erase", "customers", "c2", "--yes").exit_code != 0
    assert document("why", "customers", "c2")["erasure"] == "deleted"
    assert "Erasure of this key: deleted. Nothing of it is sent" in invoke("why", "customers", "c2").output
    assert document("why", "customers", "c1")["erasure"] is None
