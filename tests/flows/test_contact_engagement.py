"""What ActiveCampaign learned of people, back in their Caspio rows: by polls, without any webhook."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.engagement.events import Post, event_lines
from caspio_sync.engine.connect import open_inbox
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.told_contacts import RETURN, ToldContacts
from tests.flows.world import World

Told = Callable[..., ToldContacts]


@pytest.fixture
def told(world: World) -> Told:
    return lambda rows=4, text=RETURN, **behaviour: ToldContacts(world, rows, text, **behaviour)


def test_an_opt_out_comes_back_and_stands(told: Told) -> None:
    contacts = told()
    contacts.leaves(2)
    contacts.leaves(3, "Offers")
    ended = contacts.run()
    assert (ended.code, ended.report.writeback.gathered["polled opt-outs"]) == (0, 2)
    assert [contacts.row(n)["Newsletter"] for n in (1, 2, 3)] == ["yes", "no", "yes"]
    assert [contacts.row(n)["Offers"] for n in (1, 2, 3)] == [True, True, False]
    # What Caspio holds now is sent once more, and subscribes nobody.
    contacts.run("contacts")
    assert contacts.account.contacts()["p2@example.com"]["lists"] == {"Newsletter": "2", "Offers": "1"}
    # What is known is neither told nor written again.
    again = contacts.run()
    assert again.report.writeback.calls == 0
    assert "polled opt-outs" not in again.report.writeback.gathered


def test_the_commands_know_it(told: Told) -> None:
    contacts = told()
    contacts.leaves(2)
    plan = contacts.world.plan("back", show=3)
    assert (plan.to_send, contacts.row(2)["Newsletter"]) == (1, "yes")
    contacts.run()
    for words in (["why", "back", "p2@example.com"], ["status"], ["check", "back"], ["runs", "back"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        assert "back" in result.output
    checked = CliRunner().invoke(app, ["check", "back"]).output
    assert "the ActiveCampaign key may ask (opt-outs of lists, bounces)" in " ".join(checked.split())


def test_whoever_came_back_there_is_not_taken_for_a_yes(told: Told) -> None:
    contacts = told()
    contacts.leaves(1)
    contacts.run()
    contacts.account.set_status("p1@example.com", "Newsletter", "1")
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "no"
    contacts.account.set_status("p1@example.com", "Newsletter", "2")  # and whoever leaves again is out as before
    contacts.run()
    assert contacts.row(1)["Newsletter"] == "no"


def test_a_row_that_comes_later_does_not_undo_an_opt_out(told: Told) -> None:
    contacts = told()
    contacts.account.store.make("p5@example.com", 0.0)
    contacts.leaves(5)
    contacts.run()
    contacts.world.caspio.insert_rows("People", [contacts.person(5)])
    ended = contacts.run()
    assert contacts.row(5)["Newsletter"] == "no"
    told_of = next(each for each in ended.report.writeback.lines() if "conflict" in each)
    assert "Caspio subscribed, ActiveCampaign unsubscribed; activecampaign wins (most_restrictive), 1 rows" in told_of


def test_a_word_that_nobody_knows_is_not_written_over(told: Told) -> None:
    contacts = told()
    contacts.leaves(2)
    contacts.world.caspio.update_rows("People", {"Newsletter": "maybe"}, "FirstName='N2'")
    contacts.run()
    assert contacts.row(2)["Newsletter"] == "maybe"


@pytest.mark.parametrize("empty_dates", ["null", "zeros"])
def test_a_bounce_is_told_with_its_day(told: Told, empty_dates: str) -> None:
    contacts = told(empty_dates=empty_dates)
    contacts.account.bounce("p3@example.com")
    contacts.account.set_status("p4@example.com", "Offers", "3")  # for now: it tells no day of a hard one
    contacts.run()
    assert [bool(contacts.row(n)["HardBounced"]) for n in (1, 2, 3, 4)] == [False, False, True, False]
    assert contacts.row(3)["Newsletter"] == "yes"  # nobody said no
    assert contacts.run().report.writeback.calls == 0


def test_all_pages_are_read(told: Told) -> None:
    contacts = told(250, RETURN + "gate: {max_consent_share: 1}\n")
    for number in range(1, 251):
        contacts.leaves(number)
    ended = contacts.run()
    assert ended.report.writeback.gathered["polled opt-outs"] == 250
    assert {contacts.row(n)["Newsletter"] for n in range(1, 251)} == {"no"}
    # Two lists: three pages and an empty one of the first, an empty one of the second; three contacts are looked at.
    calls = contacts.account.calls
    assert (calls["GET contacts/*/contactLists"], calls["GET contacts"]) == (3, 4 + 1 + 2)
    assert contacts.account.statuses[429] == 0


def test_more_opt_outs_than_the_gate_allows_write_nothing(told: Told) -> None:
    contacts = told(60)
    for number in range(1, 41):
        contacts.leaves(number)
    assert contacts.run().code == 3
    assert {contacts.row(n)["Newsletter"] for n in range(1, 61)} == {"yes"}


def test_an_answer_about_everybody_is_no_opt_out(told: Told) -> None:
    """An account that does not keep to `status` answers with contacts that are on the list."""
    contacts = told()
    inner = contacts.account.app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept = b"&".join(each for each in scope.get("query_string", b"").split(b"&") if not each.startswith(b"status="))
        await inner({**scope, "query_string": kept}, receive, send)

    contacts.account.app = app  # type: ignore[method-assign]
    ended = contacts.run()
    assert (ended.code, "answers with contacts that did not" in ended.message) == (2, True)
    assert {contacts.row(n)["Newsletter"] for n in (1, 2, 3, 4)} == {"yes"}


@pytest.mark.parametrize("no_match", ["empty", "missing"])
def test_an_account_where_nobody_left_tells_nothing(told: Told, no_match: str) -> None:
    contacts = told(no_match=no_match)
    ended = contacts.run()
    assert (ended.code, ended.report.writeback.calls) == (0, 0)


def test_a_list_that_is_not_there_is_named(told: Told) -> None:
    contacts = told()
    contacts.world.sync(RETURN.replace("    Newsletter:", "    Newsletters:"), "back")
    ended = contacts.run()
    assert ended.code == 2
    assert "no list named 'Newsletters'" in ended.message
    assert "'Newsletter'" in ended.message


def test_a_lost_answer_loses_no_opt_out(told: Told) -> None:
    contacts = told()
    contacts.leaves(1)
    contacts.world.break_activecampaign(Fault(kind="reset_after", path="/api/3/contacts", nth=(1, 2)))
    assert contacts.run().code == 0
    assert contacts.row(1)["Newsletter"] == "no"


def test_what_another_destination_told_is_passed_over(told: Told) -> None:
    contacts = told()
    says = {"type": "users.messages.email.Open", "email": "p1@example.com", "channel": "email"}
    event = {"event_id": "b1", "at": int(contacts.world.clock.now().timestamp() * 1e6), **says}
    with contextlib.closing(open_inbox(current_settings(), contacts.world.clock)) as inbox:
        inbox.add([Post("currents", event_lines([event]), 1)])
    contacts.leaves(2)
    contacts.run()
    assert contacts.row(1)["Opens"] is None
    assert contacts.row(2)["Newsletter"] == "no"
    inbox = open_inbox(current_settings(), contacts.world.clock)
    with contextlib.closing(inbox), contacts.world.ledger() as ledger:
        assert inbox.waiting(ledger.folded_to("back")).posts == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("{email: Email}", "{external_id: No}"), "ActiveCampaign does not know anybody by `external_id`"),
        (("  lists:", "  email_subscribe: {column: A}\n  lists:"), "ActiveCampaign has no such consent"),
        (("fields:", "campaign_stats: {table: C}\nfields:"), "ActiveCampaign is not asked for this"),
        (("fields:", "people_per_run: 5\nfields:"), "ActiveCampaign is not asked for this"),
        (("no: unsubscribed}", "no: unsubscribed}, conflict: braze_wins"), "write destination_wins"),
        (("yes: subscribed", "yes: opted_in"), "a list knows subscribed and unsubscribed alone"),
        (("destination: activecampaign\n", ""), "Braze has no such consent"),
    ],
)
def test_what_an_account_does_not_know_is_named_with_its_line(change: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"back\.yaml:\d+") as error:
        parse_sync(RETURN.replace(*change), Path("syncs/back.yaml"))
    assert said in str(error.value)
