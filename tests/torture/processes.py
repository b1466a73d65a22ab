"""The process that is killed: it imports everything once, then forks a child for each run it is asked for.

Commands come as lines of JSON on standard input, one a run (`Order`); lines on standard output tell each child's pid when
it starts, and its exit status (negative: the signal) when it ended. A child runs the real flow's functions, without
Prefect's engine around them, on a ledger in a file or on PostgreSQL, against emulators that live in the parent and
survive it. Nothing that starts a thread may happen before the fork: polars' pool, above all.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import select
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from tests.torture.boundaries import watch
from tests.torture.plain_gate import plain_gate


@dataclass(frozen=True)
class Order:
    """One run.

    Args:
        folder: where the sync file is; `end.json` is written here when the run ends by itself.
        ledger: URL.
        url: root of both emulators.
        sync: name of the sync.
        offset: seconds between the machine's clock and the run's.
        at: boundary at which the process kills itself, such as "record_sent:after"; "" for none.
        count: at its how-manieth passing.
        after: seconds from the start after which it kills itself; None for never.
        stop: kill or pause (SIGSTOP) there.
        options: of `RunOptions`.
        lease_seconds: how long a lease lasts without a beat; None for the product's own.
        sender: "inline" or "process".
        gate: "great expectations", or "plain": the same suite's answers read off in plain Python, as four fifths of a
            small run's time would be Great Expectations'.
        batch_rows: rows a batch.
        objects_per_request: rows a request.
        commit_requests: answers a commit.
        connections: requests in flight at the most.
        most_unsettled: requests of events without a recorded outcome at the most.
        prefect: with Prefect's engine.
        verify: a verification instead of a run.
        file_bytes: how large a file may become, as on a disk that is nearly full.
    """

    folder: str
    ledger: str
    url: str
    sync: str = "customers"
    offset: float = 0.0
    at: str = ""
    count: int = 1
    after: float | None = None
    stop: str = "KILL"
    options: dict[str, Any] = field(default_factory=dict)
    lease_seconds: float | None = None
    sender: str = "inline"
    gate: str = "plain"
    batch_rows: int = 10
    objects_per_request: int = 3
    commit_requests: int = 2
    connections: int = 2
    most_unsettled: int = 6
    prefect: bool = False
    verify: bool = False
    file_bytes: int | None = None


class Boundaries:
    """Counts the passings of every boundary, and ends the process at the one that was ordered."""

    order: Order  # of the child: the boundaries are watched before there is one

    def __init__(self) -> None:
        self._passed: Counter[str] = Counter()

    def __call__(self, point: str) -> None:
        self._passed[point] += 1
        if point == self.order.at and self._passed[point] == self.order.count:
            end(self.order)


def end(order: Order) -> None:
    os.kill(os.getpid(), getattr(signal, f"SIG{order.stop}"))
    time.sleep(0.05)  # another thread may have been given the signal; this one must not go on meanwhile


def without_engine() -> None:
    """The steps without Prefect's engine around them, and each one once: time is real here."""
    importlib.import_module("tasks.line").as_task = lambda step: step.do  # type: ignore[attr-defined]
    for flow in ("profile_sync", "catalog_sync", "engagement_return", "event_sync", "deal_sync"):
        module = importlib.import_module(f"flows.{flow}")
        setattr(module, flow, getattr(module, flow).fn)
    report = importlib.import_module("tasks.report")

    @contextlib.asynccontextmanager
    async def quiet() -> AsyncIterator[Callable[[Any], Any]]:
        async def nothing(_run: Any) -> None:
            return None

        yield nothing

    report.published = quiet  # type: ignore[attr-defined]


def prepare_everything() -> Boundaries:
    """Import what a run imports, with its boundaries watched; the first gate of a process costs more than the others."""
    boundaries = Boundaries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (
            "flows.kinds", "great_expectations.expectations", "caspio_sync.cli.run", "psycopg", "tasks.report",
            "anyio._backends._asyncio", "multiprocessing.synchronize", "sqlalchemy.dialects.sqlite.pysqlite",
            "sqlalchemy.dialects.postgresql.psycopg", "pandas", "pyarrow", "fastapi.encoders",
            "prefect.flow_engine", "prefect.task_engine", "prefect.utilities.visualization", "expectations.suites", "tasks.server",
        ):  # fmt: skip
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(name)
        watch(boundaries)
        # After the watch: they take the functions that are watched into their lines.
        for name in (
            "flows.profile_sync", "flows.catalog_sync", "flows.engagement_return", "caspio_sync.kinds.profiles.kind",
            "caspio_sync.kinds.catalog.kind", "caspio_sync.kinds.engagement.kind", "expectations.profiles",
            "expectations.catalog", "caspio_sync.destinations.braze.destination", "caspio_sync.verification.verifying",
            "caspio_sync.destinations.activecampaign.destination", "caspio_sync.destinations.activecampaign.contacts",
            "encodings.ascii", "encodings.utf_8_sig",
        ):  # fmt: skip
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return boundaries


def play(order: Order, boundaries: Boundaries) -> int:
    """One run in this (forked) process; its exit code."""
    boundaries.order = order
    warnings.simplefilter("ignore")
    os.chdir(order.folder)
    environment = {
        "CASPIO_INTEGRATION_URL": order.url,
        "CASPIO_CLIENT_ID": "sandbox",
        "CASPIO_CLIENT_SECRET": "sandbox-secret",
        "BRAZE_REST_ENDPOINT": order.url,
        "BRAZE_API_KEY": "sandbox-key",
        "ACTIVECAMPAIGN_URL": order.url,
        "ACTIVECAMPAIGN_KEY": "sandbox-activecampaign-key",
        "BRAZE_CONNECTIONS": str(order.connections),
        "CASPIO_SYNC_SYNCS": ".",
        "CASPIO_SYNC_HOME": "home",
        "CASPIO_SYNC_LEDGER_URL": order.ledger,
        "CASPIO_SYNC_SENDER": order.sender,
        "CASPIO_CALLS_PER_SECOND": "0",
        "CASPIO_CALLS_PER_WINDOW": "0",
    }
    os.environ.update(environment)
    gc.disable()  # it lives for a moment
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, resource.RLIM_INFINITY))
    _shrink(order)
    if order.gate == "plain":
        plain_gate()
    if order.after is not None:
        timer = threading.Timer(order.after, end, [order])
        timer.daemon = True
        timer.start()

    from caspio_sync.cli.run import exit_code
    from caspio_sync.errors import CaspioSyncError
    from caspio_sync.observe.report import RunOptions, RunReport

    reports: list[RunReport] = []
    error: CaspioSyncError | None = None
    options = RunOptions(**order.options)
    _connect(order, reports.append)
    if order.verify:
        return verify()
    try:
        if not order.prefect:
            without_engine()
        from caspio_sync.settings import current_settings
        from flows.kinds import run_sync

        reports.append(run_sync(order.sync, options, current_settings()))
    except CaspioSyncError as caught:
        error = caught
    report = reports[-1] if reports else None
    code = exit_code(report, error, strict=options.strict)
    told = {"code": code, "message": str(error or ""), "report": report.model_dump(mode="json") if report else None}
    _tell(told)
    return code


def verify() -> int:
    """A verification of all rows, ten at a time."""
    from caspio_sync.settings import current_settings
    from caspio_sync.verification import verifying

    verifying.STRETCH_ROWS = 10
    report = asyncio.run(verifying.verify("customers", settings=current_settings(), sample=None))
    _tell({"code": 0, "message": "", "report": report.model_dump(mode="json")})
    return 0


def _tell(how: dict[str, Any]) -> None:
    """How the run ended by itself; whole or not at all, for a kill may come even now."""
    Path("end.json.new").write_bytes(orjson.dumps(how))
    Path("end.json.new").replace("end.json")


def _shrink(order: Order) -> None:
    """Batches, requests and commits small enough that a few dozen rows cross every boundary several times."""
    from caspio_sync.delivery import outcomes, requests
    from caspio_sync.destinations.activecampaign import client, contacts, endpoint
    from caspio_sync.destinations.braze import catalog_schema, events, triggers
    from caspio_sync.engine import hinted, lease, opening
    from caspio_sync.engine.prepared import prepare
    from caspio_sync.kinds.events import sending
    from caspio_sync.ledger import leases

    async def smaller(*args: Any, **kwargs: Any) -> Any:
        prepared = await prepare(*args, **kwargs)
        return replace(prepared, definition=prepared.definition.model_copy(update={"batch_size": order.batch_rows}))

    opening.prepare = smaller  # type: ignore[attr-defined]
    for function in (requests.fill_requests, requests.count_requests):
        assert function.__kwdefaults__ is not None
        if order.sync != "contacts":  # of which some calls take one, whatever is asked
            function.__kwdefaults__["objects_per_request"] = order.objects_per_request
    for place in ("TRACK_EVENTS", "TRACK_PURCHASES"):
        setattr(events, place, replace(getattr(events, place), objects=order.objects_per_request))
    vars(triggers)["RECIPIENTS"] = order.objects_per_request
    events.EventSink.envelopes = (vars(events)["TRACK_EVENTS"],)
    sending.MOST_UNSETTLED, sending.NOTED_TOGETHER = order.most_unsettled, 2
    vars(hinted)["_MOST_HINTS"] = order.batch_rows
    catalog_schema.LOOK_SECONDS = 0.02
    catalog_schema.CATALOGS_LIMIT = catalog_schema.FIELDS_LIMIT = (100_000, 60.0)  # type: ignore[attr-defined]
    vars(client).update(IMPORTS=(100_000, 60.0), SINGLE_IMPORTS=(100_000, 60.0))
    vars(endpoint).update(_FIRST_LOOK=0.02, _MOVE_WAITS=(0.02, 0.02))
    vars(contacts)["FEW"] = 3
    outcomes.COMMIT_REQUESTS = order.commit_requests
    outcomes.COMMIT_SECONDS = 0.05
    if order.lease_seconds is not None:
        leases.LEASE_SECONDS = order.lease_seconds
        lease.BEAT_SECONDS = order.lease_seconds / 6  # type: ignore[attr-defined]


def _connect(order: Order, observer: Callable[[Any], None]) -> None:
    import httpx

    from caspio_sync.caspio.client import CaspioClient
    from caspio_sync.clock import Clock, SystemClock
    from caspio_sync.delivery.sender import InlineSender, Sender
    from caspio_sync.engine.connect import CONNECT, Connect, sender_of
    from caspio_sync.engine.destination import Account, Destination, Sink
    from caspio_sync.settings import Settings, destination_settings

    class Shifted(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=order.offset)

    # On loopback nothing is encrypted: reading the machine's certificates takes 30 ms a client.
    def line() -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=False)

    def caspio(settings: Settings, clock: Clock) -> CaspioClient:
        return CaspioClient(
            integration_url=settings.caspio_integration_url,
            client_id=settings.caspio_client_id,
            client_secret=settings.caspio_client_secret,
            clock=clock,
            transport=line(),
            calls_per_second=settings.caspio_calls_per_second,
            calls_per_window=settings.caspio_calls_per_window,
        )

    def account(destination: Destination, clock: Clock) -> Account:
        made: Account = destination.account(destination_settings(destination.name), clock, transport=line)
        if destination.name == "activecampaign":
            vars(made)["calls_per_second"] = 10_000.0
        return made

    def sender(settings: Settings, clock: Clock, sink: Sink[Any], account: Account, rows: int) -> Sender:
        if order.sender == "process":
            return sender_of(settings, clock, sink, account, rows)
        limits = replace(sink.limits(account), requests=3000, window_seconds=3.0, connections=order.connections)
        return InlineSender(sink.endpoint(account), limits=limits, clock=clock, repeats=sink.repeats)

    CONNECT.set(Connect(clock=Shifted(), caspio=caspio, account=account, sender=sender, observer=observer))


def serve() -> None:
    """Fork a child an order, and tell what becomes of it."""
    boundaries = prepare_everything()
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tell({"ready": os.getpid()})
    children: set[int] = set()
    waiting = b""
    while True:
        ready, _, _ = select.select([0, reading], [], [])
        if reading in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 4096)
            with contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    children.discard(ended[0])
                    tell({"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})
        if 0 in ready:
            said = os.read(0, 65536)
            if not said:
                for child in children:
                    os.kill(child, signal.SIGKILL)
                return
            *lines, waiting = (waiting + said).split(b"\n")
            for line in lines:
                child = os.fork()
                if not child:
                    run_as_child(Order(**orjson.loads(line)), boundaries)
                children.add(child)
                tell({"started": child})


def run_as_child(order: Order, boundaries: Boundaries) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        code = play(order, boundaries)
    except BaseException:
        import traceback

        Path(order.folder, "bug.txt").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def tell(what: dict[str, int]) -> None:
    os.write(1, orjson.dumps(what) + b"\n")


if __name__ == "__main__":
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root / "src"), str(root)]
    serve()
