"""A sync of events that is watched: each is there once, or known to be in doubt."""

import io
import random
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger.events_schema import LEAVING
from caspio_sync.ledger.store import Ledger
from tests.torture.processes import Order
from tests.torture.tickets import TicketShop
from tests.torture.watched import Watched
from tests.torture.webhook import Webhook

LOST = 0.06  # share of the answers
Version = tuple[str, float]  # a ticket's Ref, and its number


class WatchedEvents(Watched):
    """A help desk's tickets."""

    SYNC = "tickets"
    WRITES = "events"
    KILLED_AT = ("caspio:comes", "caspio:done", "events:comes", "events:comes", "events:done", "events:done")
    FULL = 0.3
    shop: TicketShop

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        (self.folder / "tickets.yaml").write_text(self.shop.told.text, encoding="utf-8")
        self._last_request = 0
        self.arrivals: Counter[Version] = Counter()
        self.doubted: set[str] = set()  # tickets whose answer was lost once, as the ledger said after a run
        self.sent: Counter[int] = Counter()  # outcomes "sent" by PK_ID
        self._flying: Counter[str] = Counter()
        self._chance = random.Random(self.rng.random())
        self._lossy = False  # whether some answers are lost though nobody dies
        self._refs: dict[int, str] = {}  # of every row there was after a run, by PK_ID
        self.webhook = Webhook(self.SYNC, self.ledger, self.folder / "home", self._chance, self.clock)
        # Rows whose message arrived and that no run has read to its end since, with their number as it was then: a run
        # that dies may have read the message, and of what was edited afterwards nobody told.
        self._announced: dict[int, float] = {}

    def made_shop(self) -> TicketShop:
        return TicketShop(self.rng, self.clock)

    def named(self, scope: Any) -> str:
        return "events"

    @property
    def written(self) -> int:
        return self.arrivals.total()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """As `Watched.app`; no two requests with events of one person are under way at once."""
        people: list[str] = []

        async def overheard() -> Any:
            message = await receive()
            if not people and message.get("body"):
                people.extend(self.people_in(scope["path"], message["body"]))
                self.faults += [f"{each} is in two requests at once" for each in people if self._flying[each]]
                self._flying.update(people)
            return message

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._flying.subtract(people)
                if people and self._lossy and self._chance.random() < LOST:
                    message = {**message, "status": 500}  # it was taken all the same
            await send(message)

        await super().app(scope, overheard, answer)

    def people_in(self, path: str, body: bytes) -> set[str]:
        """Whose events a request holds."""
        if path != "/users/track":
            return set()
        return {str(each["external_id"]) for each in orjson.loads(body).get("events", ())}

    def look(self) -> None:
        fresh = [entry for entry in self.shop.braze.log if entry.request > self._last_request]
        for entry in fresh:
            self._last_request = entry.request
            properties = entry.object["properties"]
            self.faults += self.shop.faults_in(properties)
            self.note_arrival(self.shop.version_of(properties))
        self._look_at_order([entry.object for entry in fresh])

    def note_arrival(self, version: Version) -> None:
        """A version came: twice only where it was in doubt, and the file lets it be sent once more."""
        self.arrivals[version] += 1
        again = self.arrivals[version] > 1
        if again and (self.shop.told.when_lost == "hold" or version[0] not in self.doubted):
            self.faults.append(f"{version} arrived {self.arrivals[version]} times, and nobody doubted it")

    def _look_at_order(self, objects: list[dict[str, Any]]) -> None:
        """Within a request; what is in several requests of a batch hangs on the rows of that batch."""
        last: dict[str, str] = {}
        for each in objects:
            who, when = str(each["external_id"]), str(each["time"])
            if when < last.get(who, ""):
                self.faults.append(f"{who}: an event of {when} came after one of {last[who]}")
            last[who] = when

    def announce(self) -> None:
        """The webhook tells of what has changed."""
        changed, self.shop.unannounced = self.shop.unannounced, []
        arrived = self.webhook.tell(changed)
        self._announced |= {pk: self.shop.rows[pk]["Version"] for pk in arrived if pk in self.shop.rows}

    def edit_meanwhile(self) -> None:
        super().edit_meanwhile()
        if self._chance.random() < 0.5:
            self.announce()

    async def run(self, order: Order) -> Any:
        meanwhile, hinted = bool(self.moments), bool(order.options.get("hints"))
        ended = await self._run(order)
        if hinted and not ended.status and not meanwhile:
            self._look_at_announced()
        return ended

    def _look_at_announced(self) -> None:
        """A run of hints that ended well has told what was announced, or doubts it."""
        if waiting := self.webhook.waiting():
            self.faults.append(f"{waiting} hints wait after a run that read them")
        self._look_at_rows(set(self._announced), self._announced)
        self._announced.clear()

    async def _run(self, order: Order) -> Any:
        self._lossy = bool(self.moments) or order.at != "" or order.after is not None
        self._flying.clear()  # what a dead run had under way is the emulator's alone
        return await super().run(order)

    def _look_at_ledger(self, now: float, order: Order) -> None:
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger.reading("look") as connection:
            noted = connection.execute(sa.text("SELECT source_pk, run, request, state FROM journal")).all()
            rows = connection.execute(sa.text("SELECT source_pk, verdict FROM row")).all()
            outcomes = connection.execute(sa.text("SELECT run, rows FROM outcome WHERE part = 'profile'")).all()
            runs = {run for (run,) in connection.execute(sa.text("SELECT id FROM run"))}
        fresh, self._runs = runs - self._runs, runs
        # Lost answers are outcomes, and unknown: how many there are is the emulator's to say.
        left: Counter[str] = Counter(
            run
            for run, _ in {(each.run, each.request) for each in noted if each.run in fresh and each.state == LEAVING}
        )
        self.faults += [
            f"run {run} left {count} requests without an outcome, more than {order.most_unsettled}"
            for run, count in left.items()
            if count > order.most_unsettled
        ]
        self._refs |= {pk: row["Ref"] for pk, row in self.shop.rows.items()}
        self.doubted |= {self._refs[each.source_pk] for each in noted if each.source_pk in self._refs}
        self.sent.clear()
        for each in outcomes:
            frame = pl.read_ipc(io.BytesIO(each.rows))
            self.sent.update(frame.filter(pl.col("verdict") == "sent")["source_pk"].to_list())
        self._look_at_sums({each.source_pk for each in noted}, {each.source_pk: each.verdict for each in rows})

    def _look_at_sums(self, noted: set[int], verdicts: dict[int, str]) -> None:
        """Each event in Braze was sent or is in doubt; each one that is called sent has arrived."""
        refs, arrived = self._refs, Counter[str]()
        for (ref, _), count in self.arrivals.items():
            arrived[ref] += count
        for pk, ref in refs.items():
            sent, came, doubt = self.sent[pk], arrived[ref], ref in self.doubted
            if sent > came:
                self.faults.append(f"{ref}: {sent} outcomes say sent, {came} arrived")
            if came > sent and not doubt:
                self.faults.append(f"{ref}: {came} arrived, {sent} outcomes say sent, and nobody doubted it")
            if pk in noted and verdicts.get(pk) == "sent" and self.shop.told.on_update == "ignore":
                self.faults.append(f"{ref} is sent and in the journal")

    def look_at_everything(self, *, shared: bool) -> None:
        """After a run that ended well, each sound ticket has been told, or is in doubt."""
        self._look_at_rows(set(self.shop.rows))

    def _look_at_rows(self, pks: set[int], before: Mapping[int, float] = MappingProxyType({})) -> None:
        """Rows by PK_ID; of some a version that may have been told `before` the present one."""
        with Ledger.open(self.ledger, clock=self.clock) as ledger, ledger.reading("look") as connection:
            noted = {pk for (pk,) in connection.execute(sa.text("SELECT source_pk FROM journal"))}
            rows = connection.execute(sa.text("SELECT source_pk, verdict FROM row"))
            verdicts: dict[int, str] = {row.source_pk: row.verdict for row in rows}
        arrived = {ref for ref, _ in self.arrivals}
        for pk, row in self.shop.rows.items():
            if pk not in pks:
                continue
            ref, verdict = row["Ref"], verdicts.get(pk)
            if self.shop.is_sound(row) and ref not in arrived and pk not in noted:
                self.faults.append(f"{ref} has the verdict {verdict}, never arrived, and is not in doubt")
            if self.shop.told.on_update == "new_event" and self.shop.is_sound(row):
                version = (ref, row["Version"])
                told = {version, (ref, before.get(pk, row["Version"]))} & self.arrivals.keys()
                if not told and pk not in noted:
                    self.faults.append(f"{version} has the verdict {verdict}, never arrived, and is not in doubt")
            if self.shop.told.when_lost == "resend" and not self._lossy and noted and verdict == "unknown":
                self.faults.append(f"{ref} is unknown after a run that may send it again")
