"""Customers with every kind of field, what somebody else does to their profiles, and a verification of them."""

import asyncio
import importlib
from typing import Any

import httpx

from caspio_sync.observe.verify_report import VerifyReport
from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP
from caspio_sync.settings import current_settings
from tests.flows.world import World

verifying = importlib.import_module("caspio_sync.verification.verifying")
MORE_FIELDS = [
    {"Name": "Phone", "Type": "STRING"},
    {"Name": "Born", "Type": "DATE/TIME"},
    {"Name": "Visited", "Type": "DATE/TIME"},
    {"Name": "Visits", "Type": "INTEGER"},
    {"Name": "Vip", "Type": "YES/NO"},
    {"Name": "Country", "Type": "STRING"},
    {"Name": "Zone", "Type": "STRING"},
    {"Name": "Push", "Type": "STRING"},
    {"Name": "Group1", "Type": "YES/NO"},
]
RICH = f"""\
kind: profiles
source: {{table: Customers, cursor: ChangedAt, time_zone: Europe/Vienna}}
identity: {{external_id: CustomerNo}}
fields:
  first_name: FirstName
  email: Email
  phone: Phone
  dob: Born
  country: Country
  time_zone: Zone
  image_url: FirstName
  spend: Spend
  visits: Visits
  vip: Vip
  notes: {{from: Notes, on_null: clear}}
  visited: {{from: Visited, type: datetime}}
  tags: {{array: [{{from: FirstName}}, {{from: Country}}]}}
  visit: {{object: {{at: Visited, count: Visits, who: {{object: {{name: FirstName}}}}}}}}
  visits_made: {{array: [{{object: {{place: Country, count: Visits}}}}]}}
consent:
  email_subscribe: {{from: Newsletter, map: {{yes: subscribed, no: unsubscribed, double: opted_in}}}}
  push_subscribe: {{from: Push, map: {{yes: subscribed, no: unsubscribed, double: opted_in}}}}
  subscription_groups:
    - {{id: {NEWSLETTER_GROUP}, channel: email, from: Group1}}
"""


def rich(world: World, number: int, **more: Any) -> dict[str, Any]:
    return {
        **world.person(number),
        "Phone": f"+1415555{2000 + number}",
        "Born": "1990-02-03T00:00:00",
        "Visited": "2026-01-31T10:00:00",
        "Visits": number,
        "Vip": number % 2 == 0,
        "Country": "Austria",
        "Zone": "Europe/Vienna",
        "Push": "yes",
        "Group1": True,
        "Notes": "regular",
        **more,
    }


def rich_customers(world: World, *rows: dict[str, Any]) -> None:
    world.customers(rows, [*world.CUSTOMERS, *MORE_FIELDS])


def drift(world: World, external_id: str, **attributes: Any) -> None:
    """Somebody else writes to a profile."""

    async def send() -> None:
        headers = {"Authorization": "Bearer sandbox-key"}
        transport = httpx.ASGITransport(world.braze.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
            item = {"external_id": external_id, "_update_existing_only": True, **attributes}
            answer = await client.post("/users/track", json={"attributes": [item]})
            assert (answer.status_code, answer.json().get("errors")) == (201, None)

    asyncio.run(send())


def verify(world: World, sample: int | None = None, **options: Any) -> VerifyReport:
    world.clock.advance(600)  # what was just sent is not judged
    return asyncio.run(verifying.verify("customers", settings=current_settings(), sample=sample, **options))


def rows_by_field(report: VerifyReport) -> dict[str, int]:
    return {each.field: each.rows for each in report.differences}


def rich_world(world: World, count: int = 12) -> World:
    world.sync(RICH)
    rich_customers(world, *(rich(world, number) for number in range(1, count + 1)))
    assert world.run().sent == count
    return world
