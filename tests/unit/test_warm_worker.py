"""The worker's side of the fork server, and what of Prefect is not public that it stands on."""

import asyncio
import functools
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from prefect.runner._flow_run_executor import FlowRunExecutor, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from tasks import warm_worker
from tasks.fork_server import WARM
from tasks.orchestration import our_flows
from tasks.warm_worker import Fork, ForkServer, WarmWorker, can_be_forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks on Linux alone")


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def to_its_end(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine; the servers that are ending by then are waited for, as a worker that ends does."""

    async def whole(**fixtures: Any) -> None:
        await story(**fixtures)
        if ending := warm_worker._ENDING:  # noqa: SLF001
            await asyncio.wait(ending, timeout=10)

    @functools.wraps(story)
    def test(**fixtures: Any) -> None:
        asyncio.run(whole(**fixtures))

    return test


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_prefect_has_what_is_not_public() -> None:
    assert set(inspect.signature(FlowRunExecutorContext.create_executor).parameters) >= {
        "flow_run", "starter", "resolve_flow", "propose_submitting"
    }  # fmt: skip
    assert list(inspect.signature(EngineCommandStarter.start).parameters) == ["self", "flow_run", "task_status"]
    assert "task_status" in inspect.signature(FlowRunExecutor.submit).parameters
    assert ProcessJobConfiguration()._command_configured is False  # noqa: SLF001 - which is what is asked
    handle = ProcessHandle(Fork(pid=os.getpid()))  # type: ignore[arg-type]
    assert (handle.pid, handle.returncode, handle.is_alive()) == (os.getpid(), None, True)
    # What a process is told by its environment, and a fork too.
    source = inspect.getsource(EngineCommandStarter.start)
    ours = inspect.getsource(warm_worker.WarmStarter.start)
    for name in ("PREFECT__FLOW_RUN_ID", "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "PREFECT__CONTROL_PORT", "PREFECT__CONTROL_TOKEN"):  # fmt: skip
        assert name in source
        assert name in ours
    engine = import_module("prefect.engine")
    assert 'if __name__ == "__main__":' in inspect.getsource(engine)
    assert callable(import_module("prefect.context").refresh_global_settings_context)
    assert "incremental" in inspect.signature(import_module("prefect.logging.configuration").setup_logging).parameters


def test_it_is_one_of_prefects_workers_and_takes_the_pools_of_process_workers() -> None:
    assert WarmWorker.type == ProcessWorker.type == "process"
    assert WarmWorker.__dispatch_key__() == "caspio-sync"
    assert ProcessWorker.__dispatch_key__() == "process"


def test_our_flows_have_no_hooks_for_a_crash_or_a_cancellation() -> None:
    """A worker would have to load them."""
    modules = [import_module(name) for name in WARM if name.startswith("flows.")]
    flows = [each for module in modules for each in vars(module).values() if hasattr(each, "on_crashed_hooks")]
    assert {each.name for each in flows} == set(our_flows())
    assert not [each.name for each in flows if each.on_crashed_hooks or each.on_cancellation_hooks]


@pytest.mark.parametrize(
    ("changed", "forked"),
    [
        ({}, True),
        ({"env": {"TZ": "UTC"}}, True),
        ({"env": {"PYTHONPATH": "/elsewhere"}}, False),
        ({"stream_output": False}, False),
        ({"command": "python -m mine"}, False),
    ],
)
def test_what_a_fork_could_not_do_is_left_to_the_process_worker(changed: dict[str, Any], forked: bool) -> None:
    configuration = ProcessJobConfiguration(**changed)
    configuration.env = {**os.environ, **configuration.env}
    configuration._command_configured = "command" in changed  # noqa: SLF001 - as Prefect sets it
    assert can_be_forked(configuration) is forked


def worker() -> WarmWorker:
    return WarmWorker(work_pool_name="none")


def replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    """Have a program of ours run in place of the fork server's interpreter."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


@to_its_end
async def test_a_server_that_does_not_become_warm_is_given_up_until_the_code_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replaced(monkeypatch, tmp_path, f"echo x >> {tmp_path}/tries; exit 1")
    stamp: list[Any] = [(("code", 1, 1),)]
    monkeypatch.setattr(warm_worker, "_stamp", lambda: stamp[0])
    monkeypatch.setattr(logging.getLogger("prefect"), "propagate", True)
    made = worker()
    assert await made.present_server() is None
    assert await made.present_server() is None
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    assert len([each for each in caplog.records if "each run is a process of its own" in each.message]) == 1
    stamp[0] = (("code", 2, 1),)
    assert await made.present_server() is None
    assert (tmp_path / "tries").read_text() == "x\n" * 6
    assert made.servers == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """A server that imports nothing."""
    program = "from tasks.fork_server import *; serve(Connection(int(sys.argv[1])), dict(os.environ))"

    def use() -> None:
        replaced(monkeypatch, tmp_path, f'exec {sys.executable} -P -c "{program}" "$4"')

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(each) for each in sys.path if each))
    return use


def engine(folder: Path, text: str) -> None:
    (folder / "prefect").mkdir(exist_ok=True)
    (folder / "prefect" / "__init__.py").touch()
    (folder / "prefect" / "engine.py").write_text(text)


@to_its_end
async def test_new_code_has_a_new_server_and_the_old_one_ends_after_its_forks(
    quick: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick()
    engine(tmp_path, "import time\nwhile not __import__('os').path.exists('go'): time.sleep(.02)")
    stamp: list[Any] = [(("code", 1, 1),)]
    monkeypatch.setattr(warm_worker, "_stamp", lambda: stamp[0])
    made = worker()
    first = await made.present_server()
    assert first is not None
    assert await made.present_server() is first
    with first.kept():
        stamp[0] = (("code", 2, 1),)
        second = await made.present_server()
        assert second is not first
        fork = await first.fork(settings(), str(tmp_path))
        assert (first.process.poll(), fork.returncode) == (None, None)
        (tmp_path / "go").touch()
        await asyncio.wait_for(fork.ended.wait(), 20)
        assert fork.returncode == 0
    await made.present_server()
    await asyncio.to_thread(first.process.wait, 20)
    await made.present_server()
    assert made.servers == [second]
    second.close()
    await asyncio.to_thread(second.process.wait, 20)


@to_its_end
async def test_a_server_that_dies_loses_its_forks_and_the_next_run_has_another(
    quick: Callable[[], None], tmp_path: Path
) -> None:
    quick()
    engine(tmp_path, "import time; time.sleep(60)")
    made = worker()
    first = await made.present_server()
    assert first is not None
    forks = [await first.fork(settings(), str(tmp_path)) for _ in range(2)]
    first.process.kill()
    await asyncio.wait_for(asyncio.gather(*(each.ended.wait() for each in forks)), 20)
    assert {each.returncode for each in forks} == {-15}
    assert not any(is_there(each.pid) for each in forks)
    with pytest.raises(OSError, match=r"closed|gone"):
        await first.fork(settings(), str(tmp_path))
    second = await made.present_server()
    assert second not in {None, first}
    assert isinstance(second, ForkServer)
    second.close()
    await asyncio.to_thread(second.process.wait, 20)


@to_its_end
async def test_a_fork_that_nobody_waits_for_any_more_is_ended(quick: Callable[[], None], tmp_path: Path) -> None:
    quick()
    engine(tmp_path, "open('began', 'w').close(); import time; time.sleep(60)")
    server = await worker().present_server()
    assert server is not None
    asking = asyncio.create_task(server.fork(settings(), str(tmp_path)))
    await asyncio.sleep(0)
    asking.cancel()
    await until(lambda: not server.wanted)
    await until(lambda: not server.forks)
    server.close()
    await asyncio.to_thread(server.process.wait, 20)


def settings() -> dict[str, str]:
    """The variables of a job, Prefect's settings as they are."""
    return {**os.environ, **warm_worker.prefect_settings()}


def test_prefect_finds_it() -> None:
    """The installed package may be older than the checkout."""
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points."prefect.collections"]\ncaspio_sync = "tasks.warm_worker"' in declared
    assert all(
        each.value == "tasks.warm_worker" for each in entry_points(group="prefect.collections", name="caspio_sync")
    )
