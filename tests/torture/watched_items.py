"""A catalog sync that is watched: no item goes that has a row, and none stays that has none."""

import asyncio
from typing import Any

from tests.torture.products import ProductShop
from tests.torture.watched import Watched


class WatchedItems(Watched):
    """A shop's products."""

    SYNC = "products"
    WRITES = "items"
    KILLED_AT = (
        "caspio:comes",
        "caspio:done",
        "catalog:done",
        "items:comes",
        "items:done",
        "deletes:comes",
        "deletes:done",
    )
    FULL = 0.5
    shop: ProductShop

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._looked_at = 0
        self.disturbed = False  # whether Braze lost what the ledger takes for sent, until a run has found out
        self.describe()

    def made_shop(self) -> ProductShop:
        return ProductShop(self.rng, self.clock)

    def describe(self) -> None:
        """Write the sync file."""
        (self.folder / "products.yaml").write_text(self.shop.described.text, encoding="utf-8")

    def disturb(self) -> None:
        """Something happens to the catalog, or to the sync file: items are sent again."""
        self.shop.disturb()
        self.describe()
        self.disturbed = True
        self.acknowledged.clear()

    def named(self, scope: Any) -> str:
        if not scope["path"].endswith("/items"):
            return "catalog"
        return "deletes" if scope["method"] == "DELETE" else "items"

    @property
    def written(self) -> int:
        return len(self.shop.braze.catalog_log)

    def forget_edited(self) -> None:
        super().forget_edited()
        self.shop.priced = set(self.acknowledged)

    def look(self) -> None:
        log = self.shop.braze.catalog_log
        fresh, number = log[self._looked_at :], self._looked_at
        self._looked_at = len(log)
        for write in fresh:
            number += 1
            keys = [str(item["id"]) for item in write.items]
            if not write.path.endswith("items"):
                continue
            if write.method == "DELETE":
                self._look_at_deletes(keys)
                continue
            self._arrived.append((asyncio.get_running_loop().time(), number, keys))
            self.faults += [
                f"{item['id']} was acknowledged and arrived again: {item}"
                for item in write.items
                if item["id"] in self.acknowledged and not self.disturbed
            ]

    def _look_at_deletes(self, keys: list[str]) -> None:
        for pk, row in self.shop.visible():
            if row["Code"] in keys and self.shop.touched[pk] < self.shop.step:
                self.faults.append(f"{row['Code']} was deleted while row {pk} has it")

    def look_at_cursor(self, watermark: float | None, verdicts: dict[int, str]) -> None:
        if watermark is None:
            self.disturbed = False
        if not self.disturbed:
            super().look_at_cursor(watermark, verdicts)

    def look_at_everything(self, *, shared: bool) -> None:
        self.disturbed = False
        if shared:
            self.faults += self.shop.faults_of_all()
        else:
            for _, row in self.shop.visible():
                if not self.shop.is_shared(row["Code"]):
                    self.faults += self.shop.faults_of(row["Code"])
        self.look_at_verdicts()
