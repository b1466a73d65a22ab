"""The loop: change an input, run it, keep it where it reached a branch that none had reached before."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzz.branches import Branch, Branches
from tests.fuzz.judging import Fault, Target, judge
from tests.fuzz.mutations import mutate

MAX_BYTES = 20_000
_SMALLER_TRIES = 300
_SMALLER_SECONDS = 5.0


@dataclass(slots=True)
class Report:
    """What a fuzz of one target came to; `found` by what was broken: the fault and its smallest input."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    branches: int = 0
    corpus: int = 0
    found: dict[str, tuple[Fault, bytes]] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For people."""
        rate = self.inputs / self.seconds if self.seconds else 0.0
        return (
            f"{self.target:<16} {self.inputs:>8} inputs {rate:>7.0f}/s {self.branches:>6} branches reached "
            f"{self.corpus:>5} inputs kept {len(self.found):>3} faults"
        )


class Fuzzer:
    """Fuzzes one target; the same seed plays the same inputs in the same order.

    Args:
        target: what is tried.
        seed: of all dice.
        known: inputs beside the target's seeds that were found before, as small as they get.
    """

    def __init__(self, target: Target, seed: int, known: tuple[bytes, ...] = ()) -> None:
        self._target = target
        self._dice = random.Random(f"{seed}:{target.name}")
        self._known = known
        self._corpus: list[bytes] = []
        self._seen: set[Branch] = set()
        self.report = Report(target.name)

    def run(self, *, seconds: float = float("inf"), inputs: int | None = None) -> Report:
        """Play inputs until the time or their number is used up; the seeds are played in any case."""
        start = time.perf_counter()
        for data in (*self._known, *self._target.seeds):
            self._play(data)
        while time.perf_counter() - start < seconds and (inputs is None or self.report.inputs < inputs):
            self._play(self._next())
        self.report.seconds = time.perf_counter() - start
        self.report.branches, self.report.corpus = len(self._seen), len(self._corpus)
        return self.report

    def _next(self) -> bytes:
        # What reached something new lately leads further more often than what was there from the start.
        late = self._corpus[-max(10, len(self._corpus) // 5) :]
        parent = self._dice.choice(late if self._dice.random() < 0.5 else self._corpus)
        return mutate(self._dice, parent, self._corpus, self._target.words)[:MAX_BYTES]

    def _play(self, data: bytes) -> None:
        self.report.inputs += 1
        with Branches() as branches:
            fault = judge(self._target, data)
        if branches.reached - self._seen or not self._corpus:
            self._seen |= branches.reached
            self._corpus.append(data)
        if fault is not None and fault.what not in self.report.found:
            self.report.found[fault.what] = (fault, data if data in self._known else self._smallest(fault, data))

    def _smallest(self, fault: Fault, data: bytes) -> bytes:
        def same(each: bytes) -> bool:
            found = judge(self._target, each)
            return found is not None and found.what == fault.what

        return smaller(data, same)


def smaller(data: bytes, same: Callable[[bytes], bool]) -> bytes:
    """The input without all that it breaks the promise without too: lines first, then ever smaller stretches."""
    tries, until = _SMALLER_TRIES, time.perf_counter() + _SMALLER_SECONDS
    for split in (b"\n", b""):
        parts = data.split(split) if split else [data[place : place + 1] for place in range(len(data))]
        size = max(1, len(parts) // 2)
        while tries > 0 and time.perf_counter() < until:
            place = 0
            while place < len(parts) and tries > 0 and time.perf_counter() < until:
                rest = [*parts[:place], *parts[place + size :]]
                tries -= 1
                if same(split.join(rest)):
                    parts = rest
                else:
                    place += size
            if size == 1:
                break
            size = max(1, size // 2)
        data = split.join(parts)
    return data
