"""`caspio-sync serve`: one machine, always on: Prefect's server with its UI, the deployments, and a worker."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from caspio_sync import signals
from caspio_sync.cli import kept
from caspio_sync.cli.demo import shipped_syncs
from caspio_sync.cli.deploy import registered
from caspio_sync.cli.sandbox import SANDBOX_ENV, SANDBOX_HOME, environment, use_settings
from caspio_sync.cli.show import OUT
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.run.deployed.deployments import FOLDER_VARIABLE, POOL, POOL_TYPE, deployments_of
from caspio_sync.settings import current_settings, read_env_file, settings_file

SERVE_HOME = Path(".caspio-sync/serve")
HOST = "127.0.0.1"
# Runs at once on this worker, by a count of its own living processes: after an outage many are late together.
RUNS_AT_ONCE = 4
_ACCOUNT_VARIABLES = ("CASPIO_INTEGRATION_URL", "CASPIO_CLIENT_ID", "CASPIO_CLIENT_SECRET", "BRAZE_API_KEY")
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
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(_prefect(home, port))
    signals.end_in_own_time()
    with contextlib.ExitStack() as stack:
        if not names_accounts():
            stack.enter_context(_sandbox())
        settings = current_settings()
        wanted = deployments_of(settings)
        OUT.print(f"Prefect's server starts on http://{HOST}:{port} ...")
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
        server = stack.enter_context(_process(command, home, "server"))
        _await_server(server, port, home)
        changes = registered(settings, wanted, pool=POOL, prune=prune)
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", POOL_TYPE]
        command += ["--name", f"serve-{socket.gethostname()}", "--limit", str(RUNS_AT_ONCE)]
        worker = stack.enter_context(_process(command, home, "worker"))
        OUT.print(f"[bold]UI: http://{HOST}:{port}[/]  ({len(changes)} deployments; logs in {SERVE_HOME})")
        look = f"export PREFECT_API_URL=http://{HOST}:{port}/api; caspio-sync doctor"
        look = "caspio-sync --sandbox doctor" if SANDBOX_ENV.is_file() else look
        OUT.print(f"In another terminal: [bold]{look}[/]. Ctrl-C ends everything.")
        with contextlib.suppress(KeyboardInterrupt):
            _watch({"server": server, "worker": worker}, home)
        OUT.print("stopping")


def names_accounts() -> bool:
    """Whether the settings file or the environment names any part of an account; half a one is refused later."""
    given = {**read_env_file(settings_file()), **os.environ}
    return any((given.get(name) or "").strip() for name in _ACCOUNT_VARIABLES)


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
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob("ledger.db*"):
        left.unlink()
    with SandboxProcesses() as processes:
        values = environment(processes, home)
        use_settings(values)
        # So that `caspio-sync --sandbox …` in another terminal sees the same accounts, ledger and server.
        values["PREFECT_API_URL"] = os.environ["PREFECT_API_URL"]
        SANDBOX_HOME.mkdir(parents=True, exist_ok=True)
        SANDBOX_ENV.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
        if not Path(os.environ.get("CASPIO_SYNC_SYNCS", "syncs")).is_dir():
            os.environ["CASPIO_SYNC_SYNCS"] = str(shipped_syncs())
        try:
            yield
        finally:
            SANDBOX_ENV.unlink(missing_ok=True)


@contextlib.contextmanager
def _process(command: list[str], home: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a log file, and with all its descendants ended at the end of the block, or with us."""
    with (home / f"{name}.log").open("ab") as log:
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


def _watch(processes: dict[str, subprocess.Popen[bytes]], home: Path) -> None:
    """Until Ctrl-C; where one of them ends by itself, everything does."""
    while True:
        time.sleep(1.0)
        for name, process in processes.items():
            if process.poll() is not None:
                raise CaspioSyncError(f"the {name} ended (exit code {process.returncode}); see {home / f'{name}.log'}")
