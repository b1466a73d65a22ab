"""Two rows claim one person: the most restrictive consent of them leaves, whichever is sent, and whenever it is read."""

from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import GateBlockedError
from caspio_sync.ledger.duplicate_consent import duplicate_consent
from caspio_sync.sandbox.faults import Fault
from tests.flows.consent_model import EMAIL_GROUP, SMS_GROUP, held_state
from tests.flows.test_filled_again import refill
from tests.flows.world import CUSTOMERS, World

FIELDS = [*CUSTOMERS, *({"Name": name, "Type": "STRING"} for name in ("Push", "EmailGroup", "SmsGroup", "Phone"))]
STATES = {"email_subscribe": "Newsletter", "push_subscribe": "Push", EMAIL_GROUP: "EmailGroup", SMS_GROUP: "SmsGroup"}
GROUPS = f"""\
  push_subscribe: Push
  subscription_groups:
    - {{id: {EMAIL_GROUP}, channel: email, from: EmailGroup}}
    - {{id: {SMS_GROUP}, channel: sms, from: SmsGroup}}
"""
LOOSE = "gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}\n"


def begin(world: World, *rows: dict[str, Any], between: int = 0) -> None:
    """Rows of c1, with so many other people after the first, and a sync of all their states."""
    first, *others = [row(world, **each) for each in rows]
    people = [row(world) | world.person(number) for number in range(2, between + 2)]
    world.customers([first, *people, *others], FIELDS)
    cut = "batch_size: 1000\n" if between else ""
    world.sync(world.SYNC.replace("double:", "yes!: opted_in, double:") + GROUPS + LOOSE + cut)


def row(world: World, **more: Any) -> dict[str, Any]:
    return {**world.person(1), "Push": None, "EmailGroup": None, "SmsGroup": None, "Phone": None, **more}


def change(world: World, pk: int, **values: Any) -> None:
    world.clock.advance(600)
    world.caspio.update_rows("Customers", values, where=f"PK_ID={pk}")


def state(world: World, name: str = "email_subscribe") -> str:
    return held_state(world.profiles()["c1"], name)


@pytest.mark.parametrize("between", [0, 1500])
@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("email_subscribe", "yes", "no"),
        ("push_subscribe", "opted_in", "unsubscribed"),
        (EMAIL_GROUP, "subscribed", "unsubscribed"),
        (SMS_GROUP, "subscribed", "unsubscribed"),
    ],
)
def test_in_one_run(world: World, name: str, yes: str, no: str, between: int) -> None:
    """In one batch, and in two: the second row's word may come when the first one's object is on its way."""
    begin(world, {STATES[name]: yes}, {STATES[name]: no}, between=between)
    report = world.run()
    assert (report.batches > 1) is (between > 0)
    assert state(world, name) == "unsubscribed"
    assert report.verdicts["quarantined"] == 1
    world.forget()
    world.run(full=True)
    assert world.sent() == []


@pytest.mark.parametrize("between", [0, 1500])
def test_the_second_says_yes(world: World, between: int) -> None:
    begin(world, {"Newsletter": "no"}, {"Newsletter": "yes"}, between=between)
    world.run()
    assert state(world) == "unsubscribed"
    assert sum(each["external_id"] == "c1" for each in world.sent()) == 1


@pytest.mark.parametrize("own", ["yes", "double", None])
def test_a_second_row_alone_changes_to_no(world: World, own: str | None) -> None:
    begin(world, {"Newsletter": own}, {"Newsletter": own})
    world.run()
    world.forget()
    change(world, 2, Newsletter="no")
    assert world.run().opt_outs == 1
    assert state(world) == "unsubscribed"
    (sent,) = world.sent()
    assert sent == {"external_id": "c1", "email_subscribe": "unsubscribed", "_update_existing_only": True}
    # What the first row changes next loosens nothing, not even a new address, which Braze would subscribe.
    change(world, 1, FirstName="New", Email="new@example.com")
    world.run()
    assert world.profiles()["c1"]["first_name"] == "New"
    assert state(world) == "unsubscribed"
    world.forget()
    world.run()
    world.run(full=True)
    assert world.sent() == []


def test_a_weaker_yes_is_the_more_restrictive(world: World) -> None:
    begin(world, {"Newsletter": "double"}, {"Newsletter": "yes"})
    world.run()
    assert state(world) == "subscribed"


def test_a_second_row_that_says_yes_says_nothing_for_the_first(world: World) -> None:
    begin(world, {"Newsletter": None}, {"Newsletter": "double"})
    world.run()
    assert state(world) == "subscribed"
    assert "email_subscribe" not in world.sent()[0]


def test_a_second_row_that_is_corrected_lets_go(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    change(world, 2, Newsletter="yes")
    world.run()
    assert state(world) == "subscribed"


def test_a_second_row_that_turns_out_to_be_somebody_else_lets_go(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    change(world, 2, CustomerNo="c2", Email="c2@example.com")
    world.run()
    assert state(world) == "subscribed"
    assert world.profiles()["c2"]["email_subscribe"] == "unsubscribed"


def test_a_second_row_that_is_deleted_is_heeded_until_the_first_says_otherwise(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    world.caspio.delete_rows("Customers", where="PK_ID=2")
    change(world, 1, FirstName="New")
    world.run(full=True)
    assert state(world) == "unsubscribed"
    change(world, 1, Newsletter="no")
    world.run()
    change(world, 1, Newsletter="yes")
    world.run()
    assert state(world) == "subscribed"


def test_a_second_row_that_is_there_is_heeded_though_the_first_says_otherwise(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    for says in ("no", "yes", "double"):
        change(world, 1, Newsletter=says)
        world.run()
        assert state(world) == "unsubscribed"


def test_it_leaves_though_the_gate_blocks_the_batch_and_holds_the_owner(world: World) -> None:
    begin(world, {}, {})
    world.run()
    tight = "gate: {max_quarantined_rows: 1, max_quarantined_share: 0}\n"
    world.sync(world.SYNC + tight)
    change(world, 2, Newsletter="no")
    world.caspio.insert_rows("Customers", [row(world, CustomerNo="", FirstName=str(n)) for n in range(30)])
    with pytest.raises(GateBlockedError):
        world.run()
    assert state(world) == "unsubscribed"


def test_a_run_that_dies_before_it_is_told_tells_it_the_next_time(world: World) -> None:
    begin(world, {}, {})
    world.run()
    change(world, 2, Newsletter="no")
    world.break_braze(Fault(kind="reset_before", path="/users/track"))
    assert world.ended().code == 4
    assert state(world) == "subscribed"
    world.break_braze()
    world.run()
    assert state(world) == "unsubscribed"


def test_a_resend_bills_nobody_twice(world: World) -> None:
    begin(world, {}, {}, between=1500)
    world.run()
    change(world, 1502, Newsletter="no")
    world.forget()
    world.run(resend=True)
    assert sum("first_name" in each for each in world.sent() if each["external_id"] == "c1") == 1
    assert state(world) == "unsubscribed"


def test_a_baseline_sends_nothing_and_the_next_run_what_is_stricter(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    world.ledger_file.unlink()
    world.forget()
    world.run(baseline=True)
    assert world.sent() == []
    world.run()
    assert [each["email_subscribe"] for each in world.sent()] == ["unsubscribed"]


def test_an_erased_person_leaves_no_word_behind(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    world.caspio.create_table("ErasureRequests", [{"Name": "CustomerNo", "Type": "STRING"}])
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": "c1"}])
    world.sync(world.SYNC + LOOSE + "erasure: {table: ErasureRequests, key: CustomerNo}\n")
    world.clock.advance(86_400)
    assert world.run(full=True).erased == 1
    with world.ledger() as ledger, ledger.reading("look") as connection:
        assert connection.execute(sa.select(duplicate_consent)).all() == []


def test_the_words_of_rows_that_a_former_version_held_are_read_once(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    with world.ledger() as ledger, ledger.writing("as before") as connection:
        connection.execute(sa.delete(duplicate_consent))
    world.clock.advance(600)
    assert world.run().read >= 1
    with world.ledger() as ledger:
        assert ledger.duplicate_words("customers")["states"].to_list() == ['{"email_subscribe":"unsubscribed"}']
    assert world.run().read == 0


def test_why_tells_what_restrains_the_row(world: World) -> None:
    begin(world, {}, {"Newsletter": "no"})
    world.run()
    told = CliRunner().invoke(app, ["why", "customers", "c1"], env={"COLUMNS": "200"}).stdout
    assert "email_subscribe is unsubscribed and not subscribed: of the rows with this key (PK_ID 2 beside" in told
    assert "nothing is left to send" in told


def test_a_plan_writes_nothing_and_heeds_what_is_known(world: World) -> None:
    begin(world, {}, {})
    world.run()
    change(world, 2, Newsletter="no")
    world.plan()
    with world.ledger() as ledger:
        assert ledger.duplicate_words("customers")["states"].to_list() == ['{"email_subscribe":"subscribed"}']
    world.run()
    assert world.plan(full=True).report.opt_outs == 0


def test_rows_without_any_consent_have_nothing_to_heed(world: World) -> None:
    world.customers([world.person(1), {**world.person(1), "FirstName": "Eve"}])
    world.sync(world.SYNC.partition("consent:")[0] + LOOSE)
    assert world.run().verdicts == {"sent": 1, "quarantined": 1}


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize(("first", "second"), [("yes", "no"), ("no", "yes")])
def test_of_two_rows_that_are_filled_in_again_one_stays_held(world: World, first: str, second: str, anew: bool) -> None:
    begin(world, {"Newsletter": first, "FirstName": "Ann"}, {"Newsletter": second, "FirstName": "Bea"})
    world.run()
    world.forget()
    for _ in range(2):
        refill(world, anew=anew)
        world.run()
        world.run(full=True)
        assert world.sent() == []
    assert (world.profiles()["c1"]["first_name"], state(world)) == ("Ann", "unsubscribed")
    assert world.verdicts()["sent"] == 1


def test_the_owner_comes_back_beside_a_duplicate_that_has_its_number_still(world: World) -> None:
    """The table was made anew: who had the first number left, and somebody new has the owner's."""
    begin(world, row(world) | world.person(2), {"Newsletter": "no"}, {"Newsletter": "", "FirstName": "Bea"})
    world.run()
    change(world, 2, Newsletter="")
    world.run()
    world.forget()
    world.caspio.delete_rows("Customers", "PK_ID = 1")
    world.caspio.insert_rows("Customers", [row(world) | world.person(3)])
    refill(world, [0, 2, 1], anew=True)
    world.run(limit=2)  # as a batch that ends before the duplicate
    world.run()
    world.run(full=True)
    assert [each["external_id"] for each in world.sent()] == ["c3"]
    assert state(world) == "unsubscribed"
    change(world, 1, Email="c1@new.example")  # Braze takes a new address for subscribed
    world.run()
    assert (world.profiles()["c1"]["email"], state(world)) == ("c1@new.example", "unsubscribed")


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(("own", "allowed"), [("no", "unsubscribed"), ("yes", "subscribed")])
def test_a_no_outlives_its_row_where_a_second_row_takes_over(
    world: World, own: str, allowed: str, killed: bool
) -> None:
    """What the second row said before is no answer to it; what it says next is."""
    begin(world, {"Newsletter": own}, {"Newsletter": "double", "FirstName": "Bea"})
    world.run()
    world.caspio.delete_rows("Customers", "PK_ID = 1")
    world.clock.advance(3600)
    assert state(world) == allowed
    if killed:
        world.break_braze(Fault(kind="reset_before", path="/users/track"))
        assert world.ended().code == 4
        world.break_braze()
    assert world.plan().to_send == 1
    for full in (False, True):
        world.run(full=full)
        assert (world.profiles()["c1"]["first_name"], state(world)) == ("Bea", allowed)
    change(world, 2, Email="bea@example.com")  # which Braze would subscribe
    world.run()
    assert state(world) == allowed
    for read in (1, 0):
        world.clock.advance(3600)
        assert world.run().read == read
    change(world, 2, Newsletter="yes")
    world.run()
    assert state(world) == "subscribed"
