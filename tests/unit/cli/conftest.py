"""A small shop on in-process sandboxes, and the command line pointed at it."""

import asyncio
import importlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from typer.testing import CliRunner

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import CaspioClient
from caspio_sync.clock import CLOCK, Clock
from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.engine.connect import CONNECT, Connect
from caspio_sync.engine.destination import Account, Destination
from caspio_sync.engine.prepared import Prepared, prepare
from caspio_sync.ledger.compare import Versions, compare
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import CheckTotals, Reason, RunReport
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.settings import Settings, current_settings, destination_settings
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

FIELDS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING", "Unique": True},
    {"Name": "FirstName", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Spend", "Type": "CURRENCY"},
    {"Name": "Number", "Type": "INTEGER", "Unique": True},
    {"Name": "CreatedAt", "Type": "TIMESTAMP", "OnInsert": True, "TimeZone": "GMT Standard Time"},
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
"""
EVIL = "<script>alert(1)</script>&\"'"  # what somebody may have typed into a field
ENVIRONMENT = {
    "CASPIO_INTEGRATION_URL": "https://caspio.test",
    "CASPIO_CLIENT_ID": "sandbox",
    "CASPIO_CLIENT_SECRET": "sandbox-secret",
    "BRAZE_REST_ENDPOINT": "https://braze.test",
    "BRAZE_API_KEY": "sandbox-key",
    "CASPIO_SYNC_SYNCS": "syncs",
    "CASPIO_SYNC_HOME": "home",
}


@dataclass
class Shop:
    """The two accounts, the folder the commands run in, and their ledger."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOW))

    def __post_init__(self) -> None:
        self.caspio_clock = VirtualClock(NOW)
        self.unreachable: set[str] = set()
        self.caspio = CaspioSandbox(clock=self.caspio_clock)
        self.braze = BrazeSandbox(clock=self.clock)
        self.caspio.create_table("Customers", FIELDS)
        self.caspio.insert_rows(
            "Customers",
            [
                {"CustomerNo": "A1", "FirstName": "Ada", "Email": "ada@example.com", "Spend": 10.5, "Number": 1},
                {"CustomerNo": "B2", "FirstName": "Bob", "Email": "not an address", "Spend": 7, "Number": 2},
                {"CustomerNo": "C3", "FirstName": "", "Email": "cy@example.com", "Spend": 0, "Number": 3},
            ],
        )

    def connect(self) -> Connect:
        return Connect(clock=self.clock, caspio=self._caspio_client, account=self._account)

    def _caspio_client(self, settings: Settings, clock: Clock) -> CaspioClient:
        return CaspioClient(
            integration_url=settings.caspio_integration_url,
            client_id=settings.caspio_client_id,
            client_secret=settings.caspio_client_secret,
            clock=clock,
            transport=self._transport("caspio", self.caspio.app),
        )

    def _account(self, destination: Destination, clock: Clock) -> Account:
        made: Account = destination.account(
            destination_settings(destination.name), clock, transport=lambda: self._transport("braze", self.braze.app)
        )
        return made

    def _transport(self, side: str, app: Any) -> httpx.AsyncBaseTransport:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no route", request=request)

        return httpx.MockTransport(refuse) if side in self.unreachable else httpx.ASGITransport(app=app)

    def write_sync(self, text: str = SYNC, name: str = "customers") -> Path:
        path = self.folder / "syncs" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str) -> Any:
        from caspio_sync.cli.main import app

        return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})

    def document(self, *arguments: str) -> Any:
        """What the command prints with --json."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def ledger(self) -> Ledger:
        return Ledger.open(current_settings().ledger_url, clock=self.clock)

    def record(self, verdicts: Mapping[str, tuple[str, str | None]], run: str = "run-1") -> None:
        """Record the rows as a run would: a verdict and a reason by key."""
        prepared, mapped = asyncio.run(self._mapped())
        mapping = prepared.mapping
        with self.ledger() as ledger:
            number = ledger.mapping_version("customers", mapping.digest, [each.name for each in mapping.columns])
            versions = Versions(number, 1, ledger.mapping_fields("customers"))
            known = ledger.read_rows("customers", 0, 10**6)
            salt = identity_salt(ledger.salt, mapping.identity.kind, mapping.identity.label)
            changes = compare(
                mapped, known, columns=mapping.columns, versions=versions, consent=CONSENT, salt=salt
            ).changes
            rows = changes.filter(pl.col("key").is_in(list(verdicts))).with_columns(
                pl.col("key").replace_strict({key: verdict for key, (verdict, _) in verdicts.items()}).alias("verdict"),
                pl.col("key")
                .replace_strict({key: reason for key, (_, reason) in verdicts.items()}, return_dtype=pl.String)
                .alias("reason"),
                sent_fields="fields",
                part=pl.lit("profile"),
                request=pl.lit(4, dtype=pl.Int64),
                status=pl.lit(201, dtype=pl.Int64),
                suite_version=pl.lit(1, dtype=pl.Int64),
                mapping_version=pl.lit(number, dtype=pl.Int64),
            )
            ledger.start_run(run=run, sync="customers", kind="profiles", mode="sweep")
            ledger.record(sync="customers", run=run, batch=1, rows=rows)

    async def _mapped(self) -> tuple[Prepared, pl.DataFrame]:
        settings = current_settings()
        async with self._caspio_client(settings, self.clock) as caspio:
            prepared = await prepare(settings, "customers", caspio)
            select = ["PK_ID", *prepared.mapping.source_fields]
            page = await caspio.records(prepared.source, select=select, order_by="PK_ID ASC")
        return prepared, prepared.mapping.apply(source_frame([page.rows], prepared.selected, "PK_ID"))


@pytest.fixture(scope="session")
def great_expectations() -> None:
    """Its import alone warns of what its own dependencies deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations.expectations")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, great_expectations: None) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CASPIO_SYNC_ENV_FILE", raising=False)
    monkeypatch.delenv("CASPIO_SYNC_LEDGER_URL", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    made = Shop(tmp_path, monkeypatch)
    token, clock = CONNECT.set(made.connect()), CLOCK.set(made.clock)
    yield made
    CONNECT.reset(token)
    CLOCK.reset(clock)
    made.caspio.close()


def ended(shop: Shop, ledger: Any, run: str, sync: str = "customers", code: int = 0, **counts: Any) -> None:
    ledger.start_run(run=run, sync=sync, kind="profiles", mode="incremental")
    shop.clock.advance(75)
    report = RunReport(run=run, sync=sync, mode="incremental", started_at=shop.clock.now(), **counts)
    state = "done" if code == 0 else "blocked" if code == 3 else "failed"
    ledger.finish_run(run, state=state, exit_code=code, report=report.model_dump(mode="json"))


@pytest.fixture
def months(shop: Shop) -> Shop:
    """Runs of four months, each with other counts; rows of each verdict; calls; one sync that nobody runs."""
    shop.write_sync(SYNC + "freshness: 5m\n")
    shop.write_sync(SYNC + "enabled: false\n", name="quiet")
    with shop.ledger() as ledger:
        for number in range(40):
            counts: dict[str, Any] = {
                "read": 100 + number, "changed": 7, "verdicts": {"sent": 3 * number, "quarantined": number % 5, "rejected": number % 2},
                "opt_outs": number % 3, "data_points": 11 * number, "data_points_full": 20 * number, "caspio_calls": number + 1, "requests": 2,
                "changed_fields": {"first_name": 1} if number == 20 else {},
            }  # fmt: skip
            ended(shop, ledger, f"r{number:02}", **counts)
            shop.clock.advance(3 * 86_400)
        ended(
            shop, ledger, "r-last", code=3, read=250, verdicts={"quarantined": 250}, error=f"250 of 250 rows failed {EVIL}",
            reasons=[Reason(verdict="quarantined", reason=f"email_format: is {EVIL}", rows=250, examples=["ada@example.com"])],
            checks=[CheckTotals(name="email_format", why="What is no address is dropped there", severity="critical", rows=250, failed=250)],
        )  # fmt: skip
        ledger.take_calls("caspio.test", shop.clock.now().replace(hour=0, minute=0, second=0, microsecond=0), 17)
        ledger.take_calls("caspio.test", shop.clock.now() - timedelta(days=12), 5)
        ledger.take_calls("caspio.test", shop.clock.now() - timedelta(days=40), 1_000)
    shop.record(
        {
            "A1": ("sent", None),
            "B2": ("quarantined", "email_format | email: is no address: xxx xx xxxxxxx"),
            "C3": ("rejected", f"refused {EVIL}"),
        },
        run="r-rows",
    )
    return shop
