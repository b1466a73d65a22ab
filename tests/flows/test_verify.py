"""What Braze holds against what was sent: planted drifts of every kind are found, told, and repaired by the next run."""

import asyncio
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.settings import current_settings
from tests.flows.verified import (
    RICH,
    drift,
    rich,
    rich_customers,
    rich_world,
    rows_by_field,
    verify,
    verifying,
)
from tests.flows.world import World


@pytest.mark.parametrize("dates", ["as_sent", "iso"])
def test_what_was_sent_is_found_as_it_was_sent(world: World, dates: Any) -> None:
    world.braze = BrazeSandbox(BrazeBehaviour(export_dates=dates), world.clock)
    report = verify(rich_world(world))
    assert (report.accuracy, report.field_accuracy, report.compared, report.rows) == (1.0, 1.0, 12, 12)
    assert report.fields == 12 * 17
    assert (report.differences, report.retyped, report.unreadable) == ([], {}, ["image_url"])
    world.forget()
    assert world.run(full=True).unchanged == 12
    assert world.sent() == []


def test_on_postgresql_a_drift_is_found_and_repaired(
    world: World, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", postgresql_ledger)
    monkeypatch.setattr(verifying, "STRETCH_ROWS", 5)
    sound = rich_world(world).profiles()
    drift(world, "c2", spend=9)
    drift(world, "c11", visits=99)
    report = verify(world)
    assert (report.equal, report.differing, report.cleared) == (10, 2, 2)
    assert world.run(full=True).sent == 2
    assert world.profiles() == sound
    assert verify(world).accuracy == 1.0
    assert not world.ledger_file.exists()


DRIFTS: dict[str, Any] = {
    "first_name": "Somebody",
    "phone": "+14155550000",
    "dob": "1991-02-03",
    "country": "DE",
    "time_zone": "Europe/Berlin",
    "spend": 17.5,
    "visits": None,
    "vip": False,
    "notes": "another",
    "visited": "2026-01-31T10:00:01Z",
    "tags": ["another"],
    "visit": {"at": {"$time": "2026-01-31T09:00:00Z"}, "count": 2, "who": {"name": "Another"}},
    "visits_made": [{"place": "Austria", "count": 2}, {"place": "Austria", "count": 3}],
    "push_subscribe": "opted_in",
}


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_of_each_kind_is_found_and_exactly_it_is_repaired(world: World, name: str) -> None:
    rich_world(world)
    sound = world.profiles()
    drift(world, "c2", **{name: DRIFTS[name]})
    assert world.profiles() != sound
    report = verify(world)
    assert (report.equal, report.differing, report.cleared) == (11, 1, 1)
    assert rows_by_field(report) == {name: 1}
    assert report.differences[0].examples == ["c2"]
    assert report.fields - report.fields_equal == 1
    world.forget()
    world.run(full=True)
    (sent,) = world.sent()
    assert sent.keys() - {"_update_existing_only"} == {"external_id", name}
    assert world.profiles() == sound
    assert verify(world).accuracy == 1.0


def test_a_run_for_changes_alone_repairs_what_drifted_although_nothing_changed_in_caspio(world: World) -> None:
    rich_world(world)
    world.clock.advance(3600)
    world.run()
    assert world.run().read == 0
    sound = world.profiles()
    drift(world, "c2", first_name="Somebody")
    drift(world, "c3", email_subscribe="unsubscribed")  # stays as it is, and is not read again
    assert verify(world).cleared == 1
    assert world.verdicts() == {"sent": 11, "drifted": 1}
    world.forget()
    report = world.run()
    assert (report.mode, report.read, report.sent) == ("incremental", 1, 1)
    assert [each["external_id"] for each in world.sent()] == ["c2"]
    assert world.profiles()["c2"] == sound["c2"]
    assert world.verdicts() == {"sent": 12}
    assert world.run().read == 0


def test_a_drifted_row_that_left_caspio_is_asked_for_once(world: World) -> None:
    rich_world(world)
    world.clock.advance(3600)
    world.run()
    drift(world, "c2", first_name="Somebody")
    verify(world)
    world.caspio.delete_rows("Customers", "CustomerNo='c2'")
    assert world.run().notes == [
        "1 held rows were not found: they are gone from Caspio, or source.where leaves them out"
    ]
    assert world.run().notes == []


def test_a_value_where_null_was_sent_is_a_difference_and_is_cleared_again(world: World) -> None:
    world.sync(RICH)
    rich_customers(world, rich(world, 1, Notes=""))
    world.run()
    drift(world, "c1", notes="somebody's", spend=0.25)  # the same spend: no difference
    assert rows_by_field(verify(world)) == {"notes": 1}
    world.run(full=True)
    assert "notes" not in world.profiles()["c1"]["custom_attributes"]
    assert verify(world).accuracy == 1.0


def test_a_profile_that_is_gone_is_made_again_whole(world: World) -> None:
    rich_world(world)
    sound = world.profiles()
    world.braze.store.delete(2)
    report = verify(world)
    assert (report.missing, report.differing, report.cleared) == (1, 0, 1)
    assert rows_by_field(report) == {"(profile)": 1}
    assert world.run(full=True).sent == 1
    made = world.profiles()
    for name in ("braze_id", "created_at", "random_bucket"):
        del made["c3"][name], sound["c3"][name]
    assert made == sound
    assert verify(world).accuracy == 1.0


def group_state(state: str) -> list[dict[str, str]]:
    return [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": state}]


def test_an_opt_out_given_to_braze_is_told_and_never_undone(world: World) -> None:
    rich_world(world)
    drift(world, "c2", email_subscribe="unsubscribed", first_name="Somebody")
    drift(world, "c3", email="moved@example.com", email_subscribe="unsubscribed")
    drift(world, "c4", subscription_groups=group_state("unsubscribed"))
    report = verify(world)
    kept = {each.field: each.kept for each in report.differences}
    column = f"subscription_groups.{NEWSLETTER_GROUP}"
    # c3's group left with its old address: the next run may not give it back, nor the address that would.
    assert kept == {"email_subscribe": 2, "first_name": 0, "email": 1, column: 1}
    assert report.cleared == 2
    world.run(full=True)
    profiles = world.profiles()
    assert [profiles[key]["email_subscribe"] for key in ("c2", "c3")] == ["unsubscribed", "unsubscribed"]
    assert profiles["c4"]["subscription_groups"] == {NEWSLETTER_GROUP: "unsubscribed"}
    assert profiles["c2"]["first_name"] == "Name2"


def test_an_opt_out_that_braze_lost_is_sent_again(world: World) -> None:
    world.sync(RICH)
    rich_customers(world, rich(world, 1, Newsletter="no", Group1=False))
    world.run()
    drift(world, "c1", email_subscribe="subscribed", subscription_groups=group_state("subscribed"))
    report = verify(world)
    assert [each.kept for each in report.differences] == [0, 0]
    assert world.run(full=True).opt_outs == 1
    profile = world.profiles()["c1"]
    assert profile["email_subscribe"] == "unsubscribed"
    assert profile["subscription_groups"] == {NEWSLETTER_GROUP: "unsubscribed"}


def test_of_rows_that_share_an_address_the_stricter_consent_stands_in_the_end(world: World) -> None:
    world.sync()
    one, other = world.person(1, Newsletter="no"), world.person(2, Newsletter="yes", Email="c1@example.com")
    world.customers([one, other])
    world.run()  # the later object resubscribes the address (Braze, 3.3): somebody's opt-out is lost
    assert {profile["email_subscribe"] for profile in world.profiles().values()} == {"subscribed"}
    report = verify(world)
    assert [(each.field, each.examples, each.kept) for each in report.differences] == [("email_subscribe", ["c1"], 0)]
    world.run(full=True)
    assert {profile["email_subscribe"] for profile in world.profiles().values()} == {"unsubscribed"}
    report = verify(world)
    assert [(each.field, each.examples, each.kept) for each in report.differences] == [("email_subscribe", ["c2"], 1)]
    world.run(full=True)
    assert {profile["email_subscribe"] for profile in world.profiles().values()} == {"unsubscribed"}


def test_a_row_that_changed_since_is_pending_and_one_that_left_is_gone(world: World) -> None:
    rich_world(world)
    world.caspio.update_rows("Customers", {"FirstName": "New"}, "CustomerNo='c1'")
    world.caspio.delete_rows("Customers", "CustomerNo='c2'")
    drift(world, "c1", first_name="Somebody")
    report = verify(world)
    assert (report.pending, report.gone, report.equal, report.differences) == (1, 1, 10, [])


def test_what_was_just_sent_is_not_judged(world: World) -> None:
    rich_world(world)
    drift(world, "c1", first_name="Somebody")
    report = asyncio.run(verifying.verify("customers", settings=current_settings()))
    assert (report.recent, report.equal, report.differences) == (1, 11, [])


def test_a_type_that_an_admin_forced_is_told_and_no_difference(world: World) -> None:
    forced = BrazeBehaviour(forced_types={"notes": "number"})
    world.braze = BrazeSandbox(forced, world.clock)
    world.sync(RICH)
    rich_customers(world, rich(world, 1, Notes="12"))
    world.run()
    report = verify(world)
    assert (report.accuracy, report.retyped) == (1.0, {"notes": 1})


def test_the_story_of_a_row_tells_that_it_drifted(world: World) -> None:
    rich_world(world)
    drift(world, "c2", spend=9, vip=False)
    verify(world)
    told = CliRunner().invoke(app, ["why", "customers", "c2"]).output
    assert "drifted (found by verify)" in told
    assert "differs in Braze: spend, vip" in told
    document = orjson.loads(CliRunner().invoke(app, ["why", "customers", "c2", "--json"]).output)
    newest = document["ledger"]["outcomes"][0]
    assert (newest["verdict"], newest["fields"]) == ("drifted", ["spend", "vip"])


def test_the_command_says_first_how_long_it_takes_and_prints_no_values(world: World) -> None:
    rich_world(world)
    drift(world, "c2", first_name="Planted")
    world.clock.advance(600)
    shown = CliRunner().invoke(app, ["verify", "customers", "--all"])
    assert shown.exit_code == 0
    assert "12 rows, 2 requests to Braze: about a second at 40 exports a second, a second where" in shown.stderr
    assert "91.67%" in shown.stdout
    assert "c2" in shown.stdout
    assert not any(value in shown.output for value in ("Planted", "Name2", "c2@example.com"))
    as_json = orjson.loads(CliRunner().invoke(app, ["verify", "customers", "--all", "--json"]).stdout)
    assert (as_json["pending"], as_json["equal"]) == (1, 11)


def test_a_sync_that_makes_no_profiles_is_not_blamed_for_those_that_are_not_there(world: World) -> None:
    world.sync(
        RICH.replace("identity: {external_id: CustomerNo}", "identity: {external_id: CustomerNo, on_new: update_only}")
    )
    rich_customers(world, rich(world, 1))
    world.run()
    report = verify(world)
    assert (report.left_out, report.compared, report.cleared) == (1, 0, 0)


@pytest.mark.parametrize(
    "identity", ["user_alias: {name: CustomerNo, label: crm}", "email: Email"], ids=["alias", "email"]
)
def test_profiles_of_other_identities_are_read_back(world: World, identity: str) -> None:
    text = RICH.replace("external_id: CustomerNo", identity)
    world.sync(text.replace("  email: Email\n", "") if identity.startswith("email") else text)
    rich_customers(world, *(rich(world, number) for number in (1, 2, 3)))
    world.run()
    assert len(world.braze.anonymous_profiles()) == 3
    report = verify(world)
    assert (report.accuracy, report.compared) == (1.0, 3)
    assert f"subscription_groups.{NEWSLETTER_GROUP}" in report.unreadable
