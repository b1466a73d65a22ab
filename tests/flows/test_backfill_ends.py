"""How runs and backfills end: the exit code, the name of the state in Prefect, the document of the command line."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.deployed.backfill import BackfillError, BackfillReport
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from tests.flows.world import World

pytestmark = pytest.mark.usefixtures("prefect")


def backfilled(**chosen: Any) -> BackfillReport:
    from flows.backfill import BackfillParameters, run_backfill

    return run_backfill(BackfillParameters(sync="customers", **chosen))


def newest(flow: str) -> Any:
    from prefect.client.orchestration import get_client

    async def ask() -> list[Any]:
        async with get_client() as client:
            names = {each.id: each.name for each in await client.read_flows()}
            return [each for each in await client.read_flow_runs(limit=200) if names[each.flow_id] == flow]

    return max(asyncio.run(ask()), key=lambda each: each.created)


def test_every_outcome_has_its_name_in_prefect_and_its_code_in_the_ledger(world: World) -> None:
    def ended(**options: Any) -> tuple[int, str, int | None]:
        world.clock.advance(60)  # so that there is a last one
        code = world.ended(**options).code
        with world.ledger() as ledger:
            kept = ledger.last_run("customers")
        return code, newest("profile-sync").state.name, kept.exit_code if kept else None

    world.people(40)
    world.sync()
    assert ended() == (0, "Completed", 0)
    world.caspio.update_rows("Customers", {"Email": "bad"}, "PK_ID = 1")
    assert ended() == (0, "CompletedWithRejects", 0)
    assert ended(full=True, strict=True) == (5, "CompletedWithRejects", 5)
    world.caspio.update_rows("Customers", {"Email": "bad"}, "PK_ID > 5")
    assert ended() == (3, "Blocked", 3)
    assert newest("profile-sync").state.type.value == "FAILED"
    world.sync(world.SYNC.replace("from: Notes", "from: Remarks"))
    assert world.ended().code == 2
    run = newest("profile-sync")
    assert run.state.name == "Failed"
    assert run.state.message.startswith("exit code 2: ")
    assert run.labels["caspio-sync.exit-code"] == 2  # no ledger has it


def test_a_backfill_ends_as_the_worst_of_its_shards(world: World) -> None:
    world.people(60)
    world.sync()
    world.caspio.update_rows("Customers", {"Email": "bad"}, "PK_ID > 30")
    with pytest.raises(BackfillError) as caught:
        backfilled(pk_range=(1, 60), shards=2)
    assert [each.state for each in caught.value.report.shards] == ["Completed", "Blocked"]
    assert caught.value.exit_code == 3
    assert newest("backfill").state.name == "Blocked"
    assert len(world.sent()) == 30


def test_the_command_prints_one_document_and_ends_with_the_code(world: World, alone: CliRunner) -> None:
    from caspio_sync.cli.main import app

    world.people(60)
    world.sync()
    world.caspio.update_rows("Customers", {"Email": "bad"}, "PK_ID > 59")
    done = alone.invoke(app, ["backfill", "customers", "--pk", "1..60", "--shards", "2", "--wait", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [each["state"] for each in told["shards"]] == ["Completed", "CompletedWithRejects"]
    assert told["exit_code"] == 0
    strict = alone.invoke(app, ["backfill", "customers", "--pk", "1..60", "--strict", "--json"])
    assert (strict.exit_code, json.loads(strict.stdout)["exit_code"]) == (5, 5)
    shown = alone.invoke(app, ["backfill", "customers", "--pk", "1..60"])
    assert "the cursor stays where it was" in shown.stdout


def test_a_dry_run_shows_ranges_and_plan_and_writes_nothing(world: World, alone: CliRunner) -> None:
    from caspio_sync.cli.main import app

    world.people(60)
    world.sync()
    shown = alone.invoke(app, ["backfill", "customers", "--pk", "1..60", "--shards", "2", "--dry-run", "--json"])
    told = json.loads(shown.stdout)
    assert [(each["low_pk"], each["high_pk"], each["rows"]) for each in told["shards"]] == [(1, 30, 30), (31, 60, 30)]
    assert told["plan"]["to_send"] == 60
    assert not world.ledger_file.exists()
    assert world.sent() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pk", "9..1"], "give the smaller one first"),
        (["--pk", "1-9"], "two whole numbers"),
        (["--to", "2026-03-01"], "--to without --from"),
        ([], "say what to backfill"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    world: World, alone: CliRunner, arguments: list[str], told: str
) -> None:
    from caspio_sync.cli.main import app

    world.people(3)
    world.sync()
    done = alone.invoke(app, ["backfill", "customers", *arguments, "--json"])
    error = done.exception if isinstance(done.exception, CaspioSyncError) else None
    assert (error.exit_code if error else done.exit_code) == 2
    assert told in (str(error) if error else done.output)


def test_catalogs_are_backfilled_by_the_same_command(world: World) -> None:
    from flows.backfill import BackfillParameters, run_backfill

    world.caspio.create_table("Products", [{"Name": "Sku", "Type": "STRING"}, {"Name": "Title", "Type": "STRING"}])
    world.caspio.insert_rows("Products", [{"Sku": f"s{number}", "Title": f"T{number}"} for number in range(1, 31)])
    world.sync(
        "kind: catalog\nsource:\n  table: Products\ncatalog:\n  name: products\nitem_id: Sku\n"
        "fields:\n  title: Title\n",
        "products",
    )
    chosen = BackfillParameters(sync="products", pk_range=(1, 30), shards=2, resend=True)
    with pytest.raises(ConfigurationError, match="the catalog is to change first"):
        run_backfill(chosen)
    world.run("products", limit=1)
    report = run_backfill(chosen)
    assert [each.report.sent for each in report.shards if each.report] == [15, 15]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command line, with no Prefect server named."""
    monkeypatch.setattr("caspio_sync.cli.backfill.named_server", lambda _: None)
    return CliRunner()
