"""The host that takes ActiveCampaign's events, against answers of every shape: one attempt, and no key in any message."""

import asyncio
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.activecampaign.event_host import EventHost
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.wire.answers import ForeignAnswerError
from caspio_sync.wire.http import RefusedError
from tests.virtual_clock import VirtualClock

KEY = "0123456789abcdef-event-secret"
TAKEN = httpx.Response(200, json={"success": 1, "message": "Event spawned"})


class Side:
    """Answers in turn, and remembers what came."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = iter(answers)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        given = next(self._answers)
        return httpx.Response(given.status_code, content=given.content, headers=given.headers)

    def track(self, times: int = 1) -> None:
        async def run() -> None:
            transport = httpx.MockTransport(self._answer)
            host = EventHost("https://trackcmp.test/", "25", SecretStr(KEY), VirtualClock(), transport)
            async with host:
                for _ in range(times):
                    await host.track("ann@example.com", "opened", "a & b = c")

        asyncio.run(run())

    def refusal(self, times: int = 1) -> CaspioSyncError:
        with pytest.raises(CaspioSyncError) as error:
            self.track(times)
        assert KEY not in str(error.value)
        assert "ann@example.com" not in str(error.value)
        assert len(self.asked) == times  # never once more
        return error.value


@pytest.mark.parametrize("success", [1, "1", True])
def test_an_event_is_a_form(success: object) -> None:
    side = Side(httpx.Response(200, json={"success": success}))
    side.track()
    (request,) = side.asked
    assert (request.method, str(request.url)) == ("POST", "https://trackcmp.test/event")
    assert parse_qs(request.content.decode()) == {
        "actid": ["25"],
        "key": [KEY],
        "event": ["opened"],
        "eventdata": ["a & b = c"],
        "visit": ['{"email":"ann@example.com"}'],
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, html="<html>log in</html>"), ForeignAnswerError),
        (httpx.Response(200, json=[1]), ForeignAnswerError),
        (httpx.Response(200, json={"message": "hello"}), ForeignAnswerError),
        (httpx.Response(503, text="away"), TransientError),
        (httpx.Response(429, json={}, headers={"Retry-After": "7"}), TransientError),
        (httpx.Response(403, json={"message": f"Forbidden {KEY}"}), ConfigurationError),
        (httpx.Response(404, json={}), ConfigurationError),
        (httpx.Response(200, json={"success": 0, "message": f"Invalid key {KEY}"}), ConfigurationError),
        (httpx.Response(200, json={"success": 0, "message": "Event tracking is disabled"}), ConfigurationError),
        (httpx.Response(400, json={}), ConfigurationError),
        (httpx.Response(200, json={"success": 0}), ConfigurationError),
        (httpx.Response(200, json={"success": 0, "message": "Nobody has ann@example.com"}), RefusedError),
    ],
)
def test_what_an_answer_amounts_to(answer: httpx.Response, kind: type[CaspioSyncError]) -> None:
    assert isinstance(Side(answer).refusal(), kind)


@pytest.mark.parametrize("answer", [httpx.Response(400, json={}), httpx.Response(200, json={"success": 0})])
def test_without_a_reason_it_is_the_event_once_another_was_taken(answer: httpx.Response) -> None:
    assert isinstance(Side(TAKEN, answer).refusal(times=2), RefusedError)
