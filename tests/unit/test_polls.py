"""Polls against the emulated Braze: what they bring, once, and what a bad answer does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.clients.braze_engagement import BrazeEngagementClient, instant
from caspio_sync.clock import VirtualClock
from caspio_sync.engagement.events import Post, read_events
from caspio_sync.engagement.series import CAMPAIGN_DAYS
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.receiver.inbox import Inbox
from caspio_sync.run.engagement.polls import KNOWN_STATES, Polls, poll_lists, poll_people
from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOTHING_KNOWN = pl.DataFrame(schema=KNOWN_STATES)


def client_of(transport: httpx.AsyncBaseTransport, clock: VirtualClock) -> BrazeEngagementClient:
    return BrazeEngagementClient(
        endpoint="http://braze", api_key=SecretStr(SANDBOX_KEY), clock=clock, transport=transport, clients=1
    )


class Workspace:
    """The emulator with c-0, c-1, … and polls of it, all by one virtual clock."""

    def __init__(self, people: int = 3, **behaviour: Any) -> None:
        self.clock = VirtualClock(START)
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)
        self.messaging = self.sandbox.messaging
        self.messaging.add_campaign("cmp-1", "Autumn", edited=START)
        self.messaging.add_canvas("cnv-1", "Welcome", edited=START)
        for number in range(people):
            attributes = {"external_id": f"c-{number}", "email": f"C{number}@example.com"}
            self.sandbox.store.apply_attributes(attributes, START.timestamp())

    def ask(self, poll: Callable[[Polls], AsyncIterator[Post]]) -> pl.DataFrame:
        async def all_posts() -> list[Post]:
            async with client_of(httpx.ASGITransport(self.sandbox.app), self.clock) as client:
                return [post async for post in poll(Polls(client, self.clock))]

        posts = asyncio.run(all_posts())
        assert all(post.count == post.lines.count(b"\n") for post in posts)
        return read_events([(number, post.lines) for number, post in enumerate(posts)])

    def days(self, days: int) -> pl.DataFrame:
        async def read() -> pl.DataFrame:
            async with client_of(httpx.ASGITransport(self.sandbox.app), self.clock) as client:
                return await Polls(client, self.clock).campaign_days(days=days)

        return asyncio.run(read())


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


def test_profiles_tell_global_states_and_campaigns() -> None:
    workspace = Workspace()
    unsubscribe(workspace, 0, START)
    workspace.messaging.message("email.Delivery", "c-0", at=START - timedelta(days=3), campaign_id="cmp-1")
    workspace.messaging.message("email.Open", "c-0", at=START, campaign_id="cmp-1")
    known = pl.DataFrame({"external_id": ["c-0"], "scope": ["push"], "state": ["subscribed"]}, KNOWN_STATES)
    found = workspace.ask(lambda polls: polls.profiles(["c-0"], known, campaigns=True))
    assert found.select("type", "channel", "state", "campaign_name", "at").rows() == [
        ("poll.profile", "email", "unsubscribed", None, START),
        ("poll.profile", "email", None, "Autumn", START - timedelta(days=3)),
    ]


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


# The client.


def answered(answer: httpx.Response, call: Callable[[BrazeEngagementClient], Any]) -> Any:
    async def ask() -> Any:
        async with client_of(httpx.MockTransport(lambda _: answer), VirtualClock()) as client:
            return await call(client)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"emails":{}}',
        b'{"emails":[7]}',
        b'{"emails":[{"email":null,"unsubscribed_at":"2026-01-01 00:00:00 +0000"}]}',
        b'{"emails":[{"email":"a@b.c","unsubscribed_at":"yesterday"}]}',
        b'{"emails":[{"email":"a@b.c"}]}',
    ],
)
def test_a_list_that_cannot_be_read_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(TransientError, match="is not known to be the answer") as caught:
        answered(httpx.Response(200, content=body), lambda client: client.unsubscribes(START.date(), START.date()))
    assert "a@b.c" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b'{"data":{}}', b'{"data":[{}]}', b'{"data":[{"time":"x"}]}', b'{"data":[{"time":"2026-01-01","messages":7}]}'],
)
def test_a_series_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(TransientError):
        answered(httpx.Response(200, content=body), lambda each: each.campaign_series("c", last=START.date(), days=1))


@pytest.mark.parametrize(
    "body", [b'{"users":[7]}', b'{"users":[{}]}', b'{"users":[{"subscription_groups":[{"id":1}]}]}']
)
def test_groups_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(TransientError):
        answered(httpx.Response(200, content=body), lambda client: client.user_groups(["c-0"]))


def test_a_missing_permission_is_named() -> None:
    workspace = Workspace(keys={SANDBOX_KEY: PERMISSIONS - {"email.unsubscribe"}})
    with pytest.raises(ConfigurationError, match=r"email\.unsubscribe"):
        workspace.ask(lambda polls: polls.unsubscribes(START.date()))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.user_groups(["x"] * 51),
        lambda client: client.campaign_series("c", last=START.date(), days=101),
        lambda client: client.canvas_series("c", last=START.date(), days=15),
    ],
)
def test_no_call_goes_beyond_a_limit(call: Callable[[BrazeEngagementClient], Any]) -> None:
    with pytest.raises(PermanentError, match="at most"):
        answered(httpx.Response(200), call)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2016-08-25 15:24:32 +0000", datetime(2016, 8, 25, 15, 24, 32, tzinfo=UTC)),
        ("2020-07-10 15:00:00.000 UTC", datetime(2020, 7, 10, 15, tzinfo=UTC)),
        ("2020-07-10T15:00:00.000Z", datetime(2020, 7, 10, 15, tzinfo=UTC)),
        ("2020-07-10T17:00:00+02:00", datetime(2020, 7, 10, 15, tzinfo=UTC)),
        ("2020-07-10", datetime(2020, 7, 10, tzinfo=UTC)),
        ("soon", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        (7, None),
        (None, None),
    ],
)
def test_times_as_braze_writes_them(text: Any, found: datetime | None) -> None:
    assert instant(text) == found


# Answers that are hostile, or mad.


def read_from(answer: Callable[[httpx.Request], Any], poll: Callable[[Polls], Any]) -> Any:
    """What a poll makes of a Braze that answers so."""
    clock = VirtualClock(START)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer(request)))

    async def ask() -> Any:
        async with client_of(transport, clock) as client:
            polling = poll(Polls(client, clock))
            return [post async for post in polling] if isinstance(polling, AsyncIterator) else await polling

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "profile",
    [
        {"external_id": "c-0\0", "braze_id": 7, "email": ["a"], "user_aliases": "x", "campaigns_received": "y"},
        {"external_id": {"a": 1}, "braze_id": "b", "user_aliases": [7], "campaigns_received": [7]},
        {"external_id": "c-0", "email_subscribe": ["subscribed"], "push_subscribe": {"a": 1}},
        {"external_id": "c-0", "campaigns_received": [{"last_received": START.isoformat(), "api_campaign_id": [1]}]},
        {
            "external_id": "c-0",
            "campaigns_received": [
                {"last_received": START.isoformat(), "api_campaign_id": "x", "engaged": 7, "name": "\0a\x1b"}
            ],
        },
    ],
)
def test_a_profile_of_odd_values_makes_events_that_can_be_kept(profile: dict[str, Any]) -> None:
    users = {"message": "success", "users": [{"push_subscribe": "subscribed", **profile}]}
    posts = read_from(lambda _: users, lambda polls: polls.profiles(["c-0"], NOTHING_KNOWN, campaigns=True))
    for post in posts:
        assert b"\\u00" not in post.lines
        found = read_events([(1, post.lines)])
        assert set(found["external_id"]) <= {"c-0", None}
        assert set(found["campaign_name"]) <= {"a", None}


def test_groups_of_odd_values_make_events_that_can_be_kept() -> None:
    user = {
        "external_id": ["c-0"],
        "email": 7,
        "phone": {},
        "subscription_groups": [{"id": "g\0", "status": "Subscribed", "channel": "e\x07mail"}],
    }
    (post,) = read_from(lambda _: {"users": [user]}, lambda polls: polls.group_states(["c-0"], NOTHING_KNOWN))
    assert read_events([(1, post.lines)]).select("external_id", "email", "group_id", "channel").rows() == [
        (None, None, "g", "email")
    ]


def test_a_list_that_gives_the_same_page_for_ever_is_read_once() -> None:
    page = {"emails": [{"email": f"c-{each}@x.y", "unsubscribed_at": START.isoformat()} for each in range(500)]}
    posts = read_from(lambda _: page, lambda polls: polls.unsubscribes(START.date()))
    assert [post.count for post in posts] == [500]


def test_campaigns_of_odd_names_days_and_counts() -> None:
    """The same page for ever, a name that no database takes, days outside of what was asked, one day twice."""

    def answer(request: httpx.Request) -> dict[str, Any]:
        path = request.url.path
        if path.endswith("/list"):
            of = [{"id": f"x-{each}\0", "name": "Spring\0\x1b[2J"} for each in range(100)]
            return {"campaigns": of if "campaigns" in path else [], "canvases": []}
        days = ["2026-01-10", "2026-01-10", "2026-01-11", "2026-01-12", "2026-01-01", "9999-12-31", "0001-01-01"]
        counts = [{"sent": 5 + place, "opens": 10**30, "clicks": -1} for place in range(len(days))]
        return {"data": [{"time": day, "messages": {"email": [each]}} for day, each in zip(days, counts, strict=True)]}

    found = read_from(answer, lambda polls: polls.campaign_days(days=2))
    assert found["campaign_id"].unique(maintain_order=True).to_list() == [f"x-{each}" for each in range(100)]
    assert found["campaign_name"].unique().to_list() == ["Spring[2J"]
    assert found.filter(campaign_id="x-0").select("day", "sent", "opens", "clicks").rows() == [
        (date(2026, 1, 10), 6, 0, 0),
        (date(2026, 1, 11), 7, 0, 0),
    ]


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
