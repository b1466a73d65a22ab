"""A table of customers in which row i is a function of i: both ends of a benchmark agree on it without a file.

PK_ID has gaps (each 37th key was deleted), each 7th phone is empty, some names are not ASCII.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

FIELDS = {
    "CustomerKey": "STRING", "Email": "STRING", "FirstName": "STRING", "LastName": "STRING", "Phone": "STRING",
    "City": "STRING", "Country": "STRING", "BirthDate": "DATE/TIME", "Tier": "STRING", "LifetimeValue": "NUMBER",
    "OrderCount": "INTEGER", "Active": "YES/NO", "LastOrderAt": "DATE/TIME", "Note": "TEXT",
}  # fmt: skip
SYNC = """\
kind: profiles
source: {table: Customers, time_zone: UTC}
identity: {external_id: CustomerKey, on_new: create}
fields:
  email: Email
  first_name: FirstName
  last_name: LastName
  phone: {from: Phone, on_null: clear}
  home_city: City
  country: Country
  dob: BirthDate
  tier: Tier
  lifetime_value: LifetimeValue
  order_count: OrderCount
  is_active: Active
  last_order_at: LastOrderAt
  note: Note
"""
_FIRST = ["Ada", "Bo", "Chloé", "Dmitri", "Eve", "Fatima", "Grace", "Håkon", "Ines", "Jun", "Kofi"]
_LAST = ["Okafor", "Müller", "Smith", "García", "Tanaka", "O'Brien", "Nowak", "Rossi", "Haddad", "Lee", "Ivanova"]
_CITY = ["Boston", "Lyon", "Köln", "Leeds", "Osaka", "Lagos", "Recife", "Perth"]
_COUNTRY = ["US", "FR", "DE", "GB", "JP", "NG", "BR", "AU"]
_TIER = ["bronze", "silver", "gold", "platinum"]
_AT_A_TIME = 100_000


def customers(first: int, count: int, *, changed_every: int = 0) -> pl.DataFrame:
    """The rows from `first` on, as Caspio would give them; two fields of each `changed_every`-th differ."""
    i = pl.col("i")
    edited = (i % changed_every == 0) if changed_every else pl.lit(value=False)

    def of(words: list[str]) -> pl.Expr:
        return (i % len(words)).replace_strict(dict(enumerate(words)), return_dtype=pl.String)

    def digits(number: pl.Expr, width: int) -> pl.Expr:
        return number.cast(pl.String).str.zfill(width)

    frame = pl.DataFrame({"i": pl.int_range(first, first + count, eager=True)})
    return frame.select(
        PK_ID=i + 1 + i // 36,
        CustomerKey=pl.format("C-{}", digits(i, 8)),
        Email=pl.format("customer{}@example.com", i),
        FirstName=of(_FIRST),
        LastName=of(_LAST),
        Phone=pl.when(i % 7 != 3).then(pl.format("+1617555{}", digits(i % 10_000, 4))),
        City=of(_CITY),
        Country=of(_COUNTRY),
        BirthDate=pl.format("{}-{}-{}T00:00:00", 1950 + i % 55, digits(1 + i % 12, 2), digits(1 + i % 28, 2)),
        Tier=of(_TIER),
        LifetimeValue=(i * 7919 % 1_000_000) / 100 + 0.005,
        OrderCount=i % 90 + edited.cast(pl.Int64),
        Active=i % 5 != 0,
        LastOrderAt=pl.format(
            "2026-{}-{}T{}:{}:00", digits(1 + i % 9, 2), digits(1 + i % 27, 2), digits(i % 24, 2), digits(i % 60, 2)
        ),
        Note=pl.format(
            "{} {} of {}, customer number {}; asked to be called in the {}",
            of(_FIRST),
            of(_LAST),
            of(_CITY),
            i,
            pl.when(edited).then(pl.lit("evening")).otherwise(pl.lit("morning")),
        ),
    )


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as one JSON text.

    Args:
        text: the objects, with a comma behind each.
        ends: where each ends in `text`, behind its comma; 0 first.
        keys: PK_ID of each, ascending.
    """

    text: bytes
    ends: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]

    def rows(self, low: int, high: int) -> bytes:
        """Rows low to high, high excluded, as the inside of an array."""
        return self.text[self.ends[low] : max(self.ends[low], self.ends[high] - 1)]


def encoded(rows: int, *, changed_every: int = 0) -> Encoded:
    """The table as its answers hold it."""
    texts, sizes, keys = [], [], []
    for first in range(0, rows, _AT_A_TIME):
        frame = customers(first, min(_AT_A_TIME, rows - first), changed_every=changed_every)
        objects = frame.select(pl.struct(pl.all()).struct.json_encode() + ",").to_series()
        texts.append(objects.str.join("")[0].encode())
        sizes.append(objects.str.len_bytes().to_numpy().astype(np.int64))
        keys.append(frame["PK_ID"].to_numpy())
    return Encoded(b"".join(texts), np.concatenate([[0], *sizes]).cumsum(), np.concatenate(keys))


def bodies(rows: int, objects: int = 75) -> list[bytes]:
    """Finished bodies of requests with the attributes of all rows: what httpx alone is measured with."""
    made: list[bytes] = []
    for first in range(0, rows, _AT_A_TIME):
        frame = customers(first, min(_AT_A_TIME, rows - first)).select(
            external_id="CustomerKey",
            _update_existing_only=pl.lit(value=False),
            email="Email",
            first_name="FirstName",
            last_name="LastName",
            phone="Phone",
            home_city="City",
            country="Country",
            dob=pl.col("BirthDate").str.head(10),
            tier="Tier",
            lifetime_value="LifetimeValue",
            order_count="OrderCount",
            is_active="Active",
            last_order_at="LastOrderAt",
            note="Note",
        )
        texts = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
        made += [
            ('{"attributes":[' + ",".join(texts[start : start + objects]) + "]}").encode()
            for start in range(0, len(texts), objects)
        ]
    return made
