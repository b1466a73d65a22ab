import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.caspio.client import CaspioClient, RecordPage, RefusedError, Source
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.schemas import CaspioField
from tests.virtual_clock import VirtualClock

SECRET = "a-secret-of-the-profile"
TABLE = Source("Customers")
Handler = Callable[[httpx.Request], httpx.Response]


class FakeCaspio:
    """Gives tokens t1, t2, …, and answers calls in turn; the last answer repeats."""

    def __init__(self, *answers: httpx.Response | Exception | Handler, lifetime: object = 86399) -> None:
        self.answers = list(answers)
        self.lifetime = lifetime
        self.token: Callable[[], object] = lambda: f"t{self.tokens}"
        self.tokens = 0
        self.refused: set[str] = set()
        self.requests: list[httpx.Request] = []
        self.clock = VirtualClock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            self.tokens += 1
            return httpx.Response(
                200, json={"access_token": self.token(), "token_type": "bearer", "expires_in": self.lifetime}
            )
        self.requests.append(request)
        if request.headers["authorization"].removeprefix("Bearer ") in self.refused:
            return httpx.Response(401)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def client(self, **options: Any) -> CaspioClient:
        return CaspioClient(
            integration_url="https://c0abc123.caspio.com",
            client_id="id",
            client_secret=SecretStr(SECRET),
            clock=self.clock,
            transport=httpx.MockTransport(self),
            **options,
        )

    def ask(self, *calls: Callable[[CaspioClient], Awaitable[Any]], **options: Any) -> Any:
        async def run() -> Any:
            async with self.client(**options) as client:
                return [await call(client) for call in calls][-1]

        return asyncio.run(run())


def rows(*found: object) -> httpx.Response:
    return httpx.Response(200, content=json.dumps({"Result": list(found)}).encode())


def page(client: CaspioClient) -> Awaitable[RecordPage]:
    return client.records(TABLE, select=["PK_ID"], where="PK_ID>5", order_by="PK_ID ASC", limit=1000)


def test_a_page_is_asked_for_by_the_q_parameters() -> None:
    caspio = FakeCaspio(rows())
    caspio.ask(lambda client: client.records(TABLE, select=["PK_ID", "Name"], where="Name='O''Brien & <é>'", limit=7))
    (request,) = caspio.requests
    assert request.method == "GET"
    assert request.url.path == "/integrations/rest/v3/tables/Customers/records"
    assert parse_qs(request.url.query.decode()) == {
        "q.select": ["PK_ID,Name"],
        "q.where": ["Name='O''Brien & <é>'"],
        "q.limit": ["7"],
    }
    assert request.headers["authorization"] == "Bearer t1"


def test_a_view_has_its_own_path() -> None:
    caspio = FakeCaspio(rows())
    caspio.ask(lambda client: client.records(Source("Active Customers", is_view=True), select=["A"]))
    assert caspio.requests[0].url.raw_path.startswith(b"/integrations/rest/v3/views/Active%20Customers/records?")


@pytest.mark.parametrize(
    "body",
    [
        b'{"Result":[{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}]}',
        b' { "Result" : [{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}] , "Pagination" : null } ',
        b'{"Result":[{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}],"Pagination":{"TotalCount":2,"PageNumber":1}}',
        b'{"Pagination":null,"Result":[{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}]}',
        b'{"Result":[{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}],"Other":[1]}',
        b'{"Result":[{"PK_ID":1,"A":"x]}"},{"PK_ID":2,"A":{"1":"[y"}}],"Other":[{"a":1}]}',
    ],
)
def test_a_page_is_the_array_under_result_however_it_is_wrapped(body: bytes) -> None:
    answer = FakeCaspio(httpx.Response(200, content=body)).ask(page)
    assert json.loads(answer.rows) == [{"PK_ID": 1, "A": "x]}"}, {"PK_ID": 2, "A": {"1": "[y"}}]


def test_an_empty_page_is_an_empty_array_and_tells_when_caspio_answered() -> None:
    answer = httpx.Response(200, json={"Result": []}, headers={"Date": "Fri, 01 May 2026 12:00:00 GMT"})
    empty = FakeCaspio(answer).ask(page)
    assert (empty.rows, empty.server_time) == (b"[]", datetime(2026, 5, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_page_of_impossible_size_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 1000"):
        FakeCaspio(rows()).ask(lambda client: client.records(TABLE, select=["A"], limit=limit))


def test_an_aggregate_is_asked_for_without_limit_and_page() -> None:
    caspio = FakeCaspio(rows({"n": 12}))
    answer = caspio.ask(lambda client: client.aggregate(TABLE, select="COUNT(PK_ID) AS n", where="A=1"))
    assert answer.row == {"n": 12}
    assert set(parse_qs(caspio.requests[0].url.query.decode())) == {"q.select", "q.where"}


def test_fields_are_read_with_their_types_spelled_one_way() -> None:
    declared = [
        {"Name": "No", "Type": "STRING", "Unique": True, "Editable": True, "OnInsert": None, "TimeZone": None},
        {"Name": "At", "Type": "Timestamp", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC", "Editable": False},
        {"Name": "Ref", "Type": "PREFIXED_AUTONUMBER", "IsFormula": True},
        {"Name": "Secret", "Type": "PASSWORD"},
    ]
    assert FakeCaspio(rows(*declared)).ask(lambda client: client.fields(TABLE)) == [
        CaspioField("No", "STRING", unique=True),
        CaspioField("At", "TIMESTAMP", on_insert=True, on_update=True, time_zone="UTC", editable=False),
        CaspioField("Ref", "PREFIXED AUTONUMBER", is_formula=True),
        CaspioField("Secret", "PASSWORD"),
    ]


def test_tables_and_views_are_lists_of_names() -> None:
    caspio = FakeCaspio(rows("A", "B"), rows("V"))
    assert caspio.ask(lambda client: client.tables()) == ["A", "B"]
    assert caspio.ask(lambda client: client.views()) == ["V"]
    assert [request.url.path.rpartition("/")[2] for request in caspio.requests] == ["tables", "views"]


def test_an_insert_gives_back_the_row_as_kept() -> None:
    caspio = FakeCaspio(httpx.Response(201, json={"Result": [{"PK_ID": 42, "A": 1}]}))
    assert caspio.ask(lambda client: client.insert(TABLE, {"A": 1})) == {"PK_ID": 42, "A": 1}
    (request,) = caspio.requests
    assert (request.method, request.content, request.url.query) == ("POST", b'{"A":1}', b"response=rows")


@pytest.mark.parametrize("body", [{"RecordsAffected": 3}, {"RecordsAffected": 3, "Result": []}])
def test_an_update_and_a_delete_tell_how_many_rows_were_affected(body: bytes) -> None:
    caspio = FakeCaspio(httpx.Response(200, json=body))
    assert caspio.ask(lambda client: client.update(TABLE, {"A": None}, where="PK_ID=1")) == 3
    assert caspio.ask(lambda client: client.delete(TABLE, where="PK_ID=1")) == 3
    assert [(one.method, one.content) for one in caspio.requests] == [("PUT", b'{"A":null}'), ("DELETE", b"")]
    assert {one.url.query for one in caspio.requests} == {b"q.where=PK_ID=1"}


@pytest.mark.parametrize("where", ["", "  "])
def test_a_write_without_a_condition_is_refused(where: str) -> None:
    caspio = FakeCaspio(rows())
    with pytest.raises(ConfigurationError, match="no condition"):
        caspio.ask(lambda client: client.delete(TABLE, where=where))
    assert caspio.requests == []


def test_the_token_is_asked_for_once_by_form() -> None:
    forms: list[str] = []
    caspio = FakeCaspio(rows())

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            forms.append(f"{request.method} {request.headers['content-type']} {request.content.decode()}")
        return caspio(request)

    async def run() -> int:
        client = CaspioClient(
            integration_url="c0abc123.caspio.com",
            client_id="i&d",
            client_secret=SecretStr("s=1"),
            clock=caspio.clock,
            transport=httpx.MockTransport(handler),
        )
        async with client:
            await asyncio.gather(*(page(client) for _ in range(5)))
            return client.calls

    assert asyncio.run(run()) == 6
    assert forms == [
        "POST application/x-www-form-urlencoded grant_type=client_credentials&client_id=i%26d&client_secret=s%3D1"
    ]


@pytest.mark.parametrize(
    ("lifetime", "waited", "tokens"), [(3600, 3539, 1), (3600, 3541, 2), (10, 4, 1), (10, 6, 2), (None, 1, 1)]
)
def test_the_token_is_renewed_before_it_expires(lifetime: object, waited: float, tokens: int) -> None:
    caspio = FakeCaspio(rows(), lifetime=lifetime)

    async def wait(client: CaspioClient) -> None:
        caspio.clock.advance(waited)

    caspio.ask(page, wait, page)
    assert caspio.tokens == tokens


def test_a_401_renews_the_token_once_for_all_calls_and_repeats_them() -> None:
    caspio = FakeCaspio(rows({"PK_ID": 1}))

    async def run() -> None:
        async with caspio.client() as client:
            await page(client)
            caspio.refused = {"t1"}
            await asyncio.gather(*(page(client) for _ in range(4)))

    asyncio.run(run())
    assert caspio.tokens == 2
    assert [one.headers["authorization"] for one in caspio.requests[-4:]] == ["Bearer t2"] * 4


def test_a_401_of_a_new_token_is_a_configuration_error() -> None:
    caspio = FakeCaspio(httpx.Response(401))
    with pytest.raises(ConfigurationError, match="client id and secret"):
        caspio.ask(page)
    assert (caspio.tokens, len(caspio.requests)) == (2, 2)


def test_a_write_is_repeated_after_a_401() -> None:
    caspio = FakeCaspio(httpx.Response(401), httpx.Response(200, json={"RecordsAffected": 1}))
    assert caspio.ask(lambda client: client.update(TABLE, {"A": 1}, where="PK_ID=1")) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials_are_a_configuration_error_without_the_secret(status: int) -> None:
    async def run() -> None:
        handler = httpx.MockTransport(lambda _request: httpx.Response(status, json={"error": "invalid_client"}))
        client = CaspioClient(
            integration_url="https://c0.caspio.com", client_id="id", client_secret=SecretStr(SECRET), transport=handler
        )
        async with client:
            await page(client)

    with pytest.raises(ConfigurationError, match=r"asking Caspio for a token.*invalid_client") as caught:
        asyncio.run(run())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(429, json={"Message": "api-calls-rate"}),
        httpx.Response(503),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.Response(200, content=b'{"Result":[{"PK_ID":1},{"PK'),
    ],
)
def test_a_read_is_repeated_while_another_attempt_may_help(failure: Exception) -> None:
    caspio = FakeCaspio(failure, failure, rows({"PK_ID": 1}))
    assert caspio.ask(page).rows == b'[{"PK_ID": 1}]'
    assert len(caspio.requests) == 3


def test_a_read_gives_up_within_a_minute() -> None:
    caspio = FakeCaspio(httpx.Response(503))
    with pytest.raises(TransientError, match="503"):
        caspio.ask(page)
    assert 30 < caspio.clock.monotonic() <= 60
    assert 6 <= len(caspio.requests) <= 20


def test_a_read_waits_as_long_as_it_is_asked_to() -> None:
    caspio = FakeCaspio(httpx.Response(429, headers={"Retry-After": "20"}), rows())
    caspio.ask(page)
    assert 20 <= caspio.clock.monotonic() < 21


def test_a_wait_longer_than_the_minute_is_left_to_the_caller() -> None:
    caspio = FakeCaspio(httpx.Response(429, headers={"Retry-After": "61"}))
    with pytest.raises(TransientError) as caught:
        caspio.ask(page)
    assert caught.value.retry_after == 61
    assert caspio.clock.monotonic() < 1


@pytest.mark.parametrize(
    "failure", [httpx.ReadTimeout("slow"), httpx.Response(500), httpx.Response(504), httpx.Response(201)]
)
def test_a_write_is_not_repeated_where_it_may_have_taken_effect(failure: Exception) -> None:
    caspio = FakeCaspio(failure, httpx.Response(201, json={"Result": [{"PK_ID": 1}]}))
    with pytest.raises(TransientError) as caught:
        caspio.ask(lambda client: client.insert(TABLE, {"A": 1}))
    assert caught.value.ambiguous
    assert len(caspio.requests) == 1


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.Response(429), httpx.Response(503)])
def test_a_write_that_surely_had_no_effect_is_repeated(failure: Exception) -> None:
    caspio = FakeCaspio(failure, httpx.Response(201, json={"Result": [{"PK_ID": 1}]}))
    assert caspio.ask(lambda client: client.insert(TABLE, {"A": 1})) == {"PK_ID": 1}


def test_a_token_that_cannot_be_had_leaves_nothing_open_about_a_write() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    async def run() -> None:
        client = CaspioClient(
            integration_url="https://c0.caspio.com",
            client_id="id",
            client_secret=SecretStr(SECRET),
            clock=VirtualClock(),
            transport=httpx.MockTransport(handler),
        )
        async with client:
            await client.insert(TABLE, {"A": 1})

    with pytest.raises(TransientError, match="token") as caught:
        asyncio.run(run())
    assert not caught.value.ambiguous


def test_a_refused_query_is_not_repeated() -> None:
    caspio = FakeCaspio(
        httpx.Response(400, json={"Code": "SqlServerError", "Message": "Invalid column name 'Colour'."})
    )
    with pytest.raises(RefusedError, match=r"reading table Customers: 400 .*Invalid column name 'Colour'"):
        caspio.ask(page)
    assert len(caspio.requests) == 1


@pytest.mark.parametrize(
    ("status", "remedy"), [(403, "the right to this object"), (404, "name of the table"), (415, "Content-Type")]
)
def test_what_a_person_has_to_mend_is_said(status: int, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        FakeCaspio(httpx.Response(status)).ask(page)


def test_calls_are_counted_with_tokens_and_failures() -> None:
    caspio = FakeCaspio(httpx.Response(503), rows())

    async def count(client: CaspioClient) -> int:
        return client.calls

    assert caspio.ask(page, count) == 3


def test_calls_keep_to_the_pace_of_a_second_and_of_the_window() -> None:
    caspio = FakeCaspio(rows())
    caspio.ask(*[page] * 60, calls_per_second=20, calls_per_window=50, window_seconds=300)
    assert 300 <= caspio.clock.monotonic() < 302


def test_waiting_for_a_turn_takes_nothing_from_the_minute_of_a_read() -> None:
    caspio = FakeCaspio(rows(), httpx.Response(503), rows())
    caspio.ask(page, page, calls_per_second=None, calls_per_window=2, window_seconds=300)
    assert caspio.clock.monotonic() >= 300


def test_an_address_over_the_limit_is_refused_before_it_is_sent() -> None:
    caspio = FakeCaspio(rows())
    with pytest.raises(
        ConfigurationError, match=r"Caspio takes 2047 \(q.where 19\d\d, q.select 5.*shorten the condition"
    ):
        caspio.ask(lambda client: client.records(TABLE, select=["PK_ID"], where=f"A='{'x' * 1950}'"))
    assert caspio.requests == []


def test_the_budget_of_a_condition_is_what_the_address_takes() -> None:
    caspio = FakeCaspio(rows())

    async def fill(client: CaspioClient) -> None:
        budget = client.where_budget(TABLE, select=["PK_ID", "A"], order_by="PK_ID ASC")
        await client.records(TABLE, select=["PK_ID", "A"], where=f"A='{'x' * (budget - 4)}'", order_by="PK_ID ASC")

    caspio.ask(fill)
    assert len(str(caspio.requests[0].url)) == 2047


@pytest.mark.parametrize("url", ["https://c0.caspio.com/rest/v2", "ftp://c0.caspio.com", "", "https://"])
def test_an_integration_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="integration URL"):
        CaspioClient(integration_url=url, client_id="id", client_secret=SecretStr(SECRET))
