"""Who answers, and how it refuses: what the sender makes of requests nobody took, and of rows that are refused alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
import orjson
import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.delivery.requests import Envelope, Request, fill_requests
from caspio_sync.delivery.sender import Answer, InlineSender, SenderLimits
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.item_endpoint import ItemsEndpoint
from caspio_sync.destinations.braze.requests import TRACK, items_envelope
from caspio_sync.errors import CaspioSyncError, ConfigurationError, StoppedError
from tests.virtual_clock import VirtualClock

OK = httpx.Response(201, json={"message": "success"})
NOBODY = httpx.Response(200, json={"message": "blocked by policy"})
Handler = Callable[[list[str]], httpx.Response]


class Line:
    """A sender, and whoever answers at the other end: a function of the ids in a request."""

    def __init__(
        self, answer: Handler, *, connections: int = 8, catalog: bool = False, asked_first: bool = False
    ) -> None:
        self.clock, self.asked, self.times = VirtualClock(), list[list[str]](), list[float]()
        self.answers: list[Answer] = []
        self.error: CaspioSyncError | None = None
        self._answer = answer
        self.envelope = items_envelope("PUT", "products") if catalog else TRACK
        self.key = "id" if catalog else "external_id"
        account = BrazeAccount(
            address="US-01",
            api_key=SecretStr("0123456789"),
            transport=lambda: httpx.MockTransport(self._handle),
            clock=self.clock,
        )
        endpoint = ItemsEndpoint(account.new_catalogs()) if catalog else TrackEndpoint(account.new_users())
        self.sender = InlineSender(endpoint, limits=SenderLimits(connections, 3000, 3.0), clock=self.clock)
        if asked_first:
            self.sender.ask_first()

    def _handle(self, request: httpx.Request) -> httpx.Response:
        ids = [each[self.key] for each in orjson.loads(request.content)[self.envelope.array]]
        self.asked.append(ids)
        self.times.append(self.clock.monotonic())
        given = self._answer(ids)
        return httpx.Response(given.status_code, headers=given.headers, content=given.content)

    def send(self, *batches: Iterable[Request]) -> "Line":
        async def collect() -> None:
            try:
                for batch in batches:
                    async for answer in self.sender.send(_taken(batch)):
                        self.answers.append(answer)
            finally:
                await self.sender.close()

        try:
            asyncio.run(collect())
        except CaspioSyncError as error:
            self.error = error
        self.answers.sort(key=lambda answer: answer.number)
        return self

    def objects(self, count: int, *, per_request: int = 10, first: int = 0) -> list[Request]:
        texts = [f'{{"{self.key}":"{number}"}}' for number in range(first, first + count)]
        return _filled(pl.Series(texts, dtype=pl.String), self.envelope, per_request, first)

    @property
    def rejected(self) -> dict[int, str]:
        return {place: reason for answer in self.answers for place, reason in answer.rejected}


def _filled(texts: pl.Series, envelope: Envelope, per_request: int, first: int) -> list[Request]:
    return list(
        fill_requests(
            texts, first_number=first + 1, first_place=first, envelope=envelope, objects_per_request=per_request
        )
    )


async def _taken(requests: Iterable[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


def refusing(*bad: int, text: str = "bad object", **more: Any) -> Handler:
    names = {str(number) for number in bad}
    return lambda ids: httpx.Response(400, json={"message": text, **more}) if names & set(ids) else OK


# Who answers.


def test_until_somebody_known_answered_one_request_leaves_at_a_time() -> None:
    under_way = most = 0

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            first = len(line.asked) == 0
            line.asked.append([])
            for _turn in range(50):
                await asyncio.sleep(0)
            assert not first or most == 1
            under_way -= 1
            return OK

    line = Line(lambda _: OK)
    client = BrazeClient(endpoint="US-01", api_key=SecretStr("0123456789"), transport=Slow(), clock=line.clock)
    line.sender = InlineSender(TrackEndpoint(client), limits=SenderLimits(8, 3000, 3.0), clock=line.clock)
    assert len(line.send(line.objects(200)).answers) == 20
    assert most > 1


@pytest.mark.parametrize("catalog", [False, True])
@pytest.mark.parametrize("connections", [1, 64])
def test_three_answers_of_nobody_end_the_sending(connections: int, catalog: bool) -> None:
    line = Line(lambda _: NOBODY, connections=connections, catalog=catalog)
    line.send(line.objects(1000))
    assert isinstance(line.error, StoppedError)
    assert "3 answers in a row are not known to be Braze's own" in str(line.error)
    assert "blocked by policy" in str(line.error)
    assert len(line.asked) == 3  # each once: what nobody acknowledged may have been taken, and billed
    assert [(answer.count, answer.foreign, answer.rejected) for answer in line.answers] == [(10, True, ())] * 3
    assert all("200 from POST" in answer.unknown or "200 from PUT" in answer.unknown for answer in line.answers)


def test_a_stray_answer_of_nobody_makes_its_rows_unknown_and_the_rest_goes_on() -> None:
    line = Line(lambda ids: NOBODY if "10" in ids or "30" in ids else OK, connections=1)
    line.send(line.objects(60))
    assert line.error is None
    assert [answer.foreign for answer in line.answers] == [False, True, False, True, False, False]
    assert [bool(answer.unknown) for answer in line.answers] == [False, True, False, True, False, False]


def test_counts_that_disagree_make_the_request_unknown() -> None:
    line = Line(
        lambda ids: httpx.Response(201, json={"message": "success", "attributes_processed": len(ids) - ("12" in ids)})
    )
    line.send(line.objects(60))
    assert [answer.start for answer in line.answers if answer.unknown] == [10]
    assert "9 attributes counted as processed, 0 refused, 10 sent" in line.answers[1].unknown


def test_after_a_run_in_doubt_what_costs_nothing_is_asked_first() -> None:
    line = Line(lambda _: NOBODY, asked_first=True)
    line.send(line.objects(1000))
    assert isinstance(line.error, StoppedError)
    assert (line.asked, line.answers) == ([[]], [])


@pytest.mark.parametrize("first", [OK, httpx.Response(400, json={"message": "Valid data must be provided"})])
def test_where_braze_answers_again_everything_leaves(first: httpx.Response) -> None:
    line = Line(lambda ids: OK if ids else first, asked_first=True)
    line.send(line.objects(50))
    assert (line.error, len(line.answers), line.asked[0]) == (None, 5, [])
    assert line.asked.count([]) == 1


@pytest.mark.parametrize("stray", [302, 307, 403, 404, 401])
def test_one_stray_page_of_a_proxy_is_tried_again(stray: int) -> None:
    page = httpx.Response(stray, content=b"<html>", headers={"content-type": "text/html", "location": "https://x.test"})
    left = [page]
    line = Line(lambda _: left.pop() if left else OK)
    line.send(line.objects(50))
    assert (line.error, sum(answer.calls for answer in line.answers)) == (None, 6)
    assert line.clock.monotonic() < 5


def test_a_page_that_stays_is_told_after_the_requests_minute() -> None:
    line = Line(lambda _: httpx.Response(403, content=b"<html>", headers={"content-type": "text/html"}), connections=1)
    line.send(line.objects(10))
    assert "Content-Type text/html" in str(line.error)
    assert 20 < line.times[-1] <= 60


# Refused alike.


@pytest.mark.parametrize("catalog", [False, True])
@pytest.mark.parametrize(
    ("objects", "per_request", "bad"),
    [
        (1, 10, range(1)),
        (2, 10, range(2)),
        (2, 1, range(2)),
        (19, 1, range(19)),
        (19, 10, range(19)),
        (40, 40, range(40)),  # of one request
        (77, 75, range(75, 77)),  # after 75 good ones
        (300, 75, range(75, 150)),
    ],
)
def test_rows_refused_alike_are_rejected_and_the_others_sent(
    objects: int, per_request: int, bad: range, catalog: bool
) -> None:
    line = Line(refusing(*bad), catalog=catalog)
    line.send(line.objects(objects, per_request=per_request))
    assert line.error is None
    assert line.rejected == dict.fromkeys(bad, "400: bad object")
    assert len(line.answers) == -(-objects // per_request)


def test_rows_refused_alike_before_the_good_ones_are_rejected_too() -> None:
    line = Line(refusing(*range(60)), connections=2)
    line.send(line.objects(100, per_request=50), line.objects(20, first=100))
    assert line.error is None
    assert sorted(line.rejected) == list(range(60))


@pytest.mark.parametrize("catalog", [False, True])
@pytest.mark.parametrize(("objects", "per_request"), [(20, 10), (300, 75), (20, 1)])
def test_many_of_several_requests_refused_alike_are_the_sync(objects: int, per_request: int, catalog: bool) -> None:
    line = Line(refusing(*range(objects)), catalog=catalog, connections=64)
    line.send(line.objects(objects, per_request=per_request))
    assert isinstance(line.error, ConfigurationError)
    assert "each with: 400: bad object" in str(line.error)
    assert line.answers == []  # none is recorded as refused
    assert len(line.asked) <= 2 * 150 + 10


def test_refused_for_different_reasons_it_is_the_rows() -> None:
    line = Line(lambda ids: httpx.Response(400, json={"message": f"reason {int(ids[0]) % 7}"}))
    line.send(line.objects(60))
    assert (line.error, len(line.rejected)) == (None, 60)


@pytest.mark.parametrize(("named", "calls"), [([37], 2), ([0], 2), ([74], 2), ([2, 39, 74], 2), (range(75), 1)])
def test_a_fatal_refusal_that_names_its_objects_costs_one_call_more(named: Iterable[int], calls: int) -> None:
    entries = [{"index": index, "input_array": "attributes", "type": f"BAD_{index}"} for index in named]
    line = Line(refusing(*named, text="No objects could be processed", errors=entries))
    line.send(line.objects(75, per_request=75))
    assert line.rejected == {index: f"400: BAD_{index}" for index in named}
    assert len(line.asked) == calls


@pytest.mark.parametrize(
    "entry",
    [{"type": "X"}, {"index": 99, "type": "X"}, {"index": -1, "type": "X"}, {"index": 3, "input_array": "events"}],
)
def test_a_fatal_refusal_that_names_none_is_halved(entry: dict[str, Any]) -> None:
    line = Line(refusing(5, errors=[entry]))
    line.send(line.objects(10))
    assert list(line.rejected) == [5]


def test_a_partly_accepted_rest_is_led_back_to_its_own_rows() -> None:
    def answer(ids: list[str]) -> httpx.Response:
        if "3" in ids:
            return httpx.Response(400, json={"message": "no", "errors": [{"index": ids.index("3"), "type": "FATAL"}]})
        partly = [{"index": ids.index("7"), "input_array": "attributes", "type": "BAD_DOB"}]
        return httpx.Response(201, json={"message": "success", "attributes_processed": len(ids) - 1, "errors": partly})

    line = Line(answer)
    line.send(line.objects(10))
    assert line.rejected == {3: "400: FATAL", 7: "BAD_DOB"}


# Refused for being asked too often.


@pytest.mark.parametrize(
    ("headers", "most"),
    [
        ({}, 330),
        ({"retry-after": "7"}, 310),
        ({"retry-after": "200"}, 310),
        ({"retry-after": "36000"}, 1),
        ({"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "40000"}, 1),
    ],
)
def test_refusals_without_end_end_the_run(headers: dict[str, str], most: float) -> None:
    line = Line(lambda _: httpx.Response(429, headers=headers))
    line.send(line.objects(100))
    assert isinstance(line.error, StoppedError)
    assert line.clock.monotonic() <= most
    asked = headers.get("retry-after") or headers.get("x-ratelimit-reset")
    assert (f"{int(asked):,} s" if asked else "does not say when") in str(line.error)


def test_a_used_up_hour_is_not_waited_for() -> None:
    headers = {"x-ratelimit-limit": "250000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800"}
    line = Line(lambda _: httpx.Response(201, json={"message": "success"}, headers=headers), connections=1)
    line.send(line.objects(100))
    assert isinstance(line.error, StoppedError)
    assert (len(line.asked), len(line.answers)) == (1, 1)


def test_refusals_between_answers_end_nothing() -> None:
    turns = iter(range(10_000))
    line = Line(lambda _: httpx.Response(429, headers={"retry-after": "100"}) if next(turns) % 3 else OK, connections=1)
    line.send(line.objects(100))
    assert (line.error, len(line.answers)) == (None, 10)
    assert line.clock.monotonic() > 600
