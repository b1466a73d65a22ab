"""A small shop that is edited at random: its rows as they are, and every version any of them ever had."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox

Row = dict[str, Any]


@dataclass(frozen=True)
class Edited:
    """A row as it was after an edit: its number among all edits of the shop, the step it fell into, and when."""

    number: int
    step: int
    at: float
    row: Row


class Shop:
    """Both accounts, and one table of the shop's.

    Args:
        rng: decides everything.
        clock: of both accounts.
        braze: how Braze behaves.
    """

    TABLE: ClassVar[str]
    FIELDS: ClassVar[list[Row]]
    KEY: ClassVar[str]

    def __init__(self, rng: random.Random, clock: Any, braze: BrazeBehaviour | None = None) -> None:
        self.rng = rng
        self.clock = clock
        self.caspio = CaspioSandbox(CaspioBehaviour(), clock=clock)
        self.braze = BrazeSandbox(braze, clock=clock)
        self.caspio.create_table(self.TABLE, self.FIELDS)
        self.rows: dict[int, Row] = {}
        self.touched: dict[int, int] = {}  # step of each row's last edit
        self.history: dict[str, list[Edited]] = defaultdict(list)
        self.shared: set[str] = set()  # keys that two rows have, or had
        self.step = 0

    # What each kind of shop says.

    def add(self, **more: Any) -> int:
        raise NotImplementedError

    def edit(self) -> None:
        """One thing that happens in a shop."""
        raise NotImplementedError

    def spoil_a_batch(self) -> None:
        """More bad rows next to each other than the gate lets pass."""
        raise NotImplementedError

    def heal(self) -> None:
        """Somebody corrects the rows; few enough bad ones are left for the gate."""
        raise NotImplementedError

    def is_sound(self, row: Row) -> bool:
        """Whether the gate lets the row through, as long as no other row has its key."""
        raise NotImplementedError

    def faults_of(self, key: str) -> list[str]:
        """What is wrong with what Braze has under a key, once everything has been read."""
        raise NotImplementedError

    # What all do.

    def visible(self) -> Iterator[tuple[int, Row]]:
        """The rows that the sync reads."""
        yield from self.rows.items()

    def is_shared(self, key: str) -> bool:
        return key in self.shared

    def insert(self, row: Row) -> int:
        (pk,) = self.caspio.insert_rows(self.TABLE, [row])
        self.rows[pk] = row
        self._note(pk, row)
        return pk

    def change(self, pk: int, **values: Any) -> None:
        """Update a row."""
        former = self.rows[pk]
        self.caspio.update_rows(self.TABLE, values, f"PK_ID = {pk}")
        self.rows[pk] = {**former, **values}
        if former[self.KEY] != self.rows[pk][self.KEY]:
            self.share(former[self.KEY], self.rows[pk][self.KEY])
            self._note(pk, former)
        self._note(pk, self.rows[pk])

    def drop(self, pk: int) -> None:
        self.caspio.delete_rows(self.TABLE, f"PK_ID = {pk}")
        self._note(pk, self.rows.pop(pk))

    def share(self, *keys: str) -> None:
        """From now on more than one row has to do with these keys."""
        self.shared |= set(keys)

    def last_edit(self, key: str) -> Edited:
        return self.history[key][-1]

    def _note(self, pk: int, row: Row) -> None:
        self.touched[pk] = self.step
        edits = sum(map(len, self.history.values()))
        self.history[row[self.KEY]].append(Edited(edits, self.step, self.clock.now().timestamp(), dict(row)))
