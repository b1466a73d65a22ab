"""An engagement return that is killed: no event counts twice, no cell is written twice, and every row ends right."""

import asyncio
import contextlib
import io
import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.clock import SystemClock
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from tests.currents import posted
from tests.torture.arena import Arena, copied
from tests.torture.processes import Order

pytestmark = pytest.mark.long

PEOPLE = 25
CAMPAIGN = "c0ffee00-0000-4000-8000-000000000001"
FIELDS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Newsletter", "Type": "STRING"},
    {"Name": "Opens", "Type": "INTEGER"},
    {"Name": "HardBounced", "Type": "YES/NO"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
CONSENT = "{yes: subscribed, no: unsubscribed}"
PROFILES = f"""\
kind: profiles
source: {{table: Customers, cursor: ChangedAt}}
identity: {{external_id: CustomerNo}}
fields: {{email: Email}}
consent: {{email_subscribe: {{from: Newsletter, map: {CONSENT}}}}}
"""
RETURN = f"""\
kind: engagement
source: {{table: Customers}}
identity: {{external_id: CustomerNo, email: Email}}
fields:
  HardBounced: {{measure: hard_bounced_at, as: flag}}
  Opens: {{measure: email_opens, as: exact}}
consent: {{profiles: customers, email_subscribe: {{column: Newsletter, map: {CONSENT}}}}}
campaign_stats: {{table: CampaignStats, create: true}}
"""
# Between receipt and fold, in the midst of a fold, between a write to Caspio and its record, and after each.
KILLED_AT = [
    ("Inbox.add:after", 1),
    ("told.fold_inbox:before", 1),
    ("engagement._add:after", 2),
    ("Ledger.record_fold:after", 1),
    ("wanted_rows.want_batch:before", 2),
    ("CaspioClient.update:before", 2),
    ("CaspioClient.update:after", 1),
    ("CaspioClient.update:after", 4),
    ("writing_back.write_batch:after", 1),
    ("Ledger.record:after", 1),
    ("writing_back._agree:before", 2),
    ("Ledger.agree:after", 1),
    ("Ledger.close_batch:before", 3),
    ("CaspioClient.create_table:after", 1),
    ("CaspioClient.insert:after", 1),
    ("campaign_stats.write_days:after", 1),
]


def opens_of(number: int) -> int:
    return 1 + number % 3


def opted_out(number: int) -> bool:
    return number % 7 == 0


def bounced(number: int) -> bool:
    return number % 11 == 0


class Returned:
    """Both accounts, the ledger and the inbox of one return, and every call that wrote to Caspio."""

    def __init__(self, arena: Arena, folder: Path, ledger: str) -> None:
        self.arena, self.folder, self.ledger = arena, folder, ledger
        self.clock = SystemClock()
        self.caspio = CaspioSandbox(clock=self.clock)
        self.braze = BrazeSandbox(BrazeBehaviour(currents=True), clock=self.clock)
        people = range(1, PEOPLE + 1)
        self.caspio.create_table("Customers", FIELDS)
        rows = [{"CustomerNo": f"c{n}", "Email": f"c{n}@example.com", "Newsletter": "yes"} for n in people]
        self.caspio.insert_rows("Customers", rows)
        for name, text in {"customers": PROFILES, "engagement": RETURN}.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.cells: Counter[tuple[int, str, Any]] = Counter()
        self.puts = 0
        self._under_way = 0
        arena.app = self.app

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self._under_way += 1
        try:
            if not scope["path"].startswith(("/oauth", "/integrations")):
                await self.braze.app(scope, receive, send)
                return
            if scope["method"] == "PUT":
                receive = await self._noted(scope, receive)
            with contextlib.suppress(OSError):  # whoever asked is dead
                await self.caspio.app(scope, receive, send)
        finally:
            self._under_way -= 1

    async def _noted(self, scope: Any, receive: Any) -> Any:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        (where,) = parse_qs(scope["query_string"].decode())["q.where"]
        self.puts += 1
        for pk in re.findall(r"\d+", where):
            self.cells.update((int(pk), name, value) for name, value in orjson.loads(body).items())
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        return again

    async def run(self, sync: str = "engagement", **more: Any) -> Any:

        order = Order(str(self.folder), self.ledger, self.arena.url, sync=sync, gate="great expectations", **more)
        ended = await self.arena.ended(await self.arena.start(order), order)
        while self._under_way:  # what was in flight arrives
            await asyncio.sleep(0.01)
        return ended

    async def mail(self) -> None:
        """Mail goes out, and Currents posts what became of it: some of it twice, and in disorder."""
        told, at = self.braze.messaging, datetime.now(UTC) - timedelta(minutes=30)
        told.add_campaign(CAMPAIGN, "Spring", edited=at)
        for number in range(1, PEOPLE + 1):
            told.message("email.Send", f"c{number}", at=at, campaign_id=CAMPAIGN)
            for minute in range(opens_of(number)):
                opened = at + timedelta(minutes=1 + minute)
                told.message("email.Open", f"c{number}", at=opened, campaign_id=CAMPAIGN)
            if bounced(number):
                told.message("email.Bounce", f"c{number}", at=at, campaign_id=CAMPAIGN)
            if opted_out(number):
                told.change_state(f"c{number}", {"email_subscribe": "unsubscribed"}, at=at, source="Preference Center")
        url = self.ledger if self.ledger.startswith("postgresql") else f"sqlite:///{self.folder}/home/inbox.db"
        with Inbox.open(url, clock=self.clock) as inbox:
            assert set(await posted(told.outbox, inbox, self.clock, events_a_post=9)) == {200}

    def recorded(self) -> set[int]:
        """The rows that the ledger has a good outcome of."""
        with Ledger.open(self.ledger) as ledger, ledger.reading("look") as connection:
            packed = connection.execute(sa.text("SELECT rows FROM outcome WHERE sync = 'engagement'")).scalars()
            frames = [pl.read_ipc(io.BytesIO(rows)) for rows in packed]
        return {pk for frame in frames for pk in frame.filter(pl.col("verdict") == "sent")["source_pk"]}

    def check(self) -> None:
        """Every row is as Braze told, every cell was written once, and every campaign day is there once."""
        for number, row in enumerate(self.caspio.rows("Customers"), start=1):
            wanted = ("no" if opted_out(number) else "yes", opens_of(number), bounced(number))
            assert (row["Newsletter"], row["Opens"], row["HardBounced"]) == wanted, row
        assert {cell: count for cell, count in self.cells.items() if count > 1} == {}
        # Columns that the sync declares, and no row was made.
        assert {name for _, name, _ in self.cells} == {"Newsletter", "Opens", "HardBounced"}
        assert len(self.caspio.rows("Customers")) == PEOPLE
        keys = [row["StatKey"] for row in self.caspio.rows("CampaignStats")]
        assert keys
        assert len(keys) == len(set(keys))


async def killed_and_run_again(returned: Returned, at: str, count: int) -> None:
    assert (await returned.run("customers")).status == 0
    returned.braze.settle()
    await returned.mail()
    assert (await returned.run(at=at, count=count)).status == -signal.SIGKILL
    recorded, written = returned.recorded(), Counter(returned.cells)
    ended = await returned.run()
    assert ended.status == 0, ended.message
    assert not recorded & {pk for pk, _, _ in returned.cells - written}
    returned.check()
    # All that there is was folded and written: the next run finds nothing.
    puts = returned.puts
    ended = await returned.run()
    assert (ended.status, ended.report["changed"], returned.puts) == (0, 0, puts)
    assert ended.report["writeback"]["gathered"].get("events folded", 0) == 0
    returned.check()


@pytest.mark.parametrize(("at", "count"), KILLED_AT)
def test_a_killed_return_is_finished_by_the_next_run(  # noqa: PLR0917 - fixtures
    arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path, at: str, count: int
) -> None:

    (tmp_path / "home").mkdir()
    runner.run(killed_and_run_again(Returned(arena, tmp_path, copied(template, tmp_path)), at, count))


@pytest.mark.parametrize(
    ("at", "count"),
    [("engagement._add:after", 2), ("told.fold_inbox:before", 1), ("CaspioClient.update:after", 1)],
)
def test_and_on_postgresql(  # noqa: PLR0917 - fixtures
    arena: Arena, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path, at: str, count: int
) -> None:
    (tmp_path / "home").mkdir()
    runner.run(killed_and_run_again(Returned(arena, tmp_path, postgresql_ledger), at, count))
