import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.plain import BRAZE_ENDPOINTS
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.wire.http import RateLimit, RefusedError, UnavailableError
from caspio_sync.wire.taken import ObjectError, Taken
from tests.virtual_clock import VirtualClock

T = TypeVar("T")
KEY = "3f1c0b1e-sandbox-key"


def ask(
    handler: Callable[[httpx.Request], httpx.Response],
    call: Callable[[BrazeClient], Awaitable[T]],
    endpoint: str = "US-01",
) -> T:
    async def run() -> T:
        async with BrazeClient(
            endpoint=endpoint, api_key=SecretStr(KEY), clock=VirtualClock(), transport=httpx.MockTransport(handler)
        ) as client:
            return await call(client)

    return asyncio.run(run())


def track(answer: httpx.Response, body: bytes = b'{"attributes":[{"external_id":"c-1"}]}') -> Taken:
    return ask(lambda _request: answer, lambda client: client.track(body, sent={"attributes": 1}))


def test_a_track_request_is_the_body_as_given_with_key_and_type() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"message": "success"})

    body = '{"attributes":[{"external_id":"ü"}]}'.encode()
    ask(handler, lambda client: client.track(body, sent={"attributes": 1}))
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://rest.iad-01.braze.com/users/track")
    assert request.content == body
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_is_accepted(status: int) -> None:
    assert track(httpx.Response(status, json={"message": "queued"})) == Taken(status, (), RateLimit())


def test_the_rate_window_comes_with_the_answer() -> None:
    headers = {"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "2999", "x-ratelimit-reset": "3"}
    assert track(httpx.Response(201, json={"message": "success"}, headers=headers)).rate == RateLimit(3000, 2999, 3)


@pytest.mark.parametrize(
    ("entries", "errors"),
    [
        ([], ()),
        (None, ()),
        (
            [{"index": 1, "input_array": "attributes", "type": "EMAIL_BAD_FORMAT"}],
            (ObjectError(1, "attributes", "EMAIL_BAD_FORMAT"),),
        ),
        (["no such thing"], (ObjectError(None, None, "no such thing"),)),
        ("a text alone", (ObjectError(None, None, "a text alone"),)),
        ([{"index": "1", "type": "X"}], (ObjectError(None, None, "X"),)),
        ([{"index": True, "type": "X"}], (ObjectError(None, None, "X"),)),
        ([{"index": -1, "type": "X"}], (ObjectError(None, None, "X"),)),
        ([{"index": 0}], (ObjectError(0, None, "no reason given"),)),
        ([{"type": None, "message": "m", "input_array": 5}], (ObjectError(None, None, "m"),)),
        ([None], (ObjectError(None, None, "None"),)),
        ([{"index": 0, "type": "ada@example.com is bad"}], (ObjectError(0, None, "… is bad"),)),
    ],
)
def test_entries_of_a_partial_failure_are_read_as_far_as_they_go(entries: Any, errors: Any) -> None:
    assert track(httpx.Response(201, json={"message": "success", "errors": entries})).errors == errors


def test_a_429_carries_the_wait_and_the_window() -> None:
    with pytest.raises(UnavailableError) as caught:
        track(httpx.Response(429, headers={"X-Ratelimit-Retry-After": "7"}))
    assert caught.value.rate_limited
    assert caught.value.retry_after == 7
    assert caught.value.rate == RateLimit(None, None, 7)


def test_a_refused_request_tells_the_answers_words() -> None:
    with pytest.raises(RefusedError) as caught:
        track(httpx.Response(400, json={"message": "Max Input Length Exceeded", "errors": []}))
    assert (caught.value.status, caught.value.message_text) == (400, "Max Input Length Exceeded")


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "instance"), (403, "permission"), (404, "endpoint"), (415, "proxy")]
)
def test_what_a_person_has_to_mend_is_said(status: int, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        track(httpx.Response(status))
    assert KEY not in str(caught.value)


def test_track_is_one_attempt() -> None:
    requests = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        return httpx.Response(503)

    with pytest.raises(TransientError):
        ask(handler, lambda client: client.track(b"{}", sent={"attributes": 1}))
    assert requests == 1


def test_an_export_asks_for_ids_and_fields_and_gives_profiles() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/users/export/ids"
        assert json.loads(request.content) == {"external_ids": ["a", "b"], "fields_to_export": ["email"]}
        return httpx.Response(201, json={"message": "success", "users": [{"email": "x"}], "invalid_user_ids": ["b"]})

    answer = ask(handler, lambda client: client.export_users(["a", "b"], ["email"]))
    assert (answer.users, answer.invalid_user_ids) == ([{"email": "x"}], ["b"])


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no json"])
def test_an_export_that_cannot_be_read_may_be_asked_again(body: bytes) -> None:
    with pytest.raises(TransientError):
        ask(lambda _request: httpx.Response(201, content=body), lambda client: client.export_users(["a"], ["email"]))


def test_an_export_of_more_than_50_ids_is_refused_before_it_is_sent() -> None:
    with pytest.raises(PermanentError, match="50"):
        ask(lambda _request: httpx.Response(500), lambda client: client.export_users(["a"] * 51, ["email"]))


@pytest.mark.parametrize("status", [201, 400])
def test_the_probe_is_content_once_key_and_permission_hold(status: int) -> None:
    seen: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(status, json={"message": "success" if status == 201 else "nothing to do"})

    ask(handler, lambda client: client.probe_track())
    assert seen == [b'{"attributes":[]}']


@pytest.mark.parametrize("status", [401, 403])
def test_the_probe_finds_a_wrong_key(status: int) -> None:
    with pytest.raises(ConfigurationError):
        ask(lambda _request: httpx.Response(status), lambda client: client.probe_track())


@pytest.mark.parametrize("endpoint", ["eu-01", "https://rest.fra-01.braze.eu", "https://rest.fra-01.braze.eu/"])
def test_an_endpoint_is_an_instance_or_an_address(endpoint: str) -> None:
    hosts: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.append(f"{request.url.host}{request.url.path}")
        return httpx.Response(201, json={"message": "success"})

    ask(handler, lambda client: client.track(b"{}", sent={"attributes": 0}), endpoint=endpoint)
    assert hosts == ["rest.fra-01.braze.eu/users/track"]


def test_every_instance_has_an_endpoint() -> None:
    assert len(BRAZE_ENDPOINTS) == 15
    assert BRAZE_ENDPOINTS["US-08"] == "https://rest.iad-08.braze.com"
    assert "US-09" not in BRAZE_ENDPOINTS


@pytest.mark.parametrize("endpoint", ["", "US-09", "rest.iad-01.braze.com", "https://", "https://x:port", "ftp://x"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="US-01"):
        BrazeClient(endpoint=endpoint, api_key=SecretStr(KEY))


@pytest.mark.parametrize("key", ["", "  ", "a b", "a\nb", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="copy it again"):
        BrazeClient(endpoint="US-01", api_key=SecretStr(key))
