"""Events whose answer was lost are settled by what Braze counts, where that says whether they arrived."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError
from caspio_sync.sandbox.faults import Fault
from tests.flows.happenings import (
    LINES_SYNC,
    LOOSE,
    MESSAGES,
    TICKETS_SYNC,
    arrived,
    line,
    minutes_ago,
    order_lines,
    ticket,
    tickets,
)
from tests.flows.world import World

AN_HOUR = 3600.0
A_DAY = 24 * AN_HOUR


def lose(world: World, *, there: bool, sync: str = "tickets", **options: Any) -> None:
    """A run whose first request is answered by nobody, and arrives or does not."""
    fault = (
        Fault(kind="reset_after", path="/users/track", nth=(1,))
        if there
        else Fault(kind="status", status=502, path="/users/track", nth=(1,))
    )
    world.break_braze(fault)
    world.run(sync, **options)
    world.break_braze()


def counted(sync: str = "tickets") -> dict[str, Any]:
    done = CliRunner().invoke(app, ["unknown", sync, "--count", "--json"])
    if done.exit_code:
        raise done.exception or AssertionError(done.output)
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def why(told: dict[str, Any]) -> str:
    assert (told["arrived"], told["released"]) == ([], [])
    (said,) = told["left"]
    return str(said)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_there_is_recorded_and_what_is_not_is_sent(world: World, there: bool) -> None:
    first = tickets(world, [ticket(number) for number in (1, 2, 3)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    lost = world.caspio.insert_rows("Tickets", [ticket(1, OpenedAt=minutes_ago(-30)), ticket(4)])
    lose(world, there=there)
    world.clock.advance(2 * AN_HOUR)
    told = counted()
    assert told == {"sync": "tickets", "arrived": lost if there else [], "released": [] if there else lost, "left": {}}
    assert counted()["left"] == {}
    assert world.run("tickets").sent == (0 if there else 2)
    world.clock.advance(AN_HOUR)
    world.run("tickets", full=True)
    assert world.verdicts("tickets") == {"sent": 5}
    assert len(arrived(world)) == 5 == len(first) + len(lost)


def test_an_hour_has_to_pass(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    lose(world, there=True)
    world.clock.advance(AN_HOUR / 2)
    assert "may not be counted yet" in why(counted())
    world.clock.advance(AN_HOUR)
    assert len(counted()["arrived"]) == 2


def test_of_a_name_that_is_shown_of_nobody_nothing_follows(world: World) -> None:
    tickets(world, [ticket(1)])
    lose(world, there=False)
    world.clock.advance(2 * AN_HOUR)
    assert "shown of anybody" in why(counted())


@pytest.mark.parametrize("days", [80, 95])
def test_what_is_older_than_90_days_is_told_as_not_verifiable(world: World, days: int) -> None:
    tickets(world, [ticket(1), ticket(2)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    (lost,) = world.caspio.insert_rows("Tickets", [ticket(3)])
    lose(world, there=False)
    world.clock.advance(days * A_DAY)
    world.caspio.insert_rows("Tickets", [ticket(4, OpenedAt=f"{world.clock.now():%Y-%m-%dT%H:%M:%S}")])
    world.run("tickets")
    if days < 90:
        assert counted()["released"] == [lost]
    else:
        assert "older than the 90 days" in why(counted())


def test_what_others_send_under_the_same_name_leaves_it_open(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Tickets", [ticket(1, OpenedAt=minutes_ago(-30))])
    lose(world, there=False)
    other = {"external_id": "c1", "name": "support_ticket_opened", "time": "2026-01-01T00:00:00Z"}
    world.braze.store.apply_event(other, world.clock.now().timestamp())
    world.clock.advance(2 * AN_HOUR)
    assert "others send these names too" in why(counted())


def test_a_row_that_was_changed_since_leaves_it_open(world: World) -> None:
    (first, _) = tickets(world, [ticket(1), ticket(2)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Tickets", [ticket(1)])
    lose(world, there=True)
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {first}")
    world.clock.advance(2 * AN_HOUR)
    assert "not as it was sent" in why(counted())


def test_a_row_that_is_gone_leaves_it_open(world: World) -> None:
    tickets(world, [ticket(2)])
    world.run("tickets")
    (pk,) = world.caspio.insert_rows("Tickets", [ticket(1)])
    lose(world, there=True)
    world.caspio.delete_rows("Tickets", f"PK_ID = {pk}")
    world.clock.advance(2 * AN_HOUR)
    assert "not as it was sent" in why(counted())


def test_what_was_dropped_by_hand_leaves_others_of_the_person_open(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    lose(world, there=True)
    assert CliRunner().invoke(app, ["unknown", "tickets", "--drop", "--all"]).exit_code == 0
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Tickets", [ticket(1)])
    lose(world, there=True)
    world.clock.advance(2 * AN_HOUR)
    assert "taken for sent" in why(counted())


def test_a_person_who_bears_another_key_by_now_is_left_open(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("Tickets", [ticket(1)])
    lose(world, there=True)
    world.braze.settle()
    assert world.braze.store.rename("c1", "n1") is None
    world.clock.advance(2 * AN_HOUR)
    assert "another one there by now" in why(counted())


@pytest.mark.parametrize("there", [True, False])
def test_of_purchases_each_piece_counts(world: World, there: bool) -> None:
    text = LINES_SYNC.replace("quantity: Quantity", "quantity: {from: Quantity, above_most: split}") + LOOSE
    order_lines(world, [line(1, Quantity=3), line(2)], text)
    world.run("orders")
    world.clock.advance(AN_HOUR)
    lost = world.caspio.insert_rows(
        "Lines", [line(1, Quantity=250, BoughtAt=minutes_ago(-10)), line(2, BoughtAt=minutes_ago(-10))]
    )
    lose(world, there=there, sync="orders", full=True)
    world.clock.advance(2 * AN_HOUR)
    told = counted("orders")
    assert (told["arrived"], told["released"]) == ((lost, []) if there else ([], lost))


@pytest.mark.parametrize(
    ("text", "said"),
    [(TICKETS_SYNC + "on_update: new_event\n", "on_update"), (MESSAGES, "nobody tells")],
)
def test_syncs_of_which_counts_say_nothing_are_refused(world: World, text: str, said: str) -> None:
    tickets(world, [ticket(1)], text + LOOSE)
    with pytest.raises(CaspioSyncError, match=said):
        counted()


def test_while_braze_does_not_answer_nothing_is_settled(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    lose(world, there=True)
    world.clock.advance(2 * AN_HOUR)
    world.break_braze(Fault(kind="status", status=503, path="/users/export/ids"))
    with pytest.raises(CaspioSyncError):
        counted()
    world.break_braze()
    assert len(counted()["arrived"]) == 2


def test_it_goes_with_no_other_word(world: World) -> None:
    tickets(world, [ticket(1)])
    for more in (["--all"], ["--pk", "1"], ["--drop"]):
        assert CliRunner().invoke(app, ["unknown", "tickets", "--count", *more]).exit_code
