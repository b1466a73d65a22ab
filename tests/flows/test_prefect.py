"""What a run leaves in Prefect: few task runs, a progress bar, a summary, a form; and no word of any customer."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from caspio_sync.engine import pausing
from caspio_sync.errors import PausedError
from caspio_sync.sandbox.data import load_customers
from tests.flows.world import World

pytestmark = pytest.mark.usefixtures("prefect")


def read(filter_name: str) -> list[Any]:
    """Everything of one kind on the server."""
    from prefect.client.orchestration import get_client

    async def ask() -> list[Any]:
        async with get_client() as client:
            return list(await getattr(client, filter_name)())

    return asyncio.run(ask())


def run_of(report: Any) -> Any:
    """The flow run that made a report."""
    return next(each for each in read("read_flow_runs") if each.id == report)


def flow_run_id(world: World) -> str:
    with world.ledger() as ledger:
        return str(ledger.last_run("customers").flow_run_id)


def station(task_run: Any) -> str:
    """Name of a task run's task."""
    return str(task_run.name.rsplit("-", 1)[0])


def task_runs(flow_run: str, *, awaited: frozenset[str] = frozenset()) -> list[Any]:
    """The task runs of a flow run, once all are final and there is one of each task that is awaited."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    async def ask() -> list[Any]:
        async with get_client() as client:
            chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
            for _ in range(100):
                found = await client.read_task_runs(flow_run_filter=chosen, limit=200)
                final = bool(found) and all(each.state and each.state.is_final() for each in found)
                if final and awaited <= set(map(station, found)):
                    return list(found)
                await asyncio.sleep(0.1)  # the server keeps what was posted a moment later
            return list(found)

    return asyncio.run(ask())


def artifacts(flow_run: str) -> dict[str, Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    async def ask() -> list[Any]:
        async with get_client() as client:
            chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
            return list(await client.read_artifacts(artifact_filter=chosen))

    return {each.key: each for each in asyncio.run(ask())}


def test_task_runs_are_a_handful_per_batch(world: World) -> None:
    world.people(3000)
    world.sync(world.SYNC + "batch_size: 1000\n")
    report = world.run()
    found = task_runs(flow_run_id(world))
    assert report.batches == 3
    assert report.batches * 5 <= len(found) <= report.batches * 9 + 2
    assert set(map(station, found)) == {
        "erase",
        "extract",
        "map",
        "compare",
        "gate",
        "send opt-outs",
        "send",
        "record",
    }


def test_progress_and_summary_are_kept_and_hold_no_personal_values(world: World) -> None:
    load_customers(world.caspio, 400)
    world.shipped()
    report = world.run()
    kept = artifacts(flow_run_id(world))
    assert kept["customers-progress"].type == "progress"
    assert kept["customers-progress"].data == 100.0
    summary = kept["customers-summary"].data
    assert f"{report.sent} sent" in summary
    assert "## Not sent" in summary
    assert "## Gate" in summary
    told = [
        *(str(each.data) + str(each.description) for each in kept.values()),
        *(each.name for each in task_runs(flow_run_id(world))),
    ]
    for row in world.caspio.rows("Customers"):
        for name in ("Email", "Phone", "FirstName", "LastName"):
            value = (row[name] or "").strip()
            assert len(value) < 6 or not any(value in text for text in told), name


def test_a_blocked_run_leaves_its_reason_in_the_summary(world: World) -> None:
    world.customers([world.person(number, Email="bad") for number in range(1, 31)])
    world.sync()
    assert world.ended().code == 3
    summary = artifacts(flow_run_id(world))["customers-summary"].data
    assert "30 of 30 rows failed" in summary
    assert "customers: blocked" in summary


def test_the_form_of_the_flow_explains_every_parameter(world: World) -> None:
    from flows.profile_sync import profile_sync

    schema = profile_sync.parameters.model_dump()
    form = next(iter(schema["definitions"].values()))["properties"]
    assert {"sync", "full", "resend", "limit", "keys", "since", "strict"} <= set(form)
    assert all(each.get("description") for each in form.values())


def test_logs_hold_no_personal_values(world: World, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    load_customers(world.caspio, 400)
    world.shipped()
    world.run()
    text = caplog.text
    for row in world.caspio.rows("Customers"):
        for name in ("Email", "Phone"):
            value = (row[name] or "").strip()
            assert len(value) < 6 or value not in text, name


def test_a_failed_run_is_failed_in_prefect_too(world: World) -> None:
    world.sync()
    assert world.ended().code == 2
    newest = max(read("read_flow_runs"), key=lambda each: each.created)
    assert newest.state.is_failed()
    assert "table Customers" in newest.state.message


def test_a_bug_that_quotes_a_customer_leaves_nothing_of_it(world: World, caplog: Any, monkeypatch: Any) -> None:
    """Libraries quote the values they stumble over, and Prefect keeps what a task raises."""
    caplog.set_level("DEBUG")
    world.people(3)
    world.sync()

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("c1@example.com is odd")

    monkeypatch.setattr("caspio_sync.engine.comparing.compare", broken)
    ended = world.ended()
    assert ended.code == 1
    (found,) = [each for each in read("read_flow_runs") if str(each.id) == flow_run_id(world)]
    with world.ledger() as ledger:
        kept = ledger.last_run("customers")
    told = [
        ended.message,
        caplog.text,
        str(found.state.message),
        str(found.parameters),
        str(kept.report),
        *(str(each.state.message) for each in task_runs(str(found.id))),
        *(str(each.data) for each in artifacts(str(found.id)).values()),
    ]
    assert not any("c1@example.com" in text or "is odd" in text for text in told)
    assert "ValueError at" in kept.report["error"]
    assert kept.exit_code == 1


def test_logs_hold_no_secret_and_no_token(world: World, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    world.people(3)
    world.sync()
    world.run()
    world.ended(row_keys=("c1@example.com",))
    tokens = world.caspio.app.tokens.issued
    assert tokens
    secrets = ["sandbox-secret", "sandbox-key", *tokens, "c1@example.com"]
    assert [each for each in secrets if each in caplog.text] == []
    stored = [path.read_bytes() for path in world.folder.rglob("*") if path.is_file()]
    assert not any(token.encode() in content for token in tokens for content in stored)
    parameters = [str(each.parameters) for each in read("read_flow_runs")]
    assert not any("c1@example.com" in each for each in parameters)


def test_keys_from_the_form_are_masked_once_the_run_has_begun(world: World) -> None:
    """As a worker runs what somebody typed into the custom-run form: Prefect has the keys, and hands them on."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow_async

    from flows.profile_sync import profile_sync

    world.people(5)
    world.sync()
    typed = {"parameters": {"sync": "customers", "limit": 4, "keys": ["c2", "c3"]}}

    async def as_a_worker_does() -> Any:
        async with get_client() as client:
            made = await client.create_flow_run(profile_sync, parameters=typed)
            begun = await client.read_flow_run(made.id)
            assert begun.parameters == typed
            report = await run_flow_async(
                profile_sync, flow_run=begun, parameters=begun.parameters, return_type="result"
            )
            return report, await client.read_flow_run(made.id)

    report, kept = asyncio.run(as_a_worker_does())
    assert (report.read, report.sent) == (2, 2)
    assert kept.parameters == {"parameters": {"sync": "customers", "limit": 4, "keys": ["**********"] * 2}}


def test_a_run_that_is_paused_on_its_way_ends_as_blocked_and_says_by_what(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("LOOK_SECONDS", 0.05), ("PATIENCE_SECONDS", 1.0), ("ENDING_SECONDS", 0.5)):
        monkeypatch.setattr(pausing, name, seconds)
    monkeypatch.setenv("BRAZE_CONNECTIONS", "1")
    world.people(3000)
    world.sync()
    app = world.braze.app

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        if world.braze.requests == 5:
            with world.ledger() as ledger:
                ledger.pause("customers", reason="a wrong price")
        await asyncio.sleep(0.05)
        await app(scope, receive, send)

    monkeypatch.setattr(world.braze, "app", slowly)
    with pytest.raises(PausedError, match="the run ended where it stood"):
        world.run()
    sent = len(world.sent())
    assert 0 < sent < 1500
    state = run_of(UUID(flow_run_id(world))).state
    assert (state.name, "(a wrong price)" in state.message) == ("Blocked", True)
    monkeypatch.setattr(world.braze, "app", app)
    with world.ledger() as ledger:
        assert ledger.resume("customers")
    assert world.run().sent == 3000 - sent
