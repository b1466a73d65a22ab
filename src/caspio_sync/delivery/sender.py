"""The sender: requests in, answers out, many in flight, paced, repeated where that is harmless.

Profiles and items hold whole values only, so a request whose answer was lost may be sent again.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from caspio_sync.clients._http import RateLimit
from caspio_sync.clock import Clock, SystemClock, uptime_seconds
from caspio_sync.delivery.endpoints import Endpoint, Taken
from caspio_sync.delivery.pacing import Announced, Breaker, Pacer, announced_wait
from caspio_sync.delivery.requests import Request
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError

_LEASE_LOOK_SECONDS = 0.05
REQUEST_SECONDS = 60.0  # one request, tries included; longer waits belong to the task and the schedule


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Args:
        number: number of the request.
        start: place of its first object in the batch's objects.
        count: number of its objects; those named in neither list were accepted.
        status: HTTP status of the last answer.
        rejected: (place in the batch's objects, Braze's reason) of each object that was refused.
        unknown: whether Braze named an error without saying for which object.
        calls: HTTP requests it took.
    """

    number: int
    start: int
    count: int
    status: int
    rejected: tuple[tuple[int, str], ...] = ()
    unknown: bool = False
    calls: int = 1


class Sender(Protocol):
    """Something that delivers requests; in this process, or in one of its own."""

    def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
        """Deliver the requests and give their answers as they arrive; closing it stops the rest.

        Raises:
            TransientError: a request could not be delivered within its time; others may have been.
            ConfigurationError: Braze refuses the key, the permission or everything that is sent.
        """
        ...

    def allow_until(self, uptime: float) -> None:
        """Begin no request after this moment (of `uptime_seconds`), until it is moved on; at first there is none."""
        ...

    def take_share(self, share: float) -> None:
        """From now on use this part of the limit at most, nothing while it is 0; at first it is the whole."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How fast the sender may go.

    Args:
        connections: requests in flight at the most.
        requests: requests allowed in a window, until an answer says otherwise.
        window_seconds: length of that window.
    """

    connections: int = 64
    requests: int = 3000  # Braze, /users/track on data-point pricing: 3,000 requests in 3 s
    window_seconds: float = 3.0


@dataclass(slots=True)
class _Found:
    """What halving a refused request found so far."""

    rejected: list[tuple[int, str]] = field(default_factory=list)
    unknown: bool = False
    calls: int = 0
    status: int = 0


class InlineSender:
    """Delivers from this process's event loop.

    Args:
        endpoint: where the requests go; closed with the sender.
        limits: how fast it may go.
        clock: all waiting goes through it.
    """

    def __init__(
        self, endpoint: Endpoint, *, limits: SenderLimits = SenderLimits(), clock: Clock | None = None
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock or SystemClock()
        self._connections = limits.connections
        self._pacer = Pacer(requests=limits.requests, window_seconds=limits.window_seconds, clock=self._clock)
        self._breaker = Breaker(clock=self._clock)
        self._halving = asyncio.Lock()
        self._allowed_until = math.inf

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`."""
        self._allowed_until = uptime

    def take_share(self, share: float) -> None:
        """As `Sender.take_share`."""
        self._pacer.take_share(share)

    async def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
        """As `Sender.send`."""
        # Bounded: while answers are not taken, hence not committed, nothing more leaves.
        answers: asyncio.Queue[Answer | Exception | None] = asyncio.Queue(maxsize=self._connections)
        turn = asyncio.Lock()
        workers = [asyncio.create_task(self._work(requests, turn, answers)) for _ in range(self._connections)]
        open_workers = len(workers)
        try:
            while open_workers:
                answer = await answers.get()
                if isinstance(answer, Exception):
                    raise answer
                if answer is None:
                    open_workers -= 1
                else:
                    yield answer
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._endpoint.aclose()

    async def _work(
        self, requests: AsyncIterator[Request], turn: asyncio.Lock, answers: asyncio.Queue[Answer | Exception | None]
    ) -> None:
        try:
            while (request := await _next(requests, turn)) is not None:
                await answers.put(await self.deliver(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, `send` raises it; unsaid, it would wait for ever
            await answers.put(error)
        else:
            await answers.put(None)

    async def deliver(self, request: Request) -> Answer:
        """Deliver one request, halving it where Braze refuses it whole."""
        try:
            answer, calls = await self._attempt(request)
        except PermanentError as error:
            return await self._find_refused(request, error)
        return _read(request, answer, calls)

    async def _attempt(self, request: Request) -> tuple[Taken, int]:
        """Try until an answer came; gives it and the calls it took."""
        monotonic = self._clock.monotonic
        deadline = monotonic() + REQUEST_SECONDS
        attempt = 0
        failure: TransientError | None = None
        while True:
            before = monotonic()
            await self._breaker.admit()
            if failure is None:  # its time begins with its first try
                deadline += monotonic() - before
            elif monotonic() >= deadline:
                raise failure
            # Waiting for a window, or for the lease, does not count against the request's own time.
            before = monotonic()
            await self._pacer.admit()
            await self._allowed()
            deadline += monotonic() - before
            attempt += 1
            try:
                answer = await self._endpoint.deliver(request, seconds=deadline - monotonic())
            except TransientError as error:
                if error.rate_limited:
                    self._pacer.refused(error.retry_after, _announced(getattr(error, "rate", None)))
                    failure = error
                    continue
                self._breaker.failed()
                wait = announced_wait(error, attempt)
                if monotonic() + wait > deadline:
                    raise
                failure = error
                await self._clock.sleep(wait)
                continue
            except PermanentError:
                self._breaker.succeeded()
                raise
            self._breaker.succeeded()
            self._pacer.observe(_announced(answer.rate))
            return answer, attempt

    async def _allowed(self) -> None:
        """Wait until the lease is known to hold; who learns that it does not ends the run, and this with it."""
        while uptime_seconds() >= self._allowed_until:  # noqa: ASYNC110 - also in a child, where no event comes
            await asyncio.sleep(_LEASE_LOOK_SECONDS)  # the lease goes by the machine's time, never by a virtual one

    async def _find_refused(self, request: Request, error: PermanentError) -> Answer:
        """Halve a refused request until each refused object stands alone.

        Raises:
            ConfigurationError: every object is refused alone, with one message: it is not the rows.
        """
        found = _Found(calls=1, status=error.status or 0)
        async with self._halving:  # one at a time: where everything is refused, one request tells
            await self._halve(request, error, found)
        reasons = {reason for _, reason in found.rejected}
        if request.count > 1 and len(found.rejected) == request.count and len(reasons) == 1:
            raise ConfigurationError(
                f"Braze refuses every object of a request, each with: {reasons.pop()}. This is not about single rows: "
                "look at the identity and the fields of the sync, then run it again; nothing of the rest was sent."
            )
        rejected = tuple(found.rejected)
        return Answer(request.number, request.start, request.count, found.status, rejected, found.unknown, found.calls)

    async def _halve(self, request: Request, error: PermanentError, found: _Found) -> None:
        if request.count == 1:
            found.rejected.append((request.start, f"{error.status}: {refusal_text(error)}"))
            return
        for part in self._parts(request, error, found):
            try:
                answer, calls = await self._attempt(part)
            except PermanentError as smaller:
                found.calls += 1
                await self._halve(part, smaller, found)
            else:
                read = _read(part, answer, calls)
                found.rejected.extend(read.rejected)
                found.unknown |= read.unknown
                found.calls += calls
                found.status = answer.status

    def _parts(self, request: Request, error: PermanentError, found: _Found) -> Sequence[Request]:
        """What to try of a refused request: all but the objects that the refusal names, or its halves."""
        named = self._endpoint.named(request, error)
        if not named:
            return request.halves()
        reason = f"{error.status}: {refusal_text(error)}"
        found.rejected.extend((request.start + place, reason) for place in named)
        objects = request.objects
        stretches = [(before + 1, after) for before, after in pairwise([-1, *named, request.count])]
        return [request.holding(request.start + low, objects[low:high]) for low, high in stretches if low < high]


async def _next(requests: AsyncIterator[Request], turn: asyncio.Lock) -> Request | None:
    """The next request, None after the last; an asynchronous generator gives one at a time."""
    async with turn:
        return await anext(requests, None)


def _announced(rate: RateLimit | None) -> Announced:
    return Announced() if rate is None else Announced(rate.limit, rate.remaining, rate.reset_seconds)


def refusal_text(error: PermanentError) -> str:
    """Braze's own words for a refusal."""
    return str(getattr(error, "message_text", "") or error)


def _read(request: Request, answer: Taken, calls: int) -> Answer:
    """Lead `errors[].index` back to the objects; a 2xx can hold refused ones (Braze, responses of /users/track)."""
    rejected: dict[int, str] = {}
    unknown = False
    for error in answer.errors:
        if (
            error.index is None
            or not 0 <= error.index < request.count
            or error.input_array not in {None, request.envelope.array}
        ):
            unknown = True
        else:
            place = request.start + error.index
            rejected[place] = f"{rejected[place]}, {error.type}" if place in rejected else error.type
    return Answer(request.number, request.start, request.count, answer.status, tuple(rejected.items()), unknown, calls)
