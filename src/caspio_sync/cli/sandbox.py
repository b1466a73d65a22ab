"""`caspio-sync sandbox`: the emulators of all three APIs, on this machine."""

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caspio_sync import signals
from caspio_sync.cli.show import OUT, show_table
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import SANDBOX_VARIABLE

if TYPE_CHECKING:
    from caspio_sync.sandbox.server import SandboxProcesses

SANDBOX_HOME = Path(".caspio-sync/sandbox")
SANDBOX_ENV = SANDBOX_HOME / "sandbox.env"

sandbox = typer.Typer(help="Local emulators of Caspio, Braze and ActiveCampaign.", no_args_is_help=True)


@sandbox.callback()
def _group() -> None:
    """Local emulators of Caspio, loaded with real data, and of Braze and ActiveCampaign."""


@sandbox.command("up")
def up(
    port: Annotated[
        int, typer.Option(help="Caspio's port; Braze, ActiveCampaign and its event host get the next ones.")
    ] = 8090,
    rows: Annotated[int | None, typer.Option(min=1, help="Customers; default the 4,372 of the data set.")] = None,
    grocery: Annotated[bool, typer.Option("--grocery", help="Besides, a table of 92,331 groceries.")] = False,
    faults: Annotated[
        Path | None, typer.Option(help="YAML file: what goes wrong, when, how often.", exists=True)
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Besides, an endpoint that takes rows by HTTP.")] = False,
    latency: Annotated[int, typer.Option(min=0, help="Milliseconds until Braze answers.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="caspio.numbers_as_text=refused: `sandbox switches` lists all; again for more."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="A view, 'Uk=SELECT CustomerNo, Email FROM Customers WHERE Orders > 3'; again for more."),
    ] = None,
) -> None:
    """Start the emulators and keep them until Ctrl-C.

    Other commands use them when given --sandbox before their name.

    Example: `caspio-sync sandbox up --rows 100000`, and in another terminal `caspio-sync --sandbox plan customers`
    """
    from caspio_sync.sandbox.choices import read_switches
    from caspio_sync.sandbox.server import SandboxProcesses

    chosen = read_switches(set_ or ())
    processes = SandboxProcesses(
        rows=rows,
        grocery=grocery,
        views=view or (),
        caspio=chosen["caspio"],
        braze={"latency_ms": latency} | chosen["braze"],
        activecampaign=chosen["activecampaign"],
        http=chosen["http"],
        faults={"caspio": faults, "braze": faults, "activecampaign": faults, "http": faults} if faults else None,
        ports={"caspio": port, "braze": port + 1, "activecampaign": port + 2, "http": port + 4} if port else None,
        event_port=port + 3 if port else 0,
        kinds=("caspio", "braze", "activecampaign", *(("http",) if http else ())),
    )
    with processes:
        SANDBOX_HOME.mkdir(parents=True, exist_ok=True)
        SANDBOX_ENV.write_text(env_lines(processes, SANDBOX_HOME), encoding="utf-8")
        endpoint = f", an endpoint on {processes.urls['http']}" if http else ""
        OUT.print(
            f"Caspio on {processes.caspio_url}, Braze on {processes.braze_url}, ActiveCampaign on "
            f"{processes.activecampaign_url}, its events on {processes.event_url}{endpoint}; settings in "
            f"{SANDBOX_ENV}.",
            soft_wrap=True,
        )
        OUT.print("In another terminal: [bold]caspio-sync --sandbox plan customers[/]. Ctrl-C stops them.")
        signals.end_in_own_time()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            OUT.print("stopping")
        finally:
            SANDBOX_ENV.unlink(missing_ok=True)


@sandbox.command("shop")
def shop(
    speed: Annotated[float, typer.Option(min=0.001, help="How many times as fast as the shop was.")] = 60,
    orders: Annotated[int | None, typer.Option(min=1, help="How many; default those of the week, 567.")] = None,
) -> None:
    """Place the shop's real orders once more, now, line by line through Caspio's REST API: live traffic to watch.

    For the sandbox alone. At a speed of 60 an hour of the shop's week takes a minute.

    Example: `caspio-sync --sandbox sandbox shop --speed 600`, and in another terminal runs of placed_orders
    """
    import asyncio

    from caspio_sync.cli.shop_traffic import play
    from caspio_sync.clock import SystemClock
    from caspio_sync.engine.connect import caspio_client
    from caspio_sync.settings import load_settings

    if not os.environ.get(SANDBOX_VARIABLE):
        raise ConfigurationError(
            "orders that nobody placed are for the sandbox alone: give --sandbox before the command"
        )

    async def traffic() -> None:
        clock = SystemClock()
        async with caspio_client(load_settings(), clock) as caspio:
            async for each in play(caspio, clock, speed=speed, most=orders):
                OUT.print(f"{clock.now():%H:%M:%S} {each.number}: {each.lines} lines of customer {each.customer}")

    signals.end_in_own_time()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(traffic())


@sandbox.command("switches")
def list_switches() -> None:
    """List what `sandbox up --set` can change: each switch, what it may be, what it is.

    Example: `caspio-sync sandbox up --set braze.rate=mau --set caspio.calls_per_second=5`
    """
    from caspio_sync.sandbox.choices import switches

    show_table("", ("switch", "may be", "is"), switches(), whole=("switch",))


def environment(processes: "SandboxProcesses", home: Path) -> dict[str, str]:
    """The settings under which every command uses these emulators, and no account."""
    return {
        "CASPIO_INTEGRATION_URL": processes.caspio_url,
        "CASPIO_CLIENT_ID": processes.client_id,
        "CASPIO_CLIENT_SECRET": processes.client_secret,
        "CASPIO_CALLS_PER_SECOND": "0",
        "CASPIO_CALLS_PER_WINDOW": "0",
        "BRAZE_REST_ENDPOINT": processes.braze_url,
        "BRAZE_API_KEY": processes.braze_key,
        "ACTIVECAMPAIGN_URL": processes.activecampaign_url,
        "ACTIVECAMPAIGN_KEY": processes.activecampaign_key,
        "ACTIVECAMPAIGN_EVENT_ID": processes.event_id,
        "ACTIVECAMPAIGN_EVENT_KEY": processes.event_key,
        "ACTIVECAMPAIGN_EVENT_URL": processes.event_url,
        "HTTP_SECRETS": json.dumps(processes.http_secrets, separators=(",", ":")),
        SANDBOX_VARIABLE: "1",
        "CASPIO_SYNC_HOME": str(home),
        "CASPIO_SYNC_LEDGER_URL": f"sqlite:///{home / 'ledger.db'}",
    }


def env_lines(processes: "SandboxProcesses", home: Path) -> str:
    """`environment` as a settings file."""
    return "".join(f"{name}={value}\n" for name, value in environment(processes, home).items())


def use_settings(values: dict[str, str]) -> None:
    """Let these settings win over the user's own environment: the sandbox must never reach a real account."""
    os.environ.update(values)
    os.environ.pop("BRAZE_INSTANCE", None)
