"""A sender that never repeats what may have arrived: each request has one answer, and says whether it arrived."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import orjson
import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.delivery.failures import error_of
from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.delivery.sender import Answer, InlineSender, SenderLimits
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.requests import TRACK_EVENTS
from caspio_sync.errors import ConfigurationError, StoppedError
from tests.virtual_clock import VirtualClock

Handler = Callable[[list[str]], httpx.Response]


class Line:
    """A scripted Braze, and the answers to the requests that were sent to it."""

    def __init__(self, answer: Handler, *, connections: int = 1, ask: Handler | None = None) -> None:
        self.clock, self.asked, self.questions = VirtualClock(), list[list[str]](), 0
        self._answer, self._ask = answer, ask or (lambda _: httpx.Response(400, json={"message": "no objects"}))
        client = BrazeClient(
            endpoint="https://braze.test",
            api_key=SecretStr("key"),
            transport=httpx.MockTransport(self._handle),
            clock=self.clock,
        )
        limits = SenderLimits(connections, 3000, 3.0)
        self.sender = InlineSender(TrackEndpoint(client), limits=limits, clock=self.clock, repeats=False)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        if "events" not in body:
            self.questions += 1
            return self._ask([])
        ids = [each["external_id"] for each in body["events"]]
        self.asked.append(ids)
        return self._answer(ids)

    def send(self, objects: int, *, per_request: int = 2) -> list[Answer]:
        texts = pl.Series([f'{{"external_id":"{number}"}}' for number in range(objects)], dtype=pl.String)
        made = fill_requests(texts, envelope=TRACK_EVENTS, first_number=1, objects_per_request=per_request)

        async def collect() -> list[Answer]:
            try:
                return [answer async for answer in self.sender.send(_given(list(made)))]
            finally:
                await self.sender.close()

        return sorted(asyncio.run(collect()), key=lambda answer: answer.number)


async def _given(requests: list[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


def taken(ids: list[str]) -> httpx.Response:
    return httpx.Response(201, json={"message": "success", "events_processed": len(ids)})


def once(fault: Callable[[], httpx.Response], then: Handler = taken) -> Handler:
    faults = [fault]

    def answer(ids: list[str]) -> httpx.Response:
        return faults.pop()() if faults else then(ids)

    return answer


def raising(error: Exception) -> Callable[[], httpx.Response]:
    def fault() -> httpx.Response:
        raise error

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        raising(httpx.ReadError("reset")),
        raising(httpx.ReadTimeout("slow")),
        raising(httpx.RemoteProtocolError("cut")),
        raising(httpx.WriteError("half of it left")),
        lambda: httpx.Response(500, json={"message": "oops"}),
        lambda: httpx.Response(503, json={"message": "no capacity"}),
        lambda: httpx.Response(504, content=b"<html>"),
        lambda: httpx.Response(302, headers={"location": "https://elsewhere.test"}),
        lambda: httpx.Response(201, content=b'{"message":"succ'),
    ],
    ids=["reset", "timeout", "cut", "write", "500", "503", "504", "redirect", "unreadable"],
)
def test_what_may_have_arrived_is_unknown_and_left_alone(fault: Callable[[], httpx.Response]) -> None:
    line = Line(once(fault))
    first, second = line.send(4)
    assert line.asked == [["0", "1"], ["2", "3"]]
    assert first.unknown
    assert first.withheld is None
    assert (second.unknown, second.status) == ("", 201)


@pytest.mark.parametrize(
    "fault",
    [
        raising(httpx.ConnectError("refused")),
        raising(httpx.ConnectTimeout("nobody")),
        lambda: httpx.Response(429, json={"message": "Rate Limited"}, headers={"x-ratelimit-retry-after": "2"}),
    ],
    ids=["refused", "no connection", "429"],
)
def test_what_surely_did_not_arrive_is_sent_again(fault: Callable[[], httpx.Response]) -> None:
    line = Line(once(fault))
    assert [answer.unknown for answer in line.send(4)] == ["", ""]
    assert line.asked == [["0", "1"], ["0", "1"], ["2", "3"]]


def test_after_a_lost_answer_nothing_leaves_before_braze_has_answered() -> None:
    away = [httpx.Response(503, json={"message": "away"})] * 3
    line = Line(once(raising(httpx.ReadError("reset"))), ask=lambda _: away.pop() if away else taken([]))
    answers = line.send(6)
    assert [bool(answer.unknown) for answer in answers] == [True, False, False]
    assert line.questions == 4
    assert line.clock.monotonic() > 0.5


def test_three_lost_one_after_the_other_are_enough() -> None:
    line = Line(lambda _: httpx.Response(500, json={"message": "oops"}))
    answers = line.send(20)
    assert len(line.asked) == 3
    assert [bool(answer.unknown) for answer in answers] == [True] * 3 + [False] * 7
    told = [answer.withheld for answer in answers if answer.withheld is not None]
    assert len(told) == 7
    assert isinstance(error_of(told[0]), StoppedError)
    assert "sends the rest" in told[0]["message"]


def test_those_in_flight_together_are_lost_together_and_count_once() -> None:
    heard = False

    def answer(ids: list[str]) -> httpx.Response:
        nonlocal heard
        if "0" in ids or heard:
            return taken(ids)
        if line.questions:
            heard = True
            return taken(ids)
        raise httpx.ReadError("reset")

    line = Line(answer, connections=4)
    answers = line.send(40)
    lost = sum(bool(each.unknown) for each in answers)
    assert 0 < lost <= 4
    assert not any(each.withheld for each in answers)


def test_a_wrong_key_withholds_what_is_left() -> None:
    line = Line(lambda _: httpx.Response(401, json={"message": "Invalid API key"}))
    answers = line.send(4)
    told = [answer.withheld for answer in answers if answer.withheld is not None]
    assert len(told) == 2
    assert isinstance(error_of(told[0]), ConfigurationError)


def test_a_refused_request_is_halved_and_the_rest_is_taken_once() -> None:
    def answer(ids: list[str]) -> httpx.Response:
        return httpx.Response(400, json={"message": "bad"}) if "2" in ids else taken(ids)

    line = Line(answer)
    (told,) = line.send(4, per_request=4)
    assert dict(told.rejected).keys() == {2}
    assert [ids for ids in line.asked if "2" not in ids] == [["0", "1"], ["3"]]


def test_a_request_of_which_a_part_was_taken_is_unknown_whatever_ends_it() -> None:
    def answer(ids: list[str]) -> httpx.Response:
        if len(ids) > 2:
            return httpx.Response(400, json={"message": "bad"})
        return taken(ids) if "0" in ids else httpx.Response(401, json={"message": "Invalid API key"})

    (told,) = Line(answer).send(4, per_request=4)
    assert told.withheld is None
    assert told.unknown


def test_each_request_of_a_stopped_sender_says_that_it_did_not_leave() -> None:
    line = Line(lambda ids: stopping(ids))  # noqa: PLW0108 - it stands below

    def stopping(ids: list[str]) -> httpx.Response:
        if ids == ["4", "5"]:
            line.sender.stop()
        return httpx.Response(201, json={"message": "success"})

    answers = line.send(20)
    assert len(line.asked) == 3
    assert [each.number for each in answers] == list(range(1, 11))
    assert [each.withheld is None for each in answers] == [True] * 3 + [False] * 7
    assert all(isinstance(error_of(each.withheld), StoppedError) for each in answers[3:])
