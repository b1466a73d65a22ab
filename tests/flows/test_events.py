import asyncio
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.sandbox.faults import Fault
from tests.flows.happenings import (
    LINES_SYNC,
    LOOSE,
    TICKETS_SYNC,
    arrived,
    line,
    minutes_ago,
    order_lines,
    ticket,
    tickets,
)
from tests.flows.hooked import Hooked
from tests.flows.world import World

AN_HOUR = 3600.0


def test_each_row_is_one_event_and_no_later_run_sends_it_again(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 6)])
    report = world.run("tickets")
    assert (report.verdicts, report.data_points) == ({"sent": 5}, 5)
    assert arrived(world)[0].keys() == {"external_id", "name", "time", "properties", "_update_existing_only"}
    one = next(each for each in arrived(world) if each["external_id"] == "c2")
    assert one["name"] == "support_ticket_opened"
    assert one["time"].startswith("2026-03-02T11:58:00")
    assert one["properties"] == {"subject": "Ticket 2", "priority": 2, "status": "open"}
    for options in ({}, {"full": True}, {"pk_range": (1, 100)}, {"row_keys": ["c1", "c2"]}):
        world.clock.advance(AN_HOUR)
        assert world.run("tickets", **options).verdicts == {}
    assert len(arrived(world)) == 5


def test_several_events_of_one_person_are_one_event_each(world: World) -> None:
    tickets(world, [ticket(number, CustomerNo="c1") for number in range(1, 6)])
    assert world.run("tickets").verdicts == {"sent": 5}
    assert [each["properties"]["subject"] for each in arrived(world)] == [f"Ticket {n}" for n in (5, 4, 3, 2, 1)]


def test_resend_is_refused(world: World) -> None:
    tickets(world, [ticket(1)])
    world.run("tickets")
    ended = world.ended("tickets", resend=True)
    assert ended.code == 2
    assert "nothing was sent" in ended.message
    assert len(arrived(world)) == 1


def test_an_edit_is_ignored_or_an_event_of_its_own_or_held(world: World) -> None:
    (pk,) = tickets(world, [ticket(1)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {pk}")
    report = world.run("tickets")
    assert (report.verdicts, report.unchanged) == ({}, 1)
    assert any("differ from what was sent" in note for note in report.notes)
    world.sync(TICKETS_SYNC + "on_update: hold\n" + LOOSE, "tickets")
    assert world.run("tickets", full=True).verdicts == {"quarantined": 1}
    world.sync(TICKETS_SYNC + "on_update: new_event\n" + LOOSE, "tickets")
    assert world.run("tickets", full=True).verdicts == {"sent": 1}
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Tickets", {"Status": "open"}, f"PK_ID = {pk}")
    assert world.run("tickets").verdicts == {"sent": 1}
    assert [each["properties"]["status"] for each in arrived(world)] == ["open", "closed", "open"]


def test_another_mapping_is_no_other_version(world: World) -> None:
    tickets(world, [ticket(1)], TICKETS_SYNC + "on_update: new_event\n")
    world.run("tickets")
    text = TICKETS_SYNC.replace("subject: Subject,", "subject: {from: Subject, transform: upper},")
    for other in (text, text.replace("status: Status", "status: Status, who: CustomerNo, changed_at: ChangedAt")):
        world.clock.advance(AN_HOUR)
        world.sync(other + "on_update: new_event\n", "tickets")
        assert world.run("tickets", full=True).verdicts == {}
    assert len(arrived(world)) == 1


@pytest.mark.parametrize("kind", ["reset_after", "truncate", "foreign"])
def test_a_lost_answer_makes_unknown_and_nothing_is_repeated(world: World, kind: str) -> None:
    tickets(world, [ticket(number) for number in range(1, 6)])
    world.break_braze(Fault(kind=kind, path="/users/track", nth=(1,)))
    world.ended("tickets")
    world.break_braze()
    assert world.verdicts("tickets") == {"unknown": 5}
    taken = len(arrived(world))
    assert taken == (0 if kind == "foreign" else 5)
    for _ in range(2):
        world.clock.advance(AN_HOUR)
        report = world.run("tickets", full=True)
        assert (report.verdicts, report.held) == ({}, {"unknown": 5})
    assert len(arrived(world)) == taken


def test_when_lost_resend_sends_once_more(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 6)], TICKETS_SYNC + "when_lost: resend\n" + LOOSE)
    world.break_braze(Fault(kind="reset_after", path="/users/track", nth=(1,)))
    assert world.run("tickets").verdicts == {"unknown": 5}
    world.break_braze()
    world.clock.advance(AN_HOUR)
    report = world.run("tickets")
    assert report.verdicts == {"sent": 5}
    assert any("may have them twice" in note for note in report.notes)
    assert len(arrived(world)) == 10
    world.clock.advance(AN_HOUR)
    assert world.run("tickets", full=True).verdicts == {}


def test_a_refused_connection_and_a_429_are_not_lost(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 6)])
    world.break_braze(
        Fault(kind="reset_before", path="/users/track", nth=(1,)),
        Fault(kind="refuse", path="/users/track", nth=(2,), seconds=2),
    )
    assert world.run("tickets").verdicts == {"sent": 5}
    assert len(arrived(world)) == 5


def test_while_braze_is_away_little_becomes_unknown_and_the_rest_is_sent_later(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 301)])
    world.break_braze(Fault(kind="status", status=503, path="/users/track"))
    ended = world.ended("tickets")
    assert ended.code == 4
    world.break_braze()
    world.clock.advance(AN_HOUR)
    report = world.run("tickets")
    unknown = world.verdicts("tickets").get("unknown", 0)
    assert 0 < unknown <= 300
    assert report.verdicts.get("sent", 0) + unknown == 300
    assert len(arrived(world)) == 300 - unknown


def test_a_first_run_over_history_is_blocked_and_a_backfill_sends_it(world: World) -> None:
    old = [ticket(number, OpenedAt=minutes_ago(60 * 24 * 400)) for number in range(1, 31)]
    pks = tickets(world, old, TICKETS_SYNC)
    ended = world.ended("tickets")
    assert ended.code == 3
    assert "time_not_too_old" in ended.message
    assert arrived(world) == []
    report = world.run("tickets", pk_range=(pks[0], pks[-1]))
    assert report.verdicts == {"sent": 30}
    assert len(arrived(world)) == 30


def test_purchases(world: World) -> None:
    rows = [line(1), line(2, Quantity=250), line(3, Quantity=-4), line(4, Price=None), line(5, CustomerNo="")]
    order_lines(world, rows)
    report = world.run("orders")
    assert report.verdicts == {"sent": 1, "quarantined": 4}
    (bought,) = arrived(world, "purchases")
    assert bought == {
        "external_id": "c1",
        "product_id": "p1",
        "currency": "GBP",
        "time": bought["time"],
        "price": 2.5,
        "quantity": 2,
        "properties": {"invoice": "i1"},
        "_update_existing_only": False,
    }


def test_many_pieces_and_returns_become_what_the_sync_says(world: World) -> None:
    rows = [line(1, Quantity=250), line(2, Quantity=-4), line(3, Quantity=100), line(4, Quantity=7501)]
    text = LINES_SYNC.replace("quantity: Quantity", "quantity: {from: Quantity, above_most: split}")
    order_lines(world, rows, text + "negative: {event: order_line_returned}\n" + LOOSE)
    report = world.run("orders")
    assert report.verdicts == {"sent": 3, "quarantined": 1}
    pieces = [(each["external_id"], each["quantity"]) for each in arrived(world, "purchases")]
    assert sorted(pieces) == [("c1", 50), ("c1", 100), ("c1", 100), ("c3", 100)]
    (returned,) = arrived(world)
    assert (returned["name"], returned["properties"]["quantity"]) == ("order_line_returned", -4)
    assert report.data_points == world.braze.data_points == 351


def test_many_pieces_as_a_property(world: World) -> None:
    text = LINES_SYNC.replace("quantity: Quantity", "quantity: {from: Quantity, above_most: property}")
    order_lines(world, [line(2, Quantity=250)], text + LOOSE)
    world.run("orders")
    (bought,) = arrived(world, "purchases")
    assert (bought["quantity"], bought["price"], bought["properties"]["units"]) == (1, 1250, 250)


def test_rows_that_are_added_are_found_by_their_number_and_late_ones_as_well(world: World) -> None:
    order_lines(world, [line(number) for number in range(1, 4)])
    world.run("orders")
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Lines", [line(4), line(5), line(6)])
    world.caspio.delete_rows("Lines", "Invoice = 'i5'")
    report = world.run("orders")
    assert (report.mode, report.read, report.verdicts) == ("incremental", 2, {"sent": 2})
    world.caspio.account.table("Lines").next_pk = 5  # of a transaction that was begun before and ends now
    world.caspio.insert_rows("Lines", [line(5)])
    world.clock.advance(60)
    report = world.run("orders")
    assert (report.mode, report.read, report.verdicts) == ("incremental", 3, {"sent": 1})
    world.clock.advance(AN_HOUR)
    assert (world.run("orders").read, world.run("orders", full=True).verdicts) == (0, {})


def test_a_baseline_sends_nothing_and_takes_all_for_sent(world: World) -> None:
    tickets(world, [ticket(number, OpenedAt=minutes_ago(60 * 24 * 20)) for number in range(1, 4)])
    assert world.run("tickets", baseline=True).baseline == 3
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Tickets", [ticket(4)])
    assert world.run("tickets", full=True).verdicts == {"sent": 1}
    assert [each["external_id"] for each in arrived(world)] == ["c4"]


def test_a_baseline_takes_history_for_sent_however_old(world: World) -> None:
    pks = tickets(world, [ticket(number, OpenedAt=minutes_ago(60 * 24 * 400)) for number in range(1, 31)], TICKETS_SYNC)
    assert world.run("tickets", baseline=True).baseline == 30
    assert world.run("tickets", pk_range=(pks[0], pks[-1])).verdicts == {}
    assert arrived(world) == []


def test_a_row_that_is_asked_for_by_two_spellings_of_its_key_is_one_event(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 151)])
    keys = [SecretStr(f"{letter}{number}") for letter in "cC" for number in range(1, 151)]  # more than one call takes
    assert world.run("tickets", row_keys=tuple(keys)).verdicts == {"sent": 150}
    assert len(arrived(world)) == 150


def test_announced_rows_are_events_once_whoever_reads_them_first(world: World) -> None:
    hooked, sheet = Hooked(world), world.caspio.datasheet
    tickets(world, [ticket(1)])
    order_lines(world, [line(1)])
    hooked.hook("Tickets", "tickets")
    hooked.hook("Lines", "orders")
    world.run("tickets")
    world.run("orders")
    world.clock.advance(AN_HOUR)
    sheet.insert("Tickets", ticket(2))
    sheet.update("Tickets", {"Status": "closed"}, "PK_ID = 1")
    sheet.insert("Lines", line(2))
    hooked.deliver()
    for name in ("tickets", "orders"):
        assert world.run(name, hints=True).verdicts == {"sent": 1}
        assert world.run(name).verdicts == world.run(name, full=True).verdicts == {}
    assert len(arrived(world)) == len(arrived(world, "purchases")) == 2


def test_an_announced_row_that_is_gone_is_said_and_told_again_none_is_an_event_twice(world: World) -> None:
    hooked = Hooked(world)
    hooked.misbehave(webhook_duplicates=1.0, webhook_disorder=True, seed=3)
    sheet = world.caspio.datasheet
    tickets(world, [])
    hooked.hook("Tickets", "tickets")
    for number in range(1, 6):
        sheet.insert("Tickets", ticket(number))
    sheet.delete("Tickets", "PK_ID = 3")
    hooked.deliver()
    report = world.run("tickets", hints=True)
    assert report.verdicts == {"sent": 4}
    assert any("1 announced rows are gone from Caspio" in each for each in report.notes)
    assert hooked.waiting("tickets") == 0
    sheet.delete("Tickets", "PK_ID = 4")  # what was sent of it stays
    sheet.update("Tickets", {"Status": "closed"}, "PK_ID > 0")
    hooked.deliver()
    assert world.run("tickets", hints=True).verdicts == world.run("tickets", full=True).verdicts == {}
    assert sorted(each["external_id"] for each in arrived(world)) == ["c1", "c2", "c4", "c5"]


def test_an_event_of_the_future_leaves_when_its_time_has_come(world: World) -> None:
    tickets(world, [ticket(1), ticket(2, OpenedAt=minutes_ago(-90))])
    assert world.run("tickets").verdicts == {"sent": 1, "quarantined": 1}
    world.clock.advance(AN_HOUR)
    assert world.run("tickets").verdicts == {"quarantined": 1}
    world.clock.advance(AN_HOUR)
    assert world.run("tickets").verdicts == {"sent": 1}
    assert len(arrived(world)) == 2


def test_of_one_person_there_is_one_request_at_a_time(world: World) -> None:
    tickets(world, [ticket(number, CustomerNo=f"c{number % 2}") for number in range(1, 401)])
    assert world.run("tickets").verdicts == {"sent": 400}
    for who in ("c0", "c1"):
        times = [each["time"] for each in arrived(world) if each["external_id"] == who]
        assert times == sorted(times)


def test_a_row_that_leaves_the_condition_or_comes_back_is_no_second_event(world: World) -> None:
    (pk,) = tickets(world, [ticket(1)], TICKETS_SYNC + "when: \"Status <> 'draft'\"\n" + LOOSE)
    for status in ("draft", "open", "draft", "open"):
        world.run("tickets", full=True)
        world.clock.advance(AN_HOUR)
        world.caspio.update_rows("Tickets", {"Status": status}, f"PK_ID = {pk}")
    assert len(arrived(world)) == 1


def test_times_in_both_hours_of_autumn_are_told_apart_as_the_clock_tells_them(world: World) -> None:
    """A wall clock reads 01:30 twice; which one is meant nobody can tell, and it is one event all the same."""
    text = TICKETS_SYNC.replace("cursor: ChangedAt", "cursor: ChangedAt, time_zone: Europe/London")
    tickets(world, [ticket(1, OpenedAt="2025-10-26T01:30:00")], text + "gate: {max_age: 400d}\n")
    assert world.run("tickets").verdicts == {"sent": 1}
    assert arrived(world)[0]["time"][:16] in {"2025-10-26T00:30", "2025-10-26T01:30"}


def test_verify_counts_what_braze_has_of_people(world: World) -> None:
    tickets(world, [ticket(number, CustomerNo=f"c{number % 3}") for number in range(1, 8)])
    world.run("tickets")
    world.braze.settle()

    def told() -> dict[str, int]:
        done = CliRunner().invoke(app, ["verify", "tickets", "--json"])
        assert done.exit_code == 0, done.output
        report: dict[str, int] = orjson.loads(done.stdout)
        return {name: report[name] for name in ("people", "rows", "enough", "fewer", "not_shown")}

    assert told() == {"people": 3, "rows": 7, "enough": 3, "fewer": 0, "not_shown": 0}
    kept = [each.object for each in world.braze.log if each.object["external_id"] != "c2"]
    world.braze.reset()
    post(world, {"events": kept[:-1]})
    assert told() == {"people": 3, "rows": 7, "enough": 1, "fewer": 1, "not_shown": 1}


def test_verify_counts_purchases(world: World) -> None:
    order_lines(world, [line(number) for number in range(1, 4)])
    world.run("orders")
    world.braze.settle()
    done = CliRunner().invoke(app, ["verify", "orders", "--all"])
    assert "3: Braze counts as many, or more" in done.output, done.output


def post(world: World, body: dict[str, Any]) -> None:
    """Somebody else sends this."""

    async def send() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=world.braze.app)) as client:
            headers = {"Authorization": "Bearer sandbox-key"}
            answer = await client.post("http://braze.test/users/track", json=body, headers=headers)
            assert answer.status_code == 201, answer.text

    asyncio.run(send())
    world.braze.settle()


def test_why_tells_of_one_event_of_several(world: World) -> None:
    pks = tickets(world, [ticket(number, CustomerNo="c1") for number in range(1, 4)])
    world.run("tickets")
    done = CliRunner().invoke(app, ["why", "tickets", "c1", "--pk", str(pks[1]), "--json"])
    told = orjson.loads(done.stdout)
    assert (told["caspio"]["source_pk"], told["ledger"]["source_pk"]) == (pks[1], pks[1])
    assert told["mapped"]["values"]["subject"] == "Ticket 2"
    done = CliRunner().invoke(app, ["why", "tickets", "c1"])
    assert "Each is sent, as an event of its own" in done.output
    done = CliRunner().invoke(app, ["why", "tickets", "c2", "--pk", str(pks[1])])
    assert done.exit_code


def test_a_property_may_bear_the_name_of_a_part_of_a_purchase(world: World) -> None:
    text = TICKETS_SYNC.replace("priority: Priority", "price: Priority, currency: {constant: GBP}") + LOOSE
    tickets(world, [ticket(1)], text)
    assert world.run("tickets").verdicts == {"sent": 1}
    assert arrived(world)[0]["properties"] == {"subject": "Ticket 1", "price": 1, "status": "open", "currency": "GBP"}


@pytest.mark.parametrize(("rows", "theirs", "code"), [(300, 160, 3), (300, 150, 0), (100, 90, 0)])
def test_a_batch_that_is_mostly_of_one_person_is_blocked(world: World, rows: int, theirs: int, code: int) -> None:
    tickets(world, [ticket(n, CustomerNo="c0" if n <= theirs else f"c{n}") for n in range(1, rows + 1)])
    ended = world.ended("tickets")
    assert ended.code == code
    assert len(arrived(world)) == (0 if code else rows)
    if code:
        assert "more than 50% of the rows are of one person (gate.max_person_share)" in ended.message
        world.sync(TICKETS_SYNC + "gate: {max_person_share: 1}\n", "tickets")
        assert world.run("tickets").sent == rows


def test_rows_of_nobody_are_not_one_person(world: World) -> None:
    rows = [ticket(n, CustomerNo="" if n <= 200 else f"c{n}") for n in range(1, 301)]
    tickets(world, rows)
    world.sync(TICKETS_SYNC + LOOSE, "tickets")
    assert world.run("tickets").verdicts == {"quarantined": 200, "sent": 100}
