import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.wire.http import (
    ConnectionPool,
    RateLimit,
    RefusedError,
    UnavailableError,
    is_loopback,
    rate_limit,
    refusal,
    retry_after,
    server_time,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
Handler = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
EPOCH = int(NOW.timestamp())
URL = "https://rest.iad-01.braze.com/users/track"


def answer(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None, request: httpx.Request | None = None
) -> httpx.Response:
    return httpx.Response(status, content=body, headers=headers, request=request or httpx.Request("POST", URL))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_a_status_that_may_pass_is_transient(status: int) -> None:
    error = refusal(answer(status), "sending", now=NOW)
    assert isinstance(error, UnavailableError)
    assert (error.status, error.ambiguous) == (status, False)


@pytest.mark.parametrize("status", [401, 403, 404, 415])
def test_a_status_that_a_person_has_to_mend_is_a_configuration_error_with_its_remedy(status: int) -> None:
    error = refusal(answer(status), "sending", now=NOW, remedies={status: "turn the knob"})
    assert isinstance(error, ConfigurationError)
    assert str(error) == f"sending: {status} from POST /users/track; turn the knob"


@pytest.mark.parametrize("status", [400, 402, 405, 409, 413, 414, 422])
def test_any_other_status_is_refused_for_good(status: int) -> None:
    error = refusal(answer(status, b'{"message":"Max Input Length Exceeded"}'), "sending", now=NOW)
    assert isinstance(error, RefusedError)
    assert (error.status, error.message_text) == (status, "Max Input Length Exceeded")


@pytest.mark.parametrize(("status", "ambiguous"), [(500, True), (502, True), (504, True), (503, False), (429, False)])
def test_a_failing_server_can_leave_open_whether_a_write_took_effect(status: int, ambiguous: bool) -> None:
    error = refusal(answer(status), "inserting", now=NOW, ambiguous_5xx=True)
    assert isinstance(error, TransientError)
    assert error.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b'{"Message":{"nested":1}}', ""),
        (
            b'{"Code":"SqlServerError","Message":"Invalid column name \'Colour\'."}',
            "SqlServerError: Invalid column name 'Colour'",
        ),
        (b'{"error":"invalid_client"}', "invalid_client"),
        (b'{"message":"ada@example.com is bad"}', "… is bad"),
        (b'{"message":"phone +441632960961 is bad"}', "phone +… is bad"),
        (b'{"message":"value \'Ada Lovelace, 12\' is bad"}', "value '…' is bad"),
        (b'{"message":"two\\nlines"}', "two lines"),
    ],
)
def test_the_message_is_the_answers_own_without_values(body: bytes, text: str) -> None:
    error = refusal(answer(400, body), "sending", now=NOW)
    assert isinstance(error, RefusedError)
    assert error.message_text == text


def test_a_value_of_the_body_is_masked_and_a_name_of_it_is_not() -> None:
    request = httpx.Request("POST", URL, content=b'{"Surname":"Lovelace"}')
    body = b"{\"message\":\"'Lovelace' does not fit 'Surname'\"}"
    error = refusal(answer(400, body, request=request), "inserting", now=NOW)
    assert isinstance(error, RefusedError)
    assert error.message_text == "'…' does not fit 'Surname'"


def test_a_literal_of_the_condition_is_masked() -> None:
    request = httpx.Request("GET", "https://c0.caspio.com/x?q.where=Surname='Lovelace'")
    body = b'{"Code":"SqlServerError","Message":"Conversion failed when converting the value \'Lovelace\' to int"}'
    error = refusal(answer(400, body, request=request), "reading", now=NOW)
    assert "Lovelace" not in str(error)


def test_a_long_message_is_cut() -> None:
    error = refusal(answer(400, b'{"message":"' + b"x " * 5000 + b'"}'), "sending", now=NOW)
    assert isinstance(error, RefusedError)
    assert len(error.message_text) == 300


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({}, RateLimit()),
        (
            {"X-RateLimit-Limit": "250000", "X-RateLimit-Remaining": "249999", "X-RateLimit-Reset": str(EPOCH + 90)},
            RateLimit(250000, 249999, 90),
        ),
        ({"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}, RateLimit(3000, 0, 2)),
        ({"X-Ratelimit-Retry-After": "17"}, RateLimit(None, None, 17)),
        ({"Retry-After": "1.5"}, RateLimit(None, None, 1.5)),
        ({"Retry-After": "Fri, 01 May 2026 12:00:30 GMT"}, RateLimit(None, None, 30)),
        ({"X-RateLimit-Reset": str(EPOCH - 5)}, RateLimit(None, None, 0)),
        ({"X-RateLimit-Limit": "", "X-RateLimit-Remaining": " ", "X-RateLimit-Reset": ""}, RateLimit()),
        ({"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "nan"}, RateLimit()),
        ({"X-RateLimit-Reset": str(EPOCH + 10**9), "Retry-After": "in a while"}, RateLimit()),
    ],
)
def test_the_rate_window_is_read_in_every_spelling(headers: dict[str, str], rate: RateLimit) -> None:
    assert rate_limit(httpx.Headers(headers), now=NOW) == rate


def test_an_epoch_is_meant_by_the_clock_of_the_other_side() -> None:
    headers = httpx.Headers({"Date": "Fri, 01 May 2026 12:01:00 GMT", "X-RateLimit-Reset": str(EPOCH + 90)})
    assert rate_limit(headers, now=NOW).reset_seconds == 30


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"X-Ratelimit-Retry-After": "3", "Retry-After": "9"}, 3),
        (429, {"X-RateLimit-Reset": str(EPOCH + 40)}, 40),
        (503, {"X-RateLimit-Reset": str(EPOCH + 40)}, None),
        (503, {"Retry-After": "0"}, 0),
        (429, {"Retry-After": "999999999"}, None),
        (429, {}, None),
    ],
)
def test_the_wait_is_what_the_answer_asks_for(status: int, headers: dict[str, str], wait: Any) -> None:
    assert retry_after(httpx.Headers(headers), status=status, now=NOW) == wait


@given(st.text(st.characters(codec="ascii", min_codepoint=32), max_size=20))
@settings(max_examples=100, deadline=None)
def test_no_header_text_is_an_exception(text: str) -> None:
    headers = httpx.Headers(dict.fromkeys(["date", "retry-after", "x-ratelimit-reset", "x-ratelimit-limit"], text))
    rate = rate_limit(headers, now=NOW)
    assert rate.reset_seconds is None or 0 <= rate.reset_seconds <= 86400


def test_the_date_header_is_an_instant_in_utc() -> None:
    assert server_time(httpx.Headers({"date": "Fri, 01 May 2026 12:00:00 GMT"})) == NOW
    assert server_time(httpx.Headers({"date": "yesterday"})) is None


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("https://c0.caspio.com", False),
    ],
)
def test_this_machine_is_known(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def pool(handler: Handler, **options: Any) -> ConnectionPool:
    settings = {"url": URL, "clients": 2, "connections": 2, "timeout_seconds": 5, **options}
    return ConnectionPool(transport=httpx.MockTransport(handler), **settings)


def send(handler: Handler, **options: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with pool(handler, **options) as connections:
            return await connections.send(httpx.Request("POST", URL, content=b"{}"), "sending")

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "ambiguous"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.PoolTimeout("full"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.ReadError("reset"), True),
        (httpx.WriteError("reset"), True),
        (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), True),
        (httpx.DecodingError("bad gzip"), True),
    ],
)
def test_no_answer_is_transient_and_ambiguous_unless_nothing_left(error: Any, ambiguous: bool) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(TransientError) as caught:
        send(fail)
    assert caught.value.ambiguous is ambiguous
    assert caught.value.status is None


def test_an_untrusted_certificate_is_a_configuration_error() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE, or in REQUESTS_CA_BUNDLE"):
        send(fail)


def test_a_request_has_a_time_limit_for_all_of_it() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(TransientError, match="TimeoutError") as caught:
        send(never, timeout_seconds=0.01)
    assert caught.value.ambiguous


def test_no_more_requests_are_in_flight_than_there_are_connections() -> None:
    most = now = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return httpx.Response(200)

    async def run() -> None:
        async with pool(handler) as connections:
            await asyncio.gather(*(connections.send(httpx.Request("POST", URL), "sending") for _ in range(20)))
            assert connections.in_flight == [0, 0]

    asyncio.run(run())
    assert most == 4


@pytest.mark.parametrize("options", [{"connections": 17}, {"connections": 0}, {"clients": 0}])
def test_an_impossible_pool_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="set"):
        pool(lambda _request: httpx.Response(200), **options)
