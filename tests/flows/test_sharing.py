"""Whole runs of syncs that share a folder, an identity and attributes; and of one that no schedule may run."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from caspio_sync.errors import ConfigurationError
from tests.flows.world import SYNC, World

OTHER = SYNC.replace("  table: Customers\n", '  table: Customers\n  where: "PK_ID > 10"\n')


def run_by_schedule(world: World, sync: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A flow run as a worker makes it of a scheduled one: only Prefect's scheduler can mark it so."""
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext
    from prefect.flow_engine import run_flow_async

    from flows.profile_sync import profile_sync
    from tasks import ending

    class Scheduled:
        @staticmethod
        def get() -> Any:
            context = FlowRunContext.get()
            assert context is not None
            assert context.flow_run is not None
            marked = context.flow_run.model_copy(update={"auto_scheduled": True, "deployment_id": uuid4()})
            return SimpleNamespace(flow=context.flow, parameters=context.parameters, flow_run=marked)

    async def as_a_worker_does() -> Any:
        async with get_client() as client:
            made = await client.create_flow_run(profile_sync, parameters={"parameters": {"sync": sync}})
            await run_flow_async(profile_sync, flow_run=made, parameters=made.parameters, return_type="state")
            return await client.read_flow_run(made.id)

    with monkeypatch.context() as patched:
        patched.setattr(ending, "FlowRunContext", Scheduled)
        return asyncio.run(as_a_worker_does())


def test_two_syncs_of_the_same_attributes_send_nothing_and_both_are_named(world: World) -> None:
    world.people(20)
    world.sync()
    world.run()
    world.forget()
    world.sync(OTHER, "others")
    for name, other in (("customers", "others"), ("others", "customers")):
        ended = world.ended(name)
        assert (ended.code, world.sent()) == (2, [])
        assert f"{name} and {other}" in ended.message
        assert "both write first_name, email, spend, notes, email_subscribe" in ended.message
    assert "both write" in str(world.refused_plan())


def test_what_is_left_to_its_owner_does_not_travel(world: World) -> None:
    world.people(3)
    world.sync()
    world.run()
    world.forget()
    world.sync(SYNC.replace("fields:\n", "fields:\n  score: Spend\n") + "owner: customers\n", "scores")
    report = world.run("scores")
    assert [set(each) - {"_update_existing_only"} for each in world.sent()] == [{"external_id", "score"}] * 3
    assert report.notes == ["left to customers, their owner: first_name, email, spend, notes, email_subscribe"]


def test_syncs_that_are_apart_run_until_the_ledger_knows_better(world: World) -> None:
    world.people(20)
    world.sync(SYNC.replace("  table: Customers\n", '  table: Customers\n  where: "PK_ID <= 10"\n'))
    world.sync(f"{OTHER}apart_from: [customers]\n", "others")
    assert (world.run().sent, world.run("others").sent) == (10, 10)
    world.sync()  # now it reads those of the other one as well
    world.forget()
    assert world.run().sent == 10  # nobody had sent them for this sync
    world.forget()
    with pytest.raises(
        ConfigurationError, match=r"others and customers are said to be apart .* both have sent 10 keys"
    ):
        world.run("others")
    assert world.sent() == []


def test_a_file_that_cannot_be_read_is_told_and_stops_no_other(world: World) -> None:
    world.people(3)
    world.sync()
    world.sync("kind: [\n", "broken")
    report = world.run()
    assert report.sent == 3
    assert report.notes == [
        "broken: its file cannot be read, so nobody knows what it writes: `caspio-sync check broken`"
    ]


@pytest.mark.usefixtures("prefect")
def test_no_schedule_runs_a_sync_that_is_not_enabled_and_a_person_may(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.people(3)
    world.sync(f"{SYNC}enabled: false\n")
    skipped = run_by_schedule(world, "customers", monkeypatch)
    assert (skipped.state.name, world.sent()) == ("Skipped", [])
    assert "enabled: false (syncs/customers.yaml:" in skipped.state.message
    assert world.plan().to_send == 3
    assert world.run().sent == 3


@pytest.mark.usefixtures("prefect")
def test_a_run_by_schedule_is_called_by_its_sync_and_when_it_was_due(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.people(1)
    world.sync()
    ended = run_by_schedule(world, "customers", monkeypatch)
    assert ended.name == f"customers {ended.expected_start_time:%Y-%m-%d %H:%M} UTC"
    assert ended.state.name == "Completed"
