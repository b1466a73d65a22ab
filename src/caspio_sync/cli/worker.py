"""`caspio-sync worker`: the runs of the deployments, each a fork of one process that has imported everything."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Annotated

import typer

from caspio_sync import signals
from caspio_sync.cli.server import VARIABLE, refuse_silent, required_server
from caspio_sync.deployed.deployments import FOLDER_VARIABLE, POOL
from caspio_sync.feeds import feeds_named
from caspio_sync.settings import local_settings

RUNS_AT_ONCE = 4  # after an outage many are late together


def worker(
    pool: Annotated[str, typer.Option(help="The work pool whose runs it takes.")] = POOL,
    name: Annotated[str, typer.Option(help="As the UI calls it; by default after this machine.")] = "",
    limit: Annotated[int, typer.Option(help="Runs at once; listening to webhooks apart.", min=1)] = RUNS_AT_ONCE,
    with_healthcheck: Annotated[
        bool, typer.Option("--with-healthcheck", help="Answer GET /health on PREFECT_WORKER_WEBSERVER_PORT.")
    ] = False,
) -> None:
    """Take the runs of the deployments on Prefect's server until Ctrl-C.

    A run begins in a tenth of a second. `prefect worker start --pool caspio-sync --type process` takes the same runs,
    and imports everything anew for each. Runs take their settings from the folder that CASPIO_SYNC_FOLDER names, by
    default this one.

    Example: `caspio-sync worker --limit 2`
    """
    signals.end_in_own_time()
    os.environ.setdefault(FOLDER_VARIABLE, str(Path.cwd()))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")  # quieter, the pages of runs would show no logs
    os.environ.setdefault("DO_NOT_TRACK", "1")
    server = required_server(local_settings().home)
    refuse_silent(server)
    os.environ[VARIABLE] = server
    most = limit + len(feeds_named())  # who listens to a webhook stays for an hour
    from tasks.warm_worker import WarmWorker

    async def start() -> None:
        # As Ctrl-C: asyncio cancels what is under way, and all is closed.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, signal.raise_signal, signal.SIGINT)
        taking = WarmWorker(work_pool_name=pool, name=name or f"warm-{socket.gethostname()}", limit=most)
        await taking.start(with_healthcheck=with_healthcheck)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(start())
