"""A run whose process is dead: the next one says so, and Prefect's record no longer says Running."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from caspio_sync.ledger.run_record import KILLED
from tests.flows.world import World

pytestmark = pytest.mark.usefixtures("prefect")


def flow_run(sync: str, state: str) -> str:
    """A flow run as a process left it that was killed, or that ended."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.states import Completed, Running

    from flows.profile_sync import profile_sync

    async def make() -> str:
        async with get_client() as client:
            made = await client.create_flow_run(profile_sync, parameters={"parameters": {"sync": sync}})
            states: list[State[Any]] = [Running(), Completed()]
            for each in states if state == "Completed" else states[:1]:
                await client.set_flow_run_state(made.id, each, force=True)
            return str(made.id)

    return asyncio.run(make())


def state_of(flow: str) -> tuple[str, str]:
    from prefect.client.orchestration import get_client

    async def ask() -> Any:
        async with get_client() as client:
            return (await client.read_flow_run(UUID(flow))).state

    state = asyncio.run(ask())
    return state.type.value, state.name


def left_running(world: World, run: str, flow: str | None) -> None:
    with world.ledger() as ledger:
        ledger.start_run(run=run, sync="customers", kind="profiles", mode="sweep", flow_run_id=flow)


def test_the_next_run_puts_prefects_record_right(world: World) -> None:
    world.people(3)
    world.sync()
    dead, unknown = flow_run("customers", "Running"), str(uuid4())
    left_running(world, "dead-1", dead)
    left_running(world, "dead-2", unknown)  # made under another server
    left_running(world, "dead-3", None)
    report = world.run()
    assert state_of(dead) == ("CRASHED", "Killed")
    assert sum("was killed" in note for note in report.notes) == 3
    with world.ledger() as ledger:
        assert [each.state for each in ledger.runs_of([dead, unknown])] == [KILLED, KILLED]
    assert len(world.profiles()) == 3


def test_a_run_that_then_fails_has_put_it_right_all_the_same(world: World) -> None:
    """The ledger tells of a dead run once."""
    world.people(3)
    world.sync()
    dead = flow_run("customers", "Running")
    left_running(world, "dead", dead)
    world.sync(world.SYNC + "gate: {max_quarantined_rows: 0}\n")
    world.caspio.insert_rows("Customers", [world.person(9, Email="bad")])
    assert world.ended().code == 3
    assert state_of(dead) == ("CRASHED", "Killed")


def test_what_ended_in_prefect_stays_as_it_ended(world: World) -> None:
    world.people(1)
    world.sync()
    ended = flow_run("customers", "Completed")
    left_running(world, "dead", ended)
    world.run()
    assert state_of(ended) == ("COMPLETED", "Completed")


def test_a_server_in_trouble_does_not_fail_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(1)
    world.sync()
    left_running(world, "dead", "no id at all")
    assert world.run().sent == 1


def test_a_run_that_was_given_up_and_lives_after_all_sends_nothing(world: World) -> None:
    from caspio_sync.errors import TransientError
    from tasks.shards import give_up, refuse_given_up

    late, other = UUID(flow_run("customers", "Running")), UUID(flow_run("customers", "Running"))
    asyncio.run(give_up(late))
    assert state_of(str(late)) == ("CRASHED", "Killed")
    with pytest.raises(TransientError, match="another run: nothing was sent"):
        asyncio.run(refuse_given_up(late))
    asyncio.run(refuse_given_up(other))


def test_the_doctor_finds_and_repairs_what_is_left(world: World) -> None:
    """A kill between the ledger's word and Prefect's."""
    from caspio_sync.cli.diagnosis import server_findings
    from tasks.server import look_at_server, mark_killed

    world.sync()
    dead, alive = flow_run("customers", "Running"), flow_run("customers", "Running")
    left_running(world, "dead", dead)
    with world.ledger() as ledger:
        ledger.end_killed_runs("customers", but="")
        ledger.start_run(run="alive", sync="customers", kind="profiles", mode="sweep", flow_run_id=alive)
        state = asyncio.run(look_at_server("caspio-sync"))
        assert {each.id for each in state.running} >= {dead, alive}
        found = server_findings(state, ledger, "sqlite://", world.clock.now())
    assert dead in found.dead
    assert alive not in found.dead
    asyncio.run(mark_killed(found.dead))
    assert state_of(dead) == ("CRASHED", "Killed")
    assert state_of(alive) == ("RUNNING", "Running")
    asyncio.run(mark_killed([alive]))
