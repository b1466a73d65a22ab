"""Calls to an endpoint: each way of proving who asks, held against the emulator's own reading of it; and odd answers."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
from pydantic import SecretStr

from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.credentials import signature
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.destinations.http.endpoint import ROWS, RowsEndpoint
from caspio_sync.errors import CallError, ConfigurationError, TransientError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sandbox.http.behaviour import SANDBOX_SECRET, SIGNING_SECRET, HttpBehaviour
from caspio_sync.sandbox.http.emulator import HttpSandbox
from caspio_sync.wire.answers import ForeignAnswerError
from caspio_sync.wire.http import RefusedError
from caspio_sync.wire.taken import Taken
from tests.flows.world import Line
from tests.virtual_clock import VirtualClock

SECRETS = {"sandbox": SecretStr(SANDBOX_SECRET), "signing": SecretStr(SIGNING_SECRET)}
WRONG = {
    "sandbox": SecretStr("not-the-secret-1"),
    "signing": SecretStr("whsec_bm90LXRoZS1zZWNyZXQtYXQtYWxsLTMyLWJ5dGVz"),
}
TOKEN = '{token_url: "http://warehouse.test/token", client_id: sandbox, client_secret: sandbox}'
AUTH = {
    "none": "none",
    "basic": "{basic: {user: sandbox, password: sandbox}}",
    "bearer": "{bearer: sandbox}",
    "header": "{header: {name: X-Api-Key, secret: sandbox}}",
    "oauth2": f"{{oauth2_client_credentials: {TOKEN}}}",
    "hmac": "{hmac: signing}",
}
OBJECTS = [b'{"external_id":"c1","spend":1}', b'{"external_id":"c2","spend":2.5}']


def a_sync(auth: str = "none", more: str = "", url: str = "http://warehouse.test/rows", **request: Any) -> HttpSync:
    said = orjson.dumps({"url": url, "batch": 2, **request}).decode()
    text = (
        "kind: profiles\ndestination: http\nsource: {table: T}\nidentity: {external_id: No}\nfields: {spend: Spend}\n"
        f"request: {said}\nauth: {auth}\n{more}"
    )
    return cast("HttpSync", parse_sync(text, Path("warehouse.yaml")))


def a_request(objects: list[bytes] = OBJECTS, number: int = 1) -> Request:
    envelope = Envelope(ROWS, max(len(objects), 1), 1_000_000)
    return Request(number, 0, len(objects), envelope.wrap(objects), envelope)


def with_endpoint(
    sync: HttpSync,
    use: Callable[[RowsEndpoint], Awaitable[Any]],
    transport: Any,
    clock: VirtualClock,
    secrets: Any = SECRETS,
) -> Any:
    async def run() -> Any:
        account = HttpAccount(
            address=sync.origin,
            sync=sync,
            place="warehouse.yaml:7",
            secrets=secrets,
            clock=clock,
            transport=lambda: transport,
        )
        async with account:
            return await use(RowsEndpoint(account, sync, "warehouse", "external_id"))

    return asyncio.run(run())


def send(
    sandbox: HttpSandbox, clock: VirtualClock, sync: HttpSync, secrets: Any = SECRETS, times: int = 1
) -> list[Taken]:
    async def use(endpoint: RowsEndpoint) -> list[Taken]:
        return [await endpoint.deliver(a_request(number=number), seconds=30) for number in range(1, times + 1)]

    taken: list[Taken] = with_endpoint(sync, use, Line(sandbox.app, clock), clock, secrets)
    return taken


def answered(response: httpx.Response, sync: HttpSync | None = None, objects: list[bytes] = OBJECTS) -> Taken:
    clock = VirtualClock()
    chosen = sync or a_sync()

    async def use(endpoint: RowsEndpoint) -> Taken:
        return await endpoint.deliver(a_request(objects), seconds=30)

    taken: Taken = with_endpoint(chosen, use, httpx.MockTransport(lambda _: response), clock)
    return taken


def test_a_signature_is_that_of_the_specification() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    secret, number = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signed = signature(secret, number, 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("auth", AUTH)
def test_each_way_of_proving_who_asks_lets_rows_in(auth: Any) -> None:
    clock = VirtualClock()
    sandbox = HttpSandbox(HttpBehaviour(auth=auth), clock)
    send(sandbox, clock, a_sync(AUTH[auth]))
    assert {key: row["spend"] for key, row in sandbox.rows.items()} == {"c1": 1, "c2": 2.5}


@pytest.mark.parametrize("auth", sorted(AUTH.keys() - {"none"}))
def test_a_wrong_secret_is_told_and_not_shown(auth: Any) -> None:
    clock = VirtualClock()
    sandbox = HttpSandbox(HttpBehaviour(auth=auth), clock)
    with pytest.raises(ConfigurationError) as caught:
        send(sandbox, clock, a_sync(AUTH[auth]), WRONG)
    assert sandbox.rows == {}
    assert "HTTP_SECRETS" in str(caught.value)
    assert all(each.get_secret_value() not in str(caught.value) for each in WRONG.values())


@pytest.mark.parametrize("auth", sorted(AUTH.keys() - {"none"}))
def test_a_secret_that_is_not_there_is_told_by_the_line_that_names_it(auth: str) -> None:
    with pytest.raises(ConfigurationError, match=r"warehouse.yaml:7: auth: .*there are: other"):
        send(HttpSandbox(), VirtualClock(), a_sync(AUTH[auth]), {"other": SecretStr("x")})


def test_a_secret_of_a_signature_is_one_of_its_kind() -> None:
    with pytest.raises(ConfigurationError, match="24 bytes or more") as caught:
        send(HttpSandbox(), VirtualClock(), a_sync("{hmac: signing}"), {"signing": SecretStr("whsec_c2hvcnQ=")})
    assert "c2hvcnQ" not in str(caught.value)


def test_a_token_is_asked_for_once_and_anew_when_it_ends() -> None:
    clock = VirtualClock()
    sandbox = HttpSandbox(HttpBehaviour(auth="oauth2"), clock)
    sync = a_sync(AUTH["oauth2"])

    async def use(endpoint: RowsEndpoint) -> list[int]:
        given = []
        for number in range(1, 5):
            await endpoint.deliver(a_request(number=number), seconds=30)
            given.append(sandbox.access.given)
            if number == 2:
                clock.advance(3600)
            if number == 3:
                sandbox.access.end_tokens()  # before its time
        return given

    assert with_endpoint(sync, use, Line(sandbox.app, clock), clock) == [1, 1, 2, 3]


def test_a_request_that_is_sent_twice_bears_its_number_and_another_one_another() -> None:
    clock = VirtualClock()
    sandbox = HttpSandbox(HttpBehaviour(auth="none", idempotency="needed"), clock)
    sync = a_sync(more="idempotency_key: Idempotency-Key\n")

    async def use(endpoint: RowsEndpoint) -> None:
        for number in (1, 1, 2):
            await endpoint.deliver(a_request(number=number), seconds=30)

    with_endpoint(sync, use, Line(sandbox.app, clock), clock)
    assert (sandbox.replayed, len(sandbox.log)) == (1, 4)
    with_endpoint(sync, use, Line(sandbox.app, clock), clock)  # another run: what it sends is news
    assert len(sandbox.log) == 8


def test_refused_rows_are_led_back_by_their_places() -> None:
    sync = a_sync(more='answers: {errors: "$.result.bad[*]", index: row, first: 1, reason: why}\n')
    body = {"result": {"bad": [{"row": 2, "why": "no such 'c2' at ann@example.com"}]}}
    (error,) = answered(httpx.Response(207, json=body), sync).errors
    assert (error.index, error.type) == (1, "no such '…' at …")
    body = {"result": {"bad": [{"row": "x"}]}}
    assert answered(httpx.Response(200, json=body), sync).errors[0].index is None
    many = {"result": {"bad": [{"row": 1}] * 2000}}
    assert [each.index for each in answered(httpx.Response(200, json=many), sync).errors] == [None]


ERRORS = 'answers: {errors: "$.errors[*]"}\n'
NO_ERRORS = [httpx.Response(200, text=f'{{"errors": {each}}}') for each in ("[]", "null", "{}", '""', "0")]
OF_ANOTHER_FORM = [
    httpx.Response(200, text=each)
    for each in (
        '{"errors": {"0": {"index": 0}}}',
        '{"errors": "quota"}',
        '{"errors": 2}',
        '[{"errors": []}]',
        '"taken"',
        "1",
    )
]


@pytest.mark.parametrize(
    ("response", "more", "doubts"),
    [
        (httpx.Response(200), "", False),
        (httpx.Response(204), "", False),
        (httpx.Response(202, text="accepted"), "", False),
        (httpx.Response(200, headers={"content-type": "text/html"}, content=b'{"taken": 2}'), ERRORS, False),
        (httpx.Response(204), ERRORS, True),  # where would the errors stand?
        (httpx.Response(204), 'answers: {errors: "$.errors[*]", ok: [200, 204]}\n', False),
        (httpx.Response(200, text="cut {"), ERRORS, True),
        (httpx.Response(200, json={}), ERRORS, False),
        *((each, ERRORS, False) for each in NO_ERRORS),
        *((each, ERRORS, True) for each in OF_ANOTHER_FORM),
    ],
)
def test_what_says_nothing_is_no_acknowledgement_where_errors_would_be_told(
    response: httpx.Response, more: str, doubts: bool
) -> None:
    assert bool(answered(response, a_sync(more=more)).doubt) == doubts


def test_what_holds_nothing_is_no_error_of_a_row() -> None:
    sync = a_sync(more='answers: {errors: "$.results[*].error"}\n')
    results: list[dict[str, Any]] = [{"error": None}, {"error": ""}, {"error": False}, {"id": 7}]
    assert answered(httpx.Response(200, json={"results": results}), sync).errors == ()
    results.append({"error": {"index": 1, "message": "no spend"}})
    (error,) = answered(httpx.Response(200, json={"results": results}), sync).errors
    assert (error.index, error.type) == (1, "no spend")
    numbers = {"results": [{"error": 0}]}  # perhaps the place of a row
    assert [each.index for each in answered(httpx.Response(200, json=numbers), sync).errors] == [None]


def test_207_is_no_yes_but_where_the_file_says_where_it_tells_of_rows() -> None:
    parts = httpx.Response(207, json={"rows": [{"status": 200}, {"status": 422}]})
    for more in ("", "answers: {ok: [2xx]}\n"):
        with pytest.raises(ConfigurationError, match="207 says of each part what became of it"):
            answered(parts, a_sync(more=more))
    assert answered(parts, a_sync(more="answers: {ok: [2xx, 207]}\n")).status == 207


def test_values_in_lines_may_hold_signs_that_end_lines_elsewhere() -> None:
    sync = a_sync(encoding="ndjson", body="{% for row in rows %}{{ row }}\n{% endfor %}")
    row = '{"external_id":"c1\u2028\x85","spend":1}'.encode()
    assert answered(httpx.Response(200), sync, [row, OBJECTS[1]]).status == 200
    with pytest.raises(RefusedError, match="the template makes no JSON"):
        answered(httpx.Response(200), a_sync(encoding="ndjson", body="{% if not rows %}{{ rows }}{% endif %}"))


BOMB = gzip.compress(bytes(80_000_000))


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces, as from a network."""

    def __init__(self, piece: bytes, times: int = 1) -> None:
        self._piece, self._times = piece, times

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._times):
            yield self._piece


PAGE = "<!DOCTYPE html><html>Please log in</html>"


@pytest.mark.parametrize(
    ("response", "kind", "told"),
    [
        (httpx.Response(200, html=PAGE), ForeignAnswerError, "HTML"),
        (httpx.Response(200, text=PAGE), ForeignAnswerError, "HTML"),
        (httpx.Response(400, html=PAGE), ForeignAnswerError, "HTML"),
        (httpx.Response(302, headers={"location": "https://elsewhere.example/?token=t0ken"}), ForeignAnswerError, "elsewhere.example"),
        (httpx.Response(307, headers={"location": "http://169.254.169.254/"}), ForeignAnswerError, "169.254.169.254"),
        (httpx.Response(304), ForeignAnswerError, "304"),
        (httpx.Response(401, json={"message": f"no {SANDBOX_SECRET}"}), ConfigurationError, "HTTP_SECRETS"),
        (httpx.Response(404, json={}), ConfigurationError, "404"),
        (httpx.Response(405), ConfigurationError, "405"),
        (httpx.Response(400, json={"message": "no 'spend'"}), RefusedError, "400"),
        (httpx.Response(413), RefusedError, "413"),
        (httpx.Response(429, headers={"retry-after": "7"}), TransientError, "429"),
        (httpx.Response(503), TransientError, "503"),
        (httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(BOMB)), ForeignAnswerError, "unpacks to more"),
        (httpx.Response(200, headers={"content-encoding": "gzip, gzip"}, stream=Pieces(b"x")), ForeignAnswerError, "nobody asked"),
        (httpx.Response(200, stream=Pieces(bytes(1 << 20), times=10**9)), ForeignAnswerError, "unpacks to more"),
    ],
)  # fmt: skip
def test_an_answer_that_says_no_or_is_somebody_elses(
    response: httpx.Response, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as caught:
        answered(response, a_sync("{bearer: sandbox}"))
    assert told in str(caught.value)
    assert SANDBOX_SECRET not in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_of_rows_with_addresses_of_their_own_one_that_is_not_there_is_its_rows_matter() -> None:
    keyed = a_sync(url="http://warehouse.test/rows/{{ key }}", method="PUT", batch=1)
    row = [b'{"key":"ann@example.com","external_id":"ann@example.com","spend":1}']
    with pytest.raises(RefusedError) as caught:
        answered(httpx.Response(404, json={}), keyed, row)
    assert "warehouse.test/rows/{{ key }}" in str(caught.value)
    for response in (httpx.Response(500), httpx.Response(302, headers={"location": "/x"}), httpx.Response(405)):
        with pytest.raises((CallError, ConfigurationError)) as told:
            answered(response, keyed, row)
        assert "ann" not in str(told.value)


@pytest.mark.parametrize(
    ("request_", "sent", "kind"),
    [
        ({}, b'[{"external_id":"c1","spend":1},{"external_id":"c2","spend":2.5}]', "application/json"),
        (
            {"encoding": "ndjson"},
            b'{"external_id":"c1","spend":1}\n{"external_id":"c2","spend":2.5}\n',
            "application/x-ndjson",
        ),
        (
            {"body": '{"people": {{ rows }}, "count": {{ rows | length }}}'},
            b'{"people": [{"external_id":"c1","spend":1},{"external_id":"c2","spend":2.5}], "count": 2}',
            "application/json",
        ),
    ],
)
def test_bodies_are_what_the_file_says(request_: dict[str, Any], sent: bytes, kind: str) -> None:
    seen: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async def use(endpoint: RowsEndpoint) -> None:
        await endpoint.deliver(a_request(), seconds=30)

    with_endpoint(a_sync(**request_), use, httpx.MockTransport(note), VirtualClock())
    assert (seen[0].content, seen[0].headers["content-type"]) == (sent, kind)
    assert seen[0].headers["content-length"] == str(len(sent))


def test_a_template_with_quotes_around_a_value_is_refused_before_it_is_sent() -> None:
    sync = a_sync(body='{"n": "{{ rows[0].external_id }}"}')
    with pytest.raises(RefusedError, match="leave the quotes around"):
        answered(httpx.Response(200), sync)
