"""One shop whose sync is killed and started again, and what is noticed while that happens, whatever it syncs."""

import asyncio
import io
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import sqlalchemy as sa

from caspio_sync.clock import SystemClock
from caspio_sync.ledger.store import Ledger
from tests.torture.arena import Arena, Ended
from tests.torture.processes import Order
from tests.torture.shop import Shop

COMMIT_SECONDS = 0.05  # as `processes` sets it


class MovedClock(SystemClock):
    """The machine's clock, moved on by hand."""

    offset = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)


def repeated_at_most(order: Order) -> int:
    """Requests that Braze may have taken without an outcome in the ledger, however slow that is.

    Five commits' worth is being committed, as much waits, and each connection holds an answer and a request.
    """
    return 2 * 5 * order.commit_requests + 2 * order.connections + 1


class Watched:
    """One shop, its sync's ledger, and what is noticed.

    Args:
        arena: where runs are started.
        folder: for the sync file and the SQLite ledger.
        ledger: URL of the ledger.
        rng: decides everything.
        always: part of every order.
    """

    SYNC: ClassVar[str]  # name of the sync
    WRITES: ClassVar[str]  # prefix of the moments at which rows are written
    KILLED_AT: ClassVar[tuple[str, ...]]  # moments
    FULL: ClassVar[float]  # share of the runs that read everything
    RUNS: ClassVar[tuple[int, ...]] = (1, 1, 2, 2, 3, 4)  # that may die
    EDITS: ClassVar[tuple[int, ...]] = (0, 0, 1, 2, 4)  # after each of them

    def __init__(
        self, arena: Arena, folder: Path, ledger: str, rng: random.Random, always: dict[str, Any] | None = None
    ) -> None:
        self._always = always or {}
        self.arena, self.folder, self.ledger, self.rng = arena, folder, ledger, rng
        self.clock = MovedClock()
        self.shop = self.made_shop()
        self.faults: list[str] = []
        self.kills: Counter[str] = Counter()
        self.ordered = ""
        self.lost = 0
        arena.app = self.app
        self.acknowledged: set[str] = set()  # keys whose present version is committed as sent
        self.moments: dict[tuple[str, int], Callable[[], object]] = {}  # what happens at the n-th of a step
        self.seen: Counter[str] = Counter()
        self.pid = 0
        self._arrived: list[tuple[float, int, list[str]]] = []  # this step's requests: when, number, keys
        self._runs: set[str] = set()

    # What each kind of sync says.

    def made_shop(self) -> Shop:
        raise NotImplementedError

    def named(self, scope: Any) -> str:
        """Name of a request to Braze, as moments have it."""
        raise NotImplementedError

    def look(self) -> None:
        """Look at what Braze has just taken."""
        raise NotImplementedError

    @property
    def written(self) -> int:
        """Requests that wrote something."""
        raise NotImplementedError

    def look_at_everything(self, *, shared: bool) -> None:
        """After a run that ended well: Braze holds what the rows say.

        Args:
            shared: also the keys that two rows have or had; an incremental run does not read the other row again.
        """
        raise NotImplementedError

    # What arrives.

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        braze = scope["path"].startswith(("/users/", "/catalogs", "/campaigns/", "/transactional/"))
        name = self.named(scope) if braze else "caspio"
        self._happens(f"{name}:comes")

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                if braze:
                    self.look()
                self._happens(f"{name}:done")
            await send(message)

        await (self.shop.braze.app if braze else self.shop.caspio.app)(scope, receive, answer)

    def _happens(self, name: str) -> None:
        self.seen[name] += 1
        if (act := self.moments.pop((name, self.seen[name]), None)) is not None:
            act()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def edit_meanwhile(self) -> None:
        """Somebody edits while a run is under way; then ten minutes pass at Caspio, more than any overlap."""
        for _ in range(self.rng.randint(1, 3)):
            self.edit()
        self.clock.offset += 600

    # What happens in the shop between runs.

    def edit(self) -> None:
        self.shop.edit()
        self.forget_edited()

    def forget_edited(self) -> None:
        self.acknowledged = {
            key
            for key in self.acknowledged
            if self.shop.last_edit(key).step < self.shop.step and not self.shop.is_shared(key)
        }

    # Runs.

    def order(self, **more: Any) -> Order:
        folder, offset = str(self.folder), self.clock.offset
        return Order(
            folder, self.ledger, self.arena.url, **{"sync": self.SYNC, "offset": offset, **more, **self._always}
        )

    async def run(self, order: Order) -> Ended:
        """A run from its start to its end, whatever ends it; then the ledger is looked at."""
        self.shop.step += 1
        self.seen.clear()
        self._arrived.clear()
        self.pid = await self.arena.start(order)
        ended = await self.arena.ended(self.pid, order)
        self.moments.clear()
        await asyncio.sleep(0.002)  # what was in flight arrives
        self.forget_edited()
        self._look_at_ledger(asyncio.get_running_loop().time(), order)
        return ended

    def _look_at_ledger(self, now: float, order: Order) -> None:
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger.reading("look") as connection:
            known = connection.execute(sa.text("SELECT source_pk, key, verdict, run FROM row")).all()
            outcomes = connection.execute(sa.text("SELECT run, batch, part, rows FROM outcome")).all()
            watermark = connection.execute(sa.text("SELECT watermark FROM cursor")).scalar()
            runs = {run for (run,) in connection.execute(sa.text("SELECT id FROM run"))}
        fresh, self._runs = runs - self._runs, runs
        # A row of a blocked batch has a key and no verdict.
        self._look_at_window(
            now, {each.source_pk: str(each.key) for each in known}, [each for each in outcomes if each.run in fresh]
        )
        rows = [each for each in known if each.verdict is not None]
        if order.sender == "inline" and self.lost > (most := repeated_at_most(order)):
            self.faults.append(f"{self.lost} requests were taken and have no outcome, more than {most}")
        for _, key, verdict, run in rows:
            if verdict == "sent" and run in fresh and not self.shop.is_shared(key):
                if self.shop.last_edit(key).step < self.shop.step:
                    self.acknowledged.add(key)
        self.look_at_cursor(None if watermark is None else watermark / 1e6, {pk: word for pk, _, word, _ in rows})

    def _look_at_window(self, now: float, keys: dict[int, str], outcomes: list[Any]) -> None:
        """Every outcome once; and what Braze took without an outcome came within the last moments."""
        told: Counter[tuple[str, int, str]] = Counter()
        for each in outcomes:
            told.update((each.run, pk, each.part) for pk in pl.read_ipc(io.BytesIO(each.rows))["source_pk"])
        # The owner of a key is sent once more where a second row, read after it, says something stricter of consent.
        self.faults += [
            f"row {pk} has {count} outcomes ({part}) in one run"
            for (_, pk, part), count in told.items()
            if count > (2 if self.shop.is_shared(keys.get(pk, "")) else 1)
        ]
        known = {keys.get(pk) for _, pk, _ in told} | {
            self.shop.rows[pk][self.shop.KEY] for _, pk, _ in told if pk in self.shop.rows
        }
        lost = [
            (came, request)
            for came, request, arrived in self._arrived
            if any(key not in known and not self.shop.is_shared(key) for key in arrived)
        ]
        self.lost = len(lost)
        self.faults += [
            f"request {request} was taken {now - came:.2f} s before the end and has no outcome"
            for came, request in lost
            if now - came > COMMIT_SECONDS + 2.0
        ]

    def look_at_cursor(self, watermark: float | None, verdicts: dict[int, str]) -> None:
        """What was edited before the cursor (epoch seconds) has its verdict, and Braze holds it."""
        if watermark is None:
            return
        for pk, row in self.shop.visible():
            key = row[self.shop.KEY]
            if self.shop.is_shared(key) or self.shop.last_edit(key).at >= watermark:
                continue
            if self.shop.is_sound(row):
                self.faults += [f"the cursor passed it: {fault}" for fault in self.shop.faults_of(key)]
            elif verdicts.get(pk) != "quarantined":
                self.faults.append(
                    f"the cursor passed {key}, which is not sound and has the verdict {verdicts.get(pk)}"
                )

    def look_at_verdicts(self) -> None:
        """Every row has the verdict that its present version deserves."""
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger.reading("look") as connection:
            rows = connection.execute(sa.text("SELECT source_pk, verdict FROM row"))
            verdicts: dict[int, str] = {row.source_pk: row.verdict for row in rows}
        for pk, row in self.shop.visible():
            key = row[self.shop.KEY]
            wanted = "sent" if self.shop.is_sound(row) else "quarantined"
            if not self.shop.is_shared(key) and verdicts.get(pk) != wanted:
                self.faults.append(f"row {pk} ({key}) has the verdict {verdicts.get(pk)}, not {wanted}")
