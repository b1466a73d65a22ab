"""Messages that rows send: campaigns, Canvases and transactional e-mail."""

from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.sandbox.braze.behaviour import ORDER_CAMPAIGN, ORDER_CANVAS, ORDER_MAIL, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.sandbox.orders import load_orders, orders_of, read_order_lines
from tests.flows.gateway import between
from tests.flows.happenings import LOOSE, MESSAGES, TICKETS, minutes_ago, people, ticket
from tests.flows.world import World

AN_HOUR = 3600.0
CANVAS = MESSAGES.replace(f"campaign_id: {ORDER_CAMPAIGN}", f"canvas_id: {ORDER_CANVAS}")
MAIL = MESSAGES.replace(f"campaign_id: {ORDER_CAMPAIGN}", f"campaign_id: {ORDER_MAIL}\ntransactional: true")
CAMPAIGN_PATH, CANVAS_PATH = "/campaigns/trigger/send", "/canvas/trigger/send"
MAIL_PATH = f"/transactional/v1/campaigns/{ORDER_MAIL}/send"


def confirmations(
    world: World, rows: list[dict[str, Any]], text: str = MESSAGES + LOOSE, known: int = 200
) -> list[int]:
    """The tickets' table with these rows, a sync `mails` of it, and who is known in Braze; the PK_IDs."""
    world.sync(text, "mails")
    people(world, known)
    world.caspio.create_table("Tickets", TICKETS)
    return world.caspio.insert_rows("Tickets", rows)


def whom(world: World) -> list[Any]:
    return [each.who for each in world.braze.messages]


@pytest.mark.parametrize(("text", "of"), [(MESSAGES, ORDER_CAMPAIGN), (CANVAS, ORDER_CANVAS), (MAIL, ORDER_MAIL)])
def test_each_row_sends_one_message_and_no_later_run_another(world: World, text: str, of: str) -> None:
    confirmations(world, [ticket(number) for number in range(1, 61)], text + LOOSE)
    report = world.run("mails")
    assert (report.verdicts, report.data_points) == ({"sent": 60}, 0)
    assert sorted(whom(world)) == sorted(f"c{number}" for number in range(1, 61))
    assert {each.of for each in world.braze.messages} == {of}
    one = next(each for each in world.braze.messages if each.who == "c2")
    assert one.properties == {"subject": "Ticket 2", "priority": 2}
    for options in ({}, {"full": True}, {"pk_range": (1, 100)}, {"row_keys": ["c1"]}):
        world.clock.advance(AN_HOUR)
        assert world.run("mails", **options).verdicts == {}
    assert len(world.braze.messages) == 60


def test_fifty_recipients_travel_together(world: World) -> None:
    confirmations(world, [ticket(number) for number in range(1, 121)])
    assert world.run("mails").requests == 3


def test_two_messages_of_one_person_never_share_a_request(world: World) -> None:
    rows = [ticket(number, CustomerNo=f"c{1 + number % 3}") for number in range(1, 13)]
    confirmations(world, rows)
    assert world.run("mails").verdicts == {"sent": 12}
    of_one = [each.properties["subject"] for each in world.braze.messages if each.who == "c1"]
    assert of_one == [f"Ticket {number}" for number in (12, 9, 6, 3)]  # in the order of their time


@pytest.mark.parametrize(("text", "path"), [(MESSAGES, CAMPAIGN_PATH), (CANVAS, CANVAS_PATH)])
@pytest.mark.parametrize("kind", ["reset_after", "truncate", "foreign"])
def test_a_lost_answer_is_not_repeated(world: World, text: str, path: str, kind: str) -> None:
    confirmations(world, [ticket(number) for number in range(1, 6)], text + LOOSE)
    world.break_braze(Fault(kind=kind, path=path, nth=(1,)))
    world.ended("mails")
    world.break_braze()
    assert world.verdicts("mails") == {"unknown": 5}
    sent = len(world.braze.messages)
    for _ in range(2):
        world.clock.advance(AN_HOUR)
        assert world.run("mails", full=True).held == {"unknown": 5}
    assert len(world.braze.messages) == sent


def test_when_lost_resend_sends_it_once_more(world: World) -> None:
    confirmations(world, [ticket(1)], MESSAGES + "when_lost: resend\n" + LOOSE)
    world.break_braze(Fault(kind="reset_after", path=CAMPAIGN_PATH, nth=(1,)))
    world.run("mails")
    world.break_braze()
    world.clock.advance(60)
    report = world.run("mails")
    assert report.verdicts == {"sent": 1}
    assert any("may have them twice" in note for note in report.notes)
    assert len(world.braze.messages) == 2


@pytest.mark.parametrize("on_update", ["ignore", "new_event"])
def test_a_transactional_message_repeats_and_is_known_again(world: World, on_update: str) -> None:
    (pk,) = confirmations(world, [ticket(1)], MAIL + f"on_update: {on_update}\n" + LOOSE)
    world.break_braze(Fault(kind="reset_after", path=MAIL_PATH, nth=(1,)))
    assert world.run("mails").verdicts == {"unknown": 1}
    world.break_braze()
    world.clock.advance(60)
    more = MAIL.replace("priority: Priority", "priority: Priority, status: Status")  # another mapping meanwhile
    world.sync(more + f"on_update: {on_update}\n" + LOOSE, "mails")
    assert world.run("mails").verdicts == {"sent": 1}
    (message,) = world.braze.messages
    assert message.send_id.startswith(f"mails-{pk}")
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {pk}")
    world.run("mails")
    assert len(world.braze.messages) == (1 if on_update == "ignore" else 2)


def test_a_transactional_message_that_may_be_forgotten_is_not_repeated(world: World) -> None:
    confirmations(world, [ticket(1)], MAIL + LOOSE)
    world.break_braze(Fault(kind="reset_after", path=MAIL_PATH, nth=(1,)))
    world.run("mails")
    world.break_braze()
    world.clock.advance(23.5 * AN_HOUR)
    assert world.run("mails").verdicts == {}
    assert world.verdicts("mails") == {"unknown": 1}
    assert len(world.braze.messages) == 1


@pytest.mark.parametrize("edited", [False, True])
def test_a_repeated_message_is_held_once_its_first_sending_may_be_forgotten(world: World, edited: bool) -> None:
    (pk,) = confirmations(world, [ticket(1)], MAIL + LOOSE)
    world.break_braze(Fault(kind="reset_after", path=MAIL_PATH, nth=(1,)))
    world.run("mails")
    world.break_braze()
    if edited:  # it leaves as the row is by then, under the same key
        world.caspio.update_rows("Tickets", {"Subject": "Another"}, f"PK_ID = {pk}")
    world.clock.advance(22 * AN_HOUR)
    sound = world.braze.app
    world.braze.app = between(sound, MAIL_PATH, lambda _: b'{"message": "down"}', status=503)  # type: ignore[method-assign]
    assert world.run("mails").verdicts == {"unknown": 1}
    world.braze.app = sound  # type: ignore[method-assign]
    world.clock.advance(12 * AN_HOUR)
    assert world.run("mails").verdicts == {}
    assert world.verdicts("mails") == {"unknown": 1}
    assert len(world.braze.messages) == 1


def test_a_message_that_may_be_repeated_and_did_not_leave_in_time_is_held(world: World) -> None:
    confirmations(world, [ticket(1)], MAIL + LOOSE)
    world.break_braze(Fault(kind="reset_after", path=MAIL_PATH, nth=(1,)))
    world.run("mails")
    world.break_braze()
    world.clock.advance(22 * AN_HOUR)
    world.break_braze(Fault(kind="status", status=401, path=MAIL_PATH))
    assert world.ended("mails").code == 2
    world.break_braze()
    world.clock.advance(12 * AN_HOUR)
    assert world.run("mails").verdicts == {}
    assert len(world.braze.messages) == 1
    with world.ledger() as ledger:  # a person's word holds, however late
        assert ledger.release_unknown("mails") == 1
    world.clock.advance(60)
    assert world.run("mails").verdicts == {"sent": 1}


def test_messages_that_are_taken_with_errors_are_not_said_to_be_sent(world: World) -> None:
    confirmations(world, [ticket(1), ticket(2)])
    told = b'{"dispatch_id": "d", "message": "success", "errors": ["c1@example.com cannot be reached"]}'
    world.braze.app = between(world.braze.app, CAMPAIGN_PATH, lambda _: told, status=201, hands_on=True)  # type: ignore[method-assign]
    report = world.run("mails")
    assert report.verdicts == {"unknown": 2}
    assert "cannot be reached" in report.reasons[0].reason
    assert "c1@example.com" not in report.reasons[0].reason


@pytest.mark.parametrize("text", [MESSAGES.replace(ORDER_CAMPAIGN, "nobody"), CANVAS.replace(ORDER_CANVAS, "paused")])
def test_a_campaign_that_is_not_there_and_a_paused_canvas_stop_the_run(world: World, text: str) -> None:
    world.braze = BrazeSandbox(BrazeBehaviour(paused_canvases=frozenset({"paused"})), world.clock)
    confirmations(world, [ticket(number) for number in range(1, 121)], text + LOOSE)
    ended = world.ended("mails")
    assert ended.code == 2
    assert "nothing was sent" in ended.message
    assert world.braze.messages == []
    assert world.verdicts("mails") == {}
    world.sync(MESSAGES + LOOSE, "mails")
    world.clock.advance(60)
    assert world.run("mails").verdicts == {"sent": 120}


def test_a_refused_recipient_is_found_and_the_others_go(world: World) -> None:
    rows = [ticket(number) for number in range(1, 9)]
    confirmations(world, rows)
    from tests.flows.gateway import refusing

    world.braze.app = refusing(world.braze.app, CAMPAIGN_PATH, b'"c5"', "no such person")  # type: ignore[method-assign]
    assert world.run("mails").verdicts == {"sent": 7, "rejected": 1}
    assert sorted(whom(world)) == ["c1", "c2", "c3", "c4", "c6", "c7", "c8"]


def test_what_is_old_is_held_and_nobody_is_written_to_about_it(world: World) -> None:
    confirmations(world, [ticket(1), ticket(2, OpenedAt=minutes_ago(60 * 24 * 40))])
    assert world.run("mails").verdicts == {"sent": 1, "quarantined": 1}


@pytest.mark.parametrize(
    ("identity", "who"),
    [
        ("{email: Subject}", "c1@example.com"),
        ("{user_alias: {name: CustomerNo, label: shop}}", {"alias_name": "c1", "alias_label": "shop"}),
    ],
)
def test_other_identifiers(world: World, identity: str, who: Any) -> None:
    text = MESSAGES.replace("{external_id: CustomerNo}", identity).replace("subject: Subject, ", "")
    confirmations(world, [ticket(1, Subject="c1@example.com")], text + LOOSE)
    alias = {"alias_name": "c1", "alias_label": "shop"}
    made = {"user_alias": alias, "_update_existing_only": False, "first_name": "A"}
    world.braze.store.apply_attributes(made, world.clock.now().timestamp())
    assert world.run("mails").verdicts == {"sent": 1}
    assert whom(world) == [who]


def test_erased_people_get_no_message(world: World) -> None:
    confirmations(world, [ticket(1), ticket(2)])
    assert CliRunner().invoke(app, ["erase", "mails", "c1", "--yes"]).exit_code == 0
    world.run("mails")
    assert whom(world) == ["c2"]


def test_a_plan_shows_what_would_go_and_sends_nothing(world: World) -> None:
    confirmations(world, [ticket(number) for number in range(1, 61)])
    plan = world.plan("mails", show=1)
    assert (plan.to_send, plan.report.requests, plan.report.data_points) == (60, 2, 0)
    assert world.braze.messages == []


def test_check_names_what_the_key_may_send(world: World) -> None:
    confirmations(world, [ticket(1)])
    told = " ".join(CliRunner().invoke(app, ["check", "mails"]).output.split())
    assert "may send messages" in told
    world.braze = BrazeSandbox(BrazeBehaviour(keys={"sandbox-key": frozenset({"users.track"})}), world.clock)
    refused = CliRunner().invoke(app, ["check", "mails"])
    assert refused.exit_code == 2
    assert "campaigns.trigger.send" in " ".join(refused.output.split())


def test_verify_says_that_messages_are_not_counted(world: World) -> None:
    confirmations(world, [ticket(1)])
    world.run("mails")
    told = CliRunner().invoke(app, ["verify", "mails"])
    assert "does not tell by person" in str(told.exception)


def test_the_shipped_confirmations_reach_whoever_is_known(world: World) -> None:
    world.shipped("confirmations")
    load_orders(world.caspio)
    orders = orders_of(read_order_lines()).filter(pl.col("CustomerNo") != "")
    for customer in orders["CustomerNo"].unique(maintain_order=True).head(100):
        made = {"external_id": customer, "first_name": "A"}
        world.braze.store.apply_attributes(made, world.clock.now().timestamp())
    report = world.run("confirmations")
    assert report.verdicts == {"sent": orders.height}
    known = orders.filter(
        pl.col("CustomerNo").is_in(orders["CustomerNo"].unique(maintain_order=True).head(100).implode())
    )
    assert {each.send_id for each in world.braze.messages} == {
        f"confirmations-{row['PK_ID']}"
        for row in world.caspio.rows("Orders")
        if row["InvoiceNo"] in set(known["InvoiceNo"])
    }
