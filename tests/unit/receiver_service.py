"""A receiver with its inbox, in process, and events to post to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.engagement.events import read_events
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver

TOKEN = "c2FuZGJveC10b2tlbg=="
BEARER = {"Authorization": f"Bearer {TOKEN}"}
URL = "http://receiver/currents"


def events(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "event_type": "users.messages.email.Open",
            "id": f"e-{number}",
            "time": 1_785_000_000 + number,
            "user": {"user_id": f"b-{number % 7}", "external_user_id": f"c-{number % 7}"},
            "properties": {"email_address": f"c{number % 7}@example.com", "machine_open": "true"},
        }
        for number in range(start, start + count)
    ]


def body(*items: Any) -> bytes:
    return orjson.dumps({"events": items})


class Service:
    """A receiver and its inbox."""

    def __init__(self, inbox: Inbox, **options: Any) -> None:
        self.inbox = inbox
        self.receiver = Receiver(inbox, tokens=options.pop("tokens", [SecretStr(TOKEN)]), **options)
        self.transport = httpx.ASGITransport(self.receiver.app)

    def run(self, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def live() -> Any:
            async with (
                self.receiver.app.router.lifespan_context(self.receiver.app),
                httpx.AsyncClient(transport=self.transport, base_url="http://receiver") as client,
            ):
                return await talk(client)

        return asyncio.run(live())

    def post(self, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        answer: httpx.Response = self.run(
            lambda client: client.post("/currents", content=content, headers=BEARER if headers is None else headers)
        )
        return answer

    def ids(self) -> list[str]:
        parts = [read_events([(post.seq, post.lines) for post in part]) for part in self.inbox.posts(0)]
        return [each for frame in parts for each in frame["event_id"]]

    def metric(self, name: str, **labels: str) -> float:
        return self.receiver.metrics.registry.get_sample_value(name, labels) or 0.0
