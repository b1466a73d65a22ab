"""The sender under limits that change and are shared, simulated with the emulator's own rate windows (Braze, 2.1, 2.2)."""

import asyncio
import copy
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from caspio_sync.delivery.requests import Request
from caspio_sync.delivery.sender import InlineSender, SenderLimits
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.requests import TRACK
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.rate import TrackLimit
from caspio_sync.wire.http import RateLimit, UnavailableError, rate_limit, retry_after
from caspio_sync.wire.taken import Taken

WINDOW = 3.0
# Not on a boundary of any window.
START = datetime(2026, 3, 2, 12, 0, 1, 300_000, tzinfo=UTC)


class _NoWaiting(selectors.SelectSelector):
    """Never waits, nor looks for what could come from outside; says by how much the loop may move its time."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.passed += max(0.0, timeout or 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing to do."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)

    def time(self) -> float:
        return self._no_waiting.passed


class LoopClock:
    """The loop's time as the sender's clock: tens of thousands of requests in flight cost no more than themselves."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class Workspace:
    """Braze's rate window on `/users/track` behind a line with some delay, and what it let in and refused.

    Args:
        latency: seconds there and back.
        date_header: whether answers tell the server's time, in whole seconds as HTTP does.
        behaviour: the contract.
    """

    def __init__(self, *, latency: float = 0.05, date_header: bool = True, **behaviour: Any) -> None:
        self.clock = LoopClock()
        self.behaviour = BrazeBehaviour(**behaviour)
        self.limit = TrackLimit(self.behaviour)
        self.allowed: list[tuple[float, bool]] = []  # ours
        self.others_refused = self.others_let_in = 0
        self.refused_at_random = 0.0  # whatever the window says
        self.random_wait: float | None = None
        self._latency = latency
        self._date_header = date_header
        self._jitter = random.Random(7)

    def another(self) -> "Workspace":
        """The same rate window as another process sees it."""
        other = copy.copy(self)
        other.allowed = []
        return other

    @property
    def connections_allow(self) -> float:
        """Requests a second that 64 connections can make."""
        return 64 / self._latency

    def change(self, burst_limit: int) -> None:
        """The workspace's limit is another from now on; what the window has counted stays."""
        for window in self.limit.windows:
            if window.seconds == self.behaviour.burst_seconds:
                window.limit = burst_limit

    def admitted(self) -> tuple[bool, httpx.Headers]:
        now = self.clock.now()
        admission = self.limit.admit(now.timestamp())
        headers = httpx.Headers(admission.headers)
        if self._date_header:
            headers["date"] = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return admission.admitted, headers

    async def track(self, _body: bytes, **_: Any) -> Taken:
        """What `BrazeClient.track` makes of the emulator's headers."""
        half = self._latency * self._jitter.uniform(0.35, 0.65)
        await asyncio.sleep(half)
        if self._jitter.random() < self.refused_at_random:
            await asyncio.sleep(self._latency - half)
            self.allowed.append((self.clock.monotonic(), False))
            raise UnavailableError("429", status=429, retry_after=self.random_wait, rate=RateLimit())
        admitted, headers = self.admitted()
        self.allowed.append((self.clock.monotonic(), admitted))
        await asyncio.sleep(self._latency - half)
        now = self.clock.now()
        rate = rate_limit(headers, now=now)
        if admitted:
            return Taken(201, (), rate)
        raise UnavailableError("429", status=429, retry_after=retry_after(headers, status=429, now=now), rate=rate)

    async def someone_else(self, per_second: float, *, until: float, evenly: bool = True) -> None:
        """Another process on the workspace, which sends whatever the answers say."""
        while self.clock.monotonic() < until:
            pause = 1 / per_second if evenly else self._jitter.expovariate(per_second)
            await asyncio.sleep(pause)
            admitted, _ = self.admitted()
            self.others_let_in += admitted
            self.others_refused += not admitted

    def rate(self, start: float, end: float) -> float:
        """Requests of ours let in a second."""
        return sum(admitted for at, admitted in self.allowed if start <= at < end) / (end - start)

    def refused(self, start: float = 0.0, end: float = 1e9) -> int:
        """Refusals of ours."""
        return sum(not admitted for at, admitted in self.allowed if start <= at < end)

    def refused_share(self, start: float, end: float) -> float:
        """Share of our requests that were refused."""
        asked = sum(start <= at < end for at, _ in self.allowed)
        return self.refused(start, end) / asked


def simulate(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())


async def so_many(count: int) -> AsyncIterator[Request]:
    for number in range(count):
        yield Request(number, 0, 75, b"{}", TRACK)


async def send_until(workspace: Workspace, end: float, *, configured: int = 3000) -> None:
    """A sender that always has something to send, until `end`."""
    sender = InlineSender(
        TrackEndpoint(workspace),  # type: ignore[arg-type]
        limits=SenderLimits(connections=64, requests=configured, window_seconds=3.0),
        clock=workspace.clock,
    )

    async def requests() -> AsyncIterator[Request]:
        number = 0
        while workspace.clock.monotonic() < end:
            number += 1
            yield Request(number, 0, 75, b"{}", TRACK)

    async for _ in sender.send(requests()):
        pass


# The forms of section 2.2 that tell limit, remaining and reset; and a rolling burst window, which the pages leave open.
TOLD: dict[str, dict[str, Any]] = {
    "epoch": {"rate": "data_points"},
    "seconds": {"rate": "data_points", "rate_headers": "seconds", "refusal": "retry-after"},
    "no Date header": {"rate": "data_points", "date_header": False},
    "a bare 429": {"rate": "data_points", "refusal": "absent"},
    "rolling": {"rate": "data_points", "burst_window": "rolling"},
    "far away": {"rate": "data_points", "latency": 0.2},
    "rolling, far away": {"rate": "data_points", "burst_window": "rolling", "latency": 0.2},
}
# On MAU contracts the answers tell the hourly pool, and nothing of the burst window.
UNTOLD: dict[str, dict[str, Any]] = {
    "mau": {"rate": "mau"},
    "no headers": {"rate": "data_points", "rate_headers": "absent", "refusal": "retry-after"},
}


@pytest.mark.parametrize("contract", TOLD)
def test_after_a_drop_to_a_tenth_it_settles_within_ten_seconds_and_rises_again(contract: str) -> None:
    async def scenario() -> None:
        workspace = Workspace(**TOLD[contract], burst_limit=3000)
        sending = asyncio.create_task(send_until(workspace, 38))
        await asyncio.sleep(6)
        workspace.change(300)
        await asyncio.sleep(24)
        workspace.change(3000)
        await sending
        full = min(1000.0, workspace.connections_allow)
        assert workspace.rate(3, 6) >= 0.95 * full
        assert workspace.refused(0, 6) == 0
        # At the moment of the drop 64 may be in flight, and as many leave before the first refusal is heard.
        assert workspace.refused(6, 16) <= 128
        assert workspace.rate(16, 30) >= 0.95 * 100
        assert workspace.refused(16, 30) == 0
        assert workspace.rate(34, 38) >= 0.95 * full
        assert workspace.refused(30, 38) == 0

    simulate(scenario)


@pytest.mark.parametrize("contract", UNTOLD)
def test_a_limit_that_no_answer_tells_is_learned_from_refusals_and_felt_for_again(contract: str) -> None:
    async def scenario() -> None:
        workspace = Workspace(**UNTOLD[contract], burst_limit=3000)
        sending = asyncio.create_task(send_until(workspace, 170))
        await asyncio.sleep(4)
        workspace.change(300)
        await asyncio.sleep(110)
        workspace.change(1500)
        await sending
        assert workspace.refused(0, 4) == 0
        assert workspace.refused(4, 14) <= 128
        assert workspace.rate(14, 114) >= 0.9 * 100
        assert workspace.refused_share(14, 114) < 0.001
        assert workspace.rate(160, 170) >= 0.8 * 500

    simulate(scenario)


def test_feeling_for_a_limit_that_has_not_changed_costs_less_than_one_refusal_in_a_thousand() -> None:
    async def scenario() -> None:
        workspace = Workspace(**UNTOLD["mau"], burst_limit=150)
        await send_until(workspace, 600, configured=600)
        assert workspace.rate(20, 600) >= 0.9 * 50
        assert workspace.refused_share(20, 600) < 0.001

    simulate(scenario)


@pytest.mark.parametrize("contract", TOLD)
def test_what_someone_else_uses_is_left_to_them_and_taken_back_when_they_are_gone(contract: str) -> None:
    async def scenario() -> None:
        workspace = Workspace(**TOLD[contract], burst_limit=600)
        sending = asyncio.create_task(send_until(workspace, 115))
        await asyncio.sleep(10)
        await workspace.someone_else(100, until=70)
        await sending
        # Two processes at a rolling window's very edge, 0.2 s away, see each other later than the window moves.
        assert workspace.rate(40, 70) >= (0.92 if "rolling" in contract else 0.95) * 100
        assert workspace.refused_share(40, 70) < 0.001
        assert workspace.others_refused / workspace.others_let_in < 0.05  # while we made room
        assert workspace.rate(100, 115) >= 0.95 * 200
        assert workspace.refused(70, 115) == 0

    simulate(scenario)


def test_someone_who_sends_at_random_is_left_room_as_well() -> None:
    async def scenario() -> None:
        workspace = Workspace(burst_limit=600)
        sending = asyncio.create_task(send_until(workspace, 120))
        await asyncio.sleep(10)
        await workspace.someone_else(100, until=120, evenly=False)
        await sending
        assert workspace.rate(20, 120) >= 0.85 * 100
        assert workspace.refused_share(20, 120) < 0.01

    simulate(scenario)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_of_our_own_processes_share_the_workspace(processes: int) -> None:
    async def scenario() -> None:
        workspace = Workspace(burst_limit=600)
        senders = [workspace.another() for _ in range(processes)]
        await asyncio.gather(*(send_until(each, 90) for each in senders))
        rates = [each.rate(20, 90) for each in senders]
        assert sum(rates) >= 0.95 * 200
        assert min(rates) >= 0.25 * max(rates)
        assert max(each.refused_share(20, 90) for each in senders) < 0.01

    simulate(scenario)


# A rolling window that is used to its limit tells of no room, so that nothing contradicts a refusal there.
@pytest.mark.parametrize(
    ("contract", "wait", "least"),
    [("epoch", None, 0.6), ("seconds", 1.0, 0.6), ("a bare 429", 3.0, 0.6), ("no Date header", None, 0.35)],
)
def test_refusals_that_the_announced_room_contradicts_teach_their_wait_alone(
    contract: str, wait: float | None, least: float
) -> None:
    async def scenario() -> None:
        workspace = Workspace(**TOLD[contract], burst_limit=300)
        workspace.refused_at_random, workspace.random_wait = 0.15, wait
        await send_until(workspace, 50)
        assert workspace.rate(20, 50) >= least * 100

    simulate(scenario)


def test_a_drop_told_at_any_moment_of_a_window_settles() -> None:
    async def scenario(at: float) -> None:
        workspace = Workspace(burst_limit=900)
        sending = asyncio.create_task(send_until(workspace, 30, configured=900))
        await asyncio.sleep(at)
        workspace.change(90)
        await sending
        assert workspace.rate(at + 10, 30) >= 0.95 * 30, at
        assert workspace.refused(at + 10, 30) == 0, at

    for tenth in range(0, 30, 4):
        simulate(lambda at=6 + tenth / 10: scenario(at))  # type: ignore[misc]


def test_pauses_between_batches_are_not_taken_for_somebody_else() -> None:
    async def scenario() -> None:
        workspace = Workspace(burst_limit=600)
        sender = InlineSender(
            TrackEndpoint(workspace),  # type: ignore[arg-type]
            limits=SenderLimits(connections=64, requests=600, window_seconds=3.0),
            clock=workspace.clock,
        )
        pauses, sent, sending = random.Random(3), 0, 0.0
        for _ in range(40):
            started, size = workspace.clock.monotonic(), pauses.randrange(50, 900)
            async for _answer in sender.send(so_many(size)):
                pass
            sending += workspace.clock.monotonic() - started
            sent += size
            await asyncio.sleep(pauses.uniform(0.0, 8.0))
        assert workspace.refused() == 0
        assert sent / sending >= 0.9 * 200

    simulate(scenario)
