"""The resident run as Prefect shows it: one flow run, a task a session, and an end with a name."""

import asyncio
from typing import Any

import pytest

from tests.flows.test_hints import arrive
from tests.flows.world import World

pytestmark = pytest.mark.usefixtures("prefect")


def test_a_session_is_a_task_and_what_it_sent_is_in_the_ledger(world: World) -> None:
    from prefect.client.orchestration import get_client

    from flows.webhook_hints import WebhookHintsParameters, webhook_hints

    world.people(10)
    world.sync()
    world.clock.advance(3600)
    world.run()
    world.caspio.update_rows("Customers", {"FirstName": "Ada"}, "PK_ID=4")
    arrive(world, 4)

    async def play() -> tuple[Any, list[Any]]:
        state = await webhook_hints(WebhookHintsParameters(sync="customers", seconds=30), return_state=True)
        async with get_client() as client:
            tasks = await client.read_task_runs()
        own = [each for each in tasks if each.flow_run_id == state.state_details.flow_run_id]
        return state, own

    state, tasks = asyncio.run(play())
    assert state.name == "Completed", state.message
    assert [each.name.rpartition("-")[0] for each in tasks] == ["take hints"]
    assert world.profiles()["c4"]["first_name"] == "Ada"
    with world.ledger() as ledger:
        (session,) = [each for each in ledger.runs("customers") if (each.report or {}).get("hints")]
    assert session.flow_run_id == str(state.state_details.flow_run_id)
