"""The first events of a ledger: asked about before they leave, for a lost ledger would send them twice."""

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.sandbox.faults import Fault
from tests.flows.happenings import line, order_lines, ticket, tickets
from tests.flows.world import World

AN_HOUR = 3600.0


def lose_the_ledger(world: World) -> None:
    for each in world.ledger_file.parent.glob("ledger.db*"):
        each.unlink()


@pytest.mark.parametrize("kind", ["tickets", "orders"])
def test_a_ledger_that_is_lost_sends_no_event_again(world: World, kind: str) -> None:
    if kind == "tickets":
        tickets(world, [ticket(number) for number in range(1, 40)])
    else:
        order_lines(world, [line(number) for number in range(1, 40)])
    assert world.run(kind).sent == 39
    came = len(world.braze.log)
    lose_the_ledger(world)
    world.clock.advance(AN_HOUR)
    for options in ({}, {"full": True}, {"pk_range": (1, 100)}):
        ended = world.ended(kind, **options)
        assert ended.code == 2
        assert "of 20 people looked at 20 have as many" in ended.message
        assert "--baseline" in ended.message
    assert "20 have as many" in CliRunner().invoke(app, ["plan", kind]).output.replace("\n", " ")
    assert len(world.braze.log) == came
    world.run(kind, baseline=True)
    world.clock.advance(AN_HOUR)
    assert world.run(kind, full=True).sent == 0
    assert len(world.braze.log) == came


def test_events_that_came_from_somewhere_else_stop_nobody_who_says_so(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, 5)])
    world.run("tickets")
    lose_the_ledger(world)
    assert world.ended("tickets").code == 2
    assert world.run("tickets", not_ours=True).sent == 4
    world.caspio.insert_rows("Tickets", [ticket(1)])
    world.clock.advance(AN_HOUR)
    assert world.run("tickets").sent == 1  # the ledger knows what is its own by now


def test_a_key_that_may_not_look_sends_and_says_so(world: World) -> None:
    tickets(world, [ticket(1)])
    world.break_braze(Fault(kind="status", path="/users/export/ids", status=401))
    report = world.run("tickets")
    assert report.sent == 1
    assert any("could not be seen" in note for note in report.notes)
