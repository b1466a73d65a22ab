"""What a suite needs to know of a destination's emulator: how rows get there, what arrived, and how it is broken."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import PRODUCTS, PRODUCTS_SYNC, product
from tests.flows.gateway import between, refusing
from tests.flows.world import Ended, World

AN_HOUR = 3600.0


class Stage:
    """A table, a sync of it, and the emulator at the other end.

    Attributes:
        name: of the sync.
        path: of the requests that rows travel by.
        array: in whose body they stand.
        most: objects that the vendor's documentation allows in one.
        key: the table's key field, and `table` its name.
        number: its field with a number.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    array: ClassVar[str]
    most: ClassVar[int]
    table: ClassVar[str]
    key: ClassVar[str]
    number: ClassVar[str]

    def __init__(self, world: World) -> None:
        self.world = world
        self.bodies: list[list[dict[str, Any]]] = []  # the objects of each request, whatever became of it

    def fill(self, rows: int) -> list[str]:
        """So many sound rows, and the sync; their keys."""
        raise NotImplementedError

    def arrived(self) -> dict[str, float]:
        """The number of what is there, by key."""
        raise NotImplementedError

    def expected(self) -> dict[str, float]:
        """The number of each row in Caspio, by key."""
        return {row[self.key]: row[self.number] for row in self.world.caspio.rows(self.table)}

    def change(self, key: str, **values: Any) -> None:
        """Change a row."""
        self.world.caspio.update_rows(self.table, values, f"{self.key}='{key}'")

    def ended(self, **options: Any) -> Ended:
        """A run as its user sees it, an hour after the last one; whatever is sent is written down in `bodies`."""
        self.world.clock.advance(AN_HOUR)
        self.bodies.clear()
        sound = self.world.braze.app

        def note(body: bytes) -> bytes | None:
            self.bodies.append(orjson.loads(body)[self.array])
            return None

        self.world.braze.app = between(sound, self.path, note)  # type: ignore[method-assign]
        try:
            return self.world.ended(self.name, **options)
        finally:
            self.world.braze.app = sound  # type: ignore[method-assign]
            self.world.braze.settle()

    def refuse(self, key: str, words: str) -> None:
        """From now on a request with this key is refused whole, in these words."""
        self.world.braze.app = refusing(self.world.braze.app, self.path, f'"{key}"'.encode(), words)  # type: ignore[method-assign]

    def lose_answers(self, *nth: int) -> None:
        """Of these requests the answer is lost although they were taken; none: of none."""
        faults = [Fault(kind="reset_after", path=self.path, nth=nth)] if nth else []
        self.world.break_braze(*faults)

    def slow_down(self, requests: int) -> None:
        """From here on the vendor takes so many of these requests a window; before the table is filled."""
        raise NotImplementedError

    def refused_for_haste(self) -> int:
        """Requests that were too many."""
        return self.world.braze.statuses[429]

    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        """Verdict and reason of each row of the ledger, by key."""
        with self.world.ledger() as ledger:
            rows = ledger.read_rows(self.name, 0, 10**6)
            held = ledger.quarantine(self.name, ["quarantined", "rejected", "blocked", "unknown"], limit=10_000)
        reasons: Mapping[str, str] = {str(row["key"]): row["reason"] for row in held.iter_rows(named=True)}
        return {row["key"]: (row["verdict"], reasons.get(row["key"])) for row in rows.iter_rows(named=True)}


class BrazeProfiles(Stage):
    """The small customers table and Braze's profiles."""

    name, path, array, most = "customers", "/users/track", "attributes", 75
    table, key, number = "Customers", "CustomerNo", "Spend"

    def fill(self, rows: int) -> list[str]:
        self.world.customers([self.world.person(number, Spend=number) for number in range(1, rows + 1)])
        self.world.loose()
        return [f"c{number}" for number in range(1, rows + 1)]

    def arrived(self) -> dict[str, float]:
        return {key: each["custom_attributes"]["spend"] for key, each in self.world.profiles().items()}

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(burst_limit=requests), self.world.clock)

    def state(self, key: str) -> str:
        """The consent that Braze holds."""
        return str(self.world.profiles()[key]["email_subscribe"])


class BrazeItems(Stage):
    """The small products table and a catalog of Braze."""

    name, path, array, most = "products", "/catalogs/products/items", "items", 50
    table, key, number = "Products", "Code", "Price"

    def fill(self, rows: int) -> list[str]:
        made = [product(number) for number in range(1, rows + 1)]
        self.world.caspio.create_table("Products", PRODUCTS)
        self.world.sync(PRODUCTS_SYNC + "gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}\n", "products")
        self.world.caspio.insert_rows("Products", made)
        return [row["Code"] for row in made]

    def arrived(self) -> dict[str, float]:
        return {key: item["price"] for key, item in self.world.braze.catalogs["products"].items.items()}

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(catalog_writes_per_minute=requests), self.world.clock)
