"""A small product table and the catalog it is synced to, for flows whose every row a test knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.flows.world import World

PRODUCTS: list[dict[str, Any]] = [
    {"Name": "Code", "Type": "STRING"},
    {"Name": "Title", "Type": "STRING"},
    {"Name": "Price", "Type": "NUMBER"},
    {"Name": "Stock", "Type": "INTEGER"},
    {"Name": "About", "Type": "TEXT"},
]
PRODUCTS_SYNC = """\
kind: catalog
source: {table: Products}
catalog: {name: products, description: What the shop sells}
item_id: Code
fields:
  title: Title
  price: Price
  stock: Stock
  about: About
"""
COLUMNS = {"title": "Title", "price": "Price", "stock": "Stock", "about": "About"}
AN_HOUR = 3600.0


def product(number: int, **more: Any) -> dict[str, Any]:
    """A sound row."""
    return {
        "Code": f"p{number}", "Title": f"Title {number}", "Price": number / 4, "Stock": number, "About": None, **more,
    }  # fmt: skip


def item(row: Mapping[str, Any]) -> dict[str, Any]:
    """The item of a row of the small table, by the sync above: an empty cell is no field."""
    made = {"id": row["Code"], **{name: row[source] for name, source in COLUMNS.items()}}
    return {name: value for name, value in made.items() if value not in {None, ""}}


@dataclass
class Shop:
    """The products of a world."""

    world: World

    def open(self, rows: Sequence[Mapping[str, Any]] | int, sync: str = PRODUCTS_SYNC) -> list[int]:
        """The table with these rows, or so many sound ones, and its sync; their PK_IDs."""
        rows = [product(number) for number in range(1, rows + 1)] if isinstance(rows, int) else rows
        self.world.caspio.create_table("Products", PRODUCTS)
        self.world.sync(sync, "products")
        return self.add(*rows) if rows else []

    def add(self, *rows: Mapping[str, Any]) -> list[int]:
        """More rows."""
        return list(self.world.caspio.insert_rows("Products", rows))

    def edit(self, code: str, **values: Any) -> None:
        """Change the row of this code."""
        self.world.caspio.update_rows("Products", values, f"Code = '{code}'")

    def drop(self, *codes: str) -> None:
        """Take rows away."""
        listed = ", ".join(f"'{code}'" for code in codes)
        self.world.caspio.delete_rows("Products", f"Code IN ({listed})")

    def run(self, **options: Any) -> Any:
        """A run, an hour after the last one; raises what ends it."""
        self.world.clock.advance(AN_HOUR)
        self.forget()
        return self.world.run("products", **options)

    def ended(self, **options: Any) -> Any:
        """A run as its user sees it, an hour after the last one."""
        self.world.clock.advance(AN_HOUR)
        self.forget()
        return self.world.ended("products", **options)

    def catalog(self, name: str = "products") -> Any:
        """Braze's catalog, everything queued applied."""
        return self.world.braze.catalogs[name]

    def items(self, name: str = "products") -> dict[str, dict[str, Any]]:
        """Its items by id."""
        return {key: dict(value) for key, value in self.catalog(name).items.items()}

    def expected(self) -> dict[str, dict[str, Any]]:
        """What the small table's rows make of the catalog, where each is sound."""
        return {row["Code"]: item(row) for row in self.world.caspio.rows("Products")}

    _before = 0

    def forget(self) -> None:
        """`writes()` begins anew from here."""
        self._before = len(self.world.braze.catalog_log)

    def writes(self) -> list[tuple[str, str, list[Any]]]:
        """What Braze accepted in the last run: verb, what of the catalog, ids; of schema calls no ids."""
        log = self.world.braze.catalog_log[self._before :]
        return [(each.method, each.path, sorted(one["id"] for one in each.items)) for each in log]

    def struck(self, kind: str) -> int:
        """How often Braze was struck in this way since it was broken, by whichever client."""
        return sum(each.struck.get(kind, 0) for each in self.world.broken)

    def empty_braze(self, **behaviour: Any) -> None:
        """Another workspace in place of the one there was."""
        from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
        from caspio_sync.sandbox.braze.emulator import BrazeSandbox

        self.world.braze = BrazeSandbox(BrazeBehaviour(logged_requests=10_000, **behaviour), self.world.clock)

    def rebuild(
        self, name: str = "products", *, fields: Mapping[str, str], items: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """A catalog as somebody made it in Braze; `fields` without the id."""
        from caspio_sync.sandbox.braze.catalogs import Catalog

        made = Catalog(name, "", {"id": "string", **fields}, self.world.clock.now().timestamp())
        made.items.update({one["id"]: dict(one) for one in items})
        self.world.braze.catalogs.add(made)
