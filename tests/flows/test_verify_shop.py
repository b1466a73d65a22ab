"""The shipped customers sync verified: 4,372 real customers, and drifts planted at random among them."""

import asyncio
import importlib
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from caspio_sync.run.verify_report import VerifyReport
from caspio_sync.sandbox.braze import BrazeSandbox
from caspio_sync.sandbox.braze_behaviour import BrazeBehaviour
from caspio_sync.sandbox.data import load_customers
from caspio_sync.settings import current_settings

verifying = importlib.import_module("caspio_sync.run.verifying")

World = Any  # of conftest.py, which no test can import
pytestmark = pytest.mark.usefixtures("without_prefect")

# Values that no customer has.
PLANTED: dict[str, Any] = {
    "first_name": "Planted",
    "phone": "+12125550199",
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


@pytest.fixture
def shop(world: World) -> World:
    # Custom dates come back in another form than they were sent in: no difference.
    world.braze = BrazeSandbox(BrazeBehaviour(export_dates="iso"), world.clock)
    load_customers(world.caspio)
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


def shares_address(profiles: dict[str, dict[str, Any]], key: str) -> bool:
    held = Counter(profile.get("email") for profile in profiles.values())
    return held[profiles[key].get("email")] > 1


def test_everything_that_was_sent_is_found_and_planted_drifts_alone_are_told_and_repaired(shop: World) -> None:
    # Of rows that share an address the one sent last decides the consent of all (Braze, 3.3): a true difference.
    report = verify_all(shop)
    sound = shop.profiles()
    assert (report.compared, report.missing, report.retyped) == (len(sound), 0, {})
    assert report.differing < 15
    for each in report.differences:
        assert each.field.startswith(("email_subscribe", "subscription_groups."))
        assert all(shares_address(sound, key) for key in each.examples)
    # The stricter state goes out again, and where it stands it stays.
    shop.run(full=True)
    report = verify_all(shop)
    assert all(each.kept == each.rows for each in report.differences)
    consent = {each.field: each.rows for each in report.differences}

    sound = shop.profiles()
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
    assert {each.field: each.rows for each in report.differences} == {**expected, **consent}
    assert report.cleared == sum(bool(names) for names in seen.values())
    shop.forget()
    shop.run(full=True)
    sent = {each["external_id"]: set(each) - {"external_id", "_update_existing_only"} for each in shop.sent()}
    assert sent.keys() == {key for key, names in seen.items() if names}
    for key, fields in sent.items():
        assert fields - {"subscription_groups"} == set(seen[key]), key  # the group travels with a phone
    repaired = shop.profiles()
    for key, names in seen.items():
        now = repaired[key] | repaired[key]["custom_attributes"]
        assert {name: now.get(name) for name in names} == {name: held[key].get(name) for name in names}
    assert {each.field: each.rows for each in verify_all(shop).differences} == consent
