"""A mapping that changed between two runs: what it costs is said by the plan, and the run does just that."""

from typing import Any

import pytest

from tests.flows.world import World


@pytest.fixture
def known(world: World) -> World:
    """Fifty customers, all of them sent."""
    world.people(50)
    world.sync()
    world.run()
    world.clock.advance(3600)
    world.forget()
    return world


def assert_as_planned(world: World, planned: Any, report: Any) -> None:
    names = ("mode", "read", "new", "changed", "unchanged", "requests", "data_points", "changed_fields")
    assert {name: getattr(planned.report, name) for name in names} == {name: getattr(report, name) for name in names}
    assert planned.to_send == report.sent


def test_a_new_field_goes_out_alone_for_all_rows(known: World) -> None:
    known.sync(known.SYNC.replace("consent:", "  customer_number: CustomerNo\nconsent:"))
    planned = known.plan()
    report = known.run()
    assert [set(each) for each in known.sent()] == [{"external_id", "customer_number", "_update_existing_only"}] * 50
    assert (report.mode, report.changed_fields, report.data_points) == ("sweep", {"customer_number": 50}, 50)
    assert_as_planned(known, planned, report)
    assert known.run(full=True).unchanged == 50
    assert known.profiles()["c1"]["custom_attributes"]["customer_number"] == "c1"


def test_a_removed_field_is_dropped_from_the_ledger_and_never_nulled(known: World) -> None:
    without = known.SYNC.replace("  spend: Spend\n", "").replace(
        "  notes: {from: Notes, transform: {truncate: 255}, on_null: clear}\n", ""
    )
    known.sync(without)
    planned = known.plan()
    report = known.run()
    assert (known.sent(), report.requests, report.data_points, report.unchanged) == ([], 0, 0, 50)
    assert_as_planned(known, planned, report)
    assert known.profiles()["c1"]["custom_attributes"] == {"spend": 0.25}
    known.caspio.update_rows("Customers", {"Spend": 9}, "PK_ID = 1")
    assert known.run().requests == 0
    assert known.profiles()["c1"]["custom_attributes"] == {"spend": 0.25}
    # The ledger no longer knows what Braze has of it: mapped again, it is new.
    known.sync()
    planned = known.plan()
    report = known.run()
    assert report.changed_fields["spend"] == 50
    assert_as_planned(known, planned, report)
    assert known.profiles()["c1"]["custom_attributes"]["spend"] == 9


def test_a_field_under_another_name_goes_out_alone_and_the_old_one_stays(known: World) -> None:
    known.sync(known.SYNC.replace("  spend: Spend", "  revenue: Spend"))
    report = known.run()
    assert report.changed_fields == {"revenue": 50}
    assert known.profiles()["c2"]["custom_attributes"] == {"spend": 0.5, "revenue": 0.5}


def test_fields_in_another_order_send_nothing(known: World) -> None:
    known.sync(known.SYNC.replace("  spend: Spend\n", "").replace("fields:\n", "fields:\n  spend: Spend\n"))
    planned = known.plan()
    report = known.run()
    assert (report.requests, report.unchanged) == (0, 50)
    assert_as_planned(known, planned, report)


def test_another_transform_sends_that_field_where_its_value_differs(known: World) -> None:
    known.sync(known.SYNC.replace("  spend: Spend", "  spend: {from: Spend, transform: {round: 0}}"))
    planned = known.plan()
    report = known.run()
    changed = sum(number % 4 != 0 for number in range(1, 51))
    assert report.changed_fields == {"spend": changed}
    assert_as_planned(known, planned, report)


def test_another_gate_judges_held_rows_again_and_sends_no_other(world: World) -> None:
    world.people(10)
    expectation = "gate: {expectations: [{type: expect_column_values_to_be_between, kwargs: {column: spend, max_value: LIMIT}}]}\n"
    world.sync(world.SYNC + expectation.replace("LIMIT", "2"))
    world.clock.advance(3600)
    assert world.run().verdicts == {"sent": 8, "quarantined": 2}
    world.clock.advance(3600)
    assert world.run().read == 0
    world.sync(world.SYNC + expectation.replace("LIMIT", "2.25"))
    planned = world.plan()
    report = world.run()
    # The rows did not change in Caspio: the held ones are read by their PK_ID, and no other.
    assert (report.mode, report.read, report.unchanged) == ("incremental", 2, 0)
    assert report.verdicts == {"sent": 1, "quarantined": 1}
    assert (planned.to_send, planned.report.read) == (1, 2)
    assert world.run().read == 0


def test_on_null_clear_sends_the_null_once(known: World) -> None:
    known.caspio.update_rows("Customers", {"Notes": "call first"}, "PK_ID = 1")
    known.run()
    assert known.profiles()["c1"]["custom_attributes"]["notes"] == "call first"
    known.forget()
    known.caspio.update_rows("Customers", {"Notes": "", "FirstName": ""}, "PK_ID = 1")
    report = known.run()
    assert known.sent() == [{"external_id": "c1", "notes": None, "_update_existing_only": False}]
    assert report.sent == 1
    assert "notes" not in known.profiles()["c1"]["custom_attributes"]
    assert known.profiles()["c1"]["first_name"] == "Name1"
    assert known.run(full=True).requests == 0
