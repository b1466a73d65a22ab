"""A help desk's tickets, and what Braze must have been told of them: plain Python, no line of the product's.

In some schedules the tickets are orders: each has lines of its own, and is an eCommerce event once all of them are there.
"""

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
# The same rows as orders with lines.
_ORDERS = """\
kind: events
source: {{table: Tickets{cursor}}}
identity: {{external_id: CustomerNo}}
event: ecommerce.order_placed
time: OpenedAt
properties:
  order_id: Ref
  currency: {{constant: GBP}}
  source: {{constant: shop}}
  metadata: {{object: {{version: Version, priority: Priority}}}}
lines:
  table: Lines
  key: Ref
  complete: {{count: LineCount}}
  products: {{product_id: Code, product_name: Code, variant_id: Code, quantity: Quantity, price: Price}}
on_update: {on_update}
when_lost: {when_lost}
gate: {{max_quarantined_rows: 2}}
"""
LINES: list[Row] = [
    {"Name": "Ref", "Type": "STRING"},
    {"Name": "Code", "Type": "STRING"},
    {"Name": "Quantity", "Type": "INTEGER"},
    {"Name": "Price", "Type": "NUMBER"},
]


@dataclass
class Told:
    """What the sync file says.

    Args:
        cursor: whether it names a cursor field.
        on_update: ignore or new_event.
        when_lost: hold or resend.
        orders: whether the tickets are orders with lines.
    """

    cursor: bool
    on_update: str
    when_lost: str
    orders: bool = False

    @property
    def text(self) -> str:
        cursor = ", cursor: ChangedAt" if self.cursor else ""
        return (_ORDERS if self.orders else _SYNC).format(
            cursor=cursor, on_update=self.on_update, when_lost=self.when_lost
        )


class TicketShop(Shop):
    """The tickets of a few people; a ticket goes by its Ref, and each of its versions by a number."""

    TABLE = "Tickets"
    KEY = "Ref"
    FIELDS: ClassVar[list[Row]] = [
        {"Name": "Ref", "Type": "STRING"},
        {"Name": "CustomerNo", "Type": "STRING"},
        {"Name": "Version", "Type": "NUMBER"},
        {"Name": "Priority", "Type": "STRING"},
        {"Name": "LineCount", "Type": "INTEGER"},
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
        self.told.orders = rng.random() < 0.35
        self.lines: dict[str, list[str]] = {}  # codes of each order's lines
        self.late: dict[str, Row] = {}  # a line that is to come, by its order
        self.unannounced: list[int] = []  # rows that were changed since somebody was told
        self.caspio.create_table("Lines", LINES)

    def add(self, **more: Any) -> int:
        self._tickets += 1
        opened = self.clock.now() - timedelta(hours=2, minutes=self.rng.randint(0, 300))
        row = {
            "Ref": f"t{self._tickets}",
            "CustomerNo": f"c{self.rng.randint(1, 4)}",
            "Version": 1.0,
            "Priority": self.rng.choice(("low", "high")),
            "OpenedAt": opened.strftime("%Y-%m-%dT%H:%M:%S"),
            **(self._lines() if self.told.orders else {}),
            **more,
        }
        return self.insert(row)

    def _lines(self) -> Row:
        """The lines of the order that is about to be placed; of some the last one comes later."""
        ref = f"t{self._tickets}"
        lines: list[Row] = [
            {"Ref": ref, "Code": f"{ref}-{place}", "Quantity": place, "Price": 2.5}
            for place in range(1, self.rng.randint(2, 4))
        ]
        self.lines[ref] = [line["Code"] for line in lines]
        if self.told.cursor and self.rng.random() < 0.2:
            self.late[ref] = lines[-1]
        self.caspio.insert_rows("Lines", [line for line in lines if line is not self.late.get(ref)])
        return {"LineCount": len(lines)}

    def _come(self, ref: str) -> None:
        """The line that an order lacks; somebody touches the order as well."""
        self.caspio.insert_rows("Lines", [self.late.pop(ref)])
        for pk in [pk for pk, row in self.rows.items() if row["Ref"] == ref]:
            self.move(pk)

    def insert(self, row: Row) -> int:
        pk = super().insert(row)
        self.unannounced.append(pk)
        return pk

    def change(self, pk: int, **values: Any) -> None:
        super().change(pk, **values)
        self.unannounced.append(pk)

    def drop(self, pk: int) -> None:
        super().drop(pk)
        self.unannounced.append(pk)

    def version_of(self, properties: Row) -> tuple[str, float]:
        """Which version of which ticket an event tells of."""
        if self.told.orders:
            return str(properties["order_id"]), float(properties["metadata"]["version"])
        return str(properties["ref"]), float(properties["version"])

    def faults_in(self, properties: Row) -> list[str]:
        """What is wrong with the lines that an event tells of."""
        if not self.told.orders:
            return []
        ref, codes = properties["order_id"], [each["product_id"] for each in properties["products"]]
        worth = sum(each["price"] * each["quantity"] for each in properties["products"])
        right = codes == self.lines[ref] and properties["total_value"] == worth
        return [] if right else [f"{ref} was told with {codes} for {properties['total_value']}, not {self.lines[ref]}"]

    def edit(self) -> None:
        pk = self.rng.choice(sorted(self.rows))
        if self.late and self.rng.random() < 0.3:
            self._come(self.rng.choice(sorted(self.late)))
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
        for ref in sorted(self.late):
            self._come(ref)

    def is_sound(self, row: Row) -> bool:
        return row["CustomerNo"] != "" and row["Ref"] not in self.late

    def faults_of(self, key: str) -> list[str]:
        return []  # what must have arrived hangs on what was lost: `WatchedEvents` says it
