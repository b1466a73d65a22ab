"""What is not known to be the vendor's own answer is none, whatever its status."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.destinations.braze.answers import EmailToIdentify
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.destinations.braze.engagement_client import BrazeEngagementClient
from caspio_sync.errors import ConfigurationError, StoppedError, TransientError
from caspio_sync.schemas import CatalogField
from caspio_sync.wire.answers import ForeignAnswerError
from caspio_sync.wire.body import LARGEST
from caspio_sync.wire.http import ConnectionPool, RateLimit, rate_limit, retry_after, server_time
from tests.clients.test_caspio import TABLE, FakeCaspio, page, rows
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
TWO = b'{"attributes":[{"external_id":"a"},{"external_id":"b"}]}'


def told(client_type: Any, answer: httpx.Response, call: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.MockTransport(lambda _: answer)
        key, clock = SecretStr("0123456789-key"), VirtualClock()
        async with client_type(endpoint="US-01", api_key=key, clock=clock, transport=transport) as client:
            return await call(client)

    return asyncio.run(run())


braze = partial(told, BrazeEngagementClient)
catalogs = partial(told, CatalogClient)


def doubt(content: bytes, status: int = 200, **headers: str) -> str:
    answer = httpx.Response(status, content=content, headers=headers)
    return str(braze(answer, lambda client: client.track(TWO, sent={"attributes": 2})).doubt)


@pytest.mark.parametrize(
    "content",
    [
        b'{"message":"success"}',
        b'{"message":"queued"}',
        b'{"message":"success","attributes_processed":2}',
        b'{"attributes_processed":2}',
        b'{"attributes_processed":2,"events_processed":0,"purchases_processed":0}',
        b'{"message":"success","attributes_processed":1,"errors":[{"index":0,"input_array":"attributes","type":"X"}]}',
        b'{"attributes_processed":0,"errors":[{"index":0,"type":"X"},{"index":1,"type":"X"},{"index":1,"type":"Y"}]}',
        b'{"message":"success","attributes_processed":1,"errors":["no index"]}',
        b' {"message":"success","a":{"b":[1]}}\n',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_answer_that_says_so_is_brazes(content: bytes, status: int) -> None:
    assert doubt(content, status) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b'"success"',
        b'{"Code":"ServerError"}',
        b'{"message":"blocked by policy"}',
        b'{"message":"Success"}',
        b'{"message":null}',
        b'{"message":["success"]}',
        b'{"message":"blocked by policy","attributes_processed":2}',
        b"<html>{}",
        b"window.x={}",
        b'{"message":"success"',
        b'{"message":"success"}{"message":"success"}',
        b'\xef\xbb\xbf{"message":"success"}',
        b'{"message":"success\xff"}',
        b'{"message":"success","attributes_processed":1}',
        b'{"message":"success","attributes_processed":3}',
        b'{"message":"success","attributes_processed":"2"}',
        b'{"message":"success","attributes_processed":true}',
        b'{"message":"success","attributes_processed":2,"events_processed":5}',
        b'{"message":"success","attributes_processed":2,"errors":[{"index":0,"type":"X"}]}',
        b'{"events_processed":2}',
    ],
)
def test_an_answer_that_does_not_is_in_doubt(content: bytes) -> None:
    assert "200 from POST rest.iad-01.braze.com/users/track is not known to be the answer of that host" in doubt(
        content
    )


def test_no_content_is_in_doubt() -> None:
    assert "204 from POST" in doubt(b"", 204)


BRAZE_CALLS: dict[str, Callable[[BrazeEngagementClient], Awaitable[Any]]] = {
    "export": lambda client: client.export_users(["a"], ["email"]),
    "find": lambda client: client.find_users([{"external_id": "a"}]),
    "identify": lambda client: client.identify_users([EmailToIdentify("a", "a@example.com")]),
    "delete": lambda client: client.delete_users([{"external_id": "a"}]),
    "groups": lambda client: client.group_states("group", ["a"]),
    "unsubscribes": lambda client: client.unsubscribes(date(2026, 5, 1), date(2026, 5, 2)),
    "user groups": lambda client: client.user_groups(["a"]),
    "campaigns": lambda client: client.campaigns(),
    "series": lambda client: client.campaign_series("id", last=date(2026, 5, 1), days=3),
    "probe": lambda client: client.probe_track(),
    "probe delete": lambda client: client.probe_delete(),
    "probe engagement": lambda client: client.probe_engagement(states=True, campaigns=True),
}
CATALOG_CALLS: dict[str, Callable[[CatalogClient], Awaitable[Any]]] = {
    "catalogs": lambda client: client.catalogs(),
    "create": lambda client: client.create_catalog("c", "", [CatalogField("id", "string")]),
    "add fields": lambda client: client.add_fields("c", [CatalogField("name", "string")]),
    "delete field": lambda client: client.delete_field("c", "name"),
    "item": lambda client: client.item("c", "a"),
    "items": lambda client: client.items("c"),
    "probe": lambda client: client.probe_catalogs(),
}
NOBODYS = [
    (200, b"", {}),
    (200, b"[]", {}),
    (200, b"<html>welcome</html>", {"content-type": "text/html"}),
    (200, b'\xef\xbb\xbf{"message":"success"}', {}),
    (200, b'{"message":"blocked by policy"}', {}),
    (204, b"", {}),
    (302, b"", {"location": "https://login.example.com/?token=0123456789-key"}),
    (307, b'{"message":"moved"}', {"location": "/elsewhere"}),
    (401, b"<html>sign in</html>", {"content-type": "text/html"}),
    (403, b"<html>forbidden</html>", {"content-type": "text/html"}),
    (403, b"", {"content-type": "text/html"}),
    (404, b"no such page", {"content-type": "text/plain"}),
    (404, b'\xef\xbb\xbf{"message":"Not Found"}', {}),
    (400, b"<html>bad</html>", {}),
    (407, b"<html>who are you</html>", {}),
]


@pytest.mark.parametrize(("status", "content", "headers"), NOBODYS)
@pytest.mark.parametrize("name", BRAZE_CALLS)
def test_whatever_is_asked_of_braze(name: str, status: int, content: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(ForeignAnswerError, match=str(status)) as caught:
        braze(httpx.Response(status, content=content, headers=headers), BRAZE_CALLS[name])
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize(("status", "content", "headers"), NOBODYS)
@pytest.mark.parametrize("name", CATALOG_CALLS)
def test_whatever_is_asked_of_catalogs(name: str, status: int, content: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(ForeignAnswerError, match=str(status)):
        catalogs(httpx.Response(status, content=content, headers=headers), CATALOG_CALLS[name])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("export", {"message": "success", "users": []}),
        ("export", {"message": "success", "users": ["a"]}),
        ("export", {"users": [{}]}),
        ("identify", {"message": "success", "aliases_processed": 0}),
        ("identify", {"message": "success", "aliases_processed": True}),
        ("delete", {"deleted": 2}),
        ("delete", {"deleted": -1}),
        ("delete", {"deleted": "1"}),
    ],
)
def test_counts_that_are_not_of_what_was_asked(name: str, answer: dict[str, Any]) -> None:
    with pytest.raises(ForeignAnswerError):
        braze(httpx.Response(200, json=answer), BRAZE_CALLS[name])


def test_a_redirect_tells_where_it_leads_and_what_it_is() -> None:
    headers = {"location": "https://login.example.com/x?secret=1", "content-type": "text/html; charset=utf-8"}
    with pytest.raises(ForeignAnswerError) as caught:
        braze(httpx.Response(302, headers=headers), BRAZE_CALLS["probe"])
    assert "Content-Type text/html; charset=utf-8" in str(caught.value)
    assert "leads to login.example.com" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("content", [b'{"message":"no"}', b""])
def test_a_refusal_of_brazes_own_is_told_at_once(status: int, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=str(status)):
        braze(httpx.Response(status, content=content), BRAZE_CALLS["probe"])


@pytest.mark.parametrize(("status", "content", "headers"), [each for each in NOBODYS if each[0] >= 300])
def test_one_stray_answer_does_not_end_a_read(status: int, content: bytes, headers: dict[str, str]) -> None:
    stray = httpx.Response(status, content=content, headers=headers)
    caspio = FakeCaspio(stray, rows({"PK_ID": 1}))
    assert caspio.ask(page).rows == b'[{"PK_ID": 1}]'
    assert caspio.clock.monotonic() < 60


def test_a_page_that_stays_is_told_after_the_reads_minute() -> None:
    caspio = FakeCaspio(httpx.Response(403, content=b"<html>", headers={"content-type": "text/html"}))
    with pytest.raises(ForeignAnswerError, match=r"403 from GET c0abc123\.caspio\.com.*Content-Type text/html"):
        caspio.ask(page)
    assert 20 < caspio.clock.monotonic() <= 60
    assert len(caspio.requests) > 3


WRITES: dict[str, Callable[[CaspioClient], Awaitable[Any]]] = {
    "insert": lambda client: client.insert(TABLE, {"A": 1}),
    "update": lambda client: client.update(TABLE, {"A": 1}, where="PK_ID=1"),
    "delete": lambda client: client.delete(TABLE, where="PK_ID=1"),
    "create table": lambda client: client.create_table("T", []),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize(
    ("status", "content"), [(200, b"<html>"), (302, b""), (403, b"<html>"), (200, b'\xef\xbb\xbf{"RecordsAffected":1}')]
)
def test_a_write_that_nobody_acknowledged_may_have_been_taken(name: str, status: int, content: bytes) -> None:
    caspio = FakeCaspio(httpx.Response(status, content=content))
    with pytest.raises(TransientError) as caught:
        caspio.ask(WRITES[name])
    assert (caught.value.ambiguous, len(caspio.requests)) == (True, 1)


@pytest.mark.parametrize("count", [None, "1", True, -1, 1.5])
def test_a_count_that_is_none(count: Any) -> None:
    with pytest.raises(ForeignAnswerError):
        FakeCaspio(httpx.Response(200, json={"RecordsAffected": count})).ask(WRITES["update"])


@pytest.mark.parametrize("headers", [{}, {"retry-after": "20"}, {"retry-after": "36000"}])
def test_refusals_without_end_end_the_reading_within_five_minutes(headers: dict[str, str]) -> None:
    async def read(client: CaspioClient) -> None:
        while True:  # as a task repeats it
            try:
                await client.records(TABLE, select=["PK_ID"])
            except StoppedError:
                raise
            except Exception:
                continue

    caspio = FakeCaspio(httpx.Response(429, headers=headers))
    with pytest.raises(StoppedError) as caught:
        caspio.ask(read)
    assert caspio.clock.monotonic() <= 300 + 60
    assert ("36,000 s" in str(caught.value)) == (headers.get("retry-after") == "36000")


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(megabytes)]) + packer.flush()


class Streamed(httpx.AsyncByteStream):
    def __init__(self, content: bytes, times: int = 1) -> None:
        self.content, self.times, self.given = content, times, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.times):
            for start in range(0, len(self.content), 1 << 16):
                self.given += 1
                yield self.content[start : start + (1 << 16)]


def received(stream: Streamed, **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        handler = httpx.MockTransport(
            lambda _: httpx.Response(200, stream=stream, headers={k.replace("_", "-"): v for k, v in headers.items()})
        )
        pool = ConnectionPool(url="https://a.test", clients=1, connections=1, timeout_seconds=30, transport=handler)
        async with pool:
            return await pool.send(httpx.Request("GET", "https://a.test/x"), "reading")

    return asyncio.run(run())


def test_an_answer_is_unpacked() -> None:
    for packing, content in [
        ("gzip", gzip.compress(b"hello")),
        ("deflate", zlib.compress(b"hello")),
        ("identity", b"hello"),
    ]:
        assert received(Streamed(content), content_encoding=packing).content == b"hello"


@pytest.mark.parametrize(
    ("made", "packing"),
    [
        # Made where they are needed: while tests are collected, every worker would pack them.
        (lambda: Streamed(bomb(400)), "gzip"),
        (lambda: Streamed(bytes(1 << 16), times=1100), "identity"),
        (lambda: Streamed(gzip.compress(bomb(65))), "gzip, gzip"),
        (lambda: Streamed(b"no gzip"), "gzip"),
        (lambda: Streamed(b"x"), "zstd"),
    ],
    ids=["400 MB in gzip", "endless", "twice", "no gzip", "zstd"],
)
def test_a_bomb_is_given_up_before_it_goes_off(made: Callable[[], Streamed], packing: str) -> None:
    stream = made()
    with pytest.raises(ForeignAnswerError, match=r"reading: 200 from GET a\.test/x"):
        received(stream, content_encoding=packing)
    assert stream.given * (1 << 16) <= LARGEST + (1 << 17)


@pytest.mark.parametrize(
    "value",
    [
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "36000000000",
        "9" * 400,
        "1e3",
        "-5",
        "+5",
        "nan",
        "inf",
        "1_0",
        "١٢",
        "\uff11\uff12",
        "5 s",
        "5, 5",
        "",
    ],
)
def test_an_absurd_wait_is_none(value: str) -> None:
    for name in ("retry-after", "x-ratelimit-retry-after", "x-ratelimit-reset"):
        headers = httpx.Headers([(name.encode(), value.encode())])
        assert retry_after(headers, status=429, now=NOW) in {None, 0.0}
        assert rate_limit(headers, now=NOW).reset_seconds in {None, 0.0}


def test_a_header_that_came_twice_is_none() -> None:
    twice = httpx.Headers([("retry-after", "5"), ("retry-after", "7"), ("date", "Fri, 01 May 2026 12:00:00 GMT")] * 2)
    assert retry_after(twice, status=429, now=NOW) is None
    assert server_time(twice) is None


@pytest.mark.parametrize("value", ["-1", "nan", "1e9", "99999999999", "\uff13", "5, 6", "0x10"])
def test_an_absurd_count_is_none(value: str) -> None:
    headers = httpx.Headers([(b"x-ratelimit-limit", value.encode()), (b"x-ratelimit-remaining", value.encode())])
    assert rate_limit(headers, now=NOW) == RateLimit()
