"""Housekeeping as the flow it is: old runs leave the ledger and Prefect; a dry run removes nothing."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.flows.world import World

pytestmark = pytest.mark.usefixtures("prefect")


def flow_runs(name: str) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    async def ask() -> list[Any]:
        async with get_client() as client:
            return list(await client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[name]))))

    return asyncio.run(ask())


def artifacts(key: str) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    async def ask() -> list[Any]:
        async with get_client() as client:
            return list(await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))))

    return asyncio.run(ask())


def housekeeping(*arguments: str) -> Any:
    from caspio_sync.cli.main import app

    result = CliRunner().invoke(app, ["housekeeping", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_old_runs_leave_ledger_and_prefect(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("caspio_sync.ledger.housekeeping.KEPT_RUNS", 1)
    others = {each.id for each in flow_runs("profile-sync")}  # of tests before, on the same server
    world.people(3)
    world.sync()
    world.run()
    for number in range(2):
        world.clock.advance(60)
        world.caspio.update_rows("Customers", {"FirstName": f"N{number}"}, "CustomerNo='c1'")
        world.run()
    assert artifacts("customers-summary")
    world.clock.advance(3 * 365 * 86_400)  # past the server's own time
    told = housekeeping("--dry-run")
    assert told["dry_run"]
    assert told["flow_runs"] >= 3
    assert told["artifacts"] >= 6
    assert len({each.id for each in flow_runs("profile-sync")} - others) >= 3
    with world.ledger() as ledger:
        assert len(ledger.runs("customers")) == 3

    done = housekeeping()
    assert done["flow_runs"] >= 4  # its own dry run is one of them
    assert {each.id for each in flow_runs("profile-sync")} <= others
    assert artifacts("customers-summary") == []
    assert len(flow_runs("housekeeping")) == 1
    (kept,) = artifacts("housekeeping-summary")
    assert "flow runs with their logs" in kept.data
    with world.ledger() as ledger:
        assert len(ledger.runs("customers")) == 2  # the newest, and the newest sweep
        assert ledger.verdict_counts("customers") == {"sent": 3}
    world.forget()
    world.run()
    assert world.sent() == []


def test_without_a_ledger_none_is_made(world: World) -> None:
    assert housekeeping("--dry-run")["ledger"]["runs"] == 0
    assert not world.ledger_file.exists()


def test_posts_that_every_sync_has_folded_leave_the_inbox(world: World) -> None:
    from caspio_sync.engagement.events import Post, event_lines
    from caspio_sync.inbox import Inbox
    from caspio_sync.kinds.engagement.folding import fold_inbox
    from caspio_sync.ledger.thread import LedgerThread

    def post(number: int) -> Post:
        return Post("currents", event_lines([{"event_id": f"e-{number}", "type": "t", "at": 1}]), 1)

    file = world.folder / "home" / "inbox.db"
    with world.ledger() as ledger, Inbox.open(f"sqlite:///{file}", clock=world.clock) as inbox:
        inbox.add([post(1), post(2)])
        asyncio.run(fold_inbox("engagement", inbox, LedgerThread(ledger), world.clock))
        inbox.add([post(3)])
        world.clock.advance(8 * 86_400)
        assert housekeeping("--dry-run")["inbox_posts"] == 2
        assert housekeeping()["inbox_posts"] == 2
        assert inbox.waiting(0).posts == 1
