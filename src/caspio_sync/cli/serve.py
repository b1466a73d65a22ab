"""`caspio-sync serve`: one machine, always on: Prefect's server with its UI, the deployments, and a worker."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync import signals
from caspio_sync.cli import kept
from caspio_sync.cli.deploy import registered, show_left
from caspio_sync.cli.sandbox import SANDBOX_ENV, SANDBOX_HOME, environment, use_settings
from caspio_sync.cli.server import serving
from caspio_sync.cli.show import OUT
from caspio_sync.deployed.deployments import FOLDER_VARIABLE, POOL, deployments_of
from caspio_sync.env_file import ENV_FILE_VARIABLE
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.settings import every_setting, named_accounts, secret_variables, variables
from caspio_sync.state import state_folder

SERVE_HOME = Path(".caspio-sync/serve")
HOST = "127.0.0.1"
_PAGE_PORT = 8781  # as `caspio-sync ui` has it
_PATIENCE_SECONDS = 600.0  # a new database on a busy machine takes minutes


def serve(
    port: Annotated[int, typer.Option(help="Of Prefect's server and UI.", min=1, max=65535)] = 4200,
    prune: Annotated[bool, typer.Option("--prune", help="Remove deployments whose sync file is gone.")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: Prefect's server and UI, every sync's deployment, one worker.

    Where neither .env nor the environment names an account, the sandbox stands in for both. State is below
    .caspio-sync/serve. The server keeps its records in SQLite, which holds a handful of syncs; where there are more, or
    runs every minute for months, name a PostgreSQL database by PREFECT_SERVER_DATABASE_CONNECTION_URL
    (postgresql+asyncpg://…). Nothing is reported to a vendor and nothing is loaded from outside.

    Example: `caspio-sync serve --port 4300`
    """
    _refuse_taken(port)
    home = SERVE_HOME.absolute()
    state_folder(home)
    os.environ.update(_prefect(home, port))
    signals.end_in_own_time()
    with contextlib.ExitStack() as stack:
        look = command_elsewhere(port)
        # Half an account is refused by the settings: it never makes way for the sandbox.
        if not named_accounts():
            stack.enter_context(_sandbox())
            look = "caspio-sync --sandbox doctor"
        settings = every_setting()
        found = deployments_of(settings)
        OUT.print(f"Prefect's server starts on http://{HOST}:{port} ...")
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
        server = stack.enter_context(_process(command, home, "server"))
        _await_server(server, port, home)
        stack.enter_context(serving(state_folder(settings.home), f"http://{HOST}:{port}/api"))
        changes = registered(settings, found, pool=POOL, prune=prune)
        command = [sys.executable, "-m", "caspio_sync", "worker", "--name", f"serve-{socket.gethostname()}"]
        worker = stack.enter_context(_process(command, home, "worker"))
        page_port = _free_port(_PAGE_PORT)
        command = [sys.executable, "-m", "caspio_sync", "ui", "--port", str(page_port)]
        page = stack.enter_context(_process(command, home, "page", anew=True))
        OUT.print(f"[bold]UI: http://{HOST}:{port}[/]  ({len(changes)} deployments; logs in {SERVE_HOME})")
        # The token stays out of what is printed: of a service, that is everybody's journal.
        OUT.print(f"[bold]Page: http://{HOST}:{page_port}[/]  (its token: the first line of {SERVE_HOME}/page.log)")
        show_left(found)
        for each in changes:
            if each.action == "left":
                OUT.print(f"left as it is: {escape(each.name)}: {escape(each.note)}", soft_wrap=True)
        OUT.print(f"In another terminal, in this folder: [bold]{escape(look)}[/]", soft_wrap=True)
        OUT.print("Ctrl-C ends everything.")
        with contextlib.suppress(KeyboardInterrupt):
            _watch({"server": server, "worker": worker}, page, home)
        OUT.print("stopping")


def command_elsewhere(port: int) -> str:
    """`doctor` for another shell, with what this one was told: else it would look at another account or ledger."""
    told = {name: os.environ[name] for name in (ENV_FILE_VARIABLE, *variables()) if os.environ.get(name)}
    secret = ", ".join(sorted(secret_variables() & told.keys()))
    shown = "".join(f"{name}={shlex.quote(value)} " for name, value in told.items() if name not in secret_variables())
    command = f"{shown}PREFECT_API_URL=http://{HOST}:{port}/api caspio-sync doctor"
    return f"{command}  (first export there, as here: {secret})" if secret else command


def _prefect(home: Path, port: int) -> dict[str, str]:
    """Prefect's settings: a server of our own, and a UI that calls the port the server has."""
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_PROFILES_PATH": str(home / "prefect" / "profiles.toml"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        # Without it the UI calls 4200, whatever --port says.
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Runs on the worker inherit it; quieter, their pages in the UI would show no logs.
        "PREFECT_LOGGING_LEVEL": "INFO",
        # What the server answers while its database is away, a moment mostly: a run's end would be lost.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        "DO_NOT_TRACK": "1",
        FOLDER_VARIABLE: str(Path.cwd()),
    }


@contextlib.contextmanager
def _sandbox() -> Iterator[None]:
    """Both emulators. They begin empty, so the ledger does too: else it would take every row for sent."""
    from caspio_sync.sandbox.server import SandboxProcesses

    OUT.print("No account is named in .env: the sandbox stands in for Caspio and Braze.")
    home = SERVE_HOME.absolute() / "sandbox"
    state_folder(home)
    for left in home.glob("ledger.db*"):
        left.unlink()
    with SandboxProcesses() as processes:
        values = environment(processes, home)
        use_settings(values)
        # So that `caspio-sync --sandbox …` in another terminal sees the same accounts, ledger and server.
        values["PREFECT_API_URL"] = os.environ["PREFECT_API_URL"]
        if (syncs := os.environ.get("CASPIO_SYNC_SYNCS")) is not None:
            values["CASPIO_SYNC_SYNCS"] = syncs
        SANDBOX_HOME.mkdir(parents=True, exist_ok=True)
        SANDBOX_ENV.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
        try:
            yield
        finally:
            SANDBOX_ENV.unlink(missing_ok=True)


@contextlib.contextmanager
def _process(command: list[str], home: Path, name: str, *, anew: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a log file, and with all its descendants ended at the end of the block, or with us."""
    with (home / f"{name}.log").open("wb" if anew else "ab") as log:
        process = kept.start(command, log)
        try:
            yield process
        finally:
            kept.end(process)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ConfigurationError(
                f"port {port} on {HOST} is taken, perhaps by another `serve`; end it, or give another with --port"
            ) from None


def _await_server(server: subprocess.Popen[bytes], port: int, home: Path) -> None:
    until, log = time.monotonic() + _PATIENCE_SECONDS, home / "server.log"
    while time.monotonic() < until:
        if server.poll() is not None:
            raise CaspioSyncError(f"Prefect's server ended at once (exit code {server.returncode}); see {log}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.5)
    raise TransientError(f"Prefect's server did not answer within {_PATIENCE_SECONDS:.0f} s; see {log}")


def _free_port(wanted: int) -> int:
    """The port, or any other where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"no port on {HOST} is free for the page; end something that listens there")


def _watch(processes: dict[str, subprocess.Popen[bytes]], page: subprocess.Popen[bytes], home: Path) -> None:
    """Until Ctrl-C; where one of them ends by itself, everything does, but for the page, which nothing needs."""
    is_shown = True
    while True:
        time.sleep(1.0)
        if is_shown and page.poll() is not None:
            is_shown = False
            OUT.print(f"the page ended (exit code {page.returncode}); see {home / 'page.log'}")
        for name, process in processes.items():
            if process.poll() is not None:
                raise CaspioSyncError(f"the {name} ended (exit code {process.returncode}); see {home / f'{name}.log'}")
