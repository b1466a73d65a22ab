"""Events that ActiveCampaign tracks: each once, of people who are there, while events are saved at all."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.engine.kind import kind_named
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.activecampaign.tracking import Tracked
from caspio_sync.sandbox.faults import Fault
from caspio_sync.schemas import CaspioField
from tests.flows.gateway import between
from tests.flows.happenings import LOOSE, ticket, tickets
from tests.flows.hooked import Hooked
from tests.flows.world import World

AN_HOUR = 3600.0
SYNC = """\
kind: events
destination: activecampaign
source: {table: Tickets, cursor: ChangedAt}
identity: {email: CustomerNo}
event: {from: Status, map: {open: ticket_opened, closed: ticket_closed}}
time: OpenedAt
properties: {subject: Subject}
options: {create: true}
"""


def account(world: World, **behaviour: Any) -> None:
    world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), world.clock)
    world.activecampaign.event_server = ("trackcmp.test", None)


def address(number: int) -> str:
    return f"c{number}@example.com"


def opened(world: World, rows: int = 3, text: str = SYNC, **more: Any) -> None:
    tickets(world, [ticket(n, CustomerNo=address(n), **more) for n in range(1, rows + 1)], text + LOOSE)


def there(world: World, *numbers: int) -> None:
    for number in numbers:
        world.activecampaign.store.make(address(number), 0.0)


def tracked(world: World) -> list[Tracked]:
    return world.activecampaign.tracking.taken


def later(world: World, **options: Any) -> dict[str, int]:
    world.clock.advance(AN_HOUR)
    verdicts: dict[str, int] = world.run("tickets", **options).verdicts
    return verdicts


def test_each_row_is_one_event_of_its_contact_and_no_later_run_sends_it_again(world: World) -> None:
    there(world, 1, 2, 3)
    opened(world)
    report = world.run("tickets")
    assert (report.verdicts, report.data_points) == ({"sent": 3}, 0)
    assert [(each.email, each.name, each.value) for each in tracked(world)] == [
        (address(n), "ticket_opened", f"Ticket {n}") for n in (1, 2, 3)
    ]
    assert None not in {each.contact for each in tracked(world)}
    assert world.activecampaign.tracking.names == ["ticket_opened", "ticket_closed"]
    assert later(world, full=True) == {}
    assert len(tracked(world)) == 3


def test_an_event_waits_for_its_person_and_leaves_by_itself(world: World) -> None:
    there(world, 1)
    opened(world)
    assert world.run("tickets").verdicts == {"sent": 1, "quarantined": 2}
    there(world, 2)
    assert later(world) == {"sent": 1, "quarantined": 1}
    assert [each.email for each in tracked(world)] == [address(1), address(2)]


def test_those_who_never_come_keep_nobody_waiting(world: World) -> None:
    opened(world, 260)
    assert later(world) == {"quarantined": 260}
    later(world)  # reads once more what the first run may have missed
    there(world, 255)
    assert sum(later(world).get("sent", 0) for _ in range(3)) == 1
    assert [each.email for each in tracked(world)] == [address(255)]


def test_where_the_file_says_so_nobody_is_asked_for(world: World) -> None:
    opened(world, text=SYNC.replace("create: true", "create: true, contacts: ignore"))
    assert world.run("tickets").verdicts == {"sent": 3}
    assert {each.contact for each in tracked(world)} == {None}
    assert world.activecampaign.calls["GET contacts"] == 3  # the look before the first events of a ledger, no other


def test_each_person_is_asked_for_once_a_run(world: World) -> None:
    there(world, 1)
    rows = [ticket(n, CustomerNo=address(1)) for n in range(1, 8)]
    tickets(world, rows, SYNC + LOOSE)
    assert world.run("tickets").verdicts == {"sent": 7}
    assert world.activecampaign.calls["GET contacts"] == 1
    assert [each.value for each in tracked(world)] == [f"Ticket {n}" for n in range(7, 0, -1)]  # in their order


def test_several_properties_are_one_text(world: World) -> None:
    there(world, 1)
    opened(world, 1, SYNC.replace("{subject: Subject}", "{subject: Subject, priority: Priority, status: Status}"))
    world.run("tickets")
    assert tracked(world)[0].value == '{"subject":"Ticket 1","priority":1,"status":"open"}'


def test_a_value_that_would_be_cut_is_held(world: World) -> None:
    there(world, 1)
    opened(world, 1, Subject="x" * 250)
    assert world.run("tickets").verdicts == {"quarantined": 1}
    assert tracked(world) == []


@pytest.mark.parametrize("untracked", ["taken", "refused"])
def test_while_events_are_not_saved_none_leaves(world: World, untracked: str) -> None:
    account(world, tracking_enabled=False, untracked=untracked)
    there(world, 1)
    opened(world, 1)
    ended = world.ended("tickets")
    assert ended.code == 2
    assert "event tracking is off" in ended.message
    assert world.activecampaign.calls["POST /event"] == 0
    world.activecampaign.tracking.enabled = True
    assert later(world) == {"sent": 1}


@pytest.mark.parametrize("event_refusal", ["success", "400"])
def test_another_key_rejects_no_event(world: World, event_refusal: str) -> None:
    account(world, event_key="another", event_refusal=event_refusal)
    there(world, 1, 2)
    opened(world, 2)
    ended = world.ended("tickets")
    assert ended.code == 2
    assert "ACTIVECAMPAIGN_EVENT_KEY" in ended.message
    assert "sandbox-activecampaign-event-key" not in ended.message
    assert world.verdicts("tickets") == {}
    account(world)
    there(world, 1, 2)
    assert later(world) == {"sent": 2}


def test_a_refused_event_is_rejected_alone(world: World) -> None:
    account(world, event_of_nobody="refused")
    there(world, 1, 3)
    opened(world, text=SYNC.replace("create: true", "create: true, contacts: ignore"))
    assert world.run("tickets").verdicts == {"sent": 2, "rejected": 1}


def test_a_refused_event_of_an_account_rejects_itself_and_shows_no_value(world: World) -> None:
    there(world, 1, 2, 3)
    opened(world, text=SYNC.replace("ticket_opened", "Account opened"), Subject="Miller")
    words = orjson.dumps({"success": 0, "message": "Account opened: eventdata 'Miller' is refused"})
    refuse = between(world.activecampaign.app, "/event", lambda body: words if b"c2%40" in body else None, status=400)
    world.activecampaign.app = refuse  # type: ignore[method-assign]
    report = world.run("tickets")
    assert report.verdicts == {"sent": 2, "rejected": 1}
    assert "Miller" not in report.reasons[0].reason


@pytest.mark.parametrize(("when_lost", "again"), [("hold", {}), ("resend", {"sent": 1})])
def test_a_lost_answer_is_unknown_until_the_file_or_a_person_says(
    world: World, when_lost: str, again: dict[str, int]
) -> None:
    there(world, 1, 2)
    opened(world, 2, SYNC + f"when_lost: {when_lost}\n")
    world.break_activecampaign(Fault(kind="reset_after", path="/event", nth=(1,)))
    assert world.run("tickets").verdicts == {"unknown": 1, "sent": 1}
    world.break_activecampaign()
    assert later(world) == again
    assert len(tracked(world)) == 2 + len(again)


def test_an_announced_row_is_an_event_within_seconds(world: World) -> None:
    hooked = Hooked(world)
    there(world, 1, 2)
    opened(world, 1)
    hooked.hook("Tickets", "tickets")
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.caspio.datasheet.insert("Tickets", ticket(2, CustomerNo=address(2)))
    hooked.deliver()
    began = world.clock.monotonic()
    assert world.run("tickets", hints=True).verdicts == {"sent": 1}
    assert world.clock.monotonic() - began < 10
    assert later(world, full=True) == {}


def test_names_that_are_missing_are_told_where_they_may_not_be_made(world: World) -> None:
    there(world, 1)
    opened(world, 1, SYNC.replace("options: {create: true}\n", ""))
    ended = world.ended("tickets")
    assert ended.code == 2
    assert "does not know ticket_opened, ticket_closed" in ended.message
    assert world.activecampaign.tracking.names == []


def test_settings_without_an_event_key_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVECAMPAIGN_EVENT_KEY", "")
    there(world, 1)
    opened(world, 1)
    assert "ACTIVECAMPAIGN_EVENT_KEY: not set" in world.ended("tickets").message
    checked = CliRunner().invoke(app, ["check", "tickets"])
    assert (checked.exit_code, "ACTIVECAMPAIGN_EVENT_KEY: not set" in " ".join(checked.output.split())) == (2, True)


def test_check_tells_that_tracking_is_off_and_what_would_be_made(world: World) -> None:
    opened(world, 1)
    assert "make the event ticket_opened" in " ".join(CliRunner().invoke(app, ["check", "tickets"]).output.split())
    account(world, tracking_enabled=False)
    checked = CliRunner().invoke(app, ["check", "tickets"])
    assert (checked.exit_code, "event tracking is off" in " ".join(checked.output.split())) == (2, True)


def test_a_plan_tells_calls_and_time_and_sends_nothing(world: World) -> None:
    there(world, 1, 2, 3)
    opened(world)
    plan = world.plan("tickets", show=1)
    assert (plan.to_send, plan.calls, plan.first) == (
        3,
        6,  # three people asked for, three events
        ["make the event ticket_opened", "make the event ticket_closed"],
    )
    assert plan.seconds == pytest.approx(1.5)
    assert plan.samples == [{"email": address(1), "name": "ticket_opened", "value": "Ticket 1"}]
    assert (tracked(world), world.activecampaign.tracking.names) == ([], [])


def test_verify_counts_what_stands_in_the_logs(world: World) -> None:
    there(world, 1, 2)
    opened(world, 2)
    world.run("tickets")
    del world.activecampaign.tracking.taken[0]
    told = " ".join(CliRunner().invoke(app, ["verify", "tickets"]).output.split())
    assert "2 people looked at" in told
    assert "1: ActiveCampaign counts as many, or more" in told
    assert "1: ActiveCampaign shows none" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SYNC.replace("ticket_opened", "x" * 33), "tickets.yaml:5: event.map.open: 'xxx"),
        (SYNC.replace("email: C", "external_id: C"), "tickets.yaml:4: identity.external_id: ActiveCampaign does not"),
        (
            SYNC.replace("{subject: Subject}", "{a: {object: {b: Subject}}}"),
            "properties.a: ActiveCampaign takes no obj",
        ),
    ],
)
def test_what_is_not_taken_is_told_with_file_and_line(world: World, text: str, said: str) -> None:
    path = world.sync(text, "tickets")
    with pytest.raises(ConfigurationError) as error:
        parse_sync(text, path)
    assert said in str(error.value)


def test_a_proposal_for_activecampaign_is_a_file_that_reads(world: World) -> None:
    fields = [
        CaspioField("Email", "STRING"),
        CaspioField("Subject", "TEXT"),
        CaspioField("OpenedAt", "DATE/TIME"),
    ]
    text = kind_named("events").propose("t" * 40, "Tickets", fields, destination="activecampaign")
    sync = parse_sync(text, world.folder / "syncs" / "tickets.yaml")
    assert (sync.destination, sync.identity.kind) == ("activecampaign", "email")
