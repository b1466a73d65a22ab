"""An engagement return between both emulators: what Braze told is held in memory, as the folded state gives it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine.connect import CONNECT, open_inbox
from caspio_sync.kinds.engagement.people import KnownPeople
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.settings import current_settings
from tests import currents
from tests.flows.world import CUSTOMERS, START, World

COLUMNS = [
    {"Name": "LastOpened", "Type": "DATE/TIME"},
    {"Name": "EmailOpens", "Type": "STRING"},
    {"Name": "Clicks", "Type": "INTEGER"},
    {"Name": "HardBounced", "Type": "YES/NO"},
    {"Name": "Engaged", "Type": "YES/NO"},
    {"Name": "LastCampaign", "Type": "STRING"},
]
RETURN = """\
kind: engagement
source: {table: Customers, time_zone: Europe/London}
identity: {external_id: CustomerNo, email: Email}
fields:
  HardBounced: {measure: hard_bounced_at, as: flag}
  Engaged: engaged_30_days
  LastOpened: email_last_open_at
  EmailOpens: email_opens
  Clicks: email_clicks
  LastCampaign: last_campaign_name
consent:
  profiles: customers
  email_subscribe: {column: Newsletter, map: {yes: subscribed, no: unsubscribed, double: opted_in}}
"""
CAMPAIGN = "c0ffee00-0000-4000-8000-000000000001"
RECORDS = "/integrations/rest/v3/tables/Customers/records"


@dataclass
class Told:
    """What Braze told, by external id: the frames that the folded state gives, held in memory."""

    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    consents: list[tuple[str, str, str, datetime, str]] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    gathered: int = 0

    async def gather(self, _run: object) -> Mapping[str, int]:
        self.gathered += 1
        return {"events folded": len(self.measures)}

    def resolve(self, people: pl.DataFrame) -> KnownPeople:
        keys = people.select("key", "external_id")
        rows = [{"external_id": name, **values} for name, values in self.measures.items()]
        schema: dict[str, pl.DataType | type[pl.DataType]] = {
            "external_id": pl.String,
            "email_opens": pl.Int64,
            "email_clicks": pl.Int64,
        }
        schema |= {
            name: pl.Datetime("us", "UTC") for name in ("email_last_open_at", "last_engaged_at", "hard_bounced_at")
        }
        schema |= {"last_campaign_name": pl.String}
        found = keys.join(pl.DataFrame(rows, schema=schema), on="external_id", how="inner")
        states = pl.DataFrame(
            self.consents,
            schema={
                "external_id": pl.String, "scope": pl.String, "state": pl.String,
                "at": pl.Datetime("us", "UTC"), "source": pl.String,
            },
            orient="row",
        )  # fmt: skip
        known = keys.join(states, on="external_id", how="inner").drop("external_id")
        names = found.select(pl.lit("external_id").alias("person_kind"), pl.col("external_id").alias("person"))
        return KnownPeople(found.drop("external_id"), known, names)

    def people(self) -> int:
        return len(self.measures)

    def campaign_days(self, since: date) -> pl.DataFrame:
        schema = {"campaign_id": pl.String, "campaign_name": pl.String, "day": pl.Date, "channel": pl.String}
        schema |= {"sent": pl.Int64, "opens": pl.Int64}
        return pl.DataFrame(self.days, schema=schema).filter(pl.col("day") >= since)

    def says(self, key: str, state: str, *, at: datetime = START, source: str = "Preference Center") -> None:
        self.consents.append((key, "email", state, at, source))


@pytest.fixture(name="told")
def told_by_braze(world: World) -> Told:
    """The sync, a table with its columns, and what Braze tells."""
    made = Told()
    CONNECT.set(replace(CONNECT.get(), told=lambda _run: made))
    world.sync()
    world.sync(RETURN, "engagement")
    return made


def customers(world: World, count: int, **more: Any) -> None:
    world.customers([world.person(number, **more) for number in range(1, count + 1)], [*CUSTOMERS, *COLUMNS])


def row(world: World, number: int) -> dict[str, Any]:
    return world.caspio.rows("Customers")[number - 1]


@pytest.fixture(name="shop")
def shop_with_currents(world: World) -> World:
    """Five customers whom Braze knows, in a workspace with Currents, and the return of their engagement."""
    world.braze = BrazeSandbox(BrazeBehaviour(currents=True), clock=world.clock)
    customers(world, 5, Newsletter="yes")
    world.sync()
    world.sync(RETURN + "campaign_stats: {table: CampaignStats, create: true}\n", "engagement")
    world.run()
    world.braze.settle()
    world.clock.advance(3600)
    return world


def happens(world: World) -> None:
    """An hour of mail: somebody reads, a machine opens, somebody clicks, one bounces, one has enough."""
    told, at = world.braze.messaging, world.clock.now()
    told.add_campaign(CAMPAIGN, "Spring", edited=at)
    for number in range(1, 6):
        told.message("email.Send", f"c{number}", at=at, campaign_id=CAMPAIGN)
    for number in (1, 2, 4, 5):
        told.message("email.Delivery", f"c{number}", at=at, campaign_id=CAMPAIGN)
    for minutes in range(3):
        told.message("email.Open", "c1", at=at + timedelta(minutes=minutes), campaign_id=CAMPAIGN)
    told.message("email.Click", "c1", at=at + timedelta(minutes=3), campaign_id=CAMPAIGN, url="https://shop.example")
    told.message("email.Open", "c4", at=at, campaign_id=CAMPAIGN, machine_open="true")
    told.message("email.Bounce", "c3", at=at, campaign_id=CAMPAIGN)
    told.change_state("c2", {"email_subscribe": "unsubscribed"}, at=at, source="Preference Center")
    world.clock.advance(600)


def opened(at: datetime, opens: int, **more: Any) -> dict[str, Any]:
    return {"email_last_open_at": at, "last_engaged_at": at, "email_opens": opens, **more}


def during_the_run(told: Told, change: Callable[[], object]) -> None:
    """Change Caspio once, after its rows were read and before they are written."""
    resolve, changes = told.resolve, [change]

    def resolved(people: pl.DataFrame) -> KnownPeople:
        while changes:
            changes.pop()()
        return resolve(people)

    told.resolve = resolved  # type: ignore[method-assign]


def campaign_days(*opens: int) -> list[dict[str, Any]]:
    """A day of as many campaigns, each with its opens."""
    return [
        {
            "campaign_id": f"id{place}",
            "campaign_name": "News",
            "day": START.date(),
            "channel": "email",
            "sent": 100,
            "opens": each,
        }
        for place, each in enumerate(opens)
    ]


def posted(world: World) -> Any:
    """Currents sends what waits to a receiver that keeps it; the receiver's answers."""
    outbox = list(world.braze.messaging.outbox)
    world.braze.messaging.outbox.clear()
    with contextlib.closing(open_inbox(current_settings(), world.clock)) as inbox:
        return asyncio.run(currents.posted(outbox, inbox, world.clock, events_a_post=3))
