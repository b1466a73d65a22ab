"""The Currents connector of the Braze emulator, against sections 11.1, 11.3, 11.4 and 11.5 of the reference."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, BrazeBehaviour
from caspio_sync.sandbox.braze.currents import CurrentsBehaviour, CurrentsConnector, State
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.virtual_clock import VirtualClock

AT = datetime(2026, 1, 1, 10, tzinfo=UTC)
PLAIN = {"duplicates": 0, "disorder": False}


def events(count: int) -> list[dict[str, Any]]:
    return [
        {"event_type": "t", "id": f"e-{number}", "time": 1, "user": {}, "properties": {}} for number in range(count)
    ]


class Receiver:
    """Answers posts with a status; remembers what it was sent."""

    def __init__(self, answer: Callable[[list[dict[str, Any]]], int], **behaviour: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.posts: list[list[str]] = []
        self.times: list[float] = []
        self.clock = VirtualClock()
        self._answer = answer
        self.connector = CurrentsConnector(
            "http://receiver/currents",
            token="dG9rZW4=",
            behaviour=CurrentsBehaviour(**PLAIN | behaviour),
            clock=self.clock,
            transport=httpx.MockTransport(self._respond),
        )

    def _respond(self, request: httpx.Request) -> httpx.Response:
        sent = orjson.loads(request.content)["events"]
        self.requests.append(request)
        self.posts.append([each["id"] for each in sent])
        self.times.append(self.clock.monotonic())
        status = self._answer(sent)
        if status == 0:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(status)

    def deliver(self, count: int = 0) -> None:
        self.connector.queue(events(count))
        asyncio.run(self.connector.deliver())


# 11.1: what is sent.


def test_a_post_as_the_page_has_it() -> None:
    receiver = Receiver(lambda _: 200)
    receiver.deliver(1)
    (request,) = receiver.requests
    assert request.headers["braze-currents-version"] == "1"
    assert request.headers["authorization"] == "Bearer dG9rZW4="
    assert request.headers["content-type"] == "application/json"
    assert orjson.loads(request.content) == {"events": events(1)}


def test_at_most_a_hundred_events_a_post() -> None:
    receiver = Receiver(lambda _: 202)
    receiver.deliver(250)
    assert [len(post) for post in receiver.posts] == [100, 100, 50]


def test_smaller_posts_where_braze_is_set_so() -> None:
    receiver = Receiver(lambda _: 200, events_a_post=10)
    receiver.deliver(25)
    assert [len(post) for post in receiver.posts] == [10, 10, 5]


def test_events_of_more_than_900_kb_are_dropped() -> None:
    receiver = Receiver(lambda _: 200)
    receiver.connector.queue([events(1)[0] | {"properties": {"x": "x" * 900_000}}])
    receiver.deliver()
    assert (receiver.posts, len(receiver.connector.dropped)) == ([], 1)


# 11.1: what the answers do.


@pytest.mark.parametrize("status", [500, 503, 429, 0, 302, 418])
def test_what_is_not_taken_is_sent_again_later_and_later(status: int) -> None:
    answers = iter([status] * 4)
    receiver = Receiver(lambda _: next(answers, 200))
    receiver.deliver(3)
    assert receiver.posts == [["e-0", "e-1", "e-2"]] * 5
    waits = [later - sooner for sooner, later in zip(receiver.times, receiver.times[1:], strict=False)]
    assert all(2**tries / 2 <= wait <= 2**tries for tries, wait in enumerate(waits))


def test_413_halves_the_post() -> None:
    receiver = Receiver(lambda sent: 200 if len(sent) <= 30 else 413)
    receiver.deliver(100)
    assert [len(post) for post in receiver.posts] == [100, 50, 50, 25, 25, 25, 25]


def test_400_sends_events_alone_and_drops_those_refused_again() -> None:
    receiver = Receiver(lambda sent: 400 if any(each["id"] == "e-2" for each in sent) else 200)
    receiver.deliver(4)
    assert receiver.posts == [["e-0", "e-1", "e-2", "e-3"], ["e-0"], ["e-1"], ["e-2"], ["e-3"]]
    assert [each["id"] for each in receiver.connector.dropped] == ["e-2"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_configuration_stops_the_stream_until_a_person_has_looked(status: int) -> None:
    answers = iter([status])
    receiver = Receiver(lambda _: next(answers, 200))
    receiver.deliver(150)
    assert (receiver.connector.state, receiver.connector.waiting) == (State.SUSPENDED, 150)
    asyncio.run(receiver.connector.deliver())
    assert len(receiver.posts) == 1
    receiver.connector.resume()
    receiver.deliver()
    assert (receiver.connector.waiting, len(receiver.posts)) == (0, 3)


def test_after_five_days_the_connector_is_disabled_and_new_events_are_lost() -> None:
    receiver = Receiver(lambda _: 503)
    receiver.deliver(1)
    assert receiver.connector.state is State.DISABLED
    assert timedelta(days=5) < timedelta(seconds=receiver.clock.monotonic()) < timedelta(days=6)
    receiver.connector.queue(events(1))
    assert (receiver.connector.waiting, len(receiver.connector.dropped)) == (1, 1)


@pytest.mark.parametrize(("days", "left"), [(0, 1), (3, 0)])
def test_what_waits_for_more_than_seven_days_is_gone(days: int, left: int) -> None:
    receiver = Receiver(lambda _: 503)
    receiver.deliver(1)
    receiver.clock.advance(days * 86_400)
    receiver.connector.resume()
    assert receiver.connector.waiting == left


# 11.3: at least once, in any order; fields removed or hashed.


def test_events_come_more_than_once_and_in_disorder() -> None:
    receiver = Receiver(lambda _: 200, duplicates=0.3, disorder=True)
    receiver.deliver(1000)
    sent = [each for post in receiver.posts for each in post]
    times = Counter(sent)
    assert set(times) == {each["id"] for each in events(1000)}
    assert 200 < sum(count == 2 for count in times.values()) < 400
    assert list(dict.fromkeys(sent)) != [each["id"] for each in events(1000)]


def test_fields_are_removed_or_hashed_where_braze_is_set_so() -> None:
    receiver = Receiver(lambda _: 200, transforms={"email_address": "hash", "url": "remove"})
    receiver.connector.queue([events(1)[0] | {"properties": {"email_address": "a@b.c", "url": "x", "y": 1}}])
    receiver.deliver()
    (sent,) = orjson.loads(receiver.requests[0].content)["events"]
    assert sent["properties"]["url"] == "[REDACTED]"
    assert len(sent["properties"]["email_address"]) == 64
    assert sent["properties"]["y"] == 1


# 11.4 and 11.5: where events come from.


class Workspace:
    def __init__(self, **behaviour: Any) -> None:
        self.sandbox = BrazeSandbox(BrazeBehaviour(**{"currents": True, **behaviour}), VirtualClock(AT))
        self.messaging = self.sandbox.messaging
        self.messaging.add_campaign("cmp-1", "Autumn", edited=AT)

    def track(self, **attributes: Any) -> None:
        async def send() -> None:
            transport = httpx.ASGITransport(self.sandbox.app)
            headers = {"Authorization": "Bearer sandbox-key"}
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
                answer = await client.post("/users/track", json={"attributes": [attributes]})
                assert answer.status_code == 201

        asyncio.run(send())
        self.sandbox.settle()

    @property
    def outbox(self) -> list[dict[str, Any]]:
        return list(self.sandbox.messaging.outbox)


def test_a_message_event_has_the_core_the_campaign_and_the_address() -> None:
    workspace = Workspace()
    workspace.track(external_id="c-1", email="a@example.com")
    workspace.messaging.message("email.Open", "c-1", at=AT, campaign_id="cmp-1", machine_open="true")
    (event,) = workspace.outbox
    assert event["event_type"] == "users.messages.email.Open"
    assert event["time"] == int(AT.timestamp())
    assert event["user"] == {"user_id": f"{1:024x}", "external_user_id": "c-1"}
    assert event["properties"] == {
        "campaign_id": "cmp-1",
        "campaign_name": "Autumn",
        "email_address": "a@example.com",
        "machine_open": "true",
    }


def test_a_change_by_the_rest_api_comes_back_with_its_source() -> None:
    workspace = Workspace()
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}]
    workspace.track(
        external_id="c-1", email="a@example.com", email_subscribe="unsubscribed", subscription_groups=groups
    )
    workspace.track(external_id="c-1", email_subscribe="unsubscribed", subscription_groups=groups)
    kinds = {event["event_type"].rsplit(".", 2)[-2]: event["properties"] for event in workspace.outbox}
    assert len(workspace.outbox) == 2  # the second time nothing changed
    assert kinds["subscription"]["subscription_status"] == "Unsubscribed"
    assert kinds["subscriptiongroup"]["subscription_group_id"] == NEWSLETTER_GROUP
    assert {each["state_change_source"] for each in kinds.values()} == {"REST API"}


def test_an_unsubscribe_click_is_followed_by_the_change_of_state() -> None:
    workspace = Workspace()
    workspace.track(external_id="c-1", email="a@example.com")
    workspace.messaging.message("email.Unsubscribe", "c-1", at=AT, campaign_id="cmp-1")
    click, change = workspace.outbox
    assert click["event_type"] == "users.messages.email.Unsubscribe"
    assert change["event_type"] == "users.behaviors.subscription.GlobalStateChange"
    assert change["properties"]["state_change_source"] == "List-Unsubscribe"
    assert workspace.sandbox.profiles()["c-1"]["email_subscribe"] == "unsubscribed"


def test_a_workspace_without_currents_sends_nothing() -> None:
    workspace = Workspace(currents=False)
    workspace.track(external_id="c-1", email="a@example.com")
    workspace.messaging.message("email.Unsubscribe", "c-1", at=AT, campaign_id="cmp-1")
    assert workspace.outbox == []


@pytest.mark.parametrize(("currents_anonymous", "count"), [(False, 0), (True, 1)])
def test_anonymous_users_are_sent_only_where_that_is_on(currents_anonymous: bool, count: int) -> None:
    workspace = Workspace(currents_anonymous=currents_anonymous)
    workspace.track(email="a@example.com", email_subscribe="unsubscribed", _update_existing_only=False)
    assert [event["user"] for event in workspace.outbox] == [{"user_id": f"{1:024x}"}] * count
