"""The emulators as processes of their own: `python -m caspio_sync.sandbox.server braze --port 8090`.

They listen on the loopback interface only, and tell their address as one line of JSON on standard output once they
answer. `SandboxProcesses` starts all of them and stops them.
"""

import argparse
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from caspio_sync.errors import ConfigurationError
from caspio_sync.event_loop import run
from caspio_sync.sandbox.asgi import App
from caspio_sync.sandbox.faults import ABORT, Faults, FaultyApp

Kind = Literal["caspio", "braze", "activecampaign", "http"]

HOST = "127.0.0.1"
CLIENT_ID = "sandbox"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - the emulator's own, known to everybody
BRAZE_KEY = "sandbox-key"
ACTIVECAMPAIGN_KEY = "sandbox-activecampaign-key"
ACTIVECAMPAIGN_EVENT_ID = "25100101"
ACTIVECAMPAIGN_EVENT_KEY = "sandbox-activecampaign-event-key"
# By the names that sync files have for them.
HTTP_SECRETS = {"sandbox": "sandbox-http-secret", "signing": "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0zMi1ieXRlcyE="}


class SandboxProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which also lets a fault drop the connection."""

    def on_message_begin(self) -> None:
        """Offer the drop in the scope of each request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self._abort}  # type: ignore[dict-item]  # uvicorn types its own extensions only

    def _abort(self, *, gently: bool) -> None:
        if gently:
            self.transport.close()
            return
        connection = self.transport.get_extra_info("socket")
        # Lingering for no time at all makes the close a reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _AnnouncingServer(uvicorn.Server):
    """Prints where it listens once it does."""

    def __init__(self, config: uvicorn.Config, announcement: dict[str, Any]) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.buffer.write(orjson.dumps(self._announcement) + b"\n")
        sys.stdout.buffer.flush()


def serve(
    kind: Kind,
    *,
    port: int = 0,
    behaviour: Mapping[str, Any] | None = None,
    rows: int | None = None,
    seed: int = 1,
    grocery: bool = False,
    views: Sequence[str] = (),
    faults: Path | None = None,
    event_port: int = 0,
    with_parent: bool = False,
) -> None:
    """Serve one emulator until it is told to stop.

    Args:
        kind: which one.
        port: 0 for a free one; the address is announced on standard output.
        behaviour: fields of the emulator's behaviour that differ from their defaults.
        rows: Caspio only: how many customers to load, None for those of the data set.
        seed: Caspio only: what the customers are drawn with.
        grocery: Caspio only: load the Groceries besides.
        views: Caspio only: views to make, each as `NAME=SELECT fields FROM table WHERE condition`.
        faults: a YAML file with a plan of faults.
        event_port: ActiveCampaign only: as `port`, of the host that takes events.
        with_parent: end when standard input closes, so that no emulator outlives who started it.

    Raises:
        ConfigurationError: the port is taken, or the behaviour, a view or the plan does not hold.
    """
    listeners = []
    if kind == "caspio":
        app = _caspio_app(behaviour or {}, rows, seed, grocery=grocery, views=views)
    elif kind == "braze":
        app = _braze_app(behaviour or {})
    elif kind == "activecampaign":
        sandbox = _activecampaign(behaviour or {})
        listeners = [listen(event_port)]
        sandbox.event_server = listeners[0].getsockname()
        app = sandbox.app
    else:
        app = _http_app(behaviour or {})
    if faults is not None:
        app = FaultyApp(app, Faults.load(faults))
    listeners.insert(0, listen(port))
    config = uvicorn.Config(
        app,
        http=SandboxProtocol,
        loop="asyncio",
        interface="asgi3",
        proxy_headers=False,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        server_header=False,
        date_header=False,  # Caspio's own clock is in the emulator's answers
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    urls = [f"http://{HOST}:{each.getsockname()[1]}" for each in listeners]
    address = {"kind": kind, **dict(zip(("url", "event_url"), urls, strict=False))}
    server = _AnnouncingServer(config, address)
    if with_parent:
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    # Requests make many short-lived objects and no cycles: collecting rarely saves a fifth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    run(server.serve(sockets=listeners))


def listen(port: int) -> socket.socket:
    """A socket that listens on loopback; 0 for whichever port is free.

    Raises:
        ConfigurationError: the port is taken.
    """
    # With the protocol named, asyncio switches Nagle's delay off; without, every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"port {port} on {HOST} is taken ({error.strerror}); give another, or 0") from error
    return listener


def _caspio_app(
    behaviour: Mapping[str, Any], rows: int | None, seed: int, *, grocery: bool, views: Sequence[str]
) -> App:
    # Each process pays only for the emulator it serves.
    from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox  # noqa: PLC0415 - as above
    from caspio_sync.sandbox.caspio.views import make_view  # noqa: PLC0415 - as above
    from caspio_sync.sandbox.shop import load_shop  # noqa: PLC0415 - as above

    sandbox = CaspioSandbox(_behaviour(CaspioBehaviour, behaviour))
    load_shop(sandbox, customers=rows, seed=seed, grocery=grocery)
    for view in views:
        make_view(sandbox, view)
    sandbox.deliveries.at_once = True
    app: App = sandbox.app
    return app


def _braze_app(behaviour: Mapping[str, Any]) -> App:
    from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour  # noqa: PLC0415 - as above
    from caspio_sync.sandbox.braze.emulator import BrazeSandbox  # noqa: PLC0415 - as above

    return BrazeSandbox(_behaviour(BrazeBehaviour, behaviour)).app


def _activecampaign(behaviour: Mapping[str, Any]) -> Any:
    from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour  # noqa: PLC0415 - as above
    from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox  # noqa: PLC0415 - as above

    return ActiveCampaignSandbox(_behaviour(ActiveCampaignBehaviour, behaviour))


def _http_app(behaviour: Mapping[str, Any]) -> App:
    from caspio_sync.sandbox.http.behaviour import HttpBehaviour  # noqa: PLC0415 - as above
    from caspio_sync.sandbox.http.emulator import HttpSandbox  # noqa: PLC0415 - as above

    return HttpSandbox(_behaviour(HttpBehaviour, behaviour)).app


def _behaviour(kind: Any, fields: Mapping[str, Any]) -> Any:
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the sandbox's behaviour does not hold: {error}") from error


def _end_with_parent(server: uvicorn.Server) -> None:
    # Read unbuffered: a thread inside a buffered read would hold its lock while the interpreter ends.
    while os.read(0, 1024):
        pass
    server.should_exit = True
    time.sleep(5)
    os._exit(0)


class SandboxProcesses:
    """The emulators as processes, for as long as the `with` block lasts.

    `urls`, `caspio_url`, `braze_url`, `activecampaign_url` and `event_url` are set inside the block; client id, secret
    and keys are the class's constants.

    Args:
        rows: customers to load into Caspio, None for those of the data set.
        seed: what they are drawn with.
        grocery: load the Groceries besides.
        views: views to make in Caspio, each as `NAME=SELECT fields FROM table WHERE condition`.
        caspio: fields of `CaspioBehaviour` that differ from their defaults.
        braze: fields of `BrazeBehaviour` that differ from their defaults.
        activecampaign: fields of `ActiveCampaignBehaviour` that differ from their defaults.
        http: fields of `HttpBehaviour` that differ from their defaults.
        faults: plan of faults (YAML file) by emulator.
        ports: port by emulator; 0 or none for a free one.
        event_port: of the host that takes ActiveCampaign's events; 0 for a free one.
        kinds: which emulators to start.
        patience: seconds to wait until they answer.
    """

    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    braze_key = BRAZE_KEY
    activecampaign_key = ACTIVECAMPAIGN_KEY
    event_id = ACTIVECAMPAIGN_EVENT_ID
    event_key = ACTIVECAMPAIGN_EVENT_KEY
    http_secrets = HTTP_SECRETS

    def __init__(
        self,
        *,
        rows: int | None = None,
        seed: int = 1,
        grocery: bool = False,
        views: Sequence[str] = (),
        caspio: Mapping[str, Any] | None = None,
        braze: Mapping[str, Any] | None = None,
        activecampaign: Mapping[str, Any] | None = None,
        http: Mapping[str, Any] | None = None,
        faults: Mapping[Kind, Path] | None = None,
        ports: Mapping[Kind, int] | None = None,
        event_port: int = 0,
        kinds: Sequence[Kind] = ("caspio", "braze", "activecampaign"),
        patience: float = 120.0,
    ) -> None:
        self._rows, self._seed, self._grocery, self._views = rows, seed, grocery, tuple(views)
        self._behaviours: dict[Kind, Mapping[str, Any]] = {
            "caspio": caspio or {},
            "braze": braze or {},
            "activecampaign": activecampaign or {},
            "http": http or {},
        }
        self._faults, self._ports, self._event_port = faults or {}, ports or {}, event_port
        self._kinds = tuple(kinds)
        self._patience = patience
        self._processes: dict[Kind, subprocess.Popen[bytes]] = {}
        self.urls: dict[Kind, str] = {}
        self.event_url = ""

    @property
    def caspio_url(self) -> str:
        """Root of the Caspio emulator, without a path."""
        return self.urls["caspio"]

    @property
    def braze_url(self) -> str:
        """Root of the Braze emulator, without a path."""
        return self.urls["braze"]

    @property
    def activecampaign_url(self) -> str:
        """Root of the ActiveCampaign emulator, without a path."""
        return self.urls["activecampaign"]

    def __enter__(self) -> Self:
        """Start them and wait until they answer; raises ConfigurationError with what a process said if one does not."""
        try:
            for kind in self._kinds:
                self._processes[kind] = self._start(kind)
            deadline = time.monotonic() + self._patience
            for kind in self._kinds:
                self.urls[kind] = self._address(kind, deadline)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self.stop()

    def pids(self) -> dict[Kind, int]:
        """Process ids, for measuring."""
        return {kind: process.pid for kind, process in self._processes.items()}

    def stop(self) -> None:
        """Stop them, politely first; harmless when they are gone."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._processes.clear()

    def _start(self, kind: Kind) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "caspio_sync.sandbox.server", kind, "--with-parent"]
        command += ["--port", str(self._ports.get(kind, 0)), "--seed", str(self._seed)]
        if self._rows is not None:
            command += ["--rows", str(self._rows)]
        if self._grocery and kind == "caspio":
            command.append("--grocery")
        if kind == "caspio":
            command += [f"--view={view}" for view in self._views]
        if kind == "activecampaign":
            command += ["--event-port", str(self._event_port)]
        if self._behaviours[kind]:
            command += ["--behaviour", orjson.dumps(dict(self._behaviours[kind])).decode()]
        if kind in self._faults:
            command += ["--faults", str(self._faults[kind])]
        # A session of its own: a Ctrl-C in the terminal reaches the parent, which then stops the emulators in order.
        return subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _address(self, kind: Kind, deadline: float) -> str:
        process = self._processes[kind]
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        line = process.stdout.readline() if ready else b""
        if not line:
            state = f"exit code {process.wait()}" if ready else f"no answer in {self._patience:.0f} s"
            raise ConfigurationError(f"the {kind} sandbox did not start ({state}); run it alone to see why")
        told = orjson.loads(line)
        self.event_url = told.get("event_url", self.event_url)
        url: str = told["url"]
        return url


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve by command line; exit code 2 where the options do not hold."""
    parser = argparse.ArgumentParser(prog="python -m caspio_sync.sandbox.server", description="Serve one emulator.")
    parser.add_argument("kind", choices=["caspio", "braze", "activecampaign", "http"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--behaviour", type=orjson.loads, default={}, help="JSON object of behaviour fields")
    parser.add_argument("--rows", type=int, default=None, help="customers to load (caspio)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grocery", action="store_true", help="load the Groceries besides (caspio)")
    parser.add_argument("--view", dest="views", action="append", default=[], help="NAME=SELECT … FROM … (caspio)")
    parser.add_argument("--faults", type=Path, default=None, help="YAML file with a plan of faults")
    parser.add_argument("--event-port", type=int, default=0, help="of the host that takes events (activecampaign)")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    options = vars(parser.parse_args(arguments))
    try:
        serve(options.pop("kind"), **options)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
