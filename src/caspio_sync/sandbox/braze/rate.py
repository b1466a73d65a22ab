"""Rate windows of the emulated Braze, and the headers that tell of them (reference, section 2.2)."""

import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour

Headers = list[tuple[bytes, bytes]]
NO_WINDOW: Headers = [(b"x-ratelimit-limit", b""), (b"x-ratelimit-remaining", b""), (b"x-ratelimit-reset", b"")]


class Window:
    """A fixed window on the clock: `limit` requests in every `seconds`, counted anew at each multiple of them.

    Aligned to the epoch, so that an hour's window resets on the clock hour (Braze, API limits).
    """

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit = limit
        self.seconds = seconds
        self.used = 0
        self.ends: float = 0

    def turn(self, now: float) -> None:
        """Start a new window where the last one has ended; `now` in epoch seconds."""
        if now >= self.ends:
            self.ends = (int(now) // self.seconds + 1) * self.seconds
            self.used = 0

    def count(self, _now: float) -> None:
        """Count a request that was let in."""
        self.used += 1

    @property
    def remaining(self) -> int:
        """Requests left in the present window."""
        return max(0, self.limit - self.used)


class RollingWindow(Window):
    """At most `limit` requests within any `seconds`: the form of the burst window is not documented.

    It ends, for the headers, when its oldest request leaves it.
    """

    def __init__(self, limit: int, seconds: int) -> None:
        super().__init__(limit, seconds)
        self._times: deque[float] = deque()

    def turn(self, now: float) -> None:
        """Let go of what is older than the window."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        self.used = len(self._times)
        self.ends = (self._times[0] if self._times else now) + self.seconds

    def count(self, now: float) -> None:
        """Count a request that was let in."""
        self._times.append(now)
        self.used += 1


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request is let in, and the headers its answer carries."""

    admitted: bool
    headers: Headers


def spell(form: str, window: Window, now: float) -> Headers:
    """`X-RateLimit-*` in one of the forms seen; header names arrive in lower case."""
    if form == "absent":
        return []
    if form == "empty":
        return NO_WINDOW
    reset = math.ceil(window.ends if form == "epoch" else window.ends - now)
    return [
        (b"x-ratelimit-limit", b"%d" % window.limit),
        (b"x-ratelimit-remaining", b"%d" % window.remaining),
        (b"x-ratelimit-reset", b"%d" % reset),
    ]


def spell_refusal(form: str, window: Window, now: float) -> Headers:
    """The headers of a 429 in one of the forms seen."""
    wait = max(1, math.ceil(window.ends - now))
    if form == "x-ratelimit":
        return spell("epoch", window, now)
    if form == "x-ratelimit-retry-after":
        return [(b"x-ratelimit-retry-after", b"%d" % wait)]
    if form == "retry-after":
        return [(b"retry-after", b"%d" % wait)]
    if form == "http-date":
        instant = datetime.fromtimestamp(math.ceil(now) + wait, UTC)
        return [(b"retry-after", format_datetime(instant, usegmt=True).encode())]
    return []


class PoolLimit:
    """A pool of so many requests in so many seconds, shared by several endpoints (Braze, rate limits)."""

    def __init__(self, behaviour: BrazeBehaviour, requests: int, seconds: int) -> None:
        self.windows = [Window(requests, seconds)]
        self._unlimited = behaviour.rate == "none"
        self._form, self._refusal = "epoch", "x-ratelimit"

    def admit(self, now: float) -> Admission:
        """Count one request at `now` (epoch seconds), or refuse it."""
        if self._unlimited:
            return Admission(admitted=True, headers=[])
        for window in self.windows:
            window.turn(now)
            if window.used >= window.limit:
                return Admission(admitted=False, headers=spell_refusal(self._refusal, window, now))
        for window in self.windows:
            window.count(now)
        return Admission(admitted=True, headers=spell(self._form, self.windows[0], now))


class TrackLimit(PoolLimit):
    """The limit on `/users/track` by contract.

    Data-point contracts: 3,000 requests in 3 s, reset told as an epoch, also on a 429. MAU contracts: an hourly limit
    and a burst limit, reset told as seconds remaining, and a 429 carries only `X-Ratelimit-Retry-After`
    (Braze, POST /users/track).
    """

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        super().__init__(behaviour, behaviour.hourly_limit, 3600)
        mau = behaviour.rate == "mau"
        form = Window if behaviour.burst_window == "fixed" else RollingWindow
        burst = form(behaviour.burst_limit, behaviour.burst_seconds)
        self.windows = [*self.windows, burst] if mau else [burst]
        contract_form = "seconds" if mau else "epoch"
        contract_refusal = "x-ratelimit-retry-after" if mau else "x-ratelimit"
        self._form = contract_form if behaviour.rate_headers == "contract" else behaviour.rate_headers
        self._refusal = contract_refusal if behaviour.refusal == "contract" else behaviour.refusal
