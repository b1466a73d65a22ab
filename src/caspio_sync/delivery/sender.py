"""The sender: requests in, answers out, many in flight, paced, repeated where that is harmless.

A request whose answer was lost is sent again where objects hold whole values. Where each is an occurrence of its own
(`Sink.when_lost`) it is not, for nobody knows whether it was taken; what surely did not arrive is sent again.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from caspio_sync.clock import Clock, SystemClock, uptime_seconds
from caspio_sync.delivery.endpoints import Endpoint
from caspio_sync.delivery.failures import Failure, failure_of
from caspio_sync.delivery.pacing import Announced, Breaker, Pacer, announced_wait
from caspio_sync.delivery.refusals import RefusedAlike
from caspio_sync.delivery.requests import Request
from caspio_sync.delivery.trust import Trust
from caspio_sync.errors import CallError, ConfigurationError, PermanentError, StoppedError, TransientError
from caspio_sync.wire.http import RateLimit
from caspio_sync.wire.pacing import Patience
from caspio_sync.wire.taken import Taken

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
        rejected: (place in the batch's objects, the destination's reason) of each object that was refused.
        unknown: why nothing is known of the objects that are not in `rejected`; "" where they were taken.
        foreign: whether the answer is not known to be the destination's own.
        calls: HTTP requests it took.
        notes: as in `Taken`.
        ids: (place in the batch's objects, id) of objects whose id the destination told, as in `Taken`.
        marks: (place in the batch's objects, name, mark), as in `Taken`.
        withheld: why nothing of it arrived, where a lost answer is not repeated; then nothing more should be sent. Else
            that is raised.
    """

    number: int
    start: int
    count: int
    status: int
    rejected: tuple[tuple[int, str], ...] = ()
    unknown: str = ""
    foreign: bool = False
    calls: int = 1
    notes: tuple[str, ...] = ()
    ids: tuple[tuple[int, str], ...] = ()
    marks: tuple[tuple[int, str, str], ...] = ()
    withheld: Failure | None = None


class Sender(Protocol):
    """Something that delivers requests; in this process, or in one of its own."""

    def send(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Answer]:
        """Deliver the requests and give their answers as they arrive; closing it stops the rest.

        Raises:
            TransientError: a request could not be delivered within its time; others may have been.
            ConfigurationError: the destination refuses the key, the permission or everything that is sent.
            StoppedError: refused for five minutes for being asked too often, or somebody else answers.
        """

    def ask_first(self) -> None:
        """The run before did not know who answered: ask for what costs nothing before anything leaves."""

    def allow_until(self, uptime: float) -> None:
        """Begin no request after this moment (of `uptime_seconds`), until it is moved on; at first there is none."""

    def take_share(self, share: float) -> None:
        """From now on use this part of the limit at most, nothing while it is 0; at first it is the whole."""

    def stop(self) -> None:
        """From now on no request leaves: each that has not is refused by a `StoppedError`, as it comes to its turn."""

    async def close(self) -> None:
        """Let go of connections and processes."""


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How fast the sender may go.

    Args:
        connections: requests in flight at the most.
        requests: requests allowed in a window, until an answer says otherwise.
        window_seconds: length of that window.
    """

    connections: int
    requests: int
    window_seconds: float


@dataclass(slots=True)
class _Found:
    """What halving a refused request found so far."""

    rejected: list[tuple[int, str]] = field(default_factory=list)
    unknown: str = ""
    foreign: bool = False
    taken: bool = False
    calls: int = 0
    status: int = 0


class InlineSender:
    """Delivers from this process's event loop.

    Args:
        endpoint: where the requests go; closed with the sender.
        limits: how fast it may go.
        clock: all waiting goes through it.
        repeats: whether a request whose answer was lost is sent again. Where it is not, its answer is `unknown`,
            nothing more leaves until the destination has answered what costs nothing, and requests that did not arrive
            get an answer as well (`Answer.withheld`), so that each request has one.
    """

    def __init__(
        self, endpoint: Endpoint, *, limits: SenderLimits, clock: Clock | None = None, repeats: bool = True
    ) -> None:
        self._endpoint = endpoint
        self._repeats = repeats
        self._clock = clock or SystemClock()
        self._connections = limits.connections
        self._pacer = Pacer(requests=limits.requests, window_seconds=limits.window_seconds, clock=self._clock)
        self._breaker = Breaker(clock=self._clock)
        self._patience = Patience(endpoint.title, self._clock)
        self._trust = Trust(endpoint.ask, endpoint.title, repeats=repeats)
        self._refused = RefusedAlike(endpoint.title)
        self._halving = asyncio.Lock()
        self._allowed_until = math.inf
        self._stopped = False

    def ask_first(self) -> None:
        """As `Sender.ask_first`."""
        self._trust.ask_first()

    def allow_until(self, uptime: float) -> None:
        """As `Sender.allow_until`."""
        self._allowed_until = uptime

    def take_share(self, share: float) -> None:
        """As `Sender.take_share`."""
        self._pacer.take_share(share)

    def stop(self) -> None:
        """As `Sender.stop`."""
        self._stopped = True

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
        """Deliver one request, halving it where it is refused whole.

        Raises:
            CallError, ConfigurationError: nothing of it was taken; where lost answers are not repeated, the answer
                says so instead.
        """
        try:
            return await self._delivered(request)
        except (CallError, ConfigurationError) as error:
            if self._repeats:
                raise
            status = getattr(error, "status", None) or 0
            return Answer(request.number, request.start, request.count, status, withheld=failure_of(error))

    async def _delivered(self, request: Request) -> Answer:
        with self._refused.under_way():
            try:
                answer, calls = await self._attempt(request)
            except PermanentError as error:
                return await self._find_refused(request, error)
            return self._read(request, answer, calls)

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
            attempt += 1
            answer, waited = await self._try(request, deadline - monotonic())
            deadline += waited
            if not isinstance(answer, TransientError):
                return answer, attempt
            failure = answer
            if failure.rate_limited:
                self._patience.refused(failure)
                wait = self._pacer.refused(failure.retry_after, _announced(getattr(failure, "rate", None)))
                deadline += wait
            else:
                self._pacer.failed()
                self._breaker.failed()
                wait = announced_wait(failure, attempt)
                if monotonic() + wait > deadline:
                    raise failure
            if wait:
                await self._clock.sleep(wait)

    async def _try(self, request: Request, seconds: float) -> tuple[Taken | TransientError, float]:
        """One try: the answer, or how it failed; and the seconds it waited for its turn, which are not its own."""
        before = self._clock.monotonic()
        alone = await self._trust.admit()
        left = False
        try:
            await self._admit()
            waited = self._clock.monotonic() - before
            await self._trust.first()
            left = True
            answer = await self._endpoint.deliver(request, seconds=seconds)
        except TransientError as error:
            if self._repeats or not left or not _may_have_arrived(error):
                return error, waited
            self._pacer.failed()
            self._breaker.failed()
            self._trust.lost(str(error), alone=alone)
            return Taken(error.status or 0, (), RateLimit(), doubt=str(error), lost=True), waited
        except PermanentError:
            self._pacer.failed()
            self._patience.accepted()
            self._breaker.succeeded()
            raise
        finally:
            if alone:
                self._trust.release()
        self._patience.accepted()
        self._breaker.succeeded()
        self._pacer.observe(_announced(answer.rate))
        if answer.doubt:
            self._trust.doubted(answer.doubt)
        else:
            self._trust.heard()
            self._refused.taken()
        return answer, waited

    async def _admit(self) -> None:
        """Wait for a place within the limit, and for the lease.

        Raises:
            StoppedError: the limit is used up for longer than a run waits, or nothing more may leave.
        """
        self._patience.check(0.0, self._pacer.closed_seconds)
        await self._pacer.admit()
        await self._allowed()
        if self._stopped:
            self._pacer.failed()
            raise StoppedError("nothing more is sent: the run is to end")

    async def _allowed(self) -> None:
        """Wait until the lease is known to hold; who learns that it does not ends the run, and this with it."""
        while uptime_seconds() >= self._allowed_until:  # noqa: ASYNC110 - also in a child, where no event comes
            await asyncio.sleep(_LEASE_LOOK_SECONDS)  # the lease goes by the machine's time, never by a virtual one

    async def _find_refused(self, request: Request, error: PermanentError) -> Answer:
        """Halve a refused request until each refused object stands alone.

        Raises:
            ConfigurationError: so many objects are refused alike that it is not the rows.
        """
        found = _Found(calls=1, status=error.status or 0)
        async with self._halving:  # one at a time: where everything is refused, two requests tell
            try:
                await self._halve(request, error, found)
            except (CallError, ConfigurationError) as failed:
                if self._repeats or not found.taken:
                    raise
                found.unknown = str(failed)  # a part of it was taken: which one, an answer cannot say
        self._refused.add([reason for _, reason in found.rejected], request.count)
        await self._refused.settled()
        return Answer(
            request.number,
            request.start,
            request.count,
            found.status,
            tuple(found.rejected),
            found.unknown,
            found.foreign,
            found.calls,
        )

    async def _halve(self, request: Request, error: PermanentError, found: _Found) -> None:
        named = self._endpoint.named(request, error) or ({0: self._endpoint.words(error)} if request.count == 1 else {})
        found.rejected += [(request.place(index), f"{error.status}: {words}") for index, words in named.items()]
        if named:
            others = [index for index in range(request.count) if index not in named]
            parts = [request.part(others)] if others else []
        else:
            parts = list(request.halves())
        for part in parts:
            try:
                answer, calls = await self._attempt(part)
            except PermanentError as smaller:
                found.calls += 1
                await self._halve(part, smaller, found)
            else:
                read = self._read(part, answer, calls)
                found.rejected.extend(read.rejected)
                found.unknown = found.unknown or read.unknown
                found.foreign |= read.foreign
                found.taken |= read.count > len(read.rejected)
                found.calls += calls
                found.status = answer.status

    def _read(self, request: Request, answer: Taken, calls: int) -> Answer:
        """Lead `errors[].index` back to the objects; a 2xx can hold refused ones."""
        rejected: dict[int, str] = {}
        unknown = answer.doubt or answer.unsettled
        for error in answer.errors:
            if (
                error.index is None
                or not 0 <= error.index < request.count
                or error.input_array not in {None, request.envelope.array}
            ):
                unknown = f"{self._endpoint.title} named an error without saying for which object of the request"
            else:
                place = request.place(error.index)
                rejected[place] = f"{rejected[place]}, {error.type}" if place in rejected else error.type
        return Answer(
            request.number,
            request.start,
            request.count,
            answer.status,
            tuple(rejected.items()),
            unknown,
            bool(answer.doubt) and not answer.lost,
            calls,
            answer.notes,
            tuple((request.place(index), number) for index, number in answer.ids),
            tuple((request.place(index), name, mark) for index, name, mark in answer.marks),
        )


async def _next(requests: AsyncIterator[Request], turn: asyncio.Lock) -> Request | None:
    """The next request, None after the last; an asynchronous generator gives one at a time."""
    async with turn:
        return await anext(requests, None)


def _may_have_arrived(error: TransientError) -> bool:
    """Whether a request that failed so may have been taken: it left, and no answer says that it was not.

    Who is asked to come later (429) is turned away before the body is looked at; a server may fail after that.
    """
    return not error.rate_limited and (error.ambiguous or error.status is not None)


def _announced(rate: RateLimit | None) -> Announced:
    return Announced() if rate is None else Announced(rate.limit, rate.remaining, rate.reset_seconds)
