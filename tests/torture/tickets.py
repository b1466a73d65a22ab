"""A help desk's tickets, and what Braze must have been told of them: plain Python, no line of the product's."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from tests.torture.shop import Row, Shop

EVENT = "ticket_moved"
HELD_AT_MOST = 2
# Two rows of a batch may fail; three block it.
_SYNC = """\
kind: events
source: {{table: Tickets{cursor}}}
identity: {{external_id: CustomerNo}}
event: ticket_moved
time: OpenedAt
properties: {{ref: Ref, version: Version, priority: Priority}}
on_update: {on_update}
when_lost: {when_lost}
gate: {{max_quarantined_rows: 2}}
"""


@dataclass
class Told:
    """What the sync file says.

    Args:
        cursor: whether it names a cursor field.
        on_update: ignore or new_event.
        when_lost: hold or resend.
    """

    cursor: bool
    on_update: str
    when_lost: str

    @property
    def text(self) -> str:
        cursor = ", cursor: ChangedAt" if self.cursor else ""
        return _SYNC.format(cursor=cursor, on_update=self.on_update, when_lost=self.when_lost)


class TicketShop(Shop):
    """The tickets of a few people; a ticket goes by its Ref, and each of its versions by a number."""

    TABLE = "Tickets"
    KEY = "Ref"
    FIELDS: ClassVar[list[Row]] = [
        {"Name": "Ref", "Type": "STRING"},
        {"Name": "CustomerNo", "Type": "STRING"},
        {"Name": "Version", "Type": "NUMBER"},
        {"Name": "Priority", "Type": "STRING"},
        {"Name": "OpenedAt", "Type": "DATE/TIME"},
        {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
    ]

    def __init__(self, rng: Any, clock: Any) -> None:
        super().__init__(rng, clock, BrazeBehaviour(logged_requests=1_000_000))
        on_update = rng.choice(("ignore", "new_event"))
        self.told = Told(
            rng.random() < 0.6 or on_update == "new_event", on_update, rng.choice(("hold", "hold", "resend"))
        )
        self._tickets = 0

    def add(self, **more: Any) -> int:
        self._tickets += 1
        opened = self.clock.now() - timedelta(hours=2, minutes=self.rng.randint(0, 300))
        row = {
            "Ref": f"t{self._tickets}",
            "CustomerNo": f"c{self.rng.randint(1, 4)}",
            "Version": 1.0,
            "Priority": self.rng.choice(("low", "high")),
            "OpenedAt": opened.strftime("%Y-%m-%dT%H:%M:%S"),
            **more,
        }
        return self.insert(row)

    def edit(self) -> None:
        pk = self.rng.choice(sorted(self.rows))
        kind = self.rng.choices(("add", "move", "break", "heal", "drop"), (10, 8, 3, 3, 1))[0]
        if kind == "add":
            self.add()
        elif kind == "move":
            self.move(pk)
        elif kind == "break":
            self.move(pk, CustomerNo="")
        elif kind == "heal":
            for each in [other for other, row in self.rows.items() if not self.is_sound(row)][:1]:
                self.move(each, CustomerNo="c1")
        elif kind == "drop" and len(self.rows) > 5:
            self.drop(pk)

    def move(self, pk: int, **values: Any) -> None:
        """The next version of a ticket."""
        self.change(pk, Version=self.rows[pk]["Version"] + 1, **values)

    def spoil_a_batch(self) -> None:
        for pk in sorted(self.rows)[: HELD_AT_MOST + 2]:
            self.move(pk, CustomerNo="")

    def heal(self) -> None:
        bad = [pk for pk, row in self.rows.items() if not self.is_sound(row)]
        for pk in bad[HELD_AT_MOST:]:
            self.move(pk, CustomerNo="c1")

    def is_sound(self, row: Row) -> bool:
        return row["CustomerNo"] != ""

    def faults_of(self, key: str) -> list[str]:
        return []  # what must have arrived hangs on what was lost: `WatchedEvents` says it
