"""Where a warm worker's flow runs come from: it imports everything once, and forks.

    worker ── Wanted ───────────▶ fork server ── fork ──▶ flow run: what `python -m prefect.engine` does, imports done
           ◀── Warm, Begun, Ended ──

It is started as `python -m tasks.fork_server FD`, ends with its worker, and its forks with it. Nothing is run here but
imports: a thread would be missing in the forks, and a lock that it held would be held there for ever.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import re
import runpy
import signal
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, NoReturn

# What a flow run imports, also inside of functions.
WARM = (
    "prefect.main",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect._internal.metrics",
    "prefect.deployments.steps",
    "prefect.deployments.steps.pull",
    "prefect.utilities.visualization",
    "prefect._vendor.croniter",
    "prefect._internal.pytz",
    "rich._emoji_codes",
    "multiprocessing.synchronize",
    "encodings.ascii",
    "encodings.utf_8_sig",
    "anyio._backends._asyncio",
    "dotenv",
    "phonenumbers",
    "pycountry",
    "tasks.report",
    "expectations.suites",
    "flows.profile_sync",
    "flows.catalog_sync",
    "flows.engagement_return",
    "flows.event_sync",
    "flows.deal_sync",
    "flows.backfill",
    "flows.housekeeping",
    "flows.webhook_hints",
    "caspio_sync.destinations.braze.catalog",
    "caspio_sync.destinations.braze.events",
    "caspio_sync.destinations.braze.profiles",
    "caspio_sync.destinations.braze.triggers",
    "caspio_sync.destinations.activecampaign.contacts",
    "caspio_sync.destinations.activecampaign.deals",
    "caspio_sync.destinations.activecampaign.events",
    "great_expectations.expectations",
    "great_expectations.execution_engine.pandas_execution_engine",
)
_WHERE_INSTALLED = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg")
_OF_A_FOLDER = (".env", "prefect.toml", "pyproject.toml")  # where Prefect looks for settings besides
GRACE_SECONDS = 15.0
_TO_END = (signal.SIGTERM, signal.SIGCHLD)
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Warm(NamedTuple):
    """Everything is imported: from now on it forks."""


class Wanted(NamedTuple):
    """A flow run that is to begin.

    Args:
        number: of the request.
        environment: all of its variables.
        folder: where it runs.
    """

    number: int
    environment: Mapping[str, str]
    folder: str


class Begun(NamedTuple):
    """The fork of a request."""

    number: int
    pid: int


class Ended(NamedTuple):
    """A fork that is no more; its exit code, negative for the signal that ended it."""

    pid: int
    code: int


def serve(channel: Connection, given: Mapping[str, str]) -> None:
    """Fork until the worker closes its end of the channel, or dies; then end what is under way.

    Args:
        channel: to the worker.
        given: the environment that everything was imported with.
    """
    # What the imports have set is set in every fork.
    imported = {name: value for name, value in os.environ.items() if given.get(name) != value}
    forks: set[int] = set()
    waking, woken = os.pipe()
    for end in (waking, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    own_pid = os.getpid()
    try:
        channel.send(Warm())
        while True:
            ready = wait([channel, waking])
            with contextlib.suppress(BlockingIOError):
                os.read(waking, 1024)
            for ended in _reaped():
                forks.discard(ended.pid)
                channel.send(ended)
            if channel in ready:
                wanted = channel.recv()
                # Else a signal to end, between the fork and its own handlers, would have the fork end the others.
                signal.pthread_sigmask(signal.SIG_BLOCK, _TO_END)
                pid = os.fork()
                if pid == 0:
                    os.close(waking)
                    os.close(woken)
                    channel.close()
                    os.environ.clear()
                    os.environ.update({**imported, **wanted.environment})
                    _run(wanted.folder, given, parent=own_pid)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_END)
                forks.add(pid)
                channel.send(Begun(wanted.number, pid))
    except (EOFError, OSError):  # the worker is gone
        pass
    finally:
        _end(forks)


def _reaped() -> list[Ended]:
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(Ended(found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def _end(forks: set[int]) -> None:
    """Politely, and then not."""
    # 0 tells nothing. The worker may just have told them: told twice, a run ends before it has said how it ended.
    for number, seconds in ((0, 1.0), (signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 1.0)):
        for pid in forks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while forks and time.monotonic() < until:
            forks -= {each.pid for each in _reaped()}
            time.sleep(0.05)


def _run(folder: str, given: Mapping[str, str], *, parent: int) -> NoReturn:
    """In the fork: what an interpreter that is started in the folder would do for `-m prefect.engine`."""
    signal.set_wakeup_fd(-1)
    for number in _TO_END:
        signal.signal(number, signal.SIG_DFL)
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_END)
        if os.getppid() != parent:  # it died before the system was told
            sys.exit(1)
        time.tzset()
        os.chdir(folder)
        sys.path.insert(0, folder)
        gc.enable()
        # Prefect read them when it was imported; to read them again takes a tenth of a second and 13 MB.
        if _of_prefect(os.environ) != _of_prefect(given) or any(Path(each).exists() for each in _OF_A_FOLDER):
            importlib.import_module("prefect.context").refresh_global_settings_context()
            importlib.import_module("prefect.logging.configuration").setup_logging(incremental=False)
        sys.argv = ["prefect.engine"]
        sys.modules.pop("prefect.engine", None)  # else runpy warns in every run
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        sys.excepthook(*sys.exc_info())
    finally:
        # As the interpreter ends, without taking every module apart, which costs as much as a small run.
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads that are no daemons
            atexit._run_exitfuncs()  # noqa: SLF001 - Prefect's last logs leave here
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _of_prefect(environment: Mapping[str, str]) -> dict[str, str]:
    """Its settings there; what begins with PREFECT__ is about one run."""
    own = re.compile(r"PREFECT_(?!_)|SSL_CERT_FILE$")
    return {name: value for name, value in environment.items() if own.match(name)}


def main() -> None:
    """Import, and serve."""
    channel = Connection(int(sys.argv[1]))
    given = dict(os.environ)
    for name in WARM:
        importlib.import_module(name)
    for name in _WHERE_INSTALLED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.disable()
    gc.freeze()  # a collection in a fork would write to every page that is shared
    serve(channel, given)


if __name__ == "__main__":
    importlib.import_module("tasks.fork_server").main()  # what travels is named after its module, not after `__main__`
