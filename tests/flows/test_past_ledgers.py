"""A ledger that an earlier version wrote: nothing is sent or billed again, no opt-out and no erasure is forgotten."""

from typing import Any

import pytest

from tests.flows.catalog_shop import Shop
from tests.flows.past import PEOPLE, live_through, restore
from tests.flows.test_filled_again import change, refill
from tests.flows.world import World


@pytest.fixture(params=["0004", "0008"])
def revision(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def past(revision: str, world: World) -> World:
    """Both accounts after their past, and the ledger that the version of this revision wrote meanwhile."""
    live_through(world)
    restore(revision, world.ledger_file)
    world.forget()
    return world


def run_all(world: World) -> list[int]:
    """What each sync sends, an hour later."""
    world.clock.advance(3600)
    return [world.run(name, full=True).sent for name in ("customers", "products", "engagement")]


def test_nothing_is_sent_or_written_again(past: World, revision: str) -> None:
    billed, written = past.braze.data_points, len(past.braze.catalog_log)
    rows, verdicts = past.caspio.rows("Customers"), past.verdicts()
    # Under rules of another version the row that Braze refused is offered again, and refused again.
    offered = 0 if revision == "0008" else 1
    assert (past.plan(full=True).to_send, past.plan(full=True).report.opt_outs) == (offered, 0)
    assert run_all(past) == [0, 0, 0]
    assert (past.sent(), past.braze.data_points, len(past.braze.catalog_log)) == ([], billed, written)
    assert (past.caspio.rows("Customers"), past.verdicts()) == (rows, verdicts)
    assert run_all(past) == [0, 0, 0]


def test_the_present_accounts_are_taken_for_its_own(past: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_all(past)
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", "http://braze.staging")
    assert [past.ended(name).code for name in ("customers", "products", "engagement")] == [2, 2, 2]


def test_only_what_changes_is_sent(past: World) -> None:
    change(past, "c1", FirstName="Other")
    past.caspio.update_rows("Products", {"Title": "Other"}, where="Code='p1'")
    past.clock.advance(3600)
    assert past.run().data_points == 1
    assert past.run("products", full=True).sent == 1
    assert Shop(past).items()["p1"]["title"] == "Other"


def test_every_no_stands(past: World) -> None:
    no = {"c5", "c7", "c8", "c9", "c11"}
    profiles = past.profiles()
    assert {key for key in profiles if profiles[key]["email_subscribe"] == "unsubscribed"} == no
    change(past, "c11", Email="c11@new.example")  # its cell says nothing by now
    run_all(past)
    assert {each["email_subscribe"] for each in past.sent() if each["external_id"] == "c11"} == {"unsubscribed"}
    profiles = past.profiles()
    assert {key for key in profiles if profiles[key]["email_subscribe"] == "unsubscribed"} == no
    refused = {row["CustomerNo"] for row in past.caspio.rows("Customers") if row["Newsletter"] == "no"}
    assert refused == no - {"c11"}


def test_who_was_erased_is_not_made_again(past: World) -> None:
    change(past, "c6", FirstName="Other")
    run_all(past)
    assert past.sent() == []
    assert "c6" not in past.profiles()
    with past.ledger() as ledger:
        assert ledger.verify_audit() is not None
        assert [entry.event for entry in ledger.audit_entries()] == ["requested", "deleted", "proven", "cleared"]


def test_a_table_that_is_filled_again_after_it_is_sent_nothing_either(past: World) -> None:
    """Of what was agreed on consent the earlier version noted no key: the first run does, before the table is."""
    run_all(past)
    refill(past)
    assert (run_all(past), past.sent()) == ([0, 0, 0], [])
    assert len(past.caspio.rows("Customers")) == PEOPLE
