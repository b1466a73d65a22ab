"""Erasure as whole flows: who is named is deleted in Braze, proven gone, forgotten by the ledger, and never made again."""

from typing import Any

import pytest

from caspio_sync.engine.erasing import REASON
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.ledger.store import Ledger
from tests.flows.killing import KilledError
from tests.flows.world import World

REQUESTS = [{"Name": "CustomerNo", "Type": "STRING"}, {"Name": "Done", "Type": "STRING"}]
BY_TABLE = "erasure:\n  table: ErasureRequests\n  key: CustomerNo\n"
BY_CONDITION = "erasure:\n  where: FirstName='Forget Me'\n"
A_DAY = 86_400.0


@pytest.fixture
def shop(world: World) -> World:
    """Five people in Braze, a table of requests that is still empty."""
    world.people(5)
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + BY_TABLE)
    world.run()
    world.clock.advance(A_DAY)
    world.forget()
    assert set(world.profiles()) == {"c1", "c2", "c3", "c4", "c5"}
    return world


def name(world: World, *keys: str) -> None:
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": key} for key in keys])


def events(world: World) -> list[str]:
    with world.ledger() as ledger:
        ledger.verify_audit()
        return [entry.event for entry in ledger.audit_entries()]


def states(world: World, *keys: str) -> list[str | None]:
    from caspio_sync.ledger.erasure import Keyspace

    with world.ledger() as ledger:
        digests = ledger.key_digests(Keyspace("external_id"), keys)
        found = ledger.erased(digests)
        return [found[digest].state if digest in found else None for digest in digests]


def change(world: World, key: str, **values: Any) -> None:
    world.caspio.update_rows("Customers", values, where=f"CustomerNo='{key}'")


def assert_forgotten(world: World, key: str, pk: int) -> None:
    """Nothing in the ledger names the key, and its history is gone."""
    with world.ledger() as ledger:
        row = ledger.read_rows("customers", pk, pk)
        assert row["key"].to_list() in ([], [None])
        assert ledger.story("customers", key) is None
        report = ledger.last_run("customers")
        assert report is not None
        assert f'"{key}"' not in str(report.report)


def test_a_request_in_the_table_deletes_proves_forgets_and_blocks(shop: World) -> None:
    name(shop, "c2")
    report = shop.run(full=True)
    assert set(shop.profiles()) == {"c1", "c3", "c4", "c5"}
    assert states(shop, "c2", "c1") == ["proven", None]
    assert report.erased == 1
    assert report.verdicts == {"blocked": 1}
    assert [(each.reason, each.examples) for each in report.reasons] == [(REASON, ["PK_ID 2"])]
    assert shop.sent() == []
    assert events(shop) == ["requested", "deleted", "proven", "cleared"]
    assert_forgotten(shop, "c2", 2)


def test_the_condition_form_erases_whoever_meets_it(world: World) -> None:
    world.people(4)
    world.sync()
    world.run()
    world.sync(world.SYNC + BY_CONDITION)
    change(world, "c3", FirstName="Forget Me")
    world.clock.advance(A_DAY)
    world.forget()
    report = world.run()
    assert set(world.profiles()) == {"c1", "c2", "c4"}
    assert (report.erased, report.verdicts) == (1, {"blocked": 1})
    assert world.sent() == []
    # Who no longer meets the condition is not made again: only a release lifts the block.
    change(world, "c3", FirstName="Back")
    world.clock.advance(A_DAY)
    world.run()
    assert set(world.profiles()) == {"c1", "c2", "c4"}


@pytest.mark.parametrize("options", [{}, {"full": True}, {"resend": True}, {"row_keys": ("c2",)}])
def test_an_erased_key_never_comes_back(shop: World, options: dict[str, Any]) -> None:
    name(shop, "c2")
    shop.run()
    change(shop, "c2", FirstName="Again", Newsletter="no")
    shop.clock.advance(A_DAY)
    shop.forget()
    report = shop.run(**options)
    assert "c2" not in shop.profiles()
    assert "c2" not in {each["external_id"] for each in shop.sent()}
    assert report.opt_outs == 0
    assert report.verdicts.get("blocked", 0) + report.held.get("blocked", 0) == 1
    assert report.erased == 0


def test_a_key_that_reappears_in_another_row_and_spelling_is_blocked(shop: World) -> None:
    name(shop, "c2")
    shop.run()
    shop.caspio.delete_rows("Customers", where="CustomerNo='c2'")
    shop.caspio.insert_rows("Customers", [shop.person(2, CustomerNo=" C2 ")])
    shop.clock.advance(A_DAY)
    report = shop.run()
    assert set(shop.profiles()) == {"c1", "c3", "c4", "c5"}
    assert report.verdicts == {"blocked": 1}


def test_a_blocked_row_is_told_of_once_then_held(shop: World) -> None:
    name(shop, "c2")
    assert shop.run(full=True).verdicts == {"blocked": 1}
    again = shop.run(full=True)
    assert (again.verdicts, again.held) == ({}, {"blocked": 1})
    assert shop.verdicts()["blocked"] == 1


def test_the_opt_out_of_an_erased_key_does_not_leave(shop: World) -> None:
    name(shop, "c2")
    change(shop, "c2", Newsletter="no")
    change(shop, "c3", Newsletter="no")
    shop.clock.advance(A_DAY)
    report = shop.run()
    assert report.opt_outs == 1
    assert {each["external_id"] for each in shop.sent()} == {"c3"}


def test_plan_blocks_as_the_run_would_and_deletes_nobody(shop: World) -> None:
    name(shop, "c2")
    before = shop.braze.requests
    plan = shop.plan(full=True)
    assert plan.report.verdicts == {} == plan.report.held
    change(shop, "c2", FirstName="Again")
    plan = shop.plan(full=True)
    assert plan.report.verdicts == {"blocked": 1}
    assert plan.to_send == 0
    assert any("1 people would be erased" in note for note in plan.report.notes)
    assert shop.braze.requests == before
    assert states(shop, "c2") == [None]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["request_erasure", "pending_erasures", "mark_deleted", "mark_proven"])
def test_killed_before_or_after_any_step_the_next_run_finishes(
    shop: World, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    name(shop, "c2", "c4")
    change(shop, "c1", FirstName="Changed")
    shop.clock.advance(A_DAY)
    real = getattr(Ledger, step)

    def killed(self: Ledger, *arguments: Any, **named: Any) -> Any:
        if after:
            real(self, *arguments, **named)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, step, killed)
        with pytest.raises(KilledError):
            shop.run()
    assert shop.sent() == []  # whatever happens to the erasure, nothing leaves ahead of it
    shop.clock.advance(A_DAY)
    shop.run()
    assert set(shop.profiles()) == {"c1", "c3", "c5"}
    assert states(shop, "c2", "c4") == ["proven", "proven"]
    assert shop.profiles()["c1"]["first_name"] == "Changed"
    assert_forgotten(shop, "c2", 2)
    told = events(shop)
    assert told.count("requested") == told.count("proven") == told.count("cleared") == 2


def test_what_is_not_proven_in_time_stays_deleted_and_the_next_run_proves_it(world: World) -> None:
    from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
    from caspio_sync.sandbox.braze.emulator import BrazeSandbox

    world.braze = BrazeSandbox(BrazeBehaviour(delete_delay_seconds=290), world.clock)
    world.people(2)
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + BY_TABLE)
    world.run()
    world.clock.advance(A_DAY)
    name(world, "c1")
    report = world.run()
    assert report.erased == 0
    assert "1 deletions are not proven yet" in report.notes[0]
    assert states(world, "c1") == ["deleted"]
    world.clock.advance(300)
    assert world.run().erased == 1
    assert states(world, "c1") == ["proven"]
    assert set(world.profiles()) == {"c2"}


def test_without_the_right_to_delete_nothing_is_sent(world: World) -> None:
    from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
    from caspio_sync.sandbox.braze.emulator import BrazeSandbox

    keys = {SANDBOX_KEY: PERMISSIONS - {"users.delete"}}
    world.braze = BrazeSandbox(BrazeBehaviour(keys=keys), world.clock)
    world.people(2)
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + BY_TABLE)
    name(world, "c1")
    ended = world.ended()
    assert ended.code == ConfigurationError.exit_code
    assert "users.delete" in ended.message
    assert world.sent() == []


def test_braze_out_of_reach_ends_the_run_before_it_sends(shop: World) -> None:
    from caspio_sync.sandbox.faults import Fault

    name(shop, "c2")
    change(shop, "c1", FirstName="Changed")
    shop.clock.advance(A_DAY)
    shop.break_braze(Fault(kind="status", status=503))
    with pytest.raises(TransientError):
        shop.run()
    shop.break_braze()
    shop.run()
    assert set(shop.profiles()) == {"c1", "c3", "c4", "c5"}


def test_more_requests_than_max_keys_stop_the_run_before_anybody_is_erased(shop: World) -> None:
    shop.sync(shop.SYNC + BY_TABLE + "  max_keys: 2\n")
    name(shop, "c1", "c2", "c3")
    ended = shop.ended()
    assert ended.code == ConfigurationError.exit_code
    assert "customers.yaml:14: 3 people would be erased at once, and at most 2 may" in ended.message
    assert len(shop.profiles()) == 5
    assert states(shop, "c1") == [None]


def test_a_request_without_a_usable_key_is_told_by_its_place(shop: World) -> None:
    name(shop, "", "c2")
    report = shop.run()
    assert any("PK_ID 1" in note and "no usable key" in note for note in report.notes)
    assert report.erased == 1


def test_requests_can_be_limited_by_a_condition(shop: World) -> None:
    shop.sync(shop.SYNC + BY_TABLE + "  where: Done='no'\n")
    shop.caspio.insert_rows(
        "ErasureRequests", [{"CustomerNo": "c1", "Done": "yes"}, {"CustomerNo": "c2", "Done": "no"}]
    )
    assert shop.run().erased == 1
    assert "c2" not in shop.profiles()


def test_another_sync_of_the_same_identity_does_not_make_the_profile_again(shop: World) -> None:
    shop.sync(shop.SYNC.split("fields:", maxsplit=1)[0] + "fields: {score: Spend}\n", "more")
    name(shop, "c2")
    shop.run()
    report = shop.run("more")
    assert report.verdicts == {"sent": 4, "blocked": 1}
    assert "c2" not in shop.profiles()


@pytest.mark.parametrize("identity", ["user_alias: {name: CustomerNo, label: crm}", "email: Email"])
def test_other_identities_are_erased_too(world: World, identity: str) -> None:
    world.people(3)
    text = world.SYNC.replace("  email: Email\n", "") if identity.startswith("email") else world.SYNC
    text = text.replace("external_id: CustomerNo", identity)
    world.sync(text + "erasure:\n  where: FirstName='Name2'\n")
    world.caspio.update_rows("Customers", {"FirstName": "x"}, where="CustomerNo='c2'")
    world.run()
    assert len(world.braze.anonymous_profiles()) == 3
    change(world, "c2", FirstName="Name2")
    world.clock.advance(A_DAY)
    assert world.run().erased == 1
    assert {each["first_name"] for each in world.braze.anonymous_profiles()} == {"Name1", "Name3"}
    world.clock.advance(A_DAY)
    assert world.run(resend=True).verdicts == {"sent": 2, "blocked": 1}


def test_a_write_that_arrives_after_the_deletion_is_deleted_too(world: World) -> None:
    """Two requests may overtake each other: what was sent just before is not proven gone by one look."""
    from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
    from caspio_sync.sandbox.braze.emulator import BrazeSandbox

    world.braze = BrazeSandbox(BrazeBehaviour(effect_delay_seconds=20), world.clock)
    world.people(2)
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + BY_TABLE)
    world.run()
    name(world, "c1")
    assert world.run().erased == 0
    assert states(world, "c1") == ["deleted"]
    world.clock.advance(600)
    assert world.run().erased == 1
    assert states(world, "c1") == ["proven"]
    assert set(world.profiles()) == {"c2"}


def test_a_run_killed_while_it_sent_leaves_nobody_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the killed run sent is in no ledger; a look within 5 minutes of it proves nothing."""
    from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
    from caspio_sync.sandbox.braze.emulator import BrazeSandbox

    world.braze = BrazeSandbox(BrazeBehaviour(effect_delay_seconds=20), world.clock)
    world.people(2)
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + BY_TABLE)

    def killed(*_: Any, **__: Any) -> Any:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_sent", killed)
        with pytest.raises(KilledError):
            world.run()
    name(world, "c1")
    assert world.run().erased == 0
    world.clock.advance(600)
    assert world.run().erased == 1
    assert set(world.profiles()) == {"c2"}


def test_what_braze_posted_of_an_erased_person_leaves_the_inbox(shop: World) -> None:
    from caspio_sync.engagement.events import Post, event_lines
    from caspio_sync.inbox import Inbox

    events = [{"event_id": f"e-{key}", "type": "t", "at": 1, "external_id": key} for key in ("c1", "c2", "C2 ")]
    with Inbox.open(f"sqlite:///{shop.folder / 'home' / 'inbox.db'}", clock=shop.clock) as inbox:
        inbox.add([Post("currents", event_lines(events), 3)])
        name(shop, "c2")
        shop.run(full=True)
        (post,) = next(inbox.posts(0))
    assert states(shop, "c2") == ["proven"]
    assert post.lines.count(b"\n") == 1
    assert b"e-c1" in post.lines
