"""Rolling windows: never more than so many calls within so many seconds."""

import asyncio
import heapq
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from caspio_sync.clock import Clock
from caspio_sync.errors import StoppedError, TransientError

# Less than this is rounding: a wait of 1e-16 s would never end on a clock of floats.
_RESOLUTION_SECONDS = 1e-6
_ANSWERS = 50  # of a kind, of which the quickest tells what every call spends on its way
_FEWEST_ANSWERS = 4  # before that anything may be luck
_SURE = 0.98
_DOUBT_SECONDS = 300.0
PATIENCE_SECONDS = 300.0  # of nothing but refusals; a run that waits longer holds its lease and tells nobody


class Quota(Protocol):
    """A budget of calls that outlives the process."""

    async def admit(self) -> None:
        """Wait until one more call is within it, and count the call."""


class Patience:
    """Ends the waiting for a side that refuses for being asked too often (429), and nothing else.

    Args:
        side: who refuses, in the words of an error.
        clock: what the minutes go by.
    """

    def __init__(self, side: str, clock: Clock) -> None:
        self._side = side
        self._clock = clock
        self._since: float | None = None

    def accepted(self) -> None:
        """A call was not refused: the minutes begin anew."""
        self._since = None

    def refused(self, error: TransientError) -> None:
        """Count a refusal.

        Raises:
            StoppedError: for five minutes there was nothing else, or the wait asked for ends after them.
        """
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        self.check(now - self._since, error.retry_after or 0.0)

    def check(self, waited: float, asked: float) -> None:
        """As `refused`, for seconds waited and a wait asked for."""
        if waited + asked <= PATIENCE_SECONDS and waited < PATIENCE_SECONDS:
            return
        wait = f"it asks to come again in {asked:,.0f} s" if asked else "it does not say when to come again"
        since = f" for {waited:,.0f} s" if waited else ""
        raise StoppedError(
            f"{self._side} refuses every call{since} for being asked too often (429), and {wait}. The run ends here "
            "instead of waiting; what was done is recorded, and the next run goes on from there. If it stays so, look "
            "who else uses the limit",
            status=HTTPStatus.TOO_MANY_REQUESTS,
        )


class RollingWindow:
    """At most `calls` calls within any `seconds` seconds, by the other side's clock as well.

    A call counts from its departure until `seconds` after its answer: it arrived somewhere in between, so that no delay
    on the way can push two windows' calls into one. What is certain about the way is taken off (`release`).
    """

    def __init__(self, calls: int, seconds: float) -> None:
        self._seconds = self._whole_seconds = seconds
        self._calls = self._whole_calls = calls
        self._in_flight = 0
        self._latest: list[float] = []  # a heap: when each answered call can have arrived at the latest

    @classmethod
    def per_second(cls, rate: float) -> "RollingWindow":
        """A window for a rate, which may be below one call a second."""
        calls = max(1, int(rate))
        return cls(calls, calls / rate)

    def take_share(self, share: float) -> None:
        """From now on allow this part of the calls, above 0; below one call the window grows instead."""
        self._calls = max(1, int(self._whole_calls * share))
        self._seconds = self._whole_seconds * max(1.0, self._calls / (self._whole_calls * share))

    def wait(self, now: float) -> float:
        """Seconds until the next call fits; infinite where an answer has to come first."""
        while self._latest and self._latest[0] + self._seconds <= now + _RESOLUTION_SECONDS:
            heapq.heappop(self._latest)
        if self._in_flight + len(self._latest) < self._calls:
            return 0.0
        return self._latest[0] + self._seconds - now if self._latest else math.inf

    def take(self) -> None:
        """A call leaves."""
        self._in_flight += 1

    def release(self, latest: float) -> None:
        """Its answer has come, or never will; it arrived at `latest` at the latest.

        Only differences between arrivals matter, so that all calls may be counted earlier by the same time. Whoever
        knows that each is on its way there for at least u seconds, and on its way back for at least d, may give its
        answer's time less u + d: arrivals less u lie between departures and that.
        """
        self._in_flight -= 1
        heapq.heappush(self._latest, latest)


class WayTimes:
    """What each call of a kind surely spends on the way, there and back together, by what its answers took.

    That is the least of what the last answers took, a fiftieth left out for what varies. It is no proof: a call that
    was quick on its way there may have been slow on its way back whenever it was measured. So a refusal (429) ends the
    belief for five minutes, in which calls count until their answers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_ANSWERS))
        self._doubted_until = -math.inf

    def refused(self) -> None:
        """A call was one too many."""
        self._doubted_until = self._clock.monotonic() + _DOUBT_SECONDS

    def of(self, kind: str, seconds: float) -> float:
        """What may be taken off a call whose answer took so long; 0 while too few of its kind were seen."""
        seen = self._seconds[kind]
        seen.append(seconds)
        if len(seen) < _FEWEST_ANSWERS or self._clock.monotonic() < self._doubted_until:
            return 0.0
        return min(seen) * _SURE


class Pace:
    """Admits calls in the order in which they ask, as fast as every window allows; each is to be `answered`."""

    def __init__(self, windows: Sequence[RollingWindow], clock: Clock) -> None:
        self._windows = windows
        self._clock = clock
        self._way = WayTimes(clock)
        self._turn = asyncio.Lock()
        self._answer = asyncio.Event()
        self._granted = asyncio.Event()
        self._granted.set()

    def take_share(self, share: float) -> None:
        """From now on admit this part of the calls that the windows allow; none at all while it is 0."""
        if share <= 0:
            self._granted.clear()
            return
        for window in self._windows:
            window.take_share(share)
        self._granted.set()

    async def admit(self) -> float:
        """Wait for a place in every window, and take it; when that was, by the monotonic clock."""
        if not self._windows:
            return self._clock.monotonic()
        async with self._turn:
            await self._granted.wait()
            while wait := max(window.wait(self._clock.monotonic()) for window in self._windows):
                if wait == math.inf:
                    self._answer.clear()
                    await self._answer.wait()
                else:
                    await self._clock.sleep(wait)
            for window in self._windows:
                window.take()
            return self._clock.monotonic()

    def answered(self, admitted: float, kind: str) -> None:
        """A call has its answer.

        Args:
            admitted: as `admit` gave it.
            kind: what it was for: calls of a kind take about as long on their way.
        """
        now = self._clock.monotonic()
        self._release(now - self._way.of(kind, now - admitted))

    def failed(self) -> None:
        """An admitted call has no answer, and will have none."""
        self._release(self._clock.monotonic())

    def refused(self) -> None:
        """The other side calls one of them one too many."""
        self._way.refused()

    def _release(self, latest: float) -> None:
        for window in self._windows:
            window.release(latest)
        self._answer.set()
