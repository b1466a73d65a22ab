"""A receiver with the feed of one sync, its hints, and messages as Caspio posts them."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.webhooks import CaspioFeed, Keep
from caspio_sync.sealed import Sealer
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "d2c1f7a09b3e4c5d"
OLD = "0f9e8d7c6b5a4938"
FEEDS = {"customers": WebhookFeed(table="Customers", secrets=(SECRET, OLD))}


def message(*keys: Any, **words: Any) -> dict[str, Any]:
    """A message in Caspio's default payload (5.3), of rows with these PK_IDs."""
    return {
        "eventId": "m1x7qd",
        "messageId": str(uuid.uuid4()),
        "webhookId": "t4k9ze",
        "accountId": "c0abc123",
        "secret": SECRET,
        "eventDate": "2026-03-02T12:00:00",
        "eventType": "table.recordUpdate",
        "objectName": "Customers",
        "data": [{"PK_ID": key, "Email": f"c{key}@example.com"} for key in keys],
        **words,
    }


class HookService:
    """A receiver in this process."""

    def __init__(
        self,
        folder: Any,
        *,
        keep: Keep | None = None,
        form: SignatureForm | None = None,
        sealer: Sealer | None = None,
        feeds: Mapping[str, WebhookFeed] = FEEDS,
    ) -> None:
        self.clock = VirtualClock(NOW)
        self.url = f"sqlite:///{folder}/inbox.db"
        self.hints = Hints.open(self.url, clock=self.clock)
        self.inbox = Inbox.open(self.url, clock=self.clock)
        self.feed = CaspioFeed(
            feeds, keep=keep or self.hints.add, form=form or SignatureForm(), sealer=sealer, clock=self.clock
        )
        self.receiver = Receiver(self.inbox, tokens=[], caspio=self.feed)

    def close(self) -> None:
        self.hints.close()
        self.inbox.close()

    def posts(self, *requests: tuple[str, Mapping[str, Any]]) -> list[httpx.Response]:
        """Posts, all at once."""

        async def post(client: httpx.AsyncClient) -> list[httpx.Response]:
            return list(await asyncio.gather(*(client.post(path, **more) for path, more in requests)))

        return asyncio.run(self._live(post))

    async def _live(self, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        app = self.receiver.app
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
        ):
            return await talk(client)

    def health(self) -> tuple[int, dict[str, Any]]:
        """What `/healthz` answers."""
        answer = asyncio.run(self._live(lambda client: client.get("/healthz")))
        return answer.status_code, answer.json()

    def post(self, path: str = "/caspio/customers", **more: Any) -> httpx.Response:
        return self.posts((path, more))[0]

    def send(self, *messages: Mapping[str, Any]) -> list[str]:
        """Messages in JSON; what is said of each."""
        answers = self.posts(*(("/caspio/customers", {"json": each}) for each in messages))
        return [each.json()["message"] for each in answers]

    def raw(self, body: bytes) -> httpx.Response:
        return self.post(content=body, headers={"Content-Type": "application/json"})

    def keys(self, sync: str = "customers") -> list[int]:
        return [each.source_pk for each in self.hints.waiting(sync, limit=10_000)]

    def stored(self) -> str:
        """Everything that is kept, as text."""
        with self.hints.reading("look") as connection:
            rows = connection.exec_driver_sql("SELECT * FROM inbox_hint").all()
            for table in ("inbox_heard", "inbox_payload"):
                rows = [*rows, *connection.exec_driver_sql(f"SELECT * FROM {table}").all()]
        return repr(rows)

    def heard(self) -> dict[str, int]:
        return self.hints.heard("customers", self.clock.now().date()).messages

    def rows(self, sealer: Sealer, sync: str = "customers") -> dict[int, Any]:
        """The rows of messages that are kept, by PK_ID, decrypted."""
        waiting = self.hints.waiting(sync, limit=10_000)
        pks = {each.number: each.source_pk for each in waiting}
        sealed = self.hints.payloads(waiting)
        return {pks[number]: orjson.loads(sealer.open(row) or b"") for number, row in sealed.items()}
