"""What Braze's catalogs must hold after the shipped syncs products and books: their rules said once more, row by row.

Plain Python over Caspio's rows as REST shows them. Nothing of the mapping or the gate is used here: a mistake there
cannot excuse itself.

    expected = expected_products(world.caspio.rows("Products"))
    expected.items    by id, each with its `id`; a field without a value is not in it, as PUT leaves it out
    expected.held     PK_ID → why the row is held, in the words of PRODUCT_REASONS

The rows are those of a first whole read in one batch. Whoever comes first, in the order of PK_ID, has the id, also when
it is held for another reason: the later row is held then, and nobody has the item. One code fares so: 84971l.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from caspio_sync import characters

LONDON = ZoneInfo("Europe/London")
NO_COVER = "https://s.gr-assets.com/assets/nophoto/book/111x148-bcc042a9c91a29c1d680899eff700a03.png"
MARKETS = {
    "EIRE": "Ireland",
    "RSA": "South Africa",
    "USA": "United States",
    "European Community": None,
    "Unspecified": None,
}
LANGUAGES = {
    "ara": "ar", "dan": "da", "en": "en", "en-CA": "en", "en-GB": "en", "en-US": "en", "eng": "en", "fil": "tl",
    "fre": "fr", "ger": "de", "ind": "id", "ita": "it", "jpn": "ja", "mul": None, "nl": "nl", "nor": "no", "per": "fa",
    "pol": "pl", "por": "pt", "rum": "ro", "rus": "ru", "spa": "es", "swe": "sv", "tur": "tr", "vie": "vi",
}  # fmt: skip

PRODUCT_REASONS = {
    "id_taken": "an earlier row has the same id: the code is spelled in two cases",
    "price_missing": "the code was never sold",
    "price_negative": "an adjustment of debts",
    "price_zero": "given away, or less than half a penny",
    "name_missing": "nobody ever keyed a text for it",
}


@dataclass
class Expected:
    """What a catalog holds, and which rows are held back."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[int, set[str]] = field(default_factory=dict)


def expected_products(rows: Sequence[Mapping[str, Any]]) -> Expected:
    """The catalog of syncs/products.yaml."""
    expected = Expected()
    owners: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: int(row["PK_ID"])):
        item = product(row)
        reasons = set()
        if owners.setdefault(item["id"], row["PK_ID"]) != row["PK_ID"]:
            reasons.add("id_taken")
        price = item.get("price")
        if price is None:
            reasons.add("price_missing")
        elif price < 0:
            reasons.add("price_negative")
        elif price == 0:
            reasons.add("price_zero")
        if "name" not in item:
            reasons.add("name_missing")
        if reasons:
            expected.held[row["PK_ID"]] = reasons
        else:
            expected.items[item["id"]] = item
    return expected


def expected_books(rows: Sequence[Mapping[str, Any]]) -> Expected:
    """The catalog of syncs/books.yaml: no book is held."""
    return Expected(items={str(row["BookNo"]): book(row) for row in rows})


def product(row: Mapping[str, Any]) -> dict[str, Any]:
    """One item of the catalog products."""
    return without_empty(
        {
            "id": slug(row["StockCode"]),
            "code": row["StockCode"],
            "name": collapsed(row["Name"]),
            "other_names": trimmed(row["OtherNames"]),
            "price": in_pence(row["Price"]),
            "currency": row["Currency"],
            "url": row["Url"],
            "sold": row["Sold"],
            "orders": row["Orders"],
            "first_sold": in_utc(row["FirstSold"]),
            "last_sold": in_utc(row["LastSold"]),
            "markets": distinct(MARKETS.get(word, word) for word in (row["Markets"] or {}).values()),
        }
    )


def book(row: Mapping[str, Any]) -> dict[str, Any]:
    """One item of the catalog books."""
    return without_empty(
        {
            "id": str(row["BookNo"]),
            "title": collapsed(row["Title"]),
            "original_title": collapsed(row["OriginalTitle"]),
            "authors": distinct(collapsed(row[f"Author{place}"]) for place in range(1, 6)),
            "credits": collapsed(row["Authors"]),
            "year": row["Year"],
            "language": None if row["Language"] is None else LANGUAGES[row["Language"]],
            "isbn": trimmed(row["Isbn"]),
            "editions": row["Editions"],
            "rating": row["Rating"],
            "ratings": row["Ratings"],
            "image_url": None if row["ImageUrl"] == NO_COVER else row["ImageUrl"],
        }
    )


def slug(code: str) -> str:
    """Small letters without their marks; every run of signs other than these, digits and `_` one hyphen."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", code) if not unicodedata.combining(sign))
    return re.sub(r"[^a-z0-9_]+", "-", bare.lower()).strip("-")


def trimmed(text: str | None) -> str | None:
    return characters.trimmed(text or "") or None


def collapsed(text: str | None) -> str | None:
    return " ".join(characters.trimmed(text or "").split()) or None


def in_pence(price: float | None) -> float | None:
    """Pounds with two decimals."""
    if price is None:
        return None
    return float(Decimal(str(price)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def in_utc(wall_clock: str | None) -> str | None:
    """A reading of the shop's clock as ISO 8601 in UTC."""
    if wall_clock is None:
        return None
    at = datetime.fromisoformat(wall_clock).replace(tzinfo=LONDON).astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def distinct(words: Any) -> list[str] | None:
    return list(dict.fromkeys(word for word in words if word)) or None


def without_empty(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}
