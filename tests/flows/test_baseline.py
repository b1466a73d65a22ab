"""Cut-over to a workspace that holds the profiles already: recorded as sent, nothing sent, changes sent from then on."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.braze.emulator import BrazeSandbox

World = Any  # of conftest.py, which no test can import


@pytest.fixture
def filled(world: World) -> World:
    """A workspace that another tool filled from these 300 rows, and a ledger that knows nothing of it."""
    world.sync()
    world.people(300)
    world.run()
    world.ledger_file.unlink()
    world.forget()
    return world


def test_a_baseline_sends_nothing_and_then_an_edit_of_25_rows_sends_exactly_those(filled: World) -> None:
    requests, before = filled.braze.requests, filled.profiles()
    report = filled.run(baseline=True)
    assert (report.baseline, report.sent, report.requests, report.mode) == (300, 0, 0, "sweep")
    assert (report.data_points, report.data_points_saved) == (0, 300 * 3)
    assert (filled.braze.requests, filled.sent(), filled.profiles()) == (requests, [], before)
    assert filled.verdicts() == {"sent": 300}
    assert filled.watermark() is not None
    filled.clock.advance(900)
    filled.caspio.update_rows("Customers", {"Spend": 7777}, "PK_ID > 100 AND PK_ID <= 125")
    report = filled.run()
    assert (report.mode, report.changed, report.new, report.sent) == ("incremental", 25, 0, 25)
    assert [each["external_id"] for each in filled.sent()] == [f"c{number}" for number in range(101, 126)]
    assert all(each.keys() == {"external_id", "spend", "_update_existing_only"} for each in filled.sent())
    assert filled.run(full=True).unchanged == 300


def test_an_opt_out_after_a_baseline_is_sent_as_a_change(filled: World) -> None:
    filled.run(baseline=True)
    filled.clock.advance(900)
    filled.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID = 5")
    assert filled.run().opt_outs == 1
    assert filled.profiles()["c5"]["email_subscribe"] == "unsubscribed"


def test_a_baseline_sends_no_opt_outs_either_and_its_sample_finds_what_braze_lacks(filled: World) -> None:
    filled.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID = 5")
    filled.caspio.update_rows("Customers", {"FirstName": "Other"}, "PK_ID = 7")
    report = filled.run(baseline=True, verify_sample=300)
    assert (report.opt_outs, filled.sent()) == (0, [])
    found = report.verification
    assert found is not None
    assert (found.compared, found.differing, found.cleared) == (300, 2, 2)
    assert {each.field: each.examples for each in found.differences} == {
        "email_subscribe": ["c5"],
        "first_name": ["c7"],
    }
    report = filled.run(full=True)
    assert (report.sent, report.opt_outs) == (2, 1)
    profiles = filled.profiles()
    assert (profiles["c5"]["email_subscribe"], profiles["c7"]["first_name"]) == ("unsubscribed", "Other")


def test_quarantined_rows_stay_quarantined(filled: World) -> None:
    filled.caspio.update_rows("Customers", {"Email": "no address"}, "PK_ID <= 3")
    report = filled.run(baseline=True)
    assert (report.baseline, report.verdicts["quarantined"]) == (297, 3)
    assert filled.verdicts() == {"sent": 297, "quarantined": 3}
    assert filled.run(full=True, baseline=True).held == {"quarantined": 3}


def test_the_gate_blocks_a_baseline_too_and_nothing_is_recorded(filled: World) -> None:
    filled.caspio.update_rows("Customers", {"Email": "no address"}, "PK_ID <= 100")
    ended = filled.ended(baseline=True)
    assert (ended.code, filled.verdicts(), filled.watermark(), filled.sent()) == (3, {}, None, [])


def test_what_changed_since_it_was_recorded_is_left_to_a_run(filled: World) -> None:
    filled.run(baseline=True)
    filled.ledger_file.touch()
    filled.caspio.update_rows("Customers", {"FirstName": "Other"}, "PK_ID = 7")
    watermark = filled.watermark()
    filled.clock.advance(900)
    report = filled.run(baseline=True)
    assert (report.baseline, report.unchanged, report.left_to_send) == (0, 299, 1)
    assert filled.watermark() == watermark  # so that the next run reads the row
    assert filled.run().sent == 1
    assert filled.profiles()["c7"]["first_name"] == "Other"


@pytest.mark.parametrize("more", [{"resend": True}, {"limit": 5}, {"row_keys": ("c1",)}, {"limit": 5, "resend": True}])
def test_a_baseline_of_a_part_is_refused(filled: World, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be combined with --"):
        filled.run(baseline=True, **more)
    assert filled.verdicts() == {}


def test_a_sample_without_a_baseline_is_refused(filled: World) -> None:
    with pytest.raises(ConfigurationError, match="caspio-sync verify customers --sample 5"):
        filled.run(verify_sample=5)


def test_the_command_says_that_nothing_was_sent(filled: World) -> None:
    told = CliRunner().invoke(app, ["run", "customers", "--baseline", "--verify-sample", "50"])
    assert told.exit_code == 0, told.output
    assert "300 rows recorded as sent; nothing was sent to Braze, opt-outs neither" in " ".join(told.stdout.split())
    assert "100 % of 50 rows" in told.stdout
    why = orjson.loads(CliRunner().invoke(app, ["why", "customers", "c9", "--json"]).output)["ledger"]
    assert (why["verdict"], why["reason"], why["request"]) == ("sent", "baseline", None)
    assert why["outcomes"][0]["reason"] == "baseline"


def test_a_baseline_on_an_empty_workspace_is_found_out(filled: World) -> None:
    filled.braze = BrazeSandbox(clock=filled.clock)
    found = filled.run(baseline=True, verify_sample=40).verification
    assert found is not None
    assert (found.missing, found.accuracy) == (40, 0.0)
    assert filled.run(full=True).sent == 40


def test_a_baseline_is_a_flow_with_its_tasks(world: World) -> None:
    world.sync()
    world.people(60)
    world.run()
    world.ledger_file.unlink()
    report = world.run(baseline=True, verify_sample=10)
    assert (report.baseline, report.verification and report.verification.accuracy) == (60, 1.0)
