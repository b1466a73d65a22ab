"""The messages of webhooks on their way: throttled, and as unreliable as the account's behaviour says (5.5)."""

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from caspio_sync.clock import Clock
from caspio_sync.sandbox.caspio.account import Account
from caspio_sync.sandbox.caspio.changes import Rows
from caspio_sync.sandbox.caspio.messages import MOST_BYTES, Change, body_of, signature_headers
from caspio_sync.sandbox.caspio.webhooks import HookEvent, Webhook, Webhooks

_TIMEOUT_SECONDS = 30.0
_KEPT_ENTRIES = 10_000
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    webhook: Webhook
    event: HookEvent
    change: Change
    url: str
    due: float  # by the monotonic clock
    attempt: int = 1


class LogEntry(NamedTuple):
    """One call, as the account's log of outgoing webhooks tells it."""

    message_id: str
    event_id: str
    attempt: int
    status: int
    """0 where no answer came."""
    url: str


class Deliveries:
    """Makes messages of changes, and delivers them.

    Args:
        account: whose tables they tell of.
        webhooks: where they go.
        clock: dates them; all waiting goes through it.

    Attributes:
        log: the last calls.
        lost: ids of messages that were never called: dropped by the behaviour, or too large.
        at_once: whether a message leaves by itself as soon as it is made; else `deliver` is called.
        transport: answers instead of the network.
    """

    def __init__(self, account: Account, webhooks: Webhooks, clock: Clock) -> None:
        self._account = account
        self._behaviour = account.behaviour
        self._webhooks = webhooks
        self._clock = clock
        self._random = webhooks.random
        self._waiting: deque[_Waiting] = deque()
        self._under_way: asyncio.Task[None] | None = None
        self._called: dict[str, deque[float]] = {}
        self.log: deque[LogEntry] = deque(maxlen=_KEPT_ENTRIES)
        self.lost: list[str] = []
        self.at_once = False
        self.transport: httpx.AsyncBaseTransport | None = None

    @property
    def waiting(self) -> int:
        """Calls that are still to be made."""
        return len(self._waiting)

    def announce(self, webhook: Webhook, event: HookEvent, rows: Rows) -> None:
        """Make the messages of the rows that an event heard of: one for all of them, or one each."""
        together = self._behaviour.webhook_batch == "together" and not event.template
        at = f"{self._clock.now():%Y-%m-%dT%H:%M:%S}"
        for part in [rows] if together else [[row] for row in rows]:
            self._queue(webhook, event, Change(str(self._uuid()), at, tuple(part)))
        if self.at_once and (self._under_way is None or self._under_way.done()):
            self._under_way = asyncio.get_running_loop().create_task(self.deliver())

    def _queue(self, webhook: Webhook, event: HookEvent, change: Change) -> None:
        for counters in (webhook.counters, event.counters):
            counters.messages += 1
        if self._random.random() < self._behaviour.webhook_loss:
            self.lost.append(change.message_id)
            return
        due = self._clock.monotonic() + self._behaviour.webhook_delay_seconds
        for url in webhook.urls:
            self._waiting.append(_Waiting(webhook, event, change, url, due))
            if self._random.random() < self._behaviour.webhook_duplicates:
                self._waiting.append(_Waiting(webhook, event, change, url, due))
        if self._behaviour.webhook_disorder:
            self._random.shuffle(self._waiting)

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    async def deliver(self) -> None:
        """Call until nothing waits; what fails is called again as often as the behaviour says."""
        async with httpx.AsyncClient(transport=self.transport, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            while self._waiting:
                waiting = self._waiting.popleft()
                wait = max(waiting.due - self._clock.monotonic(), self._throttled(waiting.webhook))
                if wait > 0:
                    await self._clock.sleep(wait)
                await self._call(client, waiting)

    def _throttled(self, webhook: Webhook) -> float:
        """Seconds until the webhook may call again."""
        called = self._called.setdefault(webhook.id, deque())
        now = self._clock.monotonic()
        while called and called[0] <= now - 1.0:
            called.popleft()
        return called[0] + 1.0 - now if len(called) >= webhook.throttling else 0.0

    async def _call(self, client: httpx.AsyncClient, waiting: _Waiting) -> None:
        webhook, event, change = waiting.webhook, waiting.event, waiting.change
        if webhook.id not in self._webhooks.made:  # deleted meanwhile, with its events
            return
        table, call_id = self._account.table(event.table), str(self._uuid())
        body = body_of(webhook, event, change, table=table, call_id=call_id, behaviour=self._behaviour)
        if len(body) > MOST_BYTES:
            self.lost.append(change.message_id)
            return
        headers = {"Content-Type": "application/json", **signature_headers(webhook.secret, body, self._behaviour)}
        self._called[webhook.id].append(self._clock.monotonic())
        try:
            status = (await client.post(waiting.url, content=body, headers=headers)).status_code
        except httpx.TransportError:
            status = NO_ANSWER
        failed = status == NO_ANSWER or status >= httpx.codes.BAD_REQUEST
        for counters in (webhook.counters, event.counters):
            counters.calls += 1
            counters.errors += failed
        self.log.append(LogEntry(change.message_id, event.id, waiting.attempt, status, waiting.url))
        if failed and waiting.attempt < self._behaviour.webhook_attempts:
            due = self._clock.monotonic() + self._behaviour.webhook_retry_seconds * 2 ** (waiting.attempt - 1)
            again = _Waiting(webhook, event, change, waiting.url, due, waiting.attempt + 1)
            self._waiting.append(again)
