"""`caspio-sync check` and `doctor` of an engagement return: permissions of the polls, and posts that nobody folds."""

import json
import sqlite3

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.check import examine_syncs
from caspio_sync.cli.main import app
from caspio_sync.engagement.events import Post, event_lines
from caspio_sync.engine.connect import open_inbox
from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.settings import current_settings
from tests.flows.returns import RETURN, customers
from tests.flows.world import World

A_DAY = 86_400.0


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("PREFECT_API_URL")
    world.sync()
    customers(world, 2)
    world.sync(RETURN, "engagement")
    return world


def polled(world: World, *lacking: str) -> list[tuple[str, str]]:
    """What `check engagement` says of the Braze key's permissions."""
    keys = {SANDBOX_KEY: PERMISSIONS - set(lacking)}
    world.braze = BrazeSandbox(BrazeBehaviour(keys=keys), world.clock)
    told = [each for examined in examine_syncs("engagement", None) for each in examined.findings]
    return [(each.level, each.what) for each in told if "Braze key" in each.what]


def test_check_names_the_permissions_that_the_polls_lack(shop: World) -> None:
    ((level, what),) = polled(shop)
    assert level == "ok"
    assert "email.unsubscribe, email.hard_bounces, subscription.groups.get, users.export.ids" in what
    assert "campaigns" not in what
    ((level, what),) = polled(shop, "email.hard_bounces", "users.export.ids", "canvas.list")
    assert (level, what) == ("error", "checking the Braze key: it lacks email.hard_bounces, users.export.ids")


def test_check_asks_only_for_what_the_sync_needs(shop: World) -> None:
    shop.sync(RETURN + "people_per_run: 0\ncampaign_stats: {table: CampaignStats, create: true}\n", "engagement")
    ((level, _),) = polled(shop, "subscription.groups.get", "users.export.ids")
    assert level == "ok"
    ((level, what),) = polled(shop, "campaigns.data_series", "canvas.list")
    assert (level, what) == ("error", "checking the Braze key: it lacks campaigns.data_series, canvas.list")


def test_check_names_a_profile_sync_that_is_not_there(shop: World) -> None:
    (shop.folder / "syncs" / "customers.yaml").unlink()
    findings = [each for examined in examine_syncs("engagement", None) for each in examined.findings]
    assert [each.what for each in findings if each.level == "error"] == ["syncs/customers.yaml: there is no such sync"]


def posts(world: World, count: int) -> None:
    with open_inbox(current_settings(), world.clock) as inbox:
        inbox.add(
            [Post("currents", event_lines([{"event_id": str(n), "type": "t", "at": 1}]), 1) for n in range(count)]
        )


def warned(world: World) -> list[dict[str, str]]:
    findings = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["findings"]
    return [each for each in findings if each["level"] != "ok"]


def test_doctor_warns_of_posts_that_no_run_folds(shop: World) -> None:
    posts(shop, 3)
    shop.clock.advance(A_DAY - 60)
    assert warned(shop) == []
    shop.clock.advance(120)
    (finding,) = warned(shop)
    assert finding["what"].startswith("engagement: 3 posts with 3 events wait in the inbox since 2026-03-02")
    assert "caspio-sync run engagement" in finding["remedy"]
    shop.run("engagement")
    assert warned(shop) == []
    posts(shop, 1)
    (shop.folder / "syncs" / "engagement.yaml").unlink()
    shop.clock.advance(A_DAY + 60)
    (finding,) = warned(shop)
    assert "there is no engagement return that would fold them" in finding["what"]


def test_doctor_says_that_the_inbox_cannot_be_read(shop: World) -> None:
    posts(shop, 1)
    file = shop.folder / "home" / "inbox.db"
    for each in file.parent.glob("inbox.db*"):
        each.unlink()
    file.write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(file).execute("SELECT 1 FROM inbox_post")
    assert any("inbox" in each["what"] and each["level"] == "error" for each in warned(shop))
