"""A whole account on each side, in process, and the folder that a sync between them runs in."""

import contextvars
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.clock import Clock
from caspio_sync.delivery.sender import InlineSender
from caspio_sync.engine.connect import CONNECT, Connect
from caspio_sync.engine.destination import Account, Destination, Sink
from caspio_sync.engine.plan import Plan
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.faults import CutAnswer, Fault, Faults, FaultyApp, ResetAfter, ResetBefore
from caspio_sync.sandbox.http.emulator import HttpSandbox
from caspio_sync.settings import Settings, current_settings, destination_settings
from tests.virtual_clock import VirtualClock

SHIPPED = Path(__file__).parents[2] / "examples"
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENVIRONMENT = {
    "CASPIO_INTEGRATION_URL": "http://caspio.test",
    "CASPIO_CLIENT_ID": "sandbox",
    "CASPIO_CLIENT_SECRET": "sandbox-secret",
    "BRAZE_REST_ENDPOINT": "http://braze.test",
    "BRAZE_API_KEY": "sandbox-key",
    "ACTIVECAMPAIGN_URL": "http://activecampaign.test",
    "ACTIVECAMPAIGN_KEY": "sandbox-activecampaign-key",
    "ACTIVECAMPAIGN_EVENT_ID": "25100101",
    "ACTIVECAMPAIGN_EVENT_KEY": "sandbox-activecampaign-event-key",
    "ACTIVECAMPAIGN_EVENT_URL": "http://trackcmp.test",
    "HTTP_SECRETS": '{"sandbox": "sandbox-http-secret", "signing": "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0zMi1ieXRlcyE="}',
    "CASPIO_SYNC_ALLOW_HTTP": "true",  # the names are nobody's, and nothing leaves this process
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
        self.activecampaign = ActiveCampaignSandbox(clock=self.clock)
        self.activecampaign.event_server = ("trackcmp.test", None)
        self.http = HttpSandbox(clock=self.clock)
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

    def break_activecampaign(self, *faults: Fault) -> None:
        """From the next run on, these faults stand before ActiveCampaign; none: it is sound again."""
        self.faults["activecampaign"] = Faults(faults=faults)

    def break_http(self, *faults: Fault) -> None:
        """From the next run on, these faults stand before the endpoint; none: it is sound again."""
        self.faults["http"] = Faults(faults=faults)

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

        return run_sync(name, RunOptions(**options), current_settings(name))

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
        from caspio_sync.cli.plan import made_plan

        return made_plan(name, RunOptions(**options), show)

    def refused_plan(self, name: str = "customers") -> CaspioSyncError:
        """The error a plan ends with."""
        with pytest.raises(CaspioSyncError) as caught:
            self.plan(name)
        return caught.value

    def edit_unstamped(self, statement: str) -> None:
        """Change rows of Customers behind Caspio's back, as nothing that is stamped does."""
        self.caspio.account.edit_unstamped(self.caspio.account.table("Customers"), statement)

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
            account=self._account,
            sender=self._sender,
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

    def _account(self, destination: Destination, clock: Clock) -> Account:
        side = destination.name if destination.name in {"activecampaign", "http"} else "braze"
        made: Account = destination.account(
            destination_settings(destination.name),
            clock,
            transport=lambda: self._line(side, getattr(self, side).app),
        )
        return made

    @staticmethod
    def _sender(_: Settings, clock: Clock, sink: Sink[Any], account: Account, _rows: int) -> InlineSender:
        limits = sink.limits(account)
        return InlineSender(sink.endpoint(account), limits=limits, clock=clock, repeats=sink.repeats)

    def _line(self, side: str, app: Any) -> Line:
        faults = self.faults.get(side)
        if faults:
            app = self._broken[side] = FaultyApp(app, faults, self.clock)
            self.broken.append(app)
        return Line(app, self.clock)

    def struck(self, side: str, kind: str) -> int:
        """How often the faults of the last run struck in this way."""
        return self._broken[side].struck.get(kind, 0)

    def reasons(self, verdict: str = "quarantined") -> dict[str, str]:
        """Why rows are held, by key."""
        with self.ledger() as ledger:
            frame = ledger.quarantine("customers", [verdict], limit=10_000)
        return {str(row["key"]): row["reason"] for row in frame.iter_rows(named=True)}

    def loose(self, text: str = SYNC) -> None:
        """A sync whose gate sets any number of rows aside."""
        self.sync(text + "gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}\n")


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
