"""The shipped customers sync on the sandbox's 4,372 customers, from Caspio's rows to Braze's profiles."""

import asyncio
import hashlib
from typing import Any

import pytest

from caspio_sync.errors import UnexpectedError
from caspio_sync.sandbox.data import load_customers
from tests.flows import shipped_rules as rules
from tests.flows.world import World

TOTAL = 4372
AN_HOUR = 3600.0


@pytest.fixture
def shop(world: World) -> World:
    """The shop's customers, loaded an hour ago."""
    load_customers(world.caspio)
    world.shipped()
    world.clock.advance(AN_HOUR)
    return world


def expected(world: World) -> dict[str, dict[str, Any]]:
    arrivals = [each["external_id"] for each in world.sent()]
    return rules.expected_profiles(world.caspio.rows("Customers"), arrivals)


def assert_profiles(world: World, wanted: dict[str, dict[str, Any]]) -> None:
    held = rules.comparable(world.profiles())
    assert set(held) == set(wanted)
    different = {key: (held[key], wanted[key]) for key in wanted if held[key] != wanted[key]}
    assert different == {}


def test_every_profile_equals_the_expectation_and_a_second_run_sends_nothing(shop: World) -> None:
    report = shop.run()
    wanted = expected(shop)
    assert_profiles(shop, wanted)
    assert (report.read, report.new, report.sent) == (TOTAL, TOTAL, len(wanted))
    assert report.verdicts == {"sent": len(wanted), "quarantined": TOTAL - len(wanted)}
    assert report.data_points == shop.braze.data_points
    assert report.requests == shop.braze.requests == -(-len(wanted) // 75) + -(-report.opt_outs // 75)
    assert shop.verdicts() == report.verdicts
    shop.clock.advance(AN_HOUR)
    again = shop.ended(full=True)
    assert again.code == 0
    assert (again.report.read, again.report.unchanged) == (TOTAL, len(wanted))
    # One of the two rows that bear another's key is read with what that one says of consent from now on.
    assert again.report.held == {"quarantined": TOTAL - len(wanted) - 1}
    assert again.report.verdicts == {"quarantined": 1}
    settled = shop.ended(full=True).report
    assert (settled.held, settled.verdicts) == ({"quarantined": TOTAL - len(wanted)}, {})
    assert shop.braze.requests == report.requests
    assert shop.ended(strict=True, full=True).code == 5
    assert_profiles(shop, wanted)


def test_batches_that_overlap_give_the_same_profiles_as_one(shop: World) -> None:
    shop.shipped(batch_size=1000)
    report = shop.run()
    assert report.batches > 3
    assert_profiles(shop, expected(shop))
    # Two rows bear a key that a row of an earlier batch has, which is read again for what they say of consent.
    assert TOTAL <= report.read <= TOTAL + 2
    assert report.read == sum(report.verdicts.values()) + report.unchanged


def test_twentyfive_edits_send_those_rows_and_of_them_the_changed_fields(shop: World) -> None:
    shop.run()
    wanted = expected(shop)
    sound = [
        row["CustomerNo"]
        for row in shop.caspio.rows("Customers")
        if row["CustomerNo"] in wanted and row["EmailConsent"] == "yes" and row["Email"] and row["Phone"]
    ][:25]
    email = {"email", "email_subscribe", "subscription_groups"}
    edits: list[tuple[str, dict[str, Any], set[str]]] = [
        *((key, {"Spend": 1234.5}, {"spend", "shopping"}) for key in sound[:10]),
        *((key, {"City": "Ely"}, {"home_city"}) for key in sound[10:14]),
        *((key, {"Email": f"new.{key}@example.com"}, email) for key in sound[14:18]),
        *((key, {"Phone": "+44 7400 123456"}, {"phone", "subscription_groups"}) for key in sound[18:21]),
        *((key, {"FirstName": "Zoë", "City": "Ely"}, {"first_name", "home_city"}) for key in sound[21:25]),
    ]
    shop.forget()
    shop.clock.advance(AN_HOUR)
    for key, values, _ in edits:
        shop.caspio.update_rows("Customers", values, f"CustomerNo = '{key}'")
    points = shop.braze.data_points
    planned = shop.plan()
    report = shop.run()
    assert (report.mode, report.read, report.new, report.changed, report.sent) == ("incremental", 25, 0, 25, 25)
    sent = {each["external_id"]: set(each) - {"external_id", "_update_existing_only"} for each in shop.sent()}
    assert len(shop.sent()) == 25
    assert sent == {key: fields for key, _, fields in edits}
    groups = {each["external_id"]: each.get("subscription_groups") for each in shop.sent()}
    assert {groups[key][0]["subscription_group_id"] for key in sound[14:18]} == {rules.NEWSLETTER}
    assert {groups[key][0]["subscription_group_id"] for key in sound[18:21]} == {rules.SMS_OFFERS}
    assert all(len(groups[key]) == 1 for key in sound[14:21])
    assert report.data_points == shop.braze.data_points - points == planned.report.data_points
    assert (planned.to_send, planned.report.requests) == (25, report.requests)
    assert planned.report.changed_fields == report.changed_fields
    assert shop.profiles()[sound[0]]["custom_attributes"]["shopping"]["total"] == 1234.5


def test_plan_counts_what_the_run_then_does_and_writes_nothing(shop: World) -> None:
    planned = shop.plan(show=2)
    assert not shop.ledger_file.exists()
    asked = shop.braze.requests  # whether a sample of the new rows would make duplicates
    assert (asked, shop.braze.log, shop.braze.profiles()) == (planned.duplicates.requests, [], {})
    assert [sample["external_id"] for sample in planned.samples] == ["12346", "12347"]
    report = shop.run()
    counts = ("read", "new", "changed", "unchanged", "requests", "data_points", "data_points_full", "changed_fields")
    assert {name: getattr(planned.report, name) for name in counts} == {name: getattr(report, name) for name in counts}
    assert planned.to_send == report.sent
    assert planned.report.verdicts == {"quarantined": report.verdicts["quarantined"]}
    assert planned.report.reasons == report.reasons
    before = hashlib.sha256(shop.ledger_file.read_bytes()).hexdigest()
    shop.plan(full=True)
    assert hashlib.sha256(shop.ledger_file.read_bytes()).hexdigest() == before
    assert shop.braze.requests == asked + report.requests


# What follows needs no more than a handful of customers.


@pytest.fixture
def few(world: World) -> World:
    """A hundred customers, an hour old."""
    world.people(100)
    world.sync()
    world.clock.advance(AN_HOUR)
    return world


def test_limit_leaves_the_cursor_and_what_it_sent_is_not_sent_again(few: World) -> None:
    limited = few.run(limit=10)
    assert (limited.mode, limited.read, limited.sent) == ("partial", 10, 10)
    assert few.watermark() is None
    rest = few.run()
    assert (rest.unchanged, rest.sent) == (10, 90)
    assert len(few.sent()) == 100 == len(few.profiles())
    assert few.watermark() is not None


def test_keys_read_these_rows_alone_and_leave_the_cursor(few: World) -> None:
    report = few.run(row_keys=("c7", "c3", "nobody"))
    assert (report.mode, report.read) == ("partial", 2)
    assert report.notes == [
        "1 of 3 keys were not found (number 3 of those given): no row has them, or source.where or --since leaves it out"
    ]
    assert sorted(few.profiles()) == ["c3", "c7"]
    assert few.watermark() is None
    assert few.plan(row_keys=("C7", "nobody")).report.notes[0].startswith("1 of 2 keys were not found (number 2 ")
    assert few.run().sent == 98


def test_since_reads_what_changed_and_leaves_the_cursor(few: World) -> None:
    few.run()
    before = few.watermark()
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c5'")
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"FirstName": "Bea"}, "CustomerNo = 'c6'")
    few.forget()
    report = few.run(since=few.clock.now())
    assert (report.mode, report.sent) == ("partial", 1)
    assert [each["external_id"] for each in few.sent()] == ["c6"]
    assert few.watermark() == before
    assert few.run().sent == 1
    assert few.watermark() > before


def test_full_ignores_the_cursor_and_not_the_ledger(few: World) -> None:
    few.run()
    few.clock.advance(AN_HOUR)
    requests = few.braze.requests
    assert few.run().read == 0
    report = few.run(full=True)
    assert (report.mode, report.read, report.unchanged) == ("sweep", 100, 100)
    assert few.braze.requests == requests


def test_a_run_without_a_change_needs_no_gate(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert few.run().checks
    monkeypatch.delattr("expectations.suites.gate_of")  # importing Great Expectations took half of such a run
    report = few.run(full=True)
    assert (report.unchanged, report.checks) == (report.read, [])
    few.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c5'")
    with pytest.raises(UnexpectedError, match=r"suites\.py"):
        few.run(full=True)


def test_resend_sends_every_field_again(few: World) -> None:
    first = few.run()
    few.forget()
    report = few.run(resend=True)
    assert report.sent == 100
    assert report.data_points == first.data_points
    assert set(few.sent()[0]) == {
        "external_id", "first_name", "email", "spend", "notes", "email_subscribe", "_update_existing_only",
    }  # fmt: skip


def test_a_change_within_the_overlap_is_not_lost(few: World) -> None:
    few.run()
    few.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c5'")
    few.clock.advance(60)
    assert few.run().sent == 1
    few.clock.advance(60)
    assert few.run().sent == 0


def test_an_opt_out_leaves_ahead_of_everything_else(few: World) -> None:
    few.run()
    few.forget()
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"FirstName": "Ada"}, "PK_ID <= 50")
    few.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo = 'c40'")
    planned = few.plan()
    report = few.run()
    first, *others = few.sent()
    assert first == {"external_id": "c40", "email_subscribe": "unsubscribed", "_update_existing_only": True}
    assert len(others) == 50
    assert report.opt_outs == planned.report.opt_outs == 1
    assert report.requests == planned.report.requests == 2
    assert few.profiles()["c40"]["email_subscribe"] == "unsubscribed"


def test_an_opt_out_alone_is_one_object(few: World) -> None:
    few.run()
    few.forget()
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo = 'c40'")
    planned = few.plan()
    report = few.run()
    assert len(few.sent()) == 1
    assert (report.sent, report.requests) == (1, 1)
    assert (planned.to_send, planned.report.requests) == (1, 1)
    assert few.run(full=True).sent == 0


def test_an_attribute_called_as_an_answer_is_does_not_stand_for_it(few: World) -> None:
    named = "".join(f"  {name}: FirstName\n" for name in ("status", "reason", "verdict", "request"))
    few.sync(few.SYNC.replace("  first_name: FirstName\n", named))
    few.run()
    assert {each["status"] for each in few.sent()} == {each["verdict"] for each in few.sent()}
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo = 'c40'")
    assert few.run().verdicts == {"sent": 1}
    assert few.run(full=True).requests == 0


def test_an_opt_out_of_a_row_that_the_gate_holds_leaves_all_the_same(few: World) -> None:
    few.run()
    few.forget()
    few.clock.advance(AN_HOUR)
    few.caspio.update_rows("Customers", {"Newsletter": "no", "Email": "no address"}, "CustomerNo = 'c40'")
    report = few.run()
    assert report.verdicts == {"quarantined": 1}
    assert [each["email_subscribe"] for each in few.sent()] == ["unsubscribed"]
    profile = few.profiles()["c40"]
    assert (profile["email"], profile["email_subscribe"]) == ("c40@example.com", "unsubscribed")
    few.forget()
    few.caspio.update_rows("Customers", {"Email": "c40@example.com", "FirstName": "Ada"}, "CustomerNo = 'c40'")
    assert few.run().sent == 1
    assert [sorted(each) for each in few.sent()] == [["_update_existing_only", "external_id", "first_name"]]


def test_the_second_of_two_runs_is_refused_and_told_who_is_at_work(few: World) -> None:
    with few.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "run 7f3a (process 4711 on web1)")
        ended = few.ended()
        ledger.release_lease(lease)
    assert ended.code == 2
    assert "customers" in ended.message
    assert "run 7f3a (process 4711 on web1)" in ended.message
    assert few.braze.requests == 0
    assert few.ended().code == 0


def test_of_two_runs_at_once_one_sends_and_the_other_is_refused(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[Any] = []
    app = few.braze.app

    async def meanwhile(scope: Any, receive: Any, send: Any) -> None:
        """Before the first request is answered, somebody starts the sync once more."""
        if not others:
            others.append(None)
            others[0] = await asyncio.get_running_loop().run_in_executor(None, few.ended_elsewhere)
        await app(scope, receive, send)

    monkeypatch.setattr(few.braze, "app", meanwhile)
    report = few.run()
    assert others[0].code == 2
    assert f"run {report.run} (process" in others[0].message
    assert report.sent == 100 == len(few.sent()) == len(few.profiles())
    assert few.run().sent == 0


def test_a_lost_answer_is_asked_for_again_and_nothing_is_missing(few: World) -> None:
    from caspio_sync.sandbox.faults import Fault

    few.break_braze(
        Fault(kind="reset_after", path="/users/track", nth=(1,)), Fault(kind="truncate", path="/users/track", nth=(3,))
    )
    few.break_caspio(
        Fault(kind="reset_before", path="/integrations", nth=(2,)),
        Fault(kind="expired_token", path="/integrations", nth=(4,)),
    )
    report = few.run()
    assert report.sent == 100 == len(few.profiles())
    assert few.run(full=True).unchanged == 100
