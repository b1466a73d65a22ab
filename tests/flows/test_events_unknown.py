"""Events whose answer was lost: listed, settled, and never sent twice unless somebody says so."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.sandbox.faults import Fault
from tests.flows.happenings import LOOSE, TICKETS_SYNC, arrived, ticket, tickets
from tests.flows.world import World

AN_HOUR = 3600.0


def told(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["unknown", "tickets", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


@pytest.fixture
def pks(world: World) -> list[int]:
    """Three tickets that Braze has, of which nobody knows that."""
    made = tickets(world, [ticket(number) for number in range(1, 4)])
    world.break_braze(Fault(kind="reset_after", path="/users/track", nth=(1,)))
    world.run("tickets")
    world.break_braze()
    world.clock.advance(AN_HOUR)
    return made


def test_they_are_listed_and_dropped_for_good(world: World, pks: list[int]) -> None:
    assert {each["key"] for each in told()} == {"c1", "c2", "c3"}
    assert told("--drop", "--pk", str(pks[0])) == {"sync": "tickets", "settled": 1, "as": "drop"}
    assert {each["key"] for each in told()} == {"c2", "c3"}
    told("--drop", "--all")
    assert told() == []
    assert world.verdicts("tickets") == {"sent": 3}
    world.run("tickets", full=True)
    assert len(arrived(world)) == 3


def test_they_are_sent_once_more_where_a_person_says_so(world: World, pks: list[int]) -> None:
    told("--resend", "--pk", str(pks[1]))
    assert world.run("tickets").verdicts == {"sent": 1}
    assert [each["external_id"] for each in arrived(world)][3:] == ["c2"]
    assert {each["key"] for each in told()} == {"c1", "c3"}


def test_a_release_of_held_rows_sends_none_of_them(world: World, pks: list[int]) -> None:
    world.run("tickets", release=["unknown"])
    assert len(arrived(world)) == len(pks)


def test_a_changed_mapping_sends_none_of_them(world: World, pks: list[int]) -> None:
    text = TICKETS_SYNC.replace("properties: {", "properties: {who: CustomerNo, ")
    for more in ("", "on_update: new_event\n"):
        world.sync(text + more + LOOSE, "tickets")
        world.run("tickets", full=True)
        world.clock.advance(AN_HOUR)
    assert len(arrived(world)) == len(pks)


def test_the_next_version_of_a_lost_one_is_an_event_of_its_own(world: World, pks: list[int]) -> None:
    world.sync(TICKETS_SYNC + "on_update: new_event\n" + LOOSE, "tickets")
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {pks[0]}")
    assert world.run("tickets").verdicts == {"sent": 1}
    assert len(told()) == 3  # the former version's answer is lost all the same
    told("--drop", "--all")
    world.clock.advance(AN_HOUR)
    world.run("tickets", full=True)
    assert len(arrived(world)) == 4


def test_erasing_a_person_takes_them_out(world: World, pks: list[int]) -> None:
    done = CliRunner().invoke(app, ["erase", "tickets", "c1", "--yes"])
    assert done.exit_code in {0, 4}, done.output
    world.clock.advance(AN_HOUR)
    done = CliRunner().invoke(app, ["erase", "tickets", "c1", "--yes"])
    assert done.exit_code == 0, done.output
    assert {each["key"] for each in told()} == {"c2", "c3"}
    with world.ledger() as ledger:
        assert ledger.journal_rows("tickets", pks[0], pks[0]).is_empty()
        assert ledger.event_rows("tickets", pks[0], pks[0])["key"].to_list() in ([], [None])
    world.run("tickets", full=True)
    assert len(arrived(world)) == 3


def test_an_erasure_that_failed_is_ended_by_the_next_run(world: World) -> None:
    tickets(world, [ticket(1), ticket(2)])
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    world.break_braze(Fault(kind="reset_before", path="/users/delete"))
    assert CliRunner().invoke(app, ["erase", "tickets", "c1", "--yes"]).exit_code
    world.break_braze()
    world.run("tickets", full=True)
    assert set(world.profiles()) == {"c2"}
    with world.ledger() as ledger:
        assert ledger.pending_erasures("tickets") == []
    assert len(arrived(world)) == 2


@pytest.mark.parametrize("answered", [True, False])
def test_who_is_released_before_being_deleted_has_done_nothing_anew(world: World, answered: bool) -> None:
    tickets(world, [ticket(1), ticket(2)])
    lost = Fault(kind="reset_after", path="/users/track", nth=(1,))
    world.break_braze(Fault(kind="reset_before", path="/users/delete"), *([] if answered else [lost]))
    world.run("tickets")
    world.clock.advance(AN_HOUR)
    assert CliRunner().invoke(app, ["erase", "tickets", "c1", "--yes"]).exit_code
    world.caspio.insert_rows("Tickets", [ticket(3, CustomerNo="c1")])
    assert world.ended("tickets").code
    assert CliRunner().invoke(app, ["erase", "tickets", "c1", "--release"]).exit_code == 0
    world.break_braze()
    world.run("tickets", full=True)
    assert [each["external_id"] for each in arrived(world)] == ["c1", "c2", "c1"]


def test_settling_needs_a_word_on_which(world: World, pks: list[int]) -> None:
    for arguments in (["--drop"], ["--drop", "--all", "--pk", "1"], ["--drop", "--resend", "--all"]):
        done = CliRunner().invoke(app, ["unknown", "tickets", *arguments])
        assert done.exit_code
    assert len(told()) == len(pks)


def test_status_and_check_tell_of_them(world: World, pks: list[int]) -> None:
    status = orjson.loads(CliRunner().invoke(app, ["status", "tickets", "--json"]).stdout)
    assert status["unknown_events"] == len(pks)
    plan = world.plan("tickets")
    assert plan.events is not None
    assert (plan.events.unknown, plan.to_send) == (3, 0)


@pytest.mark.parametrize("on_update", ["ignore", "new_event"])
def test_what_is_sent_once_more_is_settled_though_its_row_was_edited_meanwhile(
    world: World, pks: list[int], on_update: str
) -> None:
    world.sync(TICKETS_SYNC + f"on_update: {on_update}\n" + LOOSE, "tickets")
    world.caspio.update_rows("Tickets", {"Status": "closed"}, f"PK_ID = {pks[0]}")
    told("--resend", "--pk", str(pks[0]))
    assert world.run("tickets").verdicts == {"sent": 1}
    assert {each["key"] for each in told()} == {"c2", "c3"}
    world.clock.advance(AN_HOUR)
    world.run("tickets", full=True)
    assert len(arrived(world)) == 4
