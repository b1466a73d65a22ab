"""What ActiveCampaign's webhooks post, from the account by the receiver into Caspio's rows; lost, doubled and late."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from tests.flows.told_contacts import RETURN, ToldContacts
from tests.flows.world import World

Hooked = Callable[..., ToldContacts]


@pytest.fixture
def hooked(world: World) -> Hooked:
    def made(rows: int = 4, text: str = RETURN, **behaviour: Any) -> ToldContacts:
        contacts = ToldContacts(world, rows, text, **behaviour)
        contacts.hook()
        return contacts

    return made


def address(number: int) -> str:
    return f"p{number}@example.com"


def test_opens_clicks_and_campaigns_stand_in_the_rows(hooked: Hooked) -> None:
    contacts = hooked()
    for number in (1, 2):
        contacts.account.mailed("sent", address(number))
    for _ in range(2):
        contacts.world.clock.advance(60)
        contacts.account.mailed("open", address(1))
    contacts.account.mailed("click", address(1), **{"link[id]": "7"})
    contacts.account.mailed("reply", address(1))
    assert set(contacts.deliver()) == {200}
    ended = contacts.run()
    assert ended.code == 0
    row = contacts.row(1)
    assert (row["Opens"], row["Clicks"], row["LastCampaign"]) == (2, 1, "Spring")
    assert row["LastOpened"].startswith(f"{contacts.world.clock.now():%Y-%m-%d}")
    assert (contacts.row(2)["Opens"], contacts.row(2)["LastOpened"]) == (0, None)
    assert contacts.row(3)["Opens"] is None  # of whom nothing was told
    assert contacts.run().report.writeback.calls == 0


def test_what_is_posted_twice_counts_once(hooked: Hooked) -> None:
    contacts = hooked(hooks_doubled=[1, 2])
    contacts.account.mailed("open", address(1))
    contacts.world.clock.advance(60)
    contacts.account.mailed("open", address(1))
    assert contacts.deliver() == [200] * 4
    contacts.run()
    assert contacts.row(1)["Opens"] == 2


def test_what_a_second_receiver_kept_as_well_counts_once(hooked: Hooked) -> None:
    contacts = hooked()
    contacts.account.mailed("open", address(1))
    again = list(contacts.account.webhooks.waiting)
    contacts.deliver()
    contacts.account.webhooks.waiting.extend(again)
    contacts.deliver()
    contacts.run()
    assert contacts.row(1)["Opens"] == 1


@pytest.mark.parametrize(("hook_time", "zone_minutes"), [("iso", 0), ("plain", -360), ("plain", 345)])
def test_whoever_comes_back_by_themselves_is_a_yes_again(hooked: Hooked, hook_time: str, zone_minutes: int) -> None:
    contacts = hooked(hook_time=hook_time, zone_minutes=zone_minutes)
    contacts.leaves(1)
    contacts.deliver()
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "no"
    contacts.account.set_status(address(1), "Newsletter", "1")
    contacts.deliver()
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "yes"
    contacts.run("contacts")
    assert contacts.account.contacts()[address(1)]["lists"]["Newsletter"] == "1"


def test_a_lost_post_of_an_opt_out_is_found_by_the_poll(hooked: Hooked) -> None:
    contacts = hooked(hooks_lost=[1])
    contacts.leaves(1)
    assert contacts.deliver() == []
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "no"


def test_a_late_opt_out_does_not_undo_a_later_yes_and_the_other_way_round(hooked: Hooked) -> None:
    contacts = hooked()
    contacts.leaves(1)
    late = contacts.account.webhooks.waiting.pop()
    contacts.world.clock.advance(60)
    contacts.account.set_status(address(1), "Newsletter", "1")
    contacts.deliver()
    contacts.account.webhooks.waiting.append(late)
    contacts.deliver()
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "yes"


@pytest.mark.parametrize("told", ["each", "none"])
def test_who_leaves_everything_leaves_each_list_of_the_file(hooked: Hooked, told: str) -> None:
    contacts = hooked()
    contacts.account.leave(address(2), told=told)
    for each in contacts.account.store.contacts.values():
        each.lists.clear()  # so that no poll finds it
    contacts.deliver()
    contacts.run()
    assert (contacts.row(2)["Newsletter"], contacts.row(2)["Offers"]) == ("no", False)
    assert contacts.row(1)["Newsletter"] == "yes"


def test_what_calls_did_is_no_news(hooked: Hooked) -> None:
    """A webhook that hears `api` tells of our own writes; a yes that a call wrote is nobody's word."""
    contacts = hooked()
    contacts.account.webhooks.made["11"].sources = ("public", "admin", "api", "system")
    contacts.leaves(1)
    contacts.deliver()
    contacts.run()
    contacts.account.set_status(address(1), "Newsletter", "1", "api")
    contacts.deliver()
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "no"


def test_a_bounce_is_told_at_once_and_a_soft_one_is_none(hooked: Hooked) -> None:
    contacts = hooked()
    contacts.account.bounce(address(1))
    contacts.account.bounce(address(2), kind="soft")
    contacts.deliver()
    contacts.run()
    assert [bool(contacts.row(n)["HardBounced"]) for n in (1, 2)] == [True, False]


def test_nothing_is_told_of_an_erased_person_again(hooked: Hooked) -> None:
    contacts = hooked()
    contacts.account.mailed("open", address(1))
    contacts.deliver()
    contacts.leaves(1)
    assert CliRunner().invoke(app, ["erase", "contacts", address(1), "--yes"]).exit_code == 0
    contacts.account.webhooks.waiting[0].due = 0.0
    contacts.deliver()  # a post that was under way
    before = contacts.row(1)
    assert contacts.run().report.verdicts == {"blocked": 1}
    assert contacts.row(1) == before
    contacts.run("contacts")
    assert address(1) not in contacts.account.contacts()
    with contacts.world.ledger() as ledger:
        assert ledger.known_people("back").height == 0
