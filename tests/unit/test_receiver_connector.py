"""The receiver behind the emulated connector of Braze (reference, 11.1): nothing is lost, nothing is kept twice."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.engagement.events import Post
from caspio_sync.errors import CaspioSyncError
from caspio_sync.inbox import Inbox
from caspio_sync.sandbox.braze.currents import CurrentsBehaviour, CurrentsConnector, State
from tests.unit.receiver_service import TOKEN, URL, Service, events
from tests.virtual_clock import VirtualClock


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        yield opened


@pytest.fixture
def service(inbox: Inbox) -> Service:
    return Service(inbox)


def delivered(service: Service, lot: list[dict[str, Any]], **options: Any) -> CurrentsConnector:
    connector = CurrentsConnector(
        URL,
        token=options.pop("token", TOKEN),
        behaviour=CurrentsBehaviour(**options),
        clock=VirtualClock(),
        transport=service.transport,
    )
    connector.queue(lot)
    service.run(lambda _client: connector.deliver())
    return connector


def test_duplicates_and_disorder_end_as_each_event_once(service: Service) -> None:
    connector = delivered(service, events(1000), duplicates=0.5)
    assert connector.waiting == 0
    assert sorted(service.ids()) == sorted(f"e-{number}" for number in range(1000))


def test_nothing_is_lost_by_a_post_that_is_too_large(service: Service) -> None:
    service.receiver.body_limit = 5_000
    connector = delivered(service, events(300), duplicates=0)
    assert connector.answers[413] > 0
    assert (len(service.ids()), connector.dropped) == (300, [])


def test_a_wrong_token_suspends_and_loses_nothing(service: Service) -> None:
    connector = delivered(service, events(150), token="wrong")
    assert (connector.state, service.ids()) == (State.SUSPENDED, [])
    connector.token = TOKEN
    connector.resume()
    service.run(lambda _client: connector.deliver())
    assert sorted(set(service.ids())) == sorted(f"e-{number}" for number in range(150))


def test_a_disk_that_is_full_for_a_while_loses_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True] * 7)
    add = service.inbox.add

    def sometimes(posts: list[Post]) -> None:
        if next(failures, False):
            raise CaspioSyncError("the disk is full")
        add(posts)

    monkeypatch.setattr(service.inbox, "add", sometimes)
    connector = delivered(service, events(400))
    assert connector.answers[503] == 7
    assert sorted(service.ids()) == sorted(f"e-{number}" for number in range(400))


class BadLine(httpx.AsyncBaseTransport):
    """Loses posts before they arrive, and answers after they were given."""

    def __init__(self, line: httpx.AsyncBaseTransport, seed: int) -> None:
        self._line = line
        self._random = random.Random(seed)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fate = self._random.choice(["lost", "answer lost", "arrives", "arrives"])
        if fate == "lost":
            raise httpx.ConnectTimeout("lost")
        answer = await self._line.handle_async_request(request)
        if fate == "answer lost":
            raise httpx.ReadTimeout("lost")
        return answer


@pytest.mark.parametrize("seed", range(5))
def test_on_a_line_that_loses_posts_and_answers_each_event_is_kept_once(service: Service, seed: int) -> None:
    service.transport = BadLine(service.transport, seed)  # type: ignore[assignment]
    lot = events(500)
    connector = delivered(service, lot, seed=seed, events_a_post=20)
    assert connector.answers[0] > 5
    assert sorted(service.ids()) == sorted(each["id"] for each in lot)
