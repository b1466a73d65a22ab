"""What Braze answers to polls: what cannot be read, what is hostile or mad, and the client's own limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from caspio_sync.destinations.braze.engagement_client import BrazeEngagementClient, instant
from caspio_sync.destinations.braze.polls import Polls
from caspio_sync.engagement.events import read_events
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY
from tests.unit.polled import NOTHING_KNOWN, START, Workspace, client_of
from tests.virtual_clock import VirtualClock

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
        {"external_id": "c-0\0", "braze_id": 7, "email": ["a"], "user_aliases": "x"},
        {"external_id": {"a": 1}, "braze_id": "b", "user_aliases": [7]},
        {"external_id": "c-0", "email_subscribe": ["subscribed"], "push_subscribe": {"a": 1}},
    ],
)
def test_a_profile_of_odd_values_makes_events_that_can_be_kept(profile: dict[str, Any]) -> None:
    users = {"message": "success", "users": [{"push_subscribe": "subscribed", **profile}]}
    posts = read_from(lambda _: users, lambda polls: polls.profiles(["c-0"], NOTHING_KNOWN))
    for post in posts:
        assert b"\\u00" not in post.lines
        found = read_events([(1, post.lines)])
        assert set(found["external_id"]) <= {"c-0", None}


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
