"""What is promised of whatever comes from outside, and whether an input broke it."""

import base64
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import caspio_sync
from caspio_sync.errors import CaspioSyncError, UnexpectedError
from tests.virtual_clock import VirtualClock

SOURCE = str(Path(caspio_sync.__file__).parent)
# What only an input that hangs takes: of the processor, whatever else the machine does, and by the clock.
CPU_SECONDS, CLOCK_SECONDS = 10.0, 120.0
_PART_OF_SECRET = 10  # characters of a secret in a row that give it away, however it was cut


class BrokenPromiseError(Exception):
    """An answer that no exception tells of: a row without verdict, a status that is never right."""


class HangError(Exception):
    """An input that does not come to an end."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that takes what comes from outside.

    Args:
        name: of its folder below `found`.
        run: takes one input, any bytes at all; gives every text that a person, a log or the ledger gets to see of it.
        seeds: inputs to begin with.
        words: what inputs of this kind are made of, to be put anywhere.
        secrets: which no text may hold, in any form.
    """

    name: str
    run: Callable[[bytes], Iterable[str]]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A promise that an input broke.

    Args:
        what: the same for all inputs that break it in the same way, without line numbers.
        told: more of it, for the report.
    """

    what: str
    told: str


class BoundedClock(VirtualClock):
    """A virtual clock that nobody may wait on for more than `most` seconds in all."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self._most = most

    async def sleep(self, seconds: float) -> None:
        if self.monotonic() + seconds > self._most:
            raise HangError(f"waits for more than {self._most:.0f} s")
        await super().sleep(seconds)


def judge(target: Target, data: bytes) -> Fault | None:
    """What an input breaks, None where it is taken or refused as it should be."""
    try:
        with _at_most(CPU_SECONDS, CLOCK_SECONDS):
            texts = list(target.run(data))
    except UnexpectedError as error:
        return Fault(f"a bug of caspio-sync {_place(error)}", str(error))
    except CaspioSyncError as error:
        texts = [str(error)]
    except BrokenPromiseError as error:
        return Fault(str(error), "")
    except HangError as error:
        return Fault(f"hangs: {error}", "")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # panics of polars are no Exception
        told = "".join(traceback.format_exception_only(error)).strip()
        return Fault(f"{type(error).__name__} {_place(error)}", told[:500])
    shown = "\n".join(texts)
    return Fault("a secret in a text", "") if any(holds(secret, shown) for secret in target.secrets) else None


def holds(secret: str, text: str) -> bool:
    """Whether a text gives a secret away."""
    return any(part in text for part in _parts(secret))


def _parts(secret: str) -> Iterator[str]:
    """All that would give a secret away: any stretch of it, and of its usual forms."""
    for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")):
        for start in range(len(form) - _PART_OF_SECRET + 1):
            yield form[start : start + _PART_OF_SECRET]


def _place(error: BaseException) -> str:
    """The innermost of our own functions that an error passed, as `file.py function`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(SOURCE)]
    return f"in {Path(frames[-1].filename).name} {frames[-1].name}" if frames else "outside of caspio-sync"


@contextmanager
def _at_most(cpu: float, clock: float) -> Iterator[None]:
    def stop(_number: int, _frame: Any) -> None:
        raise HangError(f"takes more than {cpu:.0f} s of the processor, or {clock:.0f} s by the clock")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, cpu), (signal.ITIMER_REAL, signal.SIGALRM, clock))
    before = [signal.signal(number, stop) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for (_, number, _), handler in zip(timers, before, strict=True):
            signal.signal(number, handler)
