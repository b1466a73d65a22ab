"""The shipped customers sync verified: 4,372 real customers, and drifts planted at random among them."""

import asyncio
import importlib
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from caspio_sync.observe.verify_report import VerifyReport
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.data import load_customers
from caspio_sync.settings import current_settings

verifying = importlib.import_module("caspio_sync.verification.verifying")

World = Any  # of conftest.py, which no test can import

# Values that no customer has; a new number would lose its group as well (Braze, 7.3).
PLANTED: dict[str, Any] = {
    "first_name": "Planted",
    "country": "VA",
    "dob": "1901-02-03",
    "time_zone": "Antarctica/Troll",
    "orders": 123456,
    "spend": -1.5,
    "last_order": "1999-01-01T00:00:00Z",
    "last_order_day": "1999-01-01",
    "source_system": None,
    "notes": "planted",
    "interests": ["planted"],
    "shopping": {"orders": 123456},
    "milestones": [{"kind": "first_order", "at": {"$time": "1999-01-01T00:00:00Z"}}],
}


def address(row: dict[str, Any]) -> str:
    return (row["Email"] or "").strip().lower()


@pytest.fixture
def shop(world: World) -> World:
    # Custom dates come back in another form than they were sent in: no difference.
    world.braze = BrazeSandbox(BrazeBehaviour(export_dates="iso"), world.clock)
    load_customers(world.caspio)
    # Of rows that share an address the one sent last decides the consent of all: a true difference, tested elsewhere.
    held = Counter(address(row) for row in world.caspio.rows("Customers"))
    for row in world.caspio.rows("Customers"):
        if address(row) and held[address(row)] > 1:
            world.caspio.delete_rows("Customers", f"PK_ID={row['PK_ID']}")
    world.shipped()
    world.clock.advance(3600)
    world.run()
    return world


def verify_all(world: World) -> VerifyReport:
    world.clock.advance(600)
    return asyncio.run(verifying.verify("customers", settings=current_settings(), sample=None))


def plant(world: World, drifts: dict[str, dict[str, Any]]) -> None:
    async def send() -> None:
        headers = {"Authorization": "Bearer sandbox-key"}
        transport = httpx.ASGITransport(world.braze.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
            for key, attributes in drifts.items():
                body = {"attributes": [{"external_id": key, **attributes}]}
                assert (await client.post("/users/track", json=body)).status_code == 201

    asyncio.run(send())


@pytest.mark.long
def test_everything_that_was_sent_is_found_and_planted_drifts_alone_are_told_and_repaired(shop: World) -> None:
    sound = shop.profiles()
    report = verify_all(shop)
    assert (report.compared, report.accuracy, report.field_accuracy) == (len(sound), 1.0, 1.0)
    assert (report.differences, report.retyped) == ([], {})
    chance = random.Random(7)
    drifts = {
        key: {name: PLANTED[name] for name in chance.sample(list(PLANTED), 3)}
        for key in chance.sample(sorted(sound), 200)
    }
    plant(shop, drifts)
    # A field that the row never had is no matter of the sync's: it was not sent.
    held = {key: profile | profile["custom_attributes"] for key, profile in sound.items()}
    seen = {key: [name for name in names if name in held[key] or name == "notes"] for key, names in drifts.items()}
    expected = Counter(name for names in seen.values() for name in names)
    report = verify_all(shop)
    assert {each.field: each.rows for each in report.differences} == expected
    assert report.cleared == sum(bool(names) for names in seen.values())
    shop.forget()
    shop.run(full=True)
    sent = {each["external_id"]: set(each) - {"external_id", "_update_existing_only"} for each in shop.sent()}
    assert sent.keys() == {key for key, names in seen.items() if names}
    for key, fields in sent.items():
        assert fields == set(seen[key]), key
    repaired = shop.profiles()
    for key, names in seen.items():
        now = repaired[key] | repaired[key]["custom_attributes"]
        assert {name: now.get(name) for name in names} == {name: held[key].get(name) for name in names}
    assert verify_all(shop).accuracy == 1.0
