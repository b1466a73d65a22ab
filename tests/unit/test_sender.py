"""Answers led back to objects, refused requests halved, failures repeated within their time, errors that stop the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import orjson
import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.delivery.sender import Answer, InlineSender, SenderLimits
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.requests import TRACK
from caspio_sync.errors import ConfigurationError, TransientError
from tests.virtual_clock import VirtualClock

Handler = Callable[[list[str]], httpx.Response]
OK = {"message": "success"}


async def taken(requests: Iterable[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


NAMELESS = "Braze named an error without saying for which object of the request"


def requests_of(objects: int, *, per_request: int = 75) -> list[Request]:
    texts = pl.Series([f'{{"external_id":"{number}"}}' for number in range(objects)], dtype=pl.String)
    return list(fill_requests(texts, envelope=TRACK, first_number=1, objects_per_request=per_request))


class Braze:
    """A scripted Braze: a function of the ids in a request, and what it was asked."""

    def __init__(self, answer: Handler, *, connections: int = 4, requests: int = 3000) -> None:
        self.clock = VirtualClock()
        self.asked: list[list[str]] = []
        self.times: list[float] = []
        self._answer = answer
        transport = httpx.MockTransport(self._handle)
        client = BrazeClient(
            endpoint="https://braze.test", api_key=SecretStr("key"), transport=transport, clock=self.clock
        )
        self.sender = InlineSender(
            TrackEndpoint(client), limits=SenderLimits(connections, requests, 3.0), clock=self.clock
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        ids = [each["external_id"] for each in orjson.loads(request.content)["attributes"]]
        self.asked.append(ids)
        self.times.append(self.clock.monotonic())
        return self._answer(ids)

    def send(self, requests: Iterable[Request]) -> list[Answer]:
        async def collect() -> list[Answer]:
            try:
                return [answer async for answer in self.sender.send(taken(requests))]
            finally:
                await self.sender.close()

        return sorted(asyncio.run(collect()), key=lambda answer: answer.number)


def ok(**more: Any) -> httpx.Response:
    return httpx.Response(201, json=OK | more)


def partly(*errors: Any) -> httpx.Response:
    return ok(errors=list(errors))


def refusing(*bad: str, status: int = 400, text: str = "bad object") -> Handler:
    def answer(ids: list[str]) -> httpx.Response:
        return httpx.Response(status, json={"message": text}) if set(ids) & set(bad) else ok()

    return answer


def scripted(*answers: httpx.Response | Exception, then: httpx.Response | None = None) -> Handler:
    left = list(answers)

    def answer(ids: list[str]) -> httpx.Response:
        following = left.pop(0) if left else then or ok()
        if isinstance(following, Exception):
            raise following
        return following

    return answer


def test_every_request_is_answered_once() -> None:
    braze = Braze(lambda _: ok())
    answers = braze.send(requests_of(200, per_request=7))
    assert [(answer.start, answer.count, answer.status, answer.rejected, answer.unknown) for answer in answers] == [
        (start, min(7, 200 - start), 201, (), "") for start in range(0, 200, 7)
    ]
    assert sum(answer.calls for answer in answers) == len(braze.asked) == len(answers)


def test_no_requests_need_no_call() -> None:
    braze = Braze(lambda _: ok())
    assert braze.send([]) == []
    assert braze.asked == []


def test_partial_errors_are_led_back_to_their_objects() -> None:
    errors = [{"type": "bad email", "input_array": "attributes", "index": index} for index in (2, 39, 74)]
    braze = Braze(lambda ids: partly(*errors) if ids[0] == "75" else ok())
    first, second = braze.send(requests_of(150))
    assert (first.rejected, first.unknown) == ((), "")
    assert (second.rejected, second.unknown) == (((77, "bad email"), (114, "bad email"), (149, "bad email")), "")


def test_two_errors_of_one_object_are_joined() -> None:
    errors = [{"type": kind, "input_array": "attributes", "index": 1} for kind in ("bad dob", "bad email")]
    (answer,) = Braze(lambda _: partly(*errors)).send(requests_of(3))
    assert answer.rejected == ((1, "bad dob, bad email"),)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "x", "input_array": "attributes"},
        {"type": "x", "input_array": "attributes", "index": 3},
        {"type": "x", "input_array": "attributes", "index": -1},
        {"type": "x", "input_array": "attributes", "index": "0"},
        {"type": "x", "input_array": "events", "index": 0},
        "something went wrong",
    ],
)
def test_an_error_that_names_no_object_makes_the_request_unknown(entry: Any) -> None:
    (answer,) = Braze(lambda _: partly(entry, {"type": "bad", "index": 2})).send(requests_of(3))
    assert (answer.rejected, answer.unknown) == (((2, "bad"),), NAMELESS)


@pytest.mark.parametrize("bad", [["3"], ["0", "74"], ["2", "39", "74"], ["10", "11", "12", "13"]])
@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_request_is_halved_until_the_bad_objects_stand_alone(bad: list[str], status: int) -> None:
    braze = Braze(refusing(*bad, status=status))
    first, second = braze.send(requests_of(80))
    assert sorted(first.rejected) == [(int(number), f"{status}: bad object") for number in bad]
    assert (second.rejected, second.status) == ((), 201)
    assert sum(answer.calls for answer in (first, second)) == len(braze.asked)
    taken = [number for ids in braze.asked if not set(ids) & set(bad) for number in ids]
    assert sorted(taken, key=int) == [str(number) for number in range(80) if str(number) not in bad]  # each once


def test_halving_keeps_partial_errors_and_lost_indexes() -> None:
    def answer(ids: list[str]) -> httpx.Response:
        if "0" in ids:
            return httpx.Response(400, json={"message": "bad object"})
        return partly({"type": "bad dob", "index": ids.index("3")}, {"type": "?"}) if "3" in ids else ok()

    (found,) = Braze(answer).send(requests_of(4))
    assert (sorted(found.rejected), found.unknown) == ([(0, "400: bad object"), (3, "bad dob")], NAMELESS)


def test_one_refused_object_is_no_reason_to_stop() -> None:
    (answer,) = Braze(refusing("0")).send(requests_of(1))
    assert answer.rejected == ((0, "400: bad object"),)


def test_a_refusal_without_words_gives_its_status() -> None:
    (answer,) = Braze(lambda _: httpx.Response(413)).send(requests_of(1))
    assert answer.rejected[0][1].startswith("413: ")


def test_where_everything_is_refused_with_one_message_the_configuration_is_wrong() -> None:
    braze = Braze(refusing(*map(str, range(300)), text="unknown field"))
    with pytest.raises(ConfigurationError, match=r"all objects of 2 requests.*400: unknown field"):
        braze.send(requests_of(300))
    assert len(braze.asked) <= 2 * 150 + 3  # two requests are halved to the end, and no other


def test_where_everything_is_refused_for_different_reasons_it_is_the_rows() -> None:
    braze = Braze(lambda ids: httpx.Response(400, json={"message": f"reason {'one' if '0' in ids else 'two'}"}))
    (answer,) = braze.send(requests_of(3))
    assert len(answer.rejected) == 3


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7.1),
        ({"x-ratelimit-retry-after": "7"}, 7, 7.1),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:07 GMT"}, 7, 7.1),
        ({"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225607"}, 7, 7.1),
        ({"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}, 7, 7.1),
        ({"retry-after": "280"}, 280, 280.1),
        ({}, 0.25, 0.6),
        ({"retry-after": ""}, 0.25, 0.6),
    ],
)
def test_a_429_waits_as_its_headers_say(headers: dict[str, str], least: float, most: float) -> None:
    braze = Braze(scripted(httpx.Response(429, headers=headers)))
    (answer,) = braze.send(requests_of(1))
    assert (answer.status, answer.calls) == (201, 2)
    assert least <= braze.times[1] <= most


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_failing_server_is_asked_again(status: int) -> None:
    braze = Braze(scripted(httpx.Response(status), httpx.Response(status)))
    (answer,) = braze.send(requests_of(1))
    assert (answer.status, answer.calls, answer.rejected) == (201, 3, ())
    assert 0.75 <= braze.times[2] <= 1.6


@pytest.mark.parametrize("failure", [httpx.ReadError("cut"), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
def test_a_request_whose_connection_was_cut_is_sent_again(failure: Exception) -> None:
    braze = Braze(scripted(failure))
    (answer,) = braze.send(requests_of(5))
    assert (answer.status, answer.calls) == (201, 2)
    assert braze.asked[0] == braze.asked[1]


@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ReadError("cut")])
def test_a_request_is_given_up_after_a_minute(failure: httpx.Response | Exception) -> None:
    braze = Braze(scripted(*[failure] * 100))
    with pytest.raises(TransientError):
        braze.send(requests_of(1))
    assert 30 <= braze.times[-1] <= 60
    assert len(braze.times) > 5


def test_a_wait_beyond_the_minute_is_not_begun() -> None:
    braze = Braze(lambda _: httpx.Response(503, headers={"retry-after": "300"}))
    with pytest.raises(TransientError) as caught:
        braze.send(requests_of(1))
    assert (caught.value.retry_after, braze.times) == (300, [0])


def test_while_the_server_is_down_few_requests_try() -> None:
    braze = Braze(lambda _: httpx.Response(500), connections=30)
    with pytest.raises(TransientError):
        braze.send(requests_of(300, per_request=1))
    assert len(braze.asked) < 30 + 20


def test_after_a_blip_everything_goes_on_within_seconds() -> None:
    braze = Braze(scripted(ok(), *[httpx.ReadError("blip")] * 30), connections=30)
    answers = braze.send(requests_of(300, per_request=1))
    assert len(answers) == 300
    assert braze.clock.monotonic() < 3


def test_repeated_requests_are_paced_too() -> None:
    braze = Braze(scripted(*[httpx.Response(500)] * 4), connections=4, requests=10)
    braze.send(requests_of(40, per_request=1))
    assert len(braze.times) == 44
    assert all(sum(start <= time < start + 3 for time in braze.times) <= 10 for start in braze.times)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_stops_the_rest_at_once(status: int) -> None:
    braze = Braze(lambda _: httpx.Response(status, json={"message": "no"}), connections=2)
    with pytest.raises(ConfigurationError):
        braze.send(requests_of(500, per_request=1))
    assert len(braze.asked) <= 3


def test_answers_that_came_before_an_error_are_given_first() -> None:
    braze = Braze(lambda ids: httpx.Response(401) if "5" in ids else ok(), connections=1)

    given: list[int] = []

    async def collect() -> None:
        async for answer in braze.sender.send(taken(requests_of(10, per_request=1))):
            given.append(answer.start)  # noqa: PERF401 - the error comes in the midst

    with pytest.raises(ConfigurationError):
        asyncio.run(collect())
    assert given == [0, 1, 2, 3, 4]
    assert len(braze.asked) == 6


def test_requests_that_cannot_be_made_end_the_sending() -> None:
    def broken() -> Iterator[Request]:
        yield from requests_of(1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        Braze(lambda _: ok()).send(broken())


def test_closing_the_answers_stops_the_rest() -> None:
    braze = Braze(lambda _: ok(), connections=2)

    async def first() -> None:
        async with aclosing(braze.sender.send(taken(requests_of(500, per_request=1)))) as answers:
            await anext(answers)

    asyncio.run(first())
    assert len(braze.asked) < 500


def test_requests_are_made_only_as_they_are_needed() -> None:
    made: list[int] = []

    def lazily() -> Iterator[Request]:
        for request in requests_of(50, per_request=1):
            made.append(request.number)
            yield request

    braze = Braze(lambda _: httpx.Response(401), connections=3)
    with pytest.raises(ConfigurationError):
        braze.send(lazily())
    assert len(made) <= 4


def test_a_request_lives_sixty_seconds_tries_included() -> None:
    allowed: list[tuple[float, float]] = []
    clock = VirtualClock()

    def hang(request: httpx.Request) -> httpx.Response:
        limit = request.extensions["timeout"]["read"]
        allowed.append((clock.monotonic(), limit))
        clock.advance(limit)
        raise httpx.ReadTimeout("nothing came", request=request)

    client = BrazeClient(
        endpoint="https://braze.test", api_key=SecretStr("key"), transport=httpx.MockTransport(hang), clock=clock
    )
    sender = InlineSender(TrackEndpoint(client), limits=SenderLimits(1, 3000, 3.0), clock=clock)
    with pytest.raises(TransientError, match="no answer"):
        asyncio.run(sender.deliver(requests_of(1)[0]))
    assert len(allowed) >= 2
    assert allowed[0] == (0, 30)
    assert allowed[1][1] < 30
    assert all(begun + limit <= 60 + 1e-6 for begun, limit in allowed)
    assert clock.monotonic() <= 60 + 1e-6
