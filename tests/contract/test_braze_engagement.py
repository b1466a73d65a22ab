"""What Braze's exports tell of engagement, against sections 1.3, 2.1, 6.1, 7.5, 8, 10.1 and 10.2 of the reference."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, PERMISSIONS, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAYS = {"start_date": "2026-01-01", "end_date": "2026-01-31"}


class Workspace:
    """An emulator with the profiles c-0, c-1, … and calls to it."""

    def __init__(self, people: int = 3, **behaviour: Any) -> None:
        self.clock = VirtualClock(START)
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)
        self.messaging = self.sandbox.messaging
        self.messaging.add_campaign("cmp-1", "Autumn", edited=START)
        self.messaging.add_canvas("cnv-1", "Welcome", edited=START)
        for number in range(people):
            self.track(external_id=f"c-{number}", email=f"C{number}@example.com")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            headers = {"Authorization": "Bearer sandbox-key"}
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def track(self, **attributes: Any) -> None:
        assert self.call("POST", "/users/track", json={"attributes": [attributes]}).status_code == 201
        self.sandbox.settle()

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.call("GET", path, params=query)

    def emails(self, path: str, **query: Any) -> list[str]:
        answer = self.get(path, **DAYS | query)
        assert answer.status_code == 200, answer.text
        assert answer.json()["message"] == "success"
        return [each["email"] for each in answer.json()["emails"]]


LISTS = ("/email/unsubscribes", "/email/hard_bounces")
SERIES = ("/campaigns/data_series", "/canvas/data_series")


# 1.3 and 2.1: permissions and pools.


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("/email/unsubscribes", "email.unsubscribe"),
        ("/email/hard_bounces", "email.hard_bounces"),
        ("/subscription/user/status", "subscription.groups.get"),
        ("/campaigns/list", "campaigns.list"),
        ("/canvas/list", "canvas.list"),
        ("/campaigns/data_series", "campaigns.data_series"),
        ("/canvas/data_series", "canvas.data_series"),
    ],
)
def test_each_endpoint_has_its_permission(path: str, permission: str) -> None:
    workspace = Workspace(keys={"sandbox-key": PERMISSIONS - {permission}})
    assert workspace.get(path).status_code == 403
    assert workspace.call("POST", path, json={}).status_code == 404


def test_most_share_one_hourly_pool() -> None:
    workspace = Workspace(groups_per_hour=2)
    answers = [workspace.get(path, **DAYS) for path in (*LISTS, "/canvas/list")]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["x-ratelimit-reset"] == str(int(START.timestamp()) + 3600)


def test_the_series_of_campaigns_have_a_pool_of_their_own() -> None:
    workspace = Workspace(campaign_series_per_minute=1)
    answers = [workspace.get("/campaigns/data_series", campaign_id="cmp-1", length=1) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert workspace.get("/campaigns/list").status_code == 200


# 8: lists of addresses.


def test_a_hard_bounce_in_the_form_of_the_samples() -> None:
    workspace = Workspace()
    workspace.messaging.message("email.Bounce", "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("email.SoftBounce", "c-1", at=START)
    answer = workspace.get("/email/hard_bounces", **DAYS).json()
    entry = {"email": "C0@example.com", "hard_bounced_at": "2026-01-10 12:00:00 +0000"}
    assert answer == {"emails": [entry], "message": "success"}


def test_unsubscribes_hold_the_latest_state_alone() -> None:
    workspace = Workspace()
    workspace.messaging.message("email.Unsubscribe", "c-0", at=START)
    workspace.track(external_id="c-1", email_subscribe="unsubscribed")
    assert workspace.emails("/email/unsubscribes") == ["C0@example.com", "C1@example.com"]
    workspace.track(external_id="c-0", email_subscribe="opted_in")
    assert workspace.emails("/email/unsubscribes") == ["C1@example.com"]


def test_the_newest_come_first_unless_asked_otherwise() -> None:
    workspace = Workspace()
    for number in range(3):
        at = START + timedelta(hours=number)
        workspace.messaging.message("email.Unsubscribe", f"c-{number}", at=at)
        workspace.messaging.message("email.Bounce", f"c-{number}", at=at)
    newest = ["C2@example.com", "C1@example.com", "C0@example.com"]
    assert workspace.emails("/email/unsubscribes") == newest
    assert workspace.emails("/email/unsubscribes", sort_direction="asc") == newest[::-1]
    assert workspace.emails("/email/hard_bounces", sort_direction="asc") == newest
    assert workspace.emails("/email/hard_bounces", limit=1, offset=1) == [newest[1]]
    assert workspace.get("/email/unsubscribes", **DAYS, sort_direction="up").status_code == 400


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"start_date": "2026-01-01"},
        {"email": "a@example.com"},
        {"end_date": "2026-01-31"},
        {**DAYS, "limit": "501"},
        {**DAYS, "limit": "0"},
        {**DAYS, "offset": "-1"},
        {**DAYS, "start_date": "01/01/2026"},
        {**DAYS, "start_date": "2026-01-01T00:00:00Z"},
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
    ],
)
def test_a_list_is_refused_without_what_it_needs(path: str, query: dict[str, str]) -> None:
    assert Workspace(people=0).get(path, **query).status_code == 400


@pytest.mark.parametrize(("email_lists_end", "found"), [("exclusive", 0), ("inclusive", 1)])
def test_dates_are_midnights_in_utc(email_lists_end: str, found: int) -> None:
    workspace = Workspace(email_lists_end=email_lists_end)
    workspace.messaging.message("email.Bounce", "c-0", at=START)
    assert len(workspace.emails("/email/hard_bounces", start_date="2026-01-10", end_date="2026-01-11")) == 1
    assert len(workspace.emails("/email/hard_bounces", start_date="2026-01-10", end_date="2026-01-10")) == found
    assert workspace.emails("/email/hard_bounces", start_date="2026-01-11", end_date="2026-01-31") == []


@pytest.mark.parametrize(("email_paging_empties", "found"), [(True, 0), (False, 1)])
def test_an_address_overrides_the_dates(email_paging_empties: bool, found: int) -> None:
    workspace = Workspace(email_paging_empties=email_paging_empties)
    workspace.messaging.message("email.Bounce", "c-0", at=START - timedelta(days=300))
    assert workspace.emails("/email/hard_bounces", email="c0@example.com") == ["C0@example.com"]
    assert len(workspace.emails("/email/hard_bounces", email="c0@example.com", limit=10)) == found


# 7.5: groups of people.


def test_groups_that_ever_changed_are_listed_with_their_state() -> None:
    workspace = Workspace()
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}]
    workspace.track(external_id="c-1", subscription_groups=groups)
    answer = workspace.get("/subscription/user/status", **{"external_id[]": ["c-0", "c-1", "nobody"]}).json()
    assert (answer["total_count"], answer["message"]) == (2, "success")
    first, second = answer["users"]
    assert (first["external_id"], first["email"], first["subscription_groups"]) == ("c-0", "C0@example.com", [])
    (group,) = second["subscription_groups"]
    assert (group["id"], group["channel"], group["status"]) == (NEWSLETTER_GROUP, "email", "Unsubscribed")


def test_profiles_that_share_an_address_are_separate_entries() -> None:
    workspace = Workspace()
    workspace.track(external_id="twin", email="C0@example.com")
    users = workspace.get("/subscription/user/status", email="c0@example.com", limit=1, offset=1).json()["users"]
    assert [user["external_id"] for user in users] == ["twin"]


@pytest.mark.parametrize(
    "query", [{}, {"external_id[]": ["x"] * 51}, {"external_id": "x", "limit": 101}, {"email": "x", "offset": "a"}]
)
def test_groups_are_refused_beyond_their_limits(query: dict[str, Any]) -> None:
    assert Workspace(people=0).get("/subscription/user/status", **query).status_code == 400


# 6.1: campaigns on the profile.


def test_the_export_tells_which_campaigns_arrived_and_what_became_of_them() -> None:
    workspace = Workspace()
    workspace.messaging.message("email.Delivery", "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("email.Click", "c-0", at=START + timedelta(hours=1), campaign_id="cmp-1")
    body = {"external_ids": ["c-0"], "fields_to_export": ["campaigns_received"]}
    (user,) = workspace.call("POST", "/users/export/ids", json=body).json()["users"]
    (campaign,) = user["campaigns_received"]
    assert (campaign["api_campaign_id"], campaign["name"]) == ("cmp-1", "Autumn")
    assert campaign["last_received"] == "2026-01-10T12:00:00.000Z"
    assert campaign["engaged"] == {"clicked_email": True}


# 10.1: lists.


def test_a_hundred_campaigns_a_page_oldest_first() -> None:
    workspace = Workspace(people=0)
    for number in range(120):
        workspace.messaging.add_campaign(f"x-{number}", f"No {number}", edited=START)
    first = workspace.get("/campaigns/list").json()
    assert (len(first["campaigns"]), first["campaigns"][0]["id"]) == (100, "cmp-1")
    assert len(workspace.get("/campaigns/list", page=1).json()["campaigns"]) == 21
    assert workspace.get("/campaigns/list", sort_direction="desc").json()["campaigns"][0]["id"] == "x-119"
    assert [each["id"] for each in workspace.get("/canvas/list").json()["canvases"]] == ["cnv-1"]


# 10.2: series.


def test_a_campaign_by_day_and_channel() -> None:
    workspace = Workspace()
    for kind in ("email.Send", "email.Delivery", "email.Open", "email.Open", "email.MarkAsSpam"):
        workspace.messaging.message(kind, "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("pushnotification.Open", "c-0", at=START, campaign_id="cmp-1")
    workspace.messaging.message("email.Click", "c-1", at=START - timedelta(days=1), campaign_id="cmp-1")
    answer = workspace.get("/campaigns/data_series", campaign_id="cmp-1", length=3).json()
    assert [row["time"] for row in answer["data"]] == ["2026-01-08", "2026-01-09", "2026-01-10"]
    (today,) = answer["data"][2]["messages"]["email"]
    expected = {"sent": 1, "opens": 2, "unique_opens": 1, "clicks": 0, "delivered": 1, "reported_spam": 1, "bounces": 0}
    assert {name: today[name] for name in expected} == expected
    assert answer["data"][1]["messages"]["email"][0]["clicks"] == 1
    assert answer["data"][2]["messages"]["ios_push"][0]["direct_opens"] == 1


def test_a_canvas_has_its_messages_by_step() -> None:
    workspace = Workspace()
    workspace.messaging.message("email.Open", "c-0", at=START, canvas_id="cnv-1")
    query = {"canvas_id": "cnv-1", "length": 2, "ending_at": "2026-01-10T23:59:59Z"}
    plain = workspace.get("/canvas/data_series", **query).json()["data"]
    assert (plain["name"], [set(row) for row in plain["stats"]]) == ("Welcome", [{"time", "total_stats"}] * 2)
    steps = workspace.get("/canvas/data_series", **query, include_step_breakdown="true").json()["data"]["stats"]
    (step,) = steps[1]["step_stats"].values()
    assert step["messages"]["email"][0]["opens"] == 1
    since = {"starting_at": "2026-01-05T00:00:00Z", "ending_at": "2026-01-10T23:59:59Z"}
    assert len(workspace.get("/canvas/data_series", canvas_id="cnv-1", **since).json()["data"]["stats"]) == 6


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/campaigns/data_series", {"length": 1}),
        ("/campaigns/data_series", {"campaign_id": "cmp-1"}),
        ("/campaigns/data_series", {"campaign_id": "cmp-1", "length": 101}),
        ("/campaigns/data_series", {"campaign_id": "cmp-1", "length": 0}),
        ("/campaigns/data_series", {"campaign_id": "nobody", "length": 1}),
        ("/campaigns/data_series", {"campaign_id": "cmp-1", "length": 1, "ending_at": "soon"}),
        ("/canvas/data_series", {"canvas_id": "cnv-1", "length": 1}),
        ("/canvas/data_series", {"canvas_id": "cnv-1", "ending_at": "2026-01-10"}),
        ("/canvas/data_series", {"canvas_id": "cnv-1", "ending_at": "2026-01-10", "length": 15}),
        ("/canvas/data_series", {"canvas_id": "cnv-1", "ending_at": "2026-01-31", "starting_at": "2026-01-01"}),
        ("/canvas/data_series", {"canvas_id": "nobody", "ending_at": "2026-01-10", "length": 1}),
    ],
)
def test_a_series_is_refused_beyond_its_limits(path: str, query: dict[str, Any]) -> None:
    assert Workspace(people=0).get(path, **query).status_code == 400
