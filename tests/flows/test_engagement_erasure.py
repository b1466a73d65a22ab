"""Erasure and the engagement return: the ledger forgets the person there too, and nothing is written of them again."""

from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.engagement.events import Post, event_lines
from caspio_sync.engine.connect import open_inbox
from caspio_sync.engine.erasing import REASON
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.settings import current_settings
from tests.flows.returns import RETURN, customers, row
from tests.flows.world import World

A_DAY = 86_400.0


@pytest.fixture
def shop(world: World) -> World:
    """Three people of whom Braze told an open each, which is in their rows since a day."""
    world.braze = BrazeSandbox(BrazeBehaviour(currents=True), clock=world.clock)
    customers(world, 3)
    world.sync()
    world.sync(RETURN, "engagement")
    world.run()
    post(world, *(event(world, number, "opened", "email.Open") for number in (1, 2, 3)))
    world.run("engagement")
    assert {each["EmailOpens"] for each in world.caspio.rows("Customers")} == {"1"}
    world.clock.advance(A_DAY)
    return world


def event(world: World, number: int, name: str, kind: str, **who: Any) -> dict[str, Any]:
    at = int(world.clock.now().timestamp() * 1_000_000)
    who = who or {"external_id": f"c{number}"}
    return {"event_id": f"{name}-{number}", "type": f"users.messages.{kind}", "at": at, "channel": "email", **who}


def post(world: World, *events: dict[str, Any]) -> None:
    with open_inbox(current_settings(), world.clock) as inbox:
        inbox.add([Post("currents", event_lines(list(events)), len(events))])


@pytest.mark.parametrize("identity", ["external_id: CustomerNo, email: Email", "email: Email"])
def test_an_erased_person_is_forgotten_by_the_return(shop: World, identity: str) -> None:
    shop.sync(RETURN.replace("external_id: CustomerNo, email: Email", identity), "engagement")
    shop.run("engagement")
    assert CliRunner().invoke(app, ["erase", "customers", "c2", "--yes"]).exit_code == 0
    with shop.ledger() as ledger:
        assert ledger.read_rows("engagement", 2, 2).is_empty()
        assert ledger.agreed("engagement", 2, 2).is_empty()
        assert ledger.story("engagement", "c2") is None
        assert ledger.agreed("engagement", 1, 3).height == 2
        ledger.verify_audit()


def test_nothing_is_written_of_an_erased_person_until_the_release(shop: World) -> None:
    shop.sync(shop.SYNC + "erasure:\n  where: FirstName='Name2'\n")
    assert shop.run().erased == 1
    before = row(shop, 2)
    # By the address alone: the event does not tell that this is who was erased.
    told = [event(shop, 2, name, "email.Open", email="c2@example.com") for name in "ab"]
    post(shop, *told, event(shop, 2, "c", "email.Open"), event(shop, 3, "more", "email.Open"))
    plan = shop.plan("engagement")
    report = shop.run("engagement")
    assert plan.report.verdicts == {"blocked": 1}
    assert report.verdicts == {"blocked": 1, "sent": 1}
    assert [(each.reason, each.examples) for each in report.reasons] == [(REASON, ["PK_ID 2"])]
    assert row(shop, 2) == before
    again = shop.run("engagement")
    assert (again.verdicts, again.held) == ({}, {"blocked": 1})
    with shop.ledger() as ledger:
        assert ledger.read_rows("engagement", 2, 2)["key"].to_list() == [None]
        assert ledger.agreed("engagement", 2, 2).is_empty()

    shop.sync()
    assert CliRunner().invoke(app, ["erase", "customers", "c2", "--release", "--yes"]).exit_code == 0
    assert shop.run("engagement").verdicts == {"sent": 1}
    assert row(shop, 2)["EmailOpens"] == "2-4"


def test_whom_an_address_names_is_blocked_by_the_address(shop: World) -> None:
    shop.sync(shop.SYNC.replace("  email: Email\n", "").replace("external_id: CustomerNo", "email: Email"), "mail")
    shop.run("mail")
    shop.clock.advance(A_DAY)
    assert CliRunner().invoke(app, ["erase", "mail", "c2@example.com", "--yes"]).exit_code == 0
    post(shop, event(shop, 2, "later", "email.Click"))
    assert shop.run("engagement").verdicts == {"blocked": 1}
    assert row(shop, 2)["Clicks"] in (None, 0)
