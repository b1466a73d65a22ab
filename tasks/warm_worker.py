"""A worker whose flow runs are forks of one process that has imported everything: a run begins in a tenth of a second.

A process worker imports Prefect, polars and Great Expectations anew for every run: 6 to 7 s of a core, 360 MB. All else
is that worker's: states, cancellation, heartbeats, limits, logs, and what becomes of a run whose process dies. What of
Prefect is private here is held by `tests/unit/test_warm_worker.py`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import anyio
import anyio.abc
from prefect.client.orchestration import get_client
from prefect.flows import Flow, load_flow_from_flow_run
from prefect.logging import get_logger
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import get_current_settings
from prefect.utilities.processutils import sanitize_subprocess_env
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from tasks.fork_server import GRACE_SECONDS, Begun, Wanted, Warm

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel

# OpenBLAS (under numpy) and jemalloc (under polars) would start threads when they are imported. Few arenas: each one
# is memory that a fork does not share.
_OF_THE_SERVER = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "_RJEM_MALLOC_CONF": "background_thread:false,narenas:2",
}
_IS_LINUX = sys.platform == "linux"  # elsewhere a fork of so much is not safe, and does not end with its parent
_TRIES = 3
_CODE = ("caspio_sync", "flows", "tasks", "expectations")
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]  # path, time and size


@dataclass(eq=False)
class Fork:
    """A flow run's process, as Prefect looks at one.

    Args:
        pid: of the process.
        returncode: negative for the signal that ended it; None while it lives.
    """

    pid: int
    returncode: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, code: int) -> None:
        """It is no more."""
        self.returncode = code
        self.ended.set()


class ForkServer:
    """A fork server, and its forks.

    Args:
        stamp: of the code that it imports.
    """

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp
        self.is_warm = False
        self.runs = 0  # it is closed after the last one, where another one forks by then
        self._settled = asyncio.Event()  # warm, or gone
        ours, theirs = socket.socketpair()
        # -P: a folder `tasks` where the worker was started would be imported for ours.
        command = [sys.executable, "-P", "-m", "tasks.fork_server", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - no shell
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **prefect_settings(), **_OF_THE_SERVER},
                start_new_session=True,  # a Ctrl-C in the terminal is the worker's to answer
            )
        self._channel = Connection(ours.detach())
        self._numbers = count(1)
        self.wanted: dict[int, asyncio.Future[Fork]] = {}
        self.forks: dict[int, Fork] = {}
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._hear)

    @property
    def is_alive(self) -> bool:
        """Whether it forks, or will."""
        return not self._channel.closed

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """For a run, from its choice of this server to its end."""
        self.runs += 1
        try:
            yield
        finally:
            self.runs -= 1

    async def warmed(self) -> bool:
        """Whether it forks, once that is known."""
        await self._settled.wait()
        return self.is_warm and self.is_alive

    async def fork(self, environment: dict[str, str], folder: str) -> Fork:
        """Begin a flow run.

        Raises:
            OSError: the server is gone.
        """
        number = next(self._numbers)
        begun: asyncio.Future[Fork] = asyncio.get_running_loop().create_future()
        self.wanted[number] = begun
        self._channel.send(Wanted(number, environment, folder))
        return await begun

    def close(self) -> None:
        """Have it end by itself, with what it still runs."""
        if self.is_alive:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._settled.set()
            _see_to(asyncio.to_thread(self.process.wait))

    def _hear(self) -> None:
        try:
            while self._channel.poll():
                told = self._channel.recv()
                if isinstance(told, Warm):
                    self.is_warm = True
                    self._settled.set()
                elif isinstance(told, Begun):
                    self._begin(Fork(told.pid), self.wanted.pop(told.number))
                elif (ended := self.forks.pop(told.pid, None)) is not None:
                    ended.end(told.code)
        except (EOFError, OSError):
            self._lose()

    def _begin(self, fork: Fork, begun: "asyncio.Future[Fork]") -> None:
        self.forks[fork.pid] = fork
        if begun.cancelled():  # nobody waits for it any more
            os.kill(fork.pid, signal.SIGTERM)
        else:
            begun.set_result(fork)

    def _lose(self) -> None:
        """It died."""
        self.close()
        for begun in self.wanted.values():
            if not begun.cancelled():
                begun.set_exception(ConnectionResetError("the fork server is gone"))
        forks, self.forks, self.wanted = list(self.forks.values()), {}, {}
        for fork in forks:
            _see_to(_end(fork))


_ENDING: set[asyncio.Task[Any]] = set()  # else the loop may collect them while they wait


def _see_to(ending: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.get_running_loop().create_task(ending)
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


async def _end(fork: Fork) -> None:
    """End a fork whose parent is gone, which the system has told it. Nobody can tell its exit code."""
    with contextlib.suppress(ProcessLookupError):
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            _reap(fork.pid)
            os.kill(fork.pid, 0)
            await asyncio.sleep(0.1)
        os.kill(fork.pid, signal.SIGKILL)
    fork.end(-signal.SIGTERM)


def _reap(pid: int) -> None:
    """In a container whose first process we are, what has lost its parent is a child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


class WarmStarter:
    """Starts a flow run as a fork, as `prefect.runner._starter_engine.EngineCommandStarter` starts a process.

    Args:
        server: forks it.
        folder: where it runs.
        environment: the job's variables.
        channel: by which the run is told that it is to end.
    """

    def __init__(
        self, server: ForkServer, folder: str, environment: dict[str, str | None], channel: "ControlChannel"
    ) -> None:
        self._server = server
        self._folder = folder
        self._environment = environment
        self._channel = channel

    async def start(
        self, flow_run: "FlowRun", task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Begin it, tell who it is, and wait for its end."""
        environment = {
            **os.environ,
            **prefect_settings(),
            **self._environment,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        with contextlib.suppress(RuntimeError):  # no channel: a run is ended by a signal alone
            port, token = self._channel.register(flow_run.id)
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        try:
            fork = await self._server.fork(sanitize_subprocess_env(environment), self._folder)
        except BaseException:
            self._channel.unregister(flow_run.id)
            raise
        task_status.started(ProcessHandle(fork))  # type: ignore[arg-type]  # it asks for pid and returncode alone
        await fork.ended.wait()


class WarmWorker(ProcessWorker):
    """A process worker that forks. It takes the runs of pools of the type `process`, old deployments' too."""

    _description = "Flow runs of caspio-sync as forks of one process that has imported everything."
    _display_name = "caspio-sync"

    @classmethod
    def __dispatch_key__(cls) -> str:
        """What `prefect worker start --type` calls it."""
        return "caspio-sync"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.servers: list[ForkServer] = []  # the last one forks; the others only wait for theirs
        self._starting = asyncio.Lock()
        self._warming: asyncio.Task[ForkServer | None] | None = None
        self._cold: Stamp | None = None  # the code that does not become warm

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run it as a fork; as the process worker does, where a fork would not be the same."""
        server = await self.present_server() if can_be_forked(configuration) else None
        if server is None:
            return await super().run(flow_run, configuration, task_status)
        execution: FlowRunExecutionResult | None = None
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(server.kept())
            folder = configuration.working_dir or stack.enter_context(TemporaryDirectory(suffix="prefect"))
            context = await stack.enter_async_context(FlowRunExecutorContext())
            starter = WarmStarter(server, str(folder), configuration.env, context.control_channel)
            executor = context.create_executor(flow_run, starter, resolve_flow=_with_hooks, propose_submitting=False)

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                nonlocal execution
                execution = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as group:
                handle = await group.start(execute)
                if task_status is not None:
                    task_status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("the flow run did not begin")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def present_server(self) -> ForkServer | None:
        """The one that forks from the present code: after an upgrade a new one, also after the death of the last.

        Returns:
            None where the present code does not become warm.
        """
        async with self._starting:
            stamp = _stamp()
            for _ in range(0 if stamp == self._cold else _TRIES):
                if not self.servers or not self.servers[-1].is_alive or self.servers[-1].stamp != stamp:
                    self.servers.append(ForkServer(stamp))
                if await self.servers[-1].warmed():
                    break
            else:
                if stamp != self._cold:
                    get_logger("worker").error(
                        "the fork server ended %d times while it imported the code (what it said is above): until the "
                        "code changes, each run is a process of its own, which imports everything anew",
                        _TRIES,
                    )
                self._cold = stamp
            for each in tuple(self.servers):
                if each.stamp != stamp and not each.runs:
                    each.close()
                if not each.is_alive:
                    self.servers.remove(each)
            return None if stamp == self._cold else self.servers[-1]

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if _IS_LINUX:
            self._warming = asyncio.create_task(self.present_server())  # before the first run is due
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await super().__aexit__(*exc_info)
        finally:
            if self._warming is not None:
                self._warming.cancel()
            for server in self.servers:
                server.close()
            if _ENDING:
                await asyncio.wait(_ENDING, timeout=GRACE_SECONDS + 2.0)
            for server in self.servers:
                server.process.kill()  # one that does not end; else nothing happens


def can_be_forked(configuration: ProcessJobConfiguration) -> bool:
    """Whether a fork is the same: output kept, no command, no variable that the interpreter reads as it starts."""
    told = {name: value for name, value in configuration.env.items() if name.startswith("PYTHON")}
    ours = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    commanded = configuration._command_configured  # noqa: SLF001 - nowhere else it is told
    return _IS_LINUX and configuration.stream_output and not commanded and told == ours


async def _with_hooks(flow_run: "FlowRun") -> Flow[..., Any]:
    """The flow, for its hooks on a crash. Ours have none: to load them would import everything into the worker."""
    from tasks.orchestration import our_flows  # noqa: PLC0415 - Prefect's commands load this module, and polars takes time

    async with get_client() as client:
        name = (await client.read_flow(flow_run.flow_id)).name
    return Flow(_nothing, name=name) if name in our_flows() else await load_flow_from_flow_run(flow_run)


def _nothing() -> None:
    pass


def prefect_settings() -> dict[str, str]:
    """Prefect's, as variables."""
    return get_current_settings().to_environment_variables(exclude_unset=True)


def _stamp() -> Stamp:
    """What code there is: our files, and when packages were installed or removed last; and Prefect's profiles."""
    return tuple(sorted(_files()))


def _files() -> Iterator[tuple[str, int, int]]:
    folders = [Path(place) for name in _CODE for place in _places(name)]
    files = [each for folder in folders for each in folder.rglob("*.py")]
    for path in (*files, Path(sysconfig.get_path("purelib")), get_current_settings().profiles_path):
        with contextlib.suppress(OSError):  # being replaced just now: another stamp all the same
            found = path.stat()
            yield str(path), found.st_mtime_ns, found.st_size


@cache
def _places(package: str) -> tuple[str, ...]:
    found = find_spec(package)
    return tuple(found.submodule_search_locations or ()) if found is not None else ()
