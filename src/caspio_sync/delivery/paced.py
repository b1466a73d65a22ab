"""Calls to an endpoint with a limit of its own: paced by it, and by what the answers announce."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from caspio_sync.clock import Clock
from caspio_sync.delivery.pacing import Announced, Pacer, announced_wait
from caspio_sync.errors import PermanentError, TransientError
from caspio_sync.wire.http import RateLimit, RefusedError
from caspio_sync.wire.pacing import Patience

_TRIES = 6  # half a minute of trouble; what lasts longer ends the command, which goes on where it stopped


class Answered(Protocol):
    """An answer that tells its rate window."""

    @property
    def rate(self) -> RateLimit:
        """What the headers said."""


A = TypeVar("A", bound=Answered)
T = TypeVar("T")


class PacedCalls:
    """Asks one endpoint again and again, many calls at a time, never faster than it allows.

    Args:
        title: of whom it asks, for people.
        limit: requests, and the seconds of their window; followed from then on as the answers announce.
        clock: all waiting goes through it.
    """

    def __init__(self, title: str, limit: tuple[int, float], clock: Clock) -> None:
        requests, seconds = limit
        self._pacer = Pacer(requests=requests, window_seconds=seconds, clock=clock)
        self._clock = clock
        self._patience = Patience(title, clock)
        self.requests = 0

    def take_share(self, share: float) -> None:
        """From now on use this part of the limit at most, nothing while it is 0."""
        self._pacer.take_share(share)

    async def ask(self, call: Callable[[], Awaitable[A]]) -> A:
        """The answer of `call`, made when its turn has come, and again where that may help.

        Raises:
            TransientError: it kept failing.
            StoppedError: it was refused for being asked too often, for five minutes.
            PermanentError, ConfigurationError: as `call` does.
        """
        failures = 0
        while True:
            await self._pacer.admit()
            self.requests += 1
            try:
                answer = await call()
            except TransientError as error:
                if error.rate_limited:  # it says when to come again: no failure
                    self._patience.refused(error)
                    told = getattr(error, "rate", None)
                    await self._clock.sleep(self._pacer.refused(error.retry_after, _announced(told)))
                    continue
                self._pacer.failed()
                failures += 1
                if failures == _TRIES:
                    raise
                await self._clock.sleep(announced_wait(error, failures))
            except PermanentError:
                self._pacer.failed()
                raise
            else:
                self._patience.accepted()
                self._pacer.observe(_announced(answer.rate))
                return answer

    async def ask_for(
        self, things: Sequence[T], call: Callable[[Sequence[T]], Awaitable[A]]
    ) -> tuple[list[tuple[Sequence[T], A]], list[tuple[T, RefusedError]]]:
        """As `ask`, for several things in one call; where it is refused, halved until what is refused stands alone.

        Returns:
            The answers, each with the things it is about; and what is refused.

        Raises:
            As `ask`; a refusal alone is not raised.
        """
        try:
            return [(things, await self.ask(lambda: call(things)))], []
        except RefusedError as refused:
            if len(things) == 1:
                return [], [(things[0], refused)]
        middle = len(things) // 2
        halves = [await self.ask_for(half, call) for half in (things[:middle], things[middle:])]
        return [each for answers, _ in halves for each in answers], [each for _, refused in halves for each in refused]


def _announced(rate: RateLimit | None) -> Announced:
    return Announced() if rate is None else Announced(rate.limit, rate.remaining, rate.reset_seconds)
