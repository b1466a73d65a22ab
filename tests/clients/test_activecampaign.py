"""The ActiveCampaign client against answers of every shape that was seen, and the pace it keeps."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.activecampaign.answers import ForbiddenError, MissingError
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.errors import CaspioSyncError, ConfigurationError, StoppedError, TransientError
from caspio_sync.settings import destination_settings
from caspio_sync.wire.answers import ForeignAnswerError
from caspio_sync.wire.http import RefusedError
from tests.virtual_clock import VirtualClock

T = TypeVar("T")
KEY = "0123456789abcdef-secret"
LIST = {"lists": [{"id": "6", "name": "Newsletter"}], "meta": {"total": "1"}}


class Side:
    """Answers in turn, the last one for ever; remembers what was asked, and when."""

    def __init__(self, *answers: httpx.Response | dict[str, Any], **more: Any) -> None:
        self.clock = VirtualClock()
        self.asked: list[tuple[float, httpx.Request]] = []
        self._answers: Iterator[httpx.Response] = iter(
            each if isinstance(each, httpx.Response) else httpx.Response(200, json=each) for each in answers
        )
        self._last = httpx.Response(200, json={})
        self._more: dict[str, Any] = {"url": "https://acme.api-us1.com/", "key": SecretStr(KEY)} | more

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((self.clock.monotonic(), request))
        self._last = next(self._answers, self._last)
        return httpx.Response(self._last.status_code, content=self._last.content, headers=self._last.headers)

    def call(self, call: Callable[[ActiveCampaignClient], Awaitable[T]]) -> T:
        async def run() -> T:
            transport = httpx.MockTransport(self._answer)
            async with ActiveCampaignClient(transport=transport, clock=self.clock, **self._more) as client:
                return await call(client)

        return asyncio.run(run())

    def refusal(self, call: Callable[[ActiveCampaignClient], Awaitable[Any]]) -> CaspioSyncError:
        with pytest.raises(CaspioSyncError) as error:
            self.call(call)
        assert KEY not in str(error.value)
        return error.value


def sync(client: ActiveCampaignClient) -> Awaitable[str]:
    return client.sync_contact({"email": "ann@example.com"})


@pytest.mark.parametrize("url", ["https://a.api-us1.com", "https://a.api-us1.com/", "https://a.api-us1.com/api/3/"])
def test_the_address_is_taken_with_or_without_its_path(url: str) -> None:
    side = Side({"user": {"username": "ops"}}, url=url)
    assert side.call(lambda client: client.user()) == "ops"
    (_, request) = side.asked[0]
    assert (str(request.url), request.headers["api-token"]) == ("https://a.api-us1.com/api/3/users/me", KEY)


@pytest.mark.parametrize(("more", "word"), [({"url": "ftp://x"}, "URL"), ({"key": SecretStr("a b")}, "KEY")])
def test_settings_that_cannot_be_are_named(more: dict[str, Any], word: str) -> None:
    assert f"ACTIVECAMPAIGN_{word}" in str(Side(**more).refusal(lambda client: client.user()))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"errors": [{"title": "Too long", "detail": "the name", "code": "x", "source": {"pointer": "/a"}}]},
            "Too long: the name",
        ),
        ({"errors": [{"status": 422, "title": "Missing attribute", "source": {}}]}, "Missing attribute"),
        ({"errors": [{"detail": "no title", "code": 7}]}, "no title"),
        ({"errors": "Bulk operation failed."}, "Bulk operation failed"),
        ({"message": "Not this"}, "Not this"),
        ({"errors": [None, 3, {}]}, "it gives no reason"),
        ({}, "it gives no reason"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_is_read_in_all_of_its_shapes(body: dict[str, Any], said: str, status: int) -> None:
    error = Side(httpx.Response(status, json=body)).refusal(sync)
    assert isinstance(error, RefusedError)
    assert (error.status, error.message_text) == (status, said)


def test_an_address_in_a_refusal_is_masked() -> None:
    error = Side(httpx.Response(422, json={"message": "ann@example.com is no address"})).refusal(sync)
    assert "ann@" not in str(error)


@pytest.mark.parametrize("status", [403, 404])
def test_nothing_found_is_missing_whatever_the_status(status: int) -> None:
    side = Side(httpx.Response(status, json={"message": "No Result found for Subscriber with id 9"}))
    assert isinstance(side.refusal(lambda client: client.contact("9")), MissingError)
    assert len(side.asked) == 1


def test_a_403_is_asked_again_and_then_believed() -> None:
    forbidden = httpx.Response(403, json={"message": "Forbidden"})
    assert Side(forbidden, forbidden, {"contact": {"id": 52}}).call(sync) == "52"
    side = Side(forbidden)
    assert isinstance(side.refusal(sync), ForbiddenError)
    assert len(side.asked) == 3


def test_a_page_under_200_is_nobodys_answer() -> None:
    page = httpx.Response(200, text="<html>log in</html>", headers={"content-type": "text/html"})
    error = Side(page).refusal(sync)
    assert isinstance(error, ForeignAnswerError)
    assert "ACTIVECAMPAIGN_KEY" in str(error)


def test_an_inactive_account_is_for_a_person() -> None:
    error = Side(httpx.Response(402, json={})).refusal(sync)
    assert isinstance(error, ConfigurationError)
    assert "inactive" in str(error)


@pytest.mark.parametrize("body", [{}, {"contact": []}, {"contact": {}}, {"contact": None}])
def test_an_answer_without_the_contact_is_none(body: dict[str, Any]) -> None:
    assert isinstance(Side(body).refusal(sync), ConfigurationError)


def test_what_fails_is_asked_again() -> None:
    side = Side(httpx.Response(502, text="<html/>"), httpx.Response(503), {"contact": {"id": "52"}})
    assert side.call(sync) == "52"
    assert isinstance(Side(httpx.Response(500)).refusal(sync), TransientError)


def test_a_429_waits_as_long_as_it_asks_for() -> None:
    side = Side(httpx.Response(429, headers={"retry-after": "30"}), {"contact": {"id": "52"}})
    side.call(sync)
    assert side.asked[1][0] - side.asked[0][0] >= 30
    assert isinstance(Side(httpx.Response(429, headers={"retry-after": "36000"})).refusal(sync), StoppedError)


@pytest.mark.parametrize(("rate", "share", "seconds"), [(4.0, 1.0, 5.0), (4.0, 0.5, 10.0), (0.5, 1.0, 40.0)])
def test_calls_keep_the_pace_that_was_set(rate: float, share: float, seconds: float) -> None:
    side = Side({"contact": {"id": "1"}}, calls_per_second=rate)

    async def many(client: ActiveCampaignClient) -> None:
        client.take_share(share)
        await asyncio.gather(*(sync(client) for _ in range(21)))

    side.call(many)
    times = [at for at, _ in side.asked]
    assert times[-1] - times[0] >= 0.95 * seconds
    assert max(sum(at <= other < at + 1 for other in times) for at in times) <= 5


def test_all_pages_are_read_whatever_the_total_is() -> None:
    page = [{"id": str(number), "name": f"L{number}"} for number in range(100)]
    for total in ("130", 130):
        meta = {"meta": {"total": total}}
        side = Side({"lists": page, **meta}, {"lists": page[:30], **meta})
        assert len(side.call(lambda client: client.lists())) == 130
        assert [dict(request.url.params)["offset"] for _, request in side.asked] == ["0", "100"]
    assert len(Side({"lists": page}, {"lists": []}).call(lambda client: client.lists())) == 100


def test_a_collection_without_its_rows_is_refused() -> None:
    for body in ({}, {"lists": "none"}, {"lists": [1]}):
        assert isinstance(Side(body).refusal(lambda client: client.lists()), ConfigurationError)


def test_only_who_has_the_very_address_is_found() -> None:
    rows = [{"id": "1", "email": "Ann@Example.com "}, {"id": "2", "email": "joann@example.com"}]
    assert Side({"contacts": rows}).call(lambda client: client.ids("ann@example.com")) == ["1"]


def test_an_import_is_queued_throttled_or_refused() -> None:
    queued = {"Success": 1, "batchId": "b-1", "queued_contacts": 2, "message": "Contact import queued"}
    throttled = httpx.Response(
        400, json={"success": 0, "message": "Rate limit exceeded.", "failureReasons": ["Up to 100"]}
    )
    side = Side(throttled, queued)
    assert side.call(lambda client: client.import_contacts(b"{}", 2)) == "b-1"
    reasons = [{"contact": 17, "failureReason": "Field 'email' incorrect format"}]
    refused = httpx.Response(
        400, json={"success": 0, "message": "JSON payload did not pass", "failureReasons": reasons}
    )
    error = Side(refused).refusal(lambda client: client.import_contacts(b"{}", 2))
    assert isinstance(error, RefusedError)
    assert "incorrect format" in error.message_text
    assert isinstance(Side({"Success": 1}).refusal(lambda client: client.import_contacts(b"{}", 2)), RefusedError)


def test_imports_keep_their_own_limit() -> None:
    side = Side({"batchId": "b"})

    async def many(client: ActiveCampaignClient) -> None:
        await asyncio.gather(*(client.import_contacts(b"{}", 1) for _ in range(25)))

    side.call(many)
    times = [at for at, _ in side.asked]
    assert max(sum(at <= other < at + 60 for other in times) for at in times) <= 20


def test_a_field_that_somebody_else_made_is_no_error() -> None:
    duplicate = httpx.Response(
        422, json={"errors": [{"title": "There is already a field with this title", "code": "duplicate"}]}
    )
    assert Side(duplicate).call(lambda client: client.make_field("A", "text")) is False
    assert Side({"field": {"id": "1"}}).call(lambda client: client.make_field("A", "text")) is True
    assert isinstance(
        Side(httpx.Response(422, json={})).refusal(lambda client: client.make_field("A", "x")), RefusedError
    )


def test_bodies_are_what_the_reference_says() -> None:
    side = Side({"contact": {"id": "1"}})

    async def all_of_them(client: ActiveCampaignClient) -> None:
        await client.put_on("52", "6", "2")
        await client.add_options("12", ["S"], 3)
        await client.show_field("12")
        await client.change_contact("52", {"email": "a@example.com"})

    side.call(all_of_them)
    assert [
        (request.method, request.url.path.removeprefix("/api/3"), json.loads(request.content))
        for _, request in side.asked
    ] == [
        ("POST", "/contactLists", {"contactList": {"list": "6", "contact": "52", "status": "2"}}),
        (
            "POST",
            "/fieldOption/bulk",
            {"fieldOptions": [{"field": "12", "value": "S", "label": "S", "orderid": 3, "isdefault": False}]},
        ),
        ("POST", "/fieldRels", {"fieldRel": {"field": 12, "relid": 0}}),
        ("PUT", "/contacts/52", {"contact": {"email": "a@example.com"}}),
    ]


@pytest.mark.parametrize("more", ["/?api_key=a-key-of-somebody", "/#a-key-of-somebody", "@a.example"])
def test_an_address_that_may_hold_a_key_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    host = "https://me:a-key-of-somebody" if more.startswith("@") else "https://account.api-us1.com"
    monkeypatch.setenv("ACTIVECAMPAIGN_URL", f"{host}{more}")
    monkeypatch.setenv("ACTIVECAMPAIGN_KEY", "k" * 20)
    with pytest.raises(ConfigurationError) as error:
        destination_settings("activecampaign")
    assert "ACTIVECAMPAIGN_URL" in str(error.value)
    assert "give https:// and the host alone" in str(error.value)
    assert "a-key-of-somebody" not in str(error.value)
