"""A whole account on each side, in process, and a sync that runs between them as the Prefect flow it is."""

import asyncio
import contextlib
import contextvars
import gc
import importlib
import os
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.braze_catalogs import CatalogClient
from caspio_sync.clients.braze_engagement import BrazeEngagementClient
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clock import Clock, VirtualClock
from caspio_sync.delivery.endpoints import endpoint_of
from caspio_sync.delivery.sender import InlineSender
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import AnySync
from caspio_sync.run.connect import CONNECT, Connect, sender_limits
from caspio_sync.run.planning import Plan
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.faults import CutAnswer, Fault, Faults, FaultyApp, ResetAfter, ResetBefore
from caspio_sync.settings import Settings, current_settings
from tests.flows.catalog_shop import Shop

SHIPPED = Path(__file__).parents[2] / "syncs"
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENVIRONMENT = {
    "CASPIO_INTEGRATION_URL": "http://caspio.test",
    "CASPIO_CLIENT_ID": "sandbox",
    "CASPIO_CLIENT_SECRET": "sandbox-secret",
    "BRAZE_REST_ENDPOINT": "http://braze.test",
    "BRAZE_API_KEY": "sandbox-key",
    "CASPIO_SYNC_SYNCS": "syncs",
    "CASPIO_SYNC_HOME": "home",
    "CASPIO_CALLS_PER_SECOND": "0",
    "CASPIO_CALLS_PER_WINDOW": "0",
}

CUSTOMERS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Spend", "Type": "NUMBER"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Notes", "Type": "TEXT"},
    {
        "Name": "ChangedAt",
        "Type": "TIMESTAMP",
        "OnInsert": True,
        "OnUpdate": True,
        "TimeZone": "GMT Standard Time",
    },
]
SYNC = """\
kind: profiles
source:
  table: Customers
  cursor: ChangedAt
identity:
  external_id: CustomerNo
fields:
  first_name: FirstName
  email: Email
  spend: Spend
  notes: {from: Notes, transform: {truncate: 255}, on_null: clear}
consent:
  email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed, double: opted_in}}
"""


class Line(httpx.AsyncBaseTransport):
    """The network between a client and an emulator: a broken connection is what httpx calls it.

    An answer that takes longer, by the virtual clock, than the request allows is lost.
    """

    def __init__(self, app: Any, clock: Clock) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started = self._clock.monotonic()
        try:
            response = await self._inner.handle_async_request(request)
        except ResetBefore as fault:
            raise httpx.ConnectError(str(fault), request=request) from fault
        except ResetAfter as fault:
            raise httpx.ReadError(str(fault), request=request) from fault
        except CutAnswer as fault:
            raise httpx.RemoteProtocolError(str(fault), request=request) from fault
        if self._clock.monotonic() - started > request.extensions["timeout"]["read"]:
            raise httpx.ReadTimeout("the answer was too slow", request=request)
        return response


@dataclass(frozen=True)
class Ended:
    """How `caspio-sync run` ends: the last report, the message a user sees, the exit code."""

    report: RunReport | None
    message: str
    code: int


class World:
    """Both accounts, the folder the commands run in, and their ledger. All time is virtual."""

    CUSTOMERS = CUSTOMERS
    SYNC = SYNC

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock(START)
        self.caspio = CaspioSandbox(clock=self.clock)
        self.braze = BrazeSandbox(clock=self.clock)
        self.faults: dict[str, Faults] = {}
        self._broken: dict[str, FaultyApp] = {}
        self.broken: list[FaultyApp] = []  # one a client, since Braze was broken last
        self.observer: Any = None
        (folder / "syncs").mkdir()

    def customers(
        self, rows: Sequence[Mapping[str, Any]], fields: Sequence[Mapping[str, Any]] = CUSTOMERS
    ) -> list[int]:
        """The small Customers table with these rows; their PK_IDs."""
        self.caspio.create_table("Customers", fields)
        return self.caspio.insert_rows("Customers", rows)

    def people(self, count: int) -> list[int]:
        """The small Customers table with `count` sound rows, keys c1, c2, …"""
        return self.customers([person(number) for number in range(1, count + 1)])

    def sync(self, text: str = SYNC, name: str = "customers") -> Path:
        """Write a sync file."""
        path = self.folder / "syncs" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def shipped(self, name: str = "customers", *, batch_size: int | None = None) -> None:
        """Take over the sync file that the project ships."""
        text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        self.sync(text + (f"\nbatch_size: {batch_size}\n" if batch_size else ""), name)

    def break_braze(self, *faults: Fault) -> None:
        """From the next run on, these faults stand before Braze; none: it is sound again."""
        self.faults["braze"] = Faults(faults=faults)
        self.broken.clear()

    def break_caspio(self, *faults: Fault) -> None:
        """From the next run on, these faults stand before Caspio; none: it is sound again."""
        self.faults["caspio"] = Faults(faults=faults)

    @staticmethod
    def person(number: int, **more: Any) -> dict[str, Any]:
        """A sound row of the small Customers table."""
        return person(number, **more)

    def run(self, name: str = "customers", **options: Any) -> RunReport:
        """A run as the flow it is; raises what ends it."""
        from flows.kinds import run_sync

        return run_sync(name, RunOptions(**options), current_settings())

    def ended(self, name: str = "customers", **options: Any) -> Ended:
        """A run as the command line makes it, with what its user would see."""
        from caspio_sync.cli.run import exit_code, run_shown

        chosen = RunOptions(**options)
        report, error = run_shown(name, chosen, quiet=True)
        return Ended(report, "" if error is None else str(error), exit_code(report, error, strict=chosen.strict))

    def ended_elsewhere(self) -> Ended:
        """As `ended`, from a thread that knows nothing of this one's run."""

        def run() -> Ended:
            CONNECT.set(self.connect())
            return self.ended()

        return contextvars.Context().run(run)

    def plan(self, name: str = "customers", *, show: int = 0, **options: Any) -> Plan:
        """What `caspio-sync plan` finds out."""
        from caspio_sync.cli.plan import _plan

        return asyncio.run(_plan(name, RunOptions(**options), show))

    def refused_plan(self, name: str = "customers") -> CaspioSyncError:
        """The error a plan ends with."""
        with pytest.raises(CaspioSyncError) as caught:
            self.plan(name)
        return caught.value

    def edit_unstamped(self, statement: str) -> None:
        """Change rows of Customers behind Caspio's back, as nothing that is stamped does."""
        account = self.caspio._account
        table = account.table("Customers")
        table._db.execute(statement)
        account.change_fields(table, table.fields, {field.name: field.name for field in table.fields})

    def profiles(self) -> dict[str, dict[str, Any]]:
        """Braze's profiles by external id."""
        return self.braze.profiles()

    def sent(self) -> list[dict[str, Any]]:
        """The objects Braze accepted since it was last forgotten, in the order they came."""
        return [entry.object for entry in self.braze.log if entry.request > self._forgotten]

    _forgotten = 0

    def forget(self) -> None:
        """`sent()` begins anew from here."""
        self._forgotten = max((entry.request for entry in self.braze.log), default=self._forgotten)

    @property
    def ledger_file(self) -> Path:
        return self.folder / "home" / "ledger.db"

    def ledger(self) -> Ledger:
        """The ledger the runs write."""
        return Ledger.open(current_settings().ledger_url, clock=self.clock)

    def watermark(self, name: str = "customers") -> datetime | None:
        """How far the cursor of a sync is; None before it was moved for the first time."""
        with self.ledger() as ledger:
            cursor = ledger.cursor(name)
        return None if cursor is None else cursor.watermark

    def verdicts(self, name: str = "customers") -> dict[str, int]:
        """Rows of the ledger by verdict."""
        with self.ledger() as ledger:
            return dict(ledger.verdict_counts(name))

    def connect(self) -> Connect:
        return Connect(
            clock=self.clock,
            caspio=self._caspio_client,
            sender=self._sender,
            braze=self._braze_client,
            catalogs=self._catalog_client,
            polled=self._engagement_client,
            observer=self.observer,
        )

    def _caspio_client(self, settings: Settings, clock: Clock) -> CaspioClient:
        return CaspioClient(
            integration_url=settings.caspio_integration_url,
            client_id=settings.caspio_client_id,
            client_secret=settings.caspio_client_secret,
            clock=clock,
            transport=self._line("caspio", self.caspio.app),
            calls_per_second=settings.caspio_calls_per_second,
            calls_per_window=settings.caspio_calls_per_window,
        )

    def _sender(self, settings: Settings, clock: Clock, definition: AnySync, _rows: int) -> InlineSender:
        client = self._catalog_client if definition.kind == "catalog" else self._braze_client
        return InlineSender(
            endpoint_of(client(settings, clock)), limits=sender_limits(settings, definition), clock=clock
        )

    def _catalog_client(self, settings: Settings, clock: Clock) -> CatalogClient:
        return CatalogClient(
            endpoint=settings.braze_endpoint,
            api_key=settings.braze_api_key,
            clock=clock,
            transport=self._line("braze", self.braze.app),
        )

    def _engagement_client(self, settings: Settings, clock: Clock) -> BrazeEngagementClient:
        return BrazeEngagementClient(
            endpoint=settings.braze_endpoint,
            api_key=settings.braze_api_key,
            clock=clock,
            transport=self._line("braze", self.braze.app),
        )

    def _braze_client(self, settings: Settings, clock: Clock) -> BrazeClient:
        return BrazeClient(
            endpoint=settings.braze_endpoint,
            api_key=settings.braze_api_key,
            clock=clock,
            transport=self._line("braze", self.braze.app),
        )

    def _line(self, side: str, app: Any) -> Line:
        faults = self.faults.get(side)
        if faults:
            app = self._broken[side] = FaultyApp(app, faults, self.clock)
            self.broken.append(app)
        return Line(app, self.clock)

    def struck(self, side: str, kind: str) -> int:
        """How often the faults of the last run struck in this way."""
        return self._broken[side].struck.get(kind, 0)


def person(number: int, **more: Any) -> dict[str, Any]:
    """A sound row of the small Customers table."""
    return {
        "CustomerNo": f"c{number}",
        "FirstName": f"Name{number}",
        "Email": f"c{number}@example.com",
        "Spend": number / 4,
        "Newsletter": "yes",
        "Notes": "",
        **more,
    }


@pytest.fixture(scope="session")
def great_expectations() -> None:
    """Its import alone warns of what its own dependencies deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations.expectations")


@pytest.fixture(scope="session")
def prefect(great_expectations: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect server for the session, on a database of its own; its URL."""
    home = tmp_path_factory.mktemp("prefect")
    private = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        # The server is on loopback: reading the machine's certificates takes 50 ms a client, several a run.
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in private.items():
            patch.setenv(name, value)
        with warnings.catch_warnings():
            # Prefect's own imports, before any line of ours runs.
            warnings.simplefilter("ignore")
            testing = importlib.import_module("prefect.testing.utilities")
            importlib.import_module("flows.profile_sync")
        # A busy machine takes its time to start a server.
        with testing.prefect_test_harness(server_startup_timeout=240):
            settings = importlib.import_module("prefect.settings")
            yield str(settings.PREFECT_API_URL.value())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect: str) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    for name in ("CASPIO_SYNC_ENV_FILE", "CASPIO_SYNC_LEDGER_URL"):
        monkeypatch.delenv(name, raising=False)
    private = {
        # Set beforehand, so that `use_own_prefect` leaves them alone and nothing of them outlives the test.
        "PREFECT_API_URL": prefect,
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "WARNING"),
    }
    for name, value in {**ENVIRONMENT, **private}.items():
        monkeypatch.setenv(name, value)
    _repeat_at_once(monkeypatch)
    made = World(tmp_path)
    token = CONNECT.set(replace(made.connect()))
    yield made
    CONNECT.reset(token)
    made.caspio.close()


@pytest.fixture
def shop(world: World) -> Shop:
    """A small product table, and a sync of it to a catalog."""
    return Shop(world)


@pytest.fixture
def without_prefect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow's own functions without the engine around them: three times as fast, for what is about rows alone."""
    catalogs = importlib.import_module("flows.catalog_sync")
    for name in (
        "keep_schema", "delete_vanished", "compare", "record", "send", "judge", "map_rows", "catalog_sync",
        "record_baseline",
    ):  # fmt: skip
        monkeypatch.setattr(catalogs, name, getattr(catalogs, name).fn)
    flow = importlib.import_module("flows.profile_sync")
    for name in (
        "erase", "compare", "record", "send", "send_opt_outs", "judge", "map_rows", "profile_sync", "record_baseline",
    ):  # fmt: skip
        monkeypatch.setattr(flow, name, getattr(flow, name).fn)
    braze = importlib.import_module("tasks.braze")
    monkeypatch.setattr(braze, "identify_rows", braze.identify_rows.fn)
    tasks = importlib.import_module("tasks.caspio")
    monkeypatch.setattr(tasks, "extract_batch", tasks.extract_batch.fn)
    verification = importlib.import_module("tasks.verification")
    monkeypatch.setattr(verification, "verify_rows", verification.verify_rows.fn)
    report = importlib.import_module("tasks.report")

    @contextlib.asynccontextmanager
    async def summarised() -> AsyncIterator[Any]:
        runs: list[Any] = []

        async def watch(run: Any) -> None:
            runs.append(run)

        try:
            yield watch
        finally:
            assert all("\n".join(report.summary_lines(run.report, run.past)) for run in runs)

    monkeypatch.setattr(report, "published", summarised)


def _repeat_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's own waits between the tries of a task are not on the virtual clock."""
    for module, names in {
        "braze": ("erase", "send", "send_opt_outs", "identify_rows", "keep_schema", "delete_vanished"),
        "caspio": ("extract_batch",),
        "engagement": ("gather", "want", "write", "record_written", "write_campaigns"),
        "ledger": ("compare", "record", "record_baseline"),
    }.items():
        tasks = importlib.import_module(f"tasks.{module}")
        for name in names:
            monkeypatch.setattr(getattr(tasks, name), "retry_delay_seconds", [0.0, 0.0, 0.0])
            monkeypatch.setattr(getattr(tasks, name), "retry_jitter_factor", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect leaves connections to its own server to the garbage collector; nothing else here opens one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning")
            )


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """No test elsewhere finds the connections that Prefect left."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
