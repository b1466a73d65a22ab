"""Caspio's webhook as a shop hears of it: messages are lost, doubled, in no order, and come again long afterwards."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from caspio_sync.clock import Clock
from caspio_sync.hints import Hint, Hints, Message
from caspio_sync.places import inbox_url

DROPPED, DOUBLED = 0.2, 0.2


@dataclass
class Webhook:
    """Tells which rows of a sync's table have changed.

    Args:
        sync: name of the sync.
        ledger: URL; what is told waits beside it.
        home: folder of the ledger's home.
        rng: decides what is lost.
        clock: of the receiver.
    """

    sync: str
    ledger: str
    home: Path
    rng: random.Random
    clock: Clock
    _told: list[Message] = field(default_factory=list)
    _number: int = 0

    def tell(self, changed: list[int]) -> set[int]:
        """Announce rows, a message each; gives those whose message arrived."""
        arrive = [self._message(pk) for pk in changed if self.rng.random() >= DROPPED]
        self._told += arrive
        again = [each for each in self._told if self.rng.random() < DOUBLED]
        self._deliver([*arrive, *again])
        return {each.hints[0].source_pk for each in arrive}

    def tell_again(self, pks: list[int]) -> None:
        """Every message once more, under its id and under a new one."""
        self._deliver([*self._told, *(self._message(pk) for pk in pks)])

    def waiting(self) -> int:
        with self._hints() as hints:
            return hints.count_waiting(self.sync)[0]

    def _message(self, pk: int) -> Message:
        self._number += 1
        return Message(self.sync, f"m{self._number}", (Hint(pk, "update", None),), "kept")

    def _deliver(self, messages: list[Message]) -> None:
        self.rng.shuffle(messages)
        with self._hints() as hints:
            for start in range(0, len(messages), 5):  # several messages a commit, as the receiver writes them
                hints.add(messages[start : start + 5])

    def _hints(self) -> Hints:
        return Hints.open(inbox_url(self.home, self.ledger), clock=self.clock)
