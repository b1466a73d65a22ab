"""The Currents custom HTTP connector: sends what happened, as section 11.1 of the reference says, and no kinder.

At least once, in any order: events come again in later posts, and posts overtake each other. What the receiver answers
decides what is sent again, in how small a post, and what is lost.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field

from caspio_sync.clock import Clock, SystemClock

Event = dict[str, Any]
MAX_EVENT_BYTES = 900_000
_KEPT = timedelta(days=7)  # queued events of a connector that is disabled
_DISABLED_AFTER = timedelta(days=5)
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 600.0
_SUSPENDING = frozenset({401, 403, 404})
_NO_ANSWER = 0


class CurrentsBehaviour(BaseModel):
    """How unkind the stream is, and how the connector is configured (reference, 11.1 and 11.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events_a_post: int = 100
    duplicates: float = Field(default=0.1, ge=0, le=1)  # share of events that are sent a second time, later
    disorder: bool = True
    transforms: dict[str, Literal["remove", "hash"]] = Field(default_factory=dict)  # property: what is done to it
    timeout_seconds: float = 30.0
    seed: int = 1


class State(Enum):
    """Of the connector."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """The receiver answered 401, 403 or 404: nothing is sent until a person has looked."""
    DISABLED = "disabled"
    """It failed for more than 5 days: what happens now is lost."""


class _Post(NamedTuple):
    events: tuple[Event, ...]
    alone: bool = False
    """After a 400 of the post it was in: a further 400 drops it."""
    tries: int = 0
    since: float = 0.0
    """When its events happened, by the monotonic clock."""


class CurrentsConnector:
    """One connector.

    Args:
        url: the receiver's address, with its path.
        token: its bearer token, None for none.
        behaviour: see there.
        clock: what its waits go by.
        transport: answers instead of the network.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        behaviour: CurrentsBehaviour | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.behaviour = behaviour or CurrentsBehaviour()
        self._url = url
        self.token = token
        self._clock = clock or SystemClock()
        self._transport = transport
        self._random = random.Random(self.behaviour.seed)  # noqa: S311 - a simulation
        self._waiting: deque[_Post] = deque()
        self._failing_since: float | None = None
        self.state = State.ACTIVE
        self.dropped: list[Event] = []
        """Lost for good: too large, refused alone, or happened while the connector was disabled."""
        self.answers: Counter[int] = Counter()
        """By status; 0 where none came."""

    @property
    def waiting(self) -> int:
        """Events that have not been taken."""
        return sum(len(post.events) for post in self._waiting)

    def left(self) -> list[Event]:
        """The events that have not been taken, each once."""
        return list({event["id"]: event for post in self._waiting for event in post.events}.values())

    def queue(self, events: Iterable[Event]) -> None:
        """Let some events be sent, in posts of at most 100, some of them twice, in disorder."""
        fitting = [self._transformed(event) for event in events if not self._drops(event)]
        again = [event for event in fitting if self._random.random() < self.behaviour.duplicates]
        for lot in (fitting, again):
            if self.behaviour.disorder:
                self._random.shuffle(lot)
            size = self.behaviour.events_a_post
            now = self._clock.monotonic()
            posts = [_Post(tuple(lot[at : at + size]), since=now) for at in range(0, len(lot), size)]
            self._waiting.extend(posts)
        if self.behaviour.disorder:
            self._random.shuffle(self._waiting)

    def resume(self) -> None:
        """A person has looked at the configuration and switched the connector on again; what waited 7 days is gone."""
        oldest = self._clock.monotonic() - _KEPT.total_seconds()
        self.dropped += [event for post in self._waiting if post.since < oldest for event in post.events]
        self._waiting = deque(post for post in self._waiting if post.since >= oldest)
        self.state, self._failing_since = State.ACTIVE, None

    async def deliver(self) -> None:
        """Send until nothing waits, or the connector is suspended or disabled."""
        async with httpx.AsyncClient(
            transport=self._transport, timeout=self.behaviour.timeout_seconds, trust_env=False
        ) as client:
            while self._waiting and self.state is State.ACTIVE:
                await self._send(client, self._waiting.popleft())

    async def _send(self, client: httpx.AsyncClient, post: _Post) -> None:
        body = orjson.dumps({"events": post.events})
        headers = {"Content-Type": "application/json", "Braze-Currents-Version": "1"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            status = (await client.post(self._url, content=body, headers=headers)).status_code
        except httpx.TransportError:
            status = _NO_ANSWER
        self.answers[status] += 1
        if 200 <= status < 300:
            self._failing_since = None
        elif status in _SUSPENDING:
            self._waiting.appendleft(post)
            self.state = State.SUSPENDED
        elif status == 400 and post.alone:
            self.dropped += post.events
        elif status == 400:
            self._waiting.extend(_Post((event,), alone=True, since=post.since) for event in post.events)
        elif status == 413 and len(post.events) > 1:
            self._waiting.extend(post._replace(events=half) for half in _halves(post.events))
        else:
            await self._try_again_later(post)

    async def _try_again_later(self, post: _Post) -> None:
        """Exponential backoff with jitter; for the whole stream, as nothing else would be taken either."""
        now = self._clock.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._waiting.append(post._replace(tries=post.tries + 1))
        if now - self._failing_since > _DISABLED_AFTER.total_seconds():
            self.state = State.DISABLED
            return
        longest = min(_FIRST_WAIT_SECONDS * 2**post.tries, _LONGEST_WAIT_SECONDS)
        await self._clock.sleep(self._random.uniform(longest / 2, longest))

    def _drops(self, event: Event) -> bool:
        dropped = self.state is State.DISABLED or len(orjson.dumps(event)) > MAX_EVENT_BYTES
        if dropped:
            self.dropped.append(event)
        return dropped

    def _transformed(self, event: Event) -> Event:
        """Fields that the workspace is set to remove or hash (reference, 11.3)."""
        transforms = self.behaviour.transforms
        if not transforms.keys() & event["properties"].keys():
            return event
        properties = {
            name: _transform(value, transforms[name]) if name in transforms else value
            for name, value in event["properties"].items()
        }
        return {**event, "properties": properties}


def _transform(value: Any, how: str) -> str:
    return "[REDACTED]" if how == "remove" else sha256(str(value).encode()).hexdigest()


def _halves(events: Sequence[Event]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    middle = len(events) // 2
    return tuple(events[:middle]), tuple(events[middle:])
