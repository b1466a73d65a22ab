"""Rows that were held: shown, written out, released by hand, and going by themselves when nothing stands in their way."""

import csv
import io
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.world import World

AN_HOUR = 3600
# The fifth of those that pass the gate.
REFUSES_C7 = Fault(kind="reject", path="/users/track", nth=(1,), indexes=(4,), code="EMAIL_BAD_FORMAT")
BAD = {2: "no address", 5: "neither @ this"}


def command(*arguments: str) -> Any:
    from caspio_sync.cli.main import app

    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "250"})


@pytest.fixture
def held(world: World) -> World:
    """Ten customers, two of them held for their address, one refused by Braze; an hour old."""
    world.customers([world.person(number, Email=BAD.get(number, f"c{number}@example.com")) for number in range(1, 11)])
    world.sync()
    world.clock.advance(AN_HOUR)
    world.break_braze(REFUSES_C7)
    assert world.run().verdicts == {"sent": 7, "quarantined": 2, "rejected": 1}
    world.break_braze()
    world.clock.advance(AN_HOUR)
    world.forget()
    return world


def held_keys(world: World, *verdicts: str) -> set[str]:
    with world.ledger() as ledger:
        return set(ledger.quarantine("customers", verdicts or ("quarantined",), limit=1000)["key"])


# release


def test_release_of_a_row_that_still_fails_says_so_and_moves_no_cursor(held: World) -> None:
    before = held.watermark()
    result = command("quarantine", "release", "customers", "c2")
    assert result.exit_code == 0
    assert "1 rows were to be released: 0 sent, 1 quarantined again" in result.output
    assert (held.sent(), held.watermark(), held_keys(held)) == ([], before, {"c2", "c5"})
    assert command("quarantine", "release", "customers", "c2", "--strict").exit_code == 5


def test_release_sends_what_was_mended_without_a_stamp(held: World) -> None:
    held.edit_unstamped("UPDATE Customers SET Email = 'b@example.com' WHERE PK_ID = 2")
    assert held.run().read == 0
    result = command("quarantine", "release", "customers", "--all", "--json")
    document = json.loads(result.stdout)
    assert (document["mode"], document["read"], document["exit_code"]) == ("partial", 2, 0)
    assert document["verdicts"] == {"sent": 1, "quarantined": 1}
    assert [each["email"] for each in held.sent()] == ["b@example.com"]
    assert held_keys(held) == {"c5"}


def test_release_of_rejected_rows_asks_braze_again(held: World) -> None:
    held.break_braze(Fault(kind="reject", path="/users/track", nth=(1,), indexes=(0,), code="EMAIL_BAD_FORMAT"))
    again = command("quarantine", "release", "customers", "--all", "--verdict", "rejected")
    assert "0 sent, 1 rejected again" in again.output
    held.break_braze()
    assert held.run(full=True).held == {"quarantined": 2, "rejected": 1}
    result = command("quarantine", "release", "customers", "--all", "--verdict", "rejected")
    assert "1 rows were to be released: 1 sent" in result.output
    assert "c7" in held.profiles()


def test_release_by_reason_takes_those_rows_alone(held: World) -> None:
    result = command("quarantine", "release", "customers", "--reason", "XXXXXXX @")
    assert "1 rows were to be released: 0 sent, 1 quarantined again" in result.output
    refused = command("quarantine", "release", "customers", "--reason", "no such reason")
    assert refused.exception.exit_code == 2
    assert "no row is quarantined for a reason that contains 'no such reason'" in str(refused.exception)


def test_release_of_a_row_that_is_gone_says_so(held: World) -> None:
    held.caspio.delete_rows("Customers", "PK_ID = 2")
    result = command("quarantine", "release", "customers", "--all")
    assert "2 rows were to be released: 0 sent, 1 quarantined again, 1 not found" in result.output
    assert "1 held rows were not found: they are gone from Caspio" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c1",), "no row with the key c1 is quarantined"),
        (("c7",), "name its verdict with --verdict"),
        ((), "in one way"),
        (("c2", "--all"), "in one way"),
        (("--all", "--verdict", "blocked"), "no row is blocked"),
    ],
)
def test_release_of_nothing_is_refused(held: World, arguments: tuple[str, ...], message: str) -> None:
    result = command("quarantine", "release", "customers", *arguments)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)


def test_release_is_refused_while_a_run_holds_the_sync(held: World) -> None:
    with held.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "run 7f3a (process 4711 on web1)")
        result = command("quarantine", "release", "customers", "--all")
        ledger.release_lease(lease)
    assert result.exit_code == 2
    assert "run 7f3a" in result.output


def test_more_held_rows_than_a_small_batch_may_have_do_not_block_their_release(world: World) -> None:
    """The limits of the gate are about news: what was held before is known."""
    world.customers(
        [world.person(number, Email="bad" if number <= 60 else "a@example.com") for number in range(1, 1001)]
    )
    world.sync()
    assert world.run().verdicts == {"sent": 940, "quarantined": 60}
    world.edit_unstamped("UPDATE Customers SET Email = 'b@example.com' WHERE PK_ID <= 30")
    world.clock.advance(AN_HOUR)
    result = command("quarantine", "release", "customers", "--all")
    assert (result.exit_code, "30 sent, 30 quarantined again" in result.output) == (0, True)


# by itself


def test_a_mended_row_goes_with_the_next_run(held: World) -> None:
    held.caspio.update_rows("Customers", {"Email": "b@example.com"}, "PK_ID = 2")
    assert (held.run().sent, held_keys(held)) == (1, {"c5"})


def test_another_suite_reads_held_rows_and_no_others_and_once(held: World) -> None:
    held.caspio.delete_rows("Customers", "PK_ID = 2")
    held.sync(held.SYNC + "gate: {max_quarantined_rows: 5}\n")
    report = held.run()
    assert (report.mode, report.read, report.verdicts) == ("incremental", 2, {"quarantined": 1, "sent": 1})
    assert report.notes == ["1 held rows were not found: they are gone from Caspio, or source.where leaves them out"]
    calls = held.caspio.calls
    assert (held.run().read, held.run().notes) == (0, [])
    assert held.caspio.calls - calls == 6  # a token, fields and count for each of the two


def test_a_row_changed_while_it_is_held_under_an_older_suite_is_sent_once(held: World) -> None:
    held.caspio.update_rows("Customers", {"Email": "b@example.com"}, "PK_ID = 2")
    held.sync(held.SYNC + "gate: {max_quarantined_rows: 5}\n")
    report = held.run()
    assert (report.read, report.verdicts) == (3, {"sent": 2, "quarantined": 1})
    assert sorted(each["external_id"] for each in held.sent()) == ["c2", "c7"]


def test_another_mapping_judges_held_rows_again(held: World) -> None:
    held.sync(held.SYNC.replace("  email: Email\n", "  contact: Email\n"))
    report = held.run()
    assert report.verdicts == {"sent": 10}
    assert held_keys(held) == set()


def test_a_row_without_an_answer_is_read_again_by_the_next_run(world: World) -> None:
    world.people(5)
    world.sync()
    world.clock.advance(AN_HOUR)
    world.run()
    world.clock.advance(AN_HOUR)
    sound, world.braze = (
        world.braze,
        BrazeSandbox(BrazeBehaviour(error_form="no_index", blocked_external_ids={"c3"}), clock=world.clock),
    )
    assert world.run(row_keys=("c3",), resend=True).verdicts == {"unknown": 1}
    world.braze = sound
    report = world.run()
    assert (report.mode, report.read, report.verdicts) == ("incremental", 1, {"sent": 1})
    assert world.run().read == 0


@pytest.fixture
def doubled(world: World) -> World:
    """Rows 1 and 2 bear one key: the second is held."""
    world.customers([world.person(1), world.person(1, FirstName="Second"), world.person(3)])
    world.sync()
    world.clock.advance(AN_HOUR)
    assert world.run().verdicts == {"sent": 2, "quarantined": 1}
    world.clock.advance(AN_HOUR)
    assert world.run().read == 0
    world.forget()
    return world


def test_a_duplicate_goes_when_the_owner_of_its_key_took_another(doubled: World) -> None:
    doubled.caspio.update_rows("Customers", {"CustomerNo": "c9"}, "PK_ID = 1")
    sent = doubled.run().sent + doubled.run().sent
    assert sent == 2
    assert doubled.profiles()["c1"]["first_name"] == "Second"
    assert doubled.profiles()["c9"]["first_name"] == "Name1"


def test_a_duplicate_goes_when_the_owner_of_its_key_is_gone(doubled: World) -> None:
    doubled.caspio.delete_rows("Customers", "PK_ID = 1")
    assert doubled.run().sent == 1
    assert doubled.profiles()["c1"]["first_name"] == "Second"
    doubled.clock.advance(AN_HOUR)
    assert doubled.run().read == 0


def test_a_duplicate_that_is_gone_is_asked_for_no_more(doubled: World) -> None:
    doubled.caspio.delete_rows("Customers", "PK_ID <= 2")
    assert "not found" in doubled.run().notes[0]
    calls = doubled.caspio.calls
    assert doubled.run().notes == []
    assert doubled.caspio.calls - calls == 3


def test_a_duplicate_that_is_as_it_was_is_not_judged_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(5)
    world.caspio.update_rows("Customers", {"CustomerNo": "c1"}, "PK_ID = 5")
    world.sync()
    assert world.run().verdicts == {"sent": 4, "quarantined": 1}
    with monkeypatch.context() as patch:
        patch.delattr("expectations.suites.gate_of")  # its import takes most of a run that finds no change
        for again in (world.run(full=True), world.run(full=True)):
            assert (again.verdicts, again.held, again.unchanged) == ({}, {"quarantined": 1}, 4)
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"Spend": 3}, "PK_ID = 5")
    assert world.run().verdicts == {"quarantined": 1}
    world.clock.advance(AN_HOUR)
    world.caspio.delete_rows("Customers", "PK_ID = 1")
    assert world.run(full=True).verdicts == {"sent": 1}
    assert world.profiles()["c1"]["custom_attributes"]["spend"] == 3


def test_a_phone_number_written_in_two_ways_is_one_key(world: World) -> None:
    world.customers(
        [
            world.person(1, Notes="+44 7400 123456"),
            world.person(2, Notes="+447400123456"),
            world.person(3, Notes="+44 7400 123457"),
        ]
    )
    text = world.SYNC.replace("external_id: CustomerNo", "phone: Notes")
    world.sync(text.replace("  notes: {from: Notes, transform: {truncate: 255}, on_null: clear}\n", ""))
    world.clock.advance(AN_HOUR)
    assert world.run().verdicts == {"sent": 2, "quarantined": 1}
    world.clock.advance(AN_HOUR)
    again = world.run(full=True)
    assert (again.verdicts, again.held) == ({}, {"quarantined": 1})
    assert world.run().read == 0


# show


def test_show_tells_the_failed_expectation_and_masks_values(held: World) -> None:
    output = command("quarantine", "show", "customers", "c2").output
    assert "quarantined since" in output
    assert "email_format" in output
    assert "xx xxxxxxx" in output
    assert not any(value in output for value in ("no address", "Name2"))
    document = json.loads(command("quarantine", "show", "customers", "c2", "--json").stdout)
    assert document["mapped"]["values"]["email"] == "xx xxxxxxx"
    assert document["caspio"]["values"]["FirstName"] == "xxxx9"
    assert [check["name"] for check in document["mapped"]["checks"] if not check["passed"]] == ["email_format"]
    assert "no address" not in json.dumps(document)


def test_show_of_a_rejected_row_tells_what_braze_said(held: World) -> None:
    output = command("quarantine", "show", "customers", "c7").output
    assert "rejected since" in output
    assert "request 1" in output
    assert "gate: met" in output


def test_show_of_a_row_that_is_not_held_is_refused(held: World) -> None:
    result = command("quarantine", "show", "customers", "c1")
    assert result.exception.exit_code == 2
    assert "the row is not held: sent" in str(result.exception)


# export


def test_export_writes_keys_and_reasons_and_no_values(held: World) -> None:
    result = command("quarantine", "export", "customers", "--output", "held.csv")
    assert "2 rows written to held.csv" in result.output
    text = (held.folder / "held.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["key"], row["source_pk"], row["verdict"]) for row in rows} == {
        ("c2", "2", "quarantined"),
        ("c5", "5", "quarantined"),
    }
    assert all(row["reason"].startswith("email_format") and row["seen_at"] and row["run"] for row in rows)
    assert not any(value in text for value in (*BAD.values(), "Name2"))


def test_export_as_lines_of_json_to_the_screen(held: World) -> None:
    result = command(
        "quarantine", "export", "customers", "--format", "jsonl", "--verdict", "rejected", "--verdict", "quarantined"
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["key"] for row in rows} == {"c2", "c5", "c7"}


def test_export_says_where_keys_are_personal_data(held: World) -> None:
    held.sync(
        held.SYNC.replace("external_id: CustomerNo", "email: Email").replace("  email: Email\n  spend", "  spend")
    )
    held.run()
    result = command("quarantine", "export", "customers", "--output", "held.csv")
    assert "Their keys are personal data (e-mail addresses)" in result.output


def test_export_to_a_folder_that_is_not_there_is_refused(held: World) -> None:
    result = command("quarantine", "export", "customers", "--output", "nowhere/held.csv")
    assert result.exception.exit_code == 2
