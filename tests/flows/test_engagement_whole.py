"""Engagement from Braze's own events to Caspio's rows: the connector posts, the receiver keeps, the flow folds and writes."""

import contextlib

from caspio_sync.inbox import Inbox
from caspio_sync.settings import current_settings
from tests.flows.returns import RETURN, customers, happens, posted, row, shop_with_currents  # noqa: F401 - a fixture
from tests.flows.world import World


def test_what_braze_learned_stands_in_the_rows(shop: World) -> None:
    happens(shop)
    assert set(posted(shop)) == {200}
    report = shop.run("engagement")
    day = f"{shop.clock.now():%Y-%m-%d}"
    reader, gone, bounced, machine, silent = (row(shop, number) for number in range(1, 6))
    assert reader["LastOpened"].startswith(day)
    assert (reader["EmailOpens"], reader["Engaged"], reader["LastCampaign"]) == ("2-4", True, "Spring")
    assert reader["Clicks"] == 1
    assert gone["Newsletter"] == "no"
    assert bounced["HardBounced"]
    assert (machine["EmailOpens"], machine["Engaged"], machine["LastOpened"]) == ("0", False, None)
    assert not silent["HardBounced"]
    assert report.state == "done"
    (counted,) = shop.caspio.rows("CampaignStats")
    assert counted["CampaignName"] == "Spring"

    # The opt-out stays in Braze whatever our own row said before; nothing comes back a second time.
    shop.clock.advance(60)
    shop.run()
    assert shop.profiles()["c2"]["email_subscribe"] == "unsubscribed"
    shop.clock.advance(60)
    posted(shop)  # our own write, told by Braze as REST API
    again = shop.run("engagement")
    assert again.writeback.calls == 0
    assert row(shop, 2)["Newsletter"] == "no"
    shop.forget()
    shop.run()
    assert shop.sent() == []


def test_without_currents_the_polls_tell_of_bounces_and_opt_outs(shop: World) -> None:
    happens(shop)
    shop.braze.messaging.outbox.clear()
    plan = shop.plan("engagement")
    assert row(shop, 2)["Newsletter"] == "yes"
    assert plan.to_send == 2  # what Braze tells is asked before the plan is made
    report = shop.run("engagement")
    assert report.writeback.rows == plan.to_send
    assert row(shop, 2)["Newsletter"] == "no"
    assert row(shop, 3)["HardBounced"]
    assert not row(shop, 1)["LastOpened"]
    assert not row(shop, 1)["EmailOpens"]  # nobody knows
    (counted,) = shop.caspio.rows("CampaignStats")
    assert counted["CampaignName"] == "Spring"
    with contextlib.closing(Inbox.open(current_settings().inbox_url)) as inbox:
        assert inbox.waiting(0).events > 0
    assert shop.run("engagement").writeback.calls == 0


def test_braze_s_default_is_nobodys_consent(world: World) -> None:
    """A new profile is `subscribed`; an empty cell in Caspio must not become a yes by that."""
    customers(world, 3, Newsletter="")
    world.sync()
    world.sync(RETURN, "engagement")
    world.run()
    world.braze.settle()
    assert {each["email_subscribe"] for each in world.profiles().values()} == {"subscribed"}
    world.clock.advance(3600)
    world.run("engagement")
    assert [not row(world, number)["Newsletter"] for number in (1, 2, 3)] == [True] * 3


def test_an_opt_out_in_the_profile_of_a_push_is_asked_for_in_turn(shop: World) -> None:
    """Push states are in no list: without Currents Braze is asked for people, some a run."""
    push = "  push_subscribe: {column: LastCampaign, map: {on: opted_in, off: unsubscribed}}\n"
    text = RETURN.replace("  LastCampaign: last_campaign_name\n", "") + push + "people_per_run: 3\n"
    shop.sync(text, "engagement")
    shop.braze.messaging.change_state("c5", {"push_subscribe": "unsubscribed"}, at=shop.clock.now(), source="SDK")
    shop.run("engagement")  # asks for c1 to c3
    assert not row(shop, 5)["LastCampaign"]
    shop.run("engagement")  # and for the others
    assert row(shop, 5)["LastCampaign"] == "off"
