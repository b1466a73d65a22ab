"""Polls against the emulated Braze: what they bring, and that it comes once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import httpx
import polars as pl
import pytest

from caspio_sync.destinations.braze.polls import KNOWN_STATES, Polls, poll_lists, poll_people
from caspio_sync.destinations.braze.series import CAMPAIGN_DAYS
from caspio_sync.engagement.events import Post, read_events
from caspio_sync.errors import ConfigurationError
from caspio_sync.inbox import Inbox
from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, PERMISSIONS, SANDBOX_KEY
from tests.unit.polled import NOTHING_KNOWN, START, Workspace, client_of
from tests.virtual_clock import VirtualClock


def unsubscribe(workspace: Workspace, number: int, at: datetime) -> None:
    workspace.messaging.message("email.Unsubscribe", f"c-{number}", at=at)


# Lists of addresses.


@pytest.mark.parametrize("email_lists_end", ["exclusive", "inclusive"])
def test_unsubscribes_of_today_are_read_again_and_told_once(email_lists_end: str) -> None:
    workspace = Workspace(email_lists_end=email_lists_end)
    unsubscribe(workspace, 0, START)
    first = workspace.ask(lambda polls: polls.unsubscribes(START.date()))
    unsubscribe(workspace, 1, START + timedelta(minutes=5))
    workspace.clock.advance(600)
    second = workspace.ask(lambda polls: polls.unsubscribes(START.date()))
    columns = ("type", "at", "email", "channel", "state", "source")
    assert first.select(columns).rows() == [
        ("poll.email.Unsubscribe", START, "c0@example.com", "email", "unsubscribed", None)
    ]
    assert second["event_id"].to_list()[0] == first["event_id"].to_list()[0]
    assert second["event_id"].n_unique() == 2
    assert "example.com" not in "".join(second["event_id"])


def test_the_day_before_is_not_forgotten_after_midnight() -> None:
    workspace = Workspace()
    last_read = START.date()
    unsubscribe(workspace, 0, datetime(2026, 1, 10, 23, 59, 59, tzinfo=UTC))
    workspace.clock.advance(13 * 3600)
    assert workspace.ask(lambda polls: polls.unsubscribes(last_read))["email"].to_list() == ["c0@example.com"]


def test_hard_bounces_have_no_state() -> None:
    workspace = Workspace()
    workspace.messaging.message("email.Bounce", "c-0", at=START)
    found = workspace.ask(lambda polls: polls.hard_bounces(START.date()))
    assert found.select("type", "email", "state").rows() == [("poll.email.HardBounce", "c0@example.com", None)]


def test_long_lists_are_read_to_their_end() -> None:
    workspace = Workspace(people=1_200)
    for number in range(1_200):
        unsubscribe(workspace, number, START + timedelta(seconds=number))
    found = workspace.ask(lambda polls: polls.unsubscribes(START.date()))
    assert found["email"].n_unique() == 1_200


def test_an_address_that_leaves_the_list_while_it_is_read_hides_no_other() -> None:
    workspace = Workspace(people=600)
    for number in range(600):
        unsubscribe(workspace, number, START + timedelta(seconds=number))

    async def leaving(polls: Polls) -> AsyncIterator[Post]:
        async for post in polls.unsubscribes(START.date()):
            yield post
            for number in range(10):
                again = {"email_subscribe": "opted_in"}
                workspace.messaging.change_state(f"c-{number}", again, at=START, source="Preference Center")

    assert workspace.ask(leaving)["email"].n_unique() == 600


def test_a_429_is_waited_out() -> None:
    workspace = Workspace(groups_per_hour=1)
    unsubscribe(workspace, 0, START)
    workspace.clock.advance(57 * 60)
    for _ in range(2):
        assert len(workspace.ask(lambda polls: polls.unsubscribes(START.date()))) == 1
    assert workspace.clock.now() >= START + timedelta(hours=1)


# States.


def a_state(workspace: Workspace, number: int, state: str) -> None:
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": state}]
    change = {"subscription_groups": groups}
    workspace.messaging.change_state(f"c-{number}", change, at=workspace.clock.now(), source="Preference Center")


def test_group_states_that_are_known_are_not_told_again() -> None:
    workspace = Workspace(people=120)
    for number in range(120):
        a_state(workspace, number, "unsubscribed" if number == 70 else "subscribed")
    everybody = [f"c-{number}" for number in range(120)]
    found = workspace.ask(lambda polls: polls.group_states(everybody, NOTHING_KNOWN))
    assert (len(found), found["group_id"].unique().to_list()) == (120, [NEWSLETTER_GROUP])
    assert found.filter(pl.col("state") == "unsubscribed")["external_id"].to_list() == ["c-70"]
    known = found.select("external_id", scope="group_id", state="state")
    assert len(workspace.ask(lambda polls: polls.group_states(everybody, known))) == 0


def test_a_state_that_returns_to_what_it_was_is_told_again() -> None:
    workspace = Workspace()
    ids = []
    for state in ("unsubscribed", "subscribed", "unsubscribed"):
        a_state(workspace, 0, state)
        workspace.clock.advance(60)
        found = workspace.ask(lambda polls: polls.group_states(["c-0", "nobody"], NOTHING_KNOWN))
        ids += found["event_id"].to_list()
    assert len(set(ids)) == 3


def test_profiles_tell_global_states() -> None:
    workspace = Workspace()
    unsubscribe(workspace, 0, START)
    known = pl.DataFrame({"external_id": ["c-0"], "scope": ["push"], "state": ["subscribed"]}, KNOWN_STATES)
    found = workspace.ask(lambda polls: polls.profiles(["c-0"], known))
    told = found.select("type", "channel", "state", "campaign_name", "at").rows()
    assert told == [("poll.profile", "email", "unsubscribed", None, START)]


def test_a_state_with_a_time_of_its_own_counts_from_then() -> None:
    user = {"external_id": "c-0", "push_subscribe": "opted_in", "push_opted_in_at": "2026-01-02 03:04:05.000 UTC"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"message": "success", "users": [user]}))
    clock = VirtualClock(START)

    async def read() -> list[Post]:
        async with client_of(transport, clock) as client:
            return [post async for post in Polls(client, clock).profiles(["c-0"], NOTHING_KNOWN)]

    first, second = (read_events([(1, post.lines) for post in asyncio.run(read())]) for _ in range(2))
    assert first["at"].to_list() == [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]
    assert first["event_id"].to_list() == second["event_id"].to_list()


# Aggregates.


def test_campaigns_and_canvases_by_day() -> None:
    workspace = Workspace()
    for kind in ("email.Send", "email.Delivery", "email.Open", "email.Open", "email.Click", "email.MarkAsSpam"):
        workspace.messaging.message(kind, "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("pushnotification.Open", "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("sms.Rejection", "c-0", at=START, canvas_id="cnv-1")
    workspace.messaging.message("email.Open", "c-1", at=START - timedelta(days=120), campaign_id="cmp-1")
    found = workspace.days(130)
    assert found.schema == CAMPAIGN_DAYS
    rows = {(row["campaign_id"] or row["canvas_id"], row["day"], row["channel"]): row for row in found.to_dicts()}
    today = date(2026, 1, 10)
    assert set(rows) == {
        ("cmp-1", today, "email"),
        ("cmp-1", today, "push"),
        ("cnv-1", today, "sms"),
        ("cmp-1", today - timedelta(days=120), "email"),
    }
    email = rows["cmp-1", today, "email"]
    expected = {"sent": 1, "delivered": 1, "opens": 2, "unique_opens": 1, "clicks": 1, "bounces": 0, "complaints": 1}
    assert {name: email[name] for name in expected} == expected
    assert (rows["cmp-1", today, "push"]["opens"], rows["cnv-1", today, "sms"]["bounces"]) == (1, 1)
    assert rows["cnv-1", today, "sms"]["canvas_name"] == "Welcome"


def test_all_pages_of_campaigns_are_read() -> None:
    workspace = Workspace()
    for number in range(150):
        workspace.messaging.add_campaign(f"x-{number}", f"No {number}", edited=START)
        workspace.messaging.message("email.Open", "c-0", at=START, campaign_id=f"x-{number}")
    assert workspace.days(1)["campaign_id"].n_unique() == 150


# Into the inbox.


def polled(workspace: Workspace, inbox: Inbox) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        async with client_of(httpx.ASGITransport(workspace.sandbox.app), workspace.clock) as client:
            return await poll_lists(inbox, Polls(client, workspace.clock), first=date(2026, 1, 1))

    return asyncio.run(ask())


def in_inbox(inbox: Inbox) -> pl.DataFrame:
    return read_events([(post.seq, post.lines) for part in inbox.posts(0) for post in part])


def test_lists_go_into_the_inbox_and_the_next_poll_begins_with_the_day_of_this_one() -> None:
    workspace = Workspace()
    unsubscribe(workspace, 0, START - timedelta(days=8))
    workspace.messaging.message("email.Bounce", "c-1", at=START)
    with Inbox.open("sqlite://", clock=workspace.clock) as inbox:
        assert polled(workspace, inbox) == {"unsubscribes": 1, "hard_bounces": 1}
        workspace.clock.advance(86_400)
        assert polled(workspace, inbox) == {"unsubscribes": 0, "hard_bounces": 1}  # of the day of the last poll
        workspace.clock.advance(86_400)
        assert polled(workspace, inbox) == {"unsubscribes": 0, "hard_bounces": 0}
        assert in_inbox(inbox)["event_id"].n_unique() == 2


def test_a_poll_that_fails_midway_begins_where_it_began() -> None:
    workspace = Workspace(people=600, keys={SANDBOX_KEY: PERMISSIONS - {"email.hard_bounces"}})
    for number in range(600):
        unsubscribe(workspace, number, START)
    with Inbox.open("sqlite://", clock=workspace.clock) as inbox:
        with pytest.raises(ConfigurationError):
            polled(workspace, inbox)
        assert in_inbox(inbox)["email"].n_unique() == 600
        assert (inbox.polled("unsubscribes"), inbox.polled("hard_bounces")) == ("2026-01-10", None)


def test_states_of_people_go_into_the_inbox() -> None:
    workspace = Workspace()
    a_state(workspace, 1, "unsubscribed")

    async def ask(inbox: Inbox) -> int:
        async with client_of(httpx.ASGITransport(workspace.sandbox.app), workspace.clock) as client:
            return await poll_people(inbox, Polls(client, workspace.clock), ["c-0", "c-1"], NOTHING_KNOWN)

    with Inbox.open("sqlite://", clock=workspace.clock) as inbox:
        assert asyncio.run(ask(inbox)) == 5  # one group, and e-mail and push of two
        assert in_inbox(inbox)["type"].value_counts(sort=True).rows() == [
            ("poll.profile", 4),
            ("poll.subscription.Status", 1),
        ]
