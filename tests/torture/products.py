"""A shop's products, and what Braze's catalog must hold of them: plain Python, no line of the product's."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from tests.torture.shop import Row, Shop

# Two rows of a batch may fail; three block it. How few rows are too few is no matter of who is killed when.
_SYNC = """\
kind: catalog
source: {{table: Products, where: "Shown <> 'no'"{cursor}}}
catalog: {{name: products, on_extra_field: {on_extra_field}}}
item_id: Code
fields:
  name: Name
  price: Price
  stock: Stock
{color}gate: {{max_quarantined_rows: 2, min_share_of_last: 0}}
"""
HELD_AT_MOST = 2
CATALOG = "products"
FOREIGN = "badge"  # a field that somebody made in Braze
_SOUND_ID = re.compile(r"[A-Za-z0-9_-]{1,250}")
_LEAP = 1000.0  # a price that only a slip of the keys can be
_NO_LIMITS = BrazeBehaviour(
    logged_requests=1_000_000,
    catalog_delay_seconds=0.01,
    catalogs_per_minute=100_000,
    catalog_fields_per_minute=100_000,
)


@dataclass
class Described:
    """What the sync file says.

    Args:
        cursor: whether it names a cursor field; without one every run reads everything.
        on_extra_field: keep or delete.
        color: whether the color is mapped.
    """

    cursor: bool
    on_extra_field: str
    color: bool

    @property
    def text(self) -> str:
        return _SYNC.format(
            cursor=", cursor: ChangedAt" if self.cursor else "",
            on_extra_field=self.on_extra_field,
            color="  color: Color\n" if self.color else "",
        )

    @property
    def fields(self) -> dict[str, str]:
        """The catalog's, by type."""
        color = {"color": "string"} if self.color else {}
        return {"id": "string", "name": "string", "price": "number", "stock": "number", **color}

    def item_of(self, row: Row) -> Row:
        """The item Braze must hold of a sound row."""
        values = {"name": row["Name"], "price": row["Price"], "stock": row["Stock"]}
        if self.color:
            values["color"] = row["Color"] or None
        return {"id": row["Code"], **{name: value for name, value in values.items() if value is not None}}


class ProductShop(Shop):
    """The products of a shop. Codes that differ only by case are one key."""

    TABLE = "Products"
    KEY = "Code"
    FIELDS: ClassVar[list[Row]] = [
        {"Name": "Code", "Type": "STRING"},
        {"Name": "Name", "Type": "STRING"},
        {"Name": "Price", "Type": "NUMBER"},
        {"Name": "Stock", "Type": "INTEGER"},
        {"Name": "Color", "Type": "STRING"},
        {"Name": "Shown", "Type": "STRING"},
        {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
    ]

    def __init__(self, rng: Any, clock: Any) -> None:
        super().__init__(rng, clock, _NO_LIMITS)
        self.described = Described(rng.random() < 0.5, rng.choice(("keep", "delete")), rng.random() < 0.5)
        self.priced: set[str] = set()  # codes of rows whose present price is known to have been sent
        self._products = 0

    # The rows, by what happens to them in a shop.

    def add(self, **more: Any) -> int:
        row = {
            "Code": self._new_code(),
            "Name": self.rng.choice(("Cup", "Plate", "Löffel", "茶")),
            "Price": self.rng.choice((10.0, 12.5, 20.0)),
            "Stock": self.rng.choice((None, 0, 7)),
            "Color": self.rng.choice(("", "red")),
            "Shown": "yes",
            **more,
        }
        return self.insert(row)

    def edit(self) -> None:
        pk = self.rng.choice(sorted(self.rows))
        row = self.rows[pk]
        kind = self.rng.choices(
            (
                "add", "name", "price", "stock", "color", "drop", "hide", "show", "break", "heal", "leap", "share",
                "rename", "respell", "swap", "reuse", "spoil the code",
            ),
            (10, 12, 14, 10, 4, 8, 6, 8, 6, 6, 4, 4, 8, 3, 5, 6, 2),
        )[0]  # fmt: skip
        if kind == "add":
            self.add()
        elif kind == "name":
            self.change(pk, Name=self.rng.choice(("Cup", "Plate", "Teapot")))
        elif kind == "price" and row["Price"] != _LEAP:
            self.change(pk, Price=self.rng.choice((10.0, 12.5, 20.0)))
        elif kind == "stock":
            self.change(pk, Stock=self.rng.choice((None, 0, 7)))
        elif kind == "color":
            self.change(pk, Color=self.rng.choice(("", "red")))
        elif kind == "drop" and len(self.rows) > 5:
            self.drop(pk)
        elif kind == "hide":
            self.change(pk, Shown="no", Price=10.0)  # an item that comes back has no price to be held against
        elif kind == "show":
            for hidden in [each for each, other in self.rows.items() if other["Shown"] == "no"][:1]:
                self.change(hidden, Shown="yes")
        elif kind == "break":
            self.change(pk, Price=-1.0)
        elif kind == "heal" and not self.is_sound(row):
            self._mend(pk)
        elif kind == "leap" and row["Code"] in self.priced:
            self.change(pk, Price=_LEAP)
        elif kind == "share":
            self.share(row["Code"])
            self.add(Code=row["Code"])
        elif kind == "rename":
            self.change(pk, Code=self._new_code())
        elif kind == "respell":
            self.change(pk, Code=row["Code"].swapcase())
        elif kind == "swap":
            other = self.rng.choice(sorted(self.rows))
            code = self.rows[other]["Code"]
            if code.lower() != row["Code"].lower():
                self.change(pk, Code=code)
                self.change(other, Code=row["Code"])
        elif kind == "reuse":
            borne = {each["Code"].lower() for _, each in self.visible()}
            free = [code for code in sorted(self.history) if code.lower() not in borne]
            if free:
                code = self.rng.choice(free)
                self.share(code)
                if self.rng.random() < 0.5:
                    self.change(pk, Code=code)
                else:
                    self.add(Code=code)
        elif kind == "spoil the code":
            self.change(pk, Code=f"no code {self._new_code()}")

    def spoil_a_batch(self) -> None:
        for pk in sorted(self.rows)[: HELD_AT_MOST + 2]:
            self.change(pk, Price=-1.0)

    def heal(self) -> None:
        seen: set[str] = set()
        left = HELD_AT_MOST
        for pk, row in sorted(self.visible()):
            code = row["Code"].lower()
            if self.is_sound(row) and code not in seen:
                pass
            elif left:
                left -= 1
            elif code in seen:
                self.drop(pk)
            else:
                self._mend(pk)
                code = self.rows[pk]["Code"].lower()
            seen.add(code)

    def _mend(self, pk: int) -> None:
        row = self.rows[pk]
        sound = _SOUND_ID.fullmatch(row["Code"])
        self.change(pk, Price=12.5, **({} if sound else {"Code": self._new_code()}))

    def _new_code(self) -> str:
        self._products += 1
        return f"p{self._products}"

    # What happens to the catalog.

    def disturb(self) -> str:
        """Somebody does something to the catalog in Braze, or to the sync file; what it was."""
        catalog = self.braze.catalogs.get(CATALOG)
        kinds = ["the other mapping"]
        if catalog is not None:
            kinds += ["the catalog is deleted", "a field is deleted", "a foreign field"]
        kind = self.rng.choice(kinds)
        if kind == "the other mapping":
            self.described.color = not self.described.color
        elif catalog is not None and kind == "the catalog is deleted":
            self.braze.catalogs.remove(catalog)
        elif catalog is not None and kind == "a field is deleted":
            self.braze.catalogs.delete_field(catalog, "stock", 0)
        elif catalog is not None:
            self.braze.catalogs.add_fields(catalog, {FOREIGN: "string"}, 0)
            for item in catalog.items.values():
                item[FOREIGN] = "new"
        return kind

    # What the catalog must hold.

    def visible(self) -> Iterator[tuple[int, Row]]:
        for pk, row in self.rows.items():
            if row["Shown"] != "no":
                yield pk, row

    def is_sound(self, row: Row) -> bool:
        return _SOUND_ID.fullmatch(row["Code"]) is not None and 0 <= row["Price"] < _LEAP

    def share(self, *keys: str) -> None:
        self.shared |= {key.lower() for key in keys}

    def is_shared(self, key: str) -> bool:
        return key.lower() in self.shared

    def items(self) -> dict[str, Row]:
        """The catalog's items, without what the sync does not map."""
        catalog = self.braze.catalogs.get(CATALOG)
        mapped = self.described.fields
        return {
            key: {name: value for name, value in item.items() if name in mapped}
            for key, item in (catalog.items.items() if catalog else ())
        }

    def faults_of(self, key: str) -> list[str]:
        bearers = [row for _, row in self.visible() if row["Code"].lower() == key.lower()]
        items = {code: item for code, item in self.items().items() if code.lower() == key.lower()}
        sound = [row for row in bearers if self.is_sound(row)]
        if len(bearers) == 1 and sound:
            wanted = self.described.item_of(sound[0])
            held = items.get(wanted["id"])
            return [] if held == wanted else [f"{key}: {held} instead of {wanted}"]
        faults = []
        for code, item in items.items():
            if _compared(item) not in self._versions(code):
                faults.append(f"{key}: {item} is none of its versions")
        return faults

    def faults_of_all(self) -> list[str]:
        """What is wrong once a whole read has settled everything."""
        bearers: dict[str, list[Row]] = defaultdict(list)
        for _, row in self.visible():
            bearers[row["Code"].lower()].append(row)
        items = self.items()
        faults = [f"item {code} has no row" for code in items if code.lower() not in bearers]
        for key, rows in bearers.items():
            faults += self.faults_of(key)
            held = [item for code, item in items.items() if code.lower() == key]
            if len(held) > 1:
                faults.append(f"{key} has items under several spellings: {held}")
            if (
                all(map(self.is_sound, rows))
                and [each for each in held if each in map(self.described.item_of, rows)] != held
            ):
                faults.append(f"{key}: {held} is none of {rows}")
            if all(map(self.is_sound, rows)) and not held:
                faults.append(f"{key} has no item")
        catalog = self.braze.catalogs.get(CATALOG)
        fields = {} if catalog is None else dict(catalog.fields)
        if self.described.on_extra_field == "keep":
            fields = {name: kind for name, kind in fields.items() if name not in {FOREIGN, "color"}} | {
                name: kind for name, kind in fields.items() if name in self.described.fields
            }
        if fields != self.described.fields:
            faults.append(f"the catalog's fields are {fields}, not {self.described.fields}")
        return faults

    def _versions(self, code: str) -> list[Row]:
        versions = (self.described.item_of(each.row) for each in self.history[code] if self.is_sound(each.row))
        return [_compared(each) for each in versions]


def _compared(item: Row) -> Row:
    """What every mapping has of an item, and nobody deletes: a row that is held keeps an item of former times."""
    return {name: item[name] for name in ("id", "name", "price") if name in item}
