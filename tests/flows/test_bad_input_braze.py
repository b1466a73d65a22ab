"""Answers of Braze that are not a plain yes: each row has the verdict its own answer gave it."""

from typing import Any

import pytest

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.gateway import refusing
from tests.flows.world import World

TRACK = "/users/track"


@pytest.fixture
def many(world: World) -> World:
    world.people(200)
    world.sync()
    return world


def test_rejected_rows_3_40_and_75_of_a_request_and_no_others(many: World) -> None:
    many.break_braze(Fault(kind="reject", path=TRACK, nth=(1,), indexes=(2, 39, 74), code="EMAIL_BAD_FORMAT"))
    ended = many.ended()
    many.break_braze()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 197, "rejected": 3})
    assert set(many.profiles()) == {f"c{number}" for number in range(1, 201)} - {"c3", "c40", "c75"}
    with many.ledger() as ledger:
        held = ledger.quarantine("customers", ["rejected"], limit=10)
    assert sorted(zip(held["key"], held["reason"], strict=True)) == [
        ("c3", "EMAIL_BAD_FORMAT"), ("c40", "EMAIL_BAD_FORMAT"), ("c75", "EMAIL_BAD_FORMAT"),
    ]  # fmt: skip
    assert [(each.reason, each.rows, each.examples) for each in ended.report.reasons] == [
        ("EMAIL_BAD_FORMAT", 3, ["c3", "c40", "c75"])
    ]
    requests = many.braze.requests
    again = many.ended(full=True, strict=True)
    assert (again.code, again.report.held, many.braze.requests) == (5, {"rejected": 3}, requests)
    many.clock.advance(3600)
    many.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c40'")
    assert many.run().verdicts == {"sent": 1}
    assert many.profiles()["c40"]["email"] == "c40@example.com"


def test_an_error_that_names_no_object_makes_the_request_unknown_and_it_is_sent_again(many: World) -> None:
    many.braze = BrazeSandbox(
        BrazeBehaviour(error_form="no_index", blocked_external_ids=frozenset({"c80"})), many.clock
    )
    ended = many.ended()
    assert ended.code == 0
    assert ended.report.verdicts == {"sent": 125, "unknown": 75}
    assert many.watermark() is None
    assert "without saying for which object" in ended.report.reasons[0].reason
    assert many.ended().report.read == 200


def test_a_whole_request_refused_for_one_row_is_halved_until_it_stands_alone(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = refusing(many.braze.app, TRACK, b'"c77"', "Bad Request: an email may not contain whitespace")
    monkeypatch.setattr(many.braze, "app", app)
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 199, "rejected": 1})
    assert set(many.profiles()) == {f"c{number}" for number in range(1, 201)} - {"c77"}
    with many.ledger() as ledger:
        reason = ledger.quarantine("customers", ["rejected"], limit=10)["reason"][0]
    assert "400" in reason
    assert "an email may not contain whitespace" in reason


def test_when_every_object_is_refused_the_run_ends_as_a_matter_of_configuration(many: World) -> None:
    many.break_braze(Fault(kind="status", path=TRACK, status=400, body='{"message": "Nothing is right"}'))
    ended = many.ended()
    assert ended.code == 2
    assert "Nothing is right" in ended.message
    assert "look at the identity and the fields of the sync" in ended.message
    assert (many.watermark(), many.profiles()) == (None, {})
    many.break_braze()
    assert many.ended().report.sent == 200


def test_413_is_halved_until_it_fits(many: World) -> None:
    many.braze = BrazeSandbox(BrazeBehaviour(body_limit=3000), many.clock)
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 200})
    assert many.braze.statuses[413] > 0
    assert len(many.profiles()) == 200


def test_a_row_too_large_alone_is_rejected_and_the_others_are_sent(world: World) -> None:
    world.customers([world.person(number, Notes="x" * 250 if number == 2 else "") for number in range(1, 6)])
    world.sync()
    world.braze = BrazeSandbox(BrazeBehaviour(body_limit=300), world.clock)
    ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 4, "rejected": 1})
    assert "c2" not in world.profiles()
    assert ended.report.reasons[0].reason.startswith("413")


@pytest.mark.parametrize(
    "header", ["epoch", "seconds", "x-ratelimit-retry-after", "retry-after", "http-date", "empty", "absent"]
)
def test_429_in_each_form_is_waited_for_and_everything_arrives(many: World, header: Any) -> None:
    many.break_braze(Fault(kind="refuse", path=TRACK, nth=(1, 2), header=header, seconds=40))
    before = many.clock.monotonic()
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 200})
    assert len(many.profiles()) == 200
    waited = many.clock.monotonic() - before
    assert waited >= 39 if header not in {"empty", "absent"} else waited < 40


def test_a_limit_of_the_workspace_is_kept_without_a_refusal(world: World) -> None:
    world.people(1000)
    world.sync()
    world.braze = BrazeSandbox(BrazeBehaviour(burst_limit=5, burst_seconds=3), world.clock)
    ended = world.ended()
    assert ended.report.verdicts == {"sent": 1000}
    assert len(world.profiles()) == 1000


@pytest.mark.parametrize(
    ("kind", "held"), [("string", "0.25"), ("date", None), ("boolean", None), ("object", None), ("array", None)]
)
def test_a_custom_attribute_whose_type_braze_fixed_otherwise_costs_no_other_field(
    world: World, kind: Any, held: str | None
) -> None:
    world.people(3)
    world.sync()
    world.braze = BrazeSandbox(BrazeBehaviour(forced_types={"spend": kind}), world.clock)
    ended = world.ended()
    # Braze says nothing of it: the object is accepted, the value coerced or dropped.
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 3})
    profile = world.profiles()["c1"]
    assert profile["custom_attributes"].get("spend") == held
    assert (profile["first_name"], profile["email"]) == ("Name1", "c1@example.com")


def test_an_unknown_subscription_group_rejects_each_row_with_brazes_code(world: World) -> None:
    world.people(3)
    world.sync(
        world.SYNC
        + "  subscription_groups: [{id: 00000000-0000-4000-8000-000000000000, channel: email, from: Newsletter, "
        "map: {yes: subscribed, no: unsubscribed}}]\n"
    )
    ended = world.ended()
    assert ended.report.verdicts == {"rejected": 3}
    assert ended.report.reasons[0].reason == "BAD_SUBSCRIPTION_GROUP_ID"
    assert world.profiles() == {}


def test_an_opt_out_that_braze_rejects_is_not_taken_for_sent(many: World) -> None:
    many.run()
    many.clock.advance(3600)
    many.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo = 'c7'")
    many.break_braze(Fault(kind="reject", path=TRACK, indexes=(0,), code="SOMETHING"))
    ended = many.ended()
    many.break_braze()
    assert ended.report.verdicts == {"rejected": 1}
    assert many.profiles()["c7"]["email_subscribe"] == "subscribed"
    many.clock.advance(3600)
    many.caspio.update_rows("Customers", {"FirstName": "Ada"}, "CustomerNo = 'c7'")
    assert many.run().verdicts == {"sent": 1}
    assert many.profiles()["c7"]["email_subscribe"] == "unsubscribed"


def test_a_broken_line_in_the_middle_loses_no_row_and_repeats_only_what_had_no_answer(many: World) -> None:
    many.break_braze(Fault(kind="status", path=TRACK, status=503, after_seconds=0, nth=tuple(range(2, 10))))
    ended = many.ended()
    assert ended.code == 0
    assert len(many.profiles()) == 200 == ended.report.sent
    assert many.verdicts() == {"sent": 200}


def test_a_task_is_repeated_after_what_may_pass_and_starts_at_the_ledger(many: World) -> None:
    # Two minutes without Braze: longer than a request's own minute, so that the task is called again.
    many.break_braze(Fault(kind="status", path=TRACK, status=503, after_seconds=0.0, for_seconds=120))
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 200})
    assert many.verdicts() == {"sent": 200}
