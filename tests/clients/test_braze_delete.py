"""Deleting and looking up profiles by any identifier."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.braze.answers import DeleteAnswer
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.wire.http import RateLimit
from tests.virtual_clock import VirtualClock

ALIAS = {"alias_name": "ada", "alias_label": "crm"}
LATEST = ["most_recently_updated"]
Handler = Callable[[httpx.Request], httpx.Response]


def ask(handler: Handler, call: Callable[[BrazeClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.MockTransport(handler)
        key = SecretStr("3f1c0b1e-key")
        async with BrazeClient(endpoint="US-01", api_key=key, clock=VirtualClock(), transport=transport) as client:
            return await call(client)

    return asyncio.run(run())


def body_of(call: Callable[[BrazeClient], Awaitable[Any]], answer: dict[str, Any]) -> tuple[str, Any]:
    """Path and body of the one request, answered so."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json=answer)

    ask(handler, call)
    (request,) = seen
    return request.url.path, json.loads(request.content)


@pytest.mark.parametrize(
    ("identifiers", "body"),
    [
        ([{"external_id": "a"}, {"external_id": "ü"}], {"external_ids": ["a", "ü"]}),
        ([{"user_alias": ALIAS}], {"user_aliases": [ALIAS]}),
        ([{"email": "a@b.c"}], {"email_addresses": [{"email": "a@b.c", "prioritization": LATEST}]}),
        ([{"phone": "+4420"}], {"phone_numbers": [{"phone": "+4420", "prioritization": LATEST}]}),
    ],
)
def test_a_deletion_names_profiles_of_one_kind(identifiers: list[dict[str, Any]], body: dict[str, Any]) -> None:
    assert body_of(lambda client: client.delete_users(identifiers), {"deleted": 1}) == ("/users/delete", body)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_of_a_deletion_is_queued(status: int) -> None:
    headers = {"x-ratelimit-limit": "20000", "x-ratelimit-remaining": "19999"}
    answer = httpx.Response(status, json={"deleted": 2}, headers=headers)
    got = ask(lambda _request: answer, lambda client: client.delete_users([{"external_id": "a"}, {"external_id": "b"}]))
    assert got == DeleteAnswer(status, 2, RateLimit(20000, 19999, None))


@pytest.mark.parametrize(
    "identifiers", [[], [{"external_id": "a"}, {"email": "b"}], [{"external_id": "a"}] * 51, [{"device_id": "d"}]]
)
def test_what_is_no_single_request_is_refused_before_it_leaves(identifiers: list[dict[str, Any]]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request)

    with pytest.raises(PermanentError):
        ask(handler, lambda client: client.delete_users(identifiers))
    with pytest.raises(PermanentError):
        ask(handler, lambda client: client.find_users(identifiers))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(403, json={"message": "Access Denied"}), ConfigurationError),
        (httpx.Response(429), TransientError),
        (httpx.Response(502), TransientError),
        (httpx.Response(201, content=b'{"deleted": 1'), TransientError),
        (httpx.Response(201, json={"message": "success"}), TransientError),
        (httpx.Response(400, json={"message": "The max number of ids per request was exceeded"}), PermanentError),
    ],
)
def test_a_refused_or_unreadable_deletion_is_an_error(answer: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(lambda _request: answer, lambda client: client.delete_users([{"external_id": "a"}]))


def test_a_missing_right_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"users\.delete"):
        ask(lambda _request: httpx.Response(403), lambda client: client.probe_delete())


def test_the_probe_names_nobody_and_takes_the_complaint_for_a_yes() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"external_ids": []}
        return httpx.Response(400, json={"message": "Bad Request"})

    ask(handler, lambda client: client.probe_delete())


def test_a_look_up_gives_those_with_a_profile() -> None:
    answer = httpx.Response(201, json={"message": "success", "users": [{}], "invalid_user_ids": ["b"]})
    both = [{"external_id": "a"}, {"external_id": "b"}]
    assert ask(lambda _request: answer, lambda client: client.find_users(both)).found == [{"external_id": "a"}]


@pytest.mark.parametrize(("kind", "name"), [("email", "email_address"), ("phone", "phone")])
def test_addresses_are_looked_up_one_a_request(kind: str, name: str) -> None:
    path, body = body_of(lambda client: client.find_users([{kind: "x"}]), {"message": "success", "users": []})
    assert (path, body) == ("/users/export/ids", {name: "x", "fields_to_export": ["external_id"]})
    with pytest.raises(PermanentError, match="one e-mail address or phone number"):
        ask(lambda _request: httpx.Response(201), lambda client: client.find_users([{kind: "x"}, {kind: "y"}]))
