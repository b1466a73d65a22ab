"""ActiveCampaign, section 13: webhooks, what they hear, and how a post looks and goes astray."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from tests.contract.conftest import MailAccount

HOOK = {
    "name": "ours",
    "url": "https://hooks.example.net/activecampaign/s",
    "events": ["subscribe", "unsubscribe", "open"],
    "sources": ["public", "admin", "system"],
    "listid": None,
}


class Posts:
    """An account with a webhook, and what it posts."""

    def __init__(self, hook: dict[str, Any] | None = None, **behaviour: Any) -> None:
        self.account = MailAccount(**behaviour)
        self.made = self.account.call("POST", "/webhooks", json={"webhook": {**HOOK, **(hook or {})}})
        self.status = 200
        self.taken: list[dict[str, list[str]]] = []
        self.account.sync("ann@example.com", firstName="Ann")

    def leaves(self, by: str = "public") -> None:
        self.account.sandbox.set_status("ann@example.com", "Newsletter", "2", by)

    def deliver(self) -> list[dict[str, list[str]]]:
        def take(request: httpx.Request) -> httpx.Response:
            assert request.headers["content-type"] == "application/x-www-form-urlencoded"
            self.taken.append(parse_qs(request.content.decode(), keep_blank_values=True))
            return httpx.Response(self.status)

        self.taken.clear()
        asyncio.run(self.account.sandbox.webhooks.deliver(httpx.MockTransport(take)))
        return self.taken


def test_a_webhook_is_made_read_changed_and_deleted() -> None:
    posts = Posts()
    account, made = posts.account, posts.made.json()["webhook"]
    assert (posts.made.status_code, made["listid"], made["links"]) == (201, "0", [])
    path = f"/webhooks/{made['id']}"
    listed = account.call("GET", "/webhooks").json()
    assert (listed["webhooks"], listed["meta"]["total"]) == ([made], "1")
    assert account.call("GET", "/webhooks", params={"filters[name]": "others"}).json()["webhooks"] == []
    changed = account.call("PUT", path, json={"webhook": {"events": ["open"]}}).json()["webhook"]
    assert (changed["events"], changed["url"]) == (["open"], HOOK["url"])
    assert (account.call("DELETE", path).status_code, account.call("GET", path).status_code) == (200, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://hooks.example.net:8443/x"},
        {"url": "hooks"},
        {"events": ["opened"]},
        {"sources": []},
        {"name": ""},
    ],
)
def test_what_a_webhook_cannot_be_is_refused_without_a_word(wrong: dict[str, Any]) -> None:
    answer = MailAccount().call("POST", "/webhooks", json={"webhook": {**HOOK, **wrong}})
    assert (answer.status_code, answer.json()) == (400, {})


def test_the_events_are_listed_with_a_total_that_is_a_number() -> None:
    told = MailAccount().call("GET", "/webhook/events").json()
    assert (len(told["webhookEvents"]), told["meta"]["total"]) == (25, 25)


def test_a_post_is_one_event_in_a_form_with_brackets() -> None:
    posts = Posts()
    posts.leaves()
    (form,) = posts.deliver()
    assert {name: form[name] for name in ("type", "initiated_by", "list", "contact[email]", "contact[first_name]")} == {
        "type": ["unsubscribe"],
        "initiated_by": ["public"],
        "list": ["11"],
        "contact[email]": ["ann@example.com"],
        "contact[first_name]": ["Ann"],
    }
    assert posts.deliver() == []  # nothing is posted again


def test_it_hears_its_events_from_its_sources_of_its_list() -> None:
    posts = Posts({"listid": "12"})
    posts.leaves()
    posts.account.sandbox.set_status("ann@example.com", "Offers", "1")
    posts.account.sandbox.set_status("ann@example.com", "Offers", "1", "api")
    posts.account.sandbox.bounce("ann@example.com")
    assert [each["type"] for each in posts.deliver()] == [["subscribe"]]


def test_a_call_is_heard_by_whoever_hears_api() -> None:
    posts = Posts({"sources": ["api"]})
    number = posts.account.contact_id("ann@example.com")
    body = {"contactList": {"list": "11", "contact": number, "status": "1"}}
    posts.account.call("POST", "/contactLists", json=body)
    assert [each["initiated_from"] for each in posts.deliver()] == [["api"]]


@pytest.mark.parametrize(("hook_time", "zone_minutes"), [("iso", 0), ("plain", 345)])
def test_the_time_bears_an_offset_or_is_a_wall_clock(hook_time: str, zone_minutes: int) -> None:
    posts = Posts(hook_time=hook_time, zone_minutes=zone_minutes)
    posts.leaves()
    (form,) = posts.deliver()
    assert ("T" in form["date_time"][0], " " in form["date_time"][0]) == (hook_time == "iso", hook_time == "plain")


@pytest.mark.parametrize(("hook_lists", "key"), [("plain", "list"), ("array", "list[][id]")])
def test_a_list_is_told_in_either_form_and_several_are_an_array(hook_lists: str, key: str) -> None:
    posts = Posts(hook_lists=hook_lists)
    posts.leaves()
    (form,) = posts.deliver()
    assert form[key] == ["11"]
    posts.account.sandbox.set_status("ann@example.com", "Offers", "1")
    posts.account.sandbox.leave("ann@example.com")
    assert posts.deliver()[-1]["list[][id]"] == ["11", "12"]
    posts.account.sandbox.leave("ann@example.com", told="none")
    assert "0" in {value for name, values in posts.deliver()[0].items() if name.startswith("list") for value in values}


def test_posts_are_lost_doubled_and_late() -> None:
    posts = Posts(hooks_lost=[1], hooks_doubled=[2], hook_delay=60)
    for _ in range(2):
        posts.leaves()
    assert posts.deliver() == []
    posts.account.clock.advance(60)
    assert len(posts.deliver()) == 2


def test_410_switches_it_off_for_good() -> None:
    posts = Posts()
    posts.status = 410
    posts.leaves()
    assert len(posts.deliver()) == 1
    posts.status = 200
    posts.account.call("PUT", f"/webhooks/{posts.made.json()['webhook']['id']}", json={"webhook": {"events": ["open"]}})
    posts.account.sandbox.mailed("open", "ann@example.com")
    assert posts.deliver() == []
