"""When the next request may leave: paced by the limits that answers announce, held back while the other side fails."""

import asyncio
import random
from dataclasses import dataclass

from caspio_sync.clock import Clock
from caspio_sync.errors import TransientError

# Answers tell whole seconds: a reset may seem that much later than the end of its window.
_RESET_ROUNDING = 1.0
# Even spacing keeps any window below its limit; the rest is for the jitter between our clock and theirs, and for what
# may be made up for at once after a pause: together they stay below the limit.
_SHARE_OF_LIMIT = 0.97
_MADE_UP_FOR = 0.02
# What others left free is taken back by this part of it a window: several of us together overshoot by little.
_TAKEN_BACK = 0.3
_LEAST_SHARE = 0.02  # of the limit: whoever is last to come is not starved
_MUCH = 0.1  # of the limit: so much more in one window is no jitter, and is yielded to at once
_PAUSE = 0.1  # of the window: after so long without a request, the counts of a window mean nothing
_NOBODY = 0.03  # of the limit: less than this is the jitter of our own count, and fits beside what is left anyway
_NOBODY_AT_LEAST = 2.0  # requests
# A limit that no answer tells is felt for: a little lower after a refusal, higher again in doubling steps after a
# while, so that the refusals it costs stay far below one in a thousand.
_STEP_BACK = 0.95
_FELT_FOR_AFTER_SECONDS = 120.0
# Refusals that the announced room contradicts come alone; so many in a row are a limit that no answer has told yet.
_CONTRADICTIONS = 5
_FIRST_STEP = 0.02
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Announced:
    """The limits an answer announced; None for what it did not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


_NOTHING = Announced()


class Pacer:
    """Spaces requests evenly within a limit of so many in so many seconds, less what others use of it.

    The limit starts as configured and follows what answers announce: down at once, up when a second window confirms it
    (in its last seconds the window of an hourly pool looks like a burst window). What is left at the end of a window
    tells what other processes on the workspace use. Where answers announce nothing, refusals are learned from. A pool
    that is used up, and a 429, close the gate until the time the answer names.

    Args:
        requests: requests allowed in a window.
        window_seconds: length of that window.
        clock: all waiting goes through it.
    """

    def __init__(self, *, requests: int, window_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._window = window_seconds
        self._configured = requests
        self._limit = requests
        self._others = 0.0  # requests a window that are not ours to make
        # Limits of longer windows, such as the hourly pool of newer contracts (Braze, API limits).
        self._pools: set[int] = set()
        self._higher: tuple[int, float] | None = None  # a limit not confirmed yet, and when its window ends
        self._share = 1.0  # of the limit; the rest is for other processes of ours
        self._granted = asyncio.Event()
        self._granted.set()
        self._next = clock.monotonic()
        self._closed_until = 0.0
        # Whoever holds it is next, so that a limit that changes holds for all who wait.
        self._turn = asyncio.Lock()
        self._refusals = 0
        self._in_flight = 0
        self._in_a_row = 0  # refusals since a request was let in
        self._room: int | None = None  # remaining, as the last answer told it
        # What was learned since: a window's length at the most, or since the gate opened after a refusal.
        self._since = self._next
        self._reopened = False
        self._accepted = 0
        self._least: int | None = None  # remaining, at its smallest
        self._window_ends = 0.0
        self._feel_at = 0.0
        self._step = _FIRST_STEP
        self.waited_seconds = 0.0
        self.rate_limited = 0

    async def admit(self) -> None:
        """Wait until one more request may leave."""
        asked = self._clock.monotonic()
        async with self._turn:
            await self._granted.wait()
            while (now := self._clock.monotonic()) < (turn := max(self._next, self._closed_until)):
                await self._clock.sleep(turn - now)
            if asked - max(self._next, self._closed_until) > _PAUSE * self._window:
                self._start_over(now, reopened=False)
            # A pause must not turn into a burst: all but a small part of what was not used is gone.
            self._next = max(self._next, now - self._window * _MADE_UP_FOR) + self._spacing
            self.waited_seconds += now - asked
            self._in_flight += 1

    def failed(self) -> None:
        """A request that was let go has no answer, or one that says nothing of limits."""
        self._in_flight -= 1

    @property
    def closed_seconds(self) -> float:
        """Seconds until the gate opens that a used up pool, or a refusal, has closed; 0 where it is open."""
        return max(0.0, self._closed_until - self._clock.monotonic())

    def take_share(self, share: float) -> None:
        """From now on use this part of the limit at most; none at all while it is 0."""
        before = self._spacing
        self._share = share
        if share <= 0:
            self._granted.clear()
            return
        self._next += self._spacing - before
        self._granted.set()

    def observe(self, announced: Announced) -> None:
        """Follow the limits of an answer that was not refused."""
        self._in_flight -= 1
        self._refusals = self._in_a_row = 0
        now = self._clock.monotonic()
        if now >= self._since:
            self._accepted += 1
        limit, told = self._limit, self._hear(announced, now)
        if announced.limit and announced.remaining == 0 and announced.reset_seconds and self._closed_until <= now:
            if told and limit == self._limit:
                self._learn(now, told=True)
            self._close(self._until_reset(announced.reset_seconds, now) if told else announced.reset_seconds)
        elif now - self._since >= self._window:
            self._reckon(now)

    def refused(self, retry_after: float | None, announced: Announced = _NOTHING) -> float:
        """Close after a 429: for the time it names, else until the window's known end, else for a growing time.

        Where the answers around it tell of room it means itself alone: the gate stays open, and nothing is learned.

        Args:
            retry_after: seconds the answer asks to wait.
            announced: what it said of its window; answers of some contracts say nothing (Braze, POST /users/track).

        Returns:
            Seconds that the refused request has to wait by itself; 0 where it waits at the gate.
        """
        self.rate_limited += 1
        self._in_flight -= 1
        self._in_a_row += 1
        now = self._clock.monotonic()
        first = self._closed_until <= now  # else it left with those that closed the gate
        limit, told = self._limit, self._hear(announced, now)
        if first and limit == self._limit and self._has_room(now) and self._in_a_row < _CONTRADICTIONS:
            return retry_after or backoff(1)
        burst = (retry_after or 0.0) <= self._window + _RESET_ROUNDING
        # A limit that has just been lowered explains the refusal: nobody else need have used it up. And where answers
        # tell of the window, a first bare refusal may come ahead of the one that tells of a lower limit.
        answers_tell = self._window_ends > 0
        if first and burst and limit == self._limit and (told or self._reopened or not answers_tell):
            self._learn(now, told=answers_tell)
        if retry_after:
            self._close(self._until_reset(retry_after, now) if told else retry_after)
        elif first:
            self._refusals += 1
            self._close(self._until_reset(backoff(self._refusals), now))
        return 0.0

    def _has_room(self, now: float) -> bool:
        """Whether the last answer told of more room, in a window that has not ended, than what left since can fill."""
        return self._window_ends > now and self._room is not None and self._room > 2 * self._in_flight + 1

    def _hear(self, announced: Announced, now: float) -> bool:
        """Follow what an answer says; whether it spoke of the window that requests are spaced by."""
        limit, reset = announced.limit, announced.reset_seconds
        if reset is None or limit is None or limit <= 0:
            return False
        if reset > self._window + _RESET_ROUNDING:
            self._pools.add(limit)
            if self._limit == limit:  # it was taken for the burst limit in the last seconds of its window
                self._follow(self._configured)
        if limit in self._pools:
            return False
        self._hear_window(limit, announced.remaining if now >= self._since else None, now + reset)
        return True

    def _hear_window(self, limit: int, remaining: int | None, ends: float) -> None:
        # Of all answers in a window the one that names the earliest end is rounded the least.
        new_window = ends > self._window_ends + self._window / 2
        self._window_ends = ends if new_window else min(ends, self._window_ends)
        if remaining is not None:
            self._room = remaining
        if limit < self._limit:
            self._follow(limit)
        elif limit > self._limit:
            if self._higher is None or self._higher[0] != limit:
                self._higher = (limit, ends)
            elif ends > self._higher[1] + self._window / 2:
                self._follow(limit)
        elif remaining is not None:
            self._least = remaining if self._least is None else min(self._least, remaining)

    def _until_reset(self, named: float, now: float) -> float:
        """Seconds to the end of the window where answers told it, which they did more exactly than a refusal."""
        return self._window_ends - now if self._window_ends > now else named

    def _reckon(self, now: float) -> None:
        """At the end of a window: what others used of it, or whether to feel for a limit that nobody tells."""
        share = self._limit - self._others
        if self._least is not None:
            ours = self._accepted * self._window / (now - self._since)
            others = self._limit - ours - self._least
            others = 0.0 if others < max(_NOBODY * self._limit, _NOBODY_AT_LEAST) else others
            more, much = others - self._others, _MUCH * self._limit
            self._yield(self._others + more * (1.0 if more > much else _TAKEN_BACK))
        elif self._others and now >= self._feel_at:
            self._yield(self._others - self._step * share)
            self._step *= 2
        self._start_over(now, reopened=False)

    def _learn(self, now: float, *, told: bool) -> None:
        """A window was used up before its end; within one window of the gate's opening the counts tell how far."""
        since = now - self._since
        share = (self._limit - self._others) * _STEP_BACK
        if self._reopened and 0 < since <= self._window:
            if not self._accepted:
                return
            share = self._limit - (self._limit - self._accepted) * self._window / since if told else self._accepted
        self._yield(max(self._others, self._limit - share))
        self._feel_at = now + _FELT_FOR_AFTER_SECONDS
        self._step = _FIRST_STEP

    def _yield(self, others: float) -> None:
        before = self._spacing
        self._others = min(max(0.0, others), self._limit * (1 - _LEAST_SHARE))
        self._next += self._spacing - before  # the place after the last request goes by the new spacing as well

    @property
    def _spacing(self) -> float:
        # Where answers tell what others use, our own other processes are among them: not to be counted twice.
        ours = min(self._limit - self._others, self._limit * max(self._share, _LEAST_SHARE))
        return self._window / (ours * _SHARE_OF_LIMIT)

    def _follow(self, limit: int) -> None:
        before, others = self._spacing, self._others * limit / self._limit
        self._limit, self._others, self._higher = limit, others, None
        self._next += self._spacing - before
        self._start_over(self._clock.monotonic(), reopened=False)

    def _close(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        # Refusals that come together name the same end, each rounded up to a second in its own way.
        if until > self._closed_until + (_RESET_ROUNDING if self._closed_until > self._clock.monotonic() else 0.0):
            self._closed_until = until
            self._start_over(until, reopened=True)

    def _start_over(self, since: float, *, reopened: bool) -> None:
        self._since, self._reopened, self._accepted, self._least = since, reopened, 0, None


class Breaker:
    """Opens after five failures in a row; one request at a time then tries whether the other side is back.

    Args:
        clock: all waiting goes through it.
        threshold: failures in a row that open it.
    """

    def __init__(self, *, clock: Clock, threshold: int = 5) -> None:
        self._clock = clock
        self._threshold = threshold
        self._failures = 0
        self._probes = 0
        self._probe_at = 0.0

    async def admit(self) -> None:
        """Wait while it is open and another request is trying."""
        while self._failures >= self._threshold:
            now = self._clock.monotonic()
            if now >= self._probe_at:
                # By probes, not by failures: many requests in flight fail together.
                self._probes += 1
                self._probe_at = now + backoff(self._probes)
                return
            await self._clock.sleep(self._probe_at - now)

    def succeeded(self) -> None:
        """Close it: an answer came, be it a refusal."""
        self._failures = self._probes = 0

    def failed(self) -> None:
        """Count a failure: no answer, or one that says try again later."""
        self._failures += 1


def backoff(attempt: int) -> float:
    """Seconds to wait before attempt number `attempt` + 1: exponential, with full jitter above a half."""
    longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(attempt - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


def announced_wait(error: TransientError, attempt: int) -> float:
    """Seconds to wait before another attempt, as the answer asked or by backoff."""
    return error.retry_after if error.retry_after is not None else backoff(attempt)
