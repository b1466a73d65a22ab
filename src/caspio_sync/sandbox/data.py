"""The sandbox's Customers: a web shop's real customers, and invented people behind their numbers.

What they bought is the Online Retail data set's; names, addresses, consent and the dirt are drawn by a seeded
generator from the published lists in `data/` (attributions in `data/NOTICE.md`). The e-mail addresses are on reserved
domains, the telephone numbers are the numbering plans' examples with other last digits, one a customer.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import phonenumbers
import polars as pl

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data_dirt import soil

DATA = Path(__file__).parent / "data"
TABLE = "Customers"
CHUNK = 50_000
# Customers drawn anew are numbered from here, above the shop's own numbers.
FIRST_DRAWN = 100_000

NEWSLETTER_GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
SMS_OFFERS_GROUP = "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22"

INTERESTS = (
    "Kitchen", "Garden", "Christmas", "Toys", "Stationery", "Lighting", "Vintage", "Jewellery", "Baking", "Bags",
    "Party", "Bathroom",
)  # fmt: skip
LONDON = "GMT Standard Time"


def fields(type_: str, names: str) -> list[Mapping[str, Any]]:
    """Fields of one type, as Caspio's POST /tables takes them; `names` stand apart by blanks."""
    return [{"Name": name, "Type": type_} for name in names.split()]


FIELDS: tuple[Mapping[str, Any], ...] = (
    {"Name": "CustomerNo", "Type": "STRING", "Unique": True},
    *fields("STRING", "FirstName LastName Email Phone Country City Language Gender"),
    *fields("DATE/TIME", "BirthDate"),
    *fields("STRING", "TimeZone"),
    *fields("INTEGER", "Orders Items"),
    *fields("CURRENCY", "Spend"),
    *fields("NUMBER", "AverageOrder"),
    *fields("DATE/TIME", "FirstOrder LastOrder"),
    *fields("STRING", "FavouriteProduct"),
    *fields("YES/NO", "Wholesale"),
    {"Name": "Interests", "Type": "LIST-STRING", "ListField": list(INTERESTS)},
    *fields("STRING", "EmailConsent PushConsent"),
    *fields("YES/NO", "Newsletter SmsOffers"),
    *fields("TEXT", "Notes"),
    # What Braze learns of them (syncs/engagement.yaml); empty until it is written back.
    *fields("YES/NO", "HardBounced EngagedLately"),
    *fields("DATE/TIME", "LastOpened LastClicked"),
    *fields("STRING", "EmailOpens EmailClicks LastCampaign PreferredChannel"),
    {"Name": "CreatedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": False, "TimeZone": LONDON},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": LONDON},
)

# Capitals come with the countries; the shop's home has more than one city.
CITIES = {
    "GB": ("London", "Birmingham", "Leeds", "Glasgow", "Sheffield", "Manchester", "Edinburgh", "Liverpool", "Bristol"),
}
# Shares of E.164, international, national and RFC 3966 spelling.
PHONE_FORMS = (0.6, 0.2, 0.1, 0.1)
DOMAINS = np.array(["example.com", "example.org", "example.net", "mail.example.com", "shop.example.org"])
NOTES = np.array(["prefers the phone", "VIP", "asked for a catalogue", "moved house", "do not ring before ten"])

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Place:
    """What people of one country word are drawn from.

    Args:
        region: alpha-2.
        language: ISO 639-1.
        cities: city names.
        zones: IANA zones.
        forenames: by gender, localized names and what an e-mail address makes of them.
        surnames: as forenames.
        phones: a sound example number in four forms, its last digits left open as `{}`.
        open_digits: how many are left open.
        bad_phones: the data set's invalid example, in the same forms.
    """

    region: str
    language: str
    cities: Strings
    zones: Strings
    forenames: dict[str, tuple[Strings, Strings]]
    surnames: tuple[Strings, Strings]
    phones: Strings
    open_digits: int
    bad_phones: Strings


@dataclass(frozen=True, slots=True)
class Lists:
    """All that customers are drawn from."""

    shop: pl.DataFrame
    places: dict[str, Place]
    bad_emails: Strings
    naughty: Strings


def _csv(*path: str) -> pl.DataFrame:
    return pl.read_csv(DATA.joinpath(*path), infer_schema=False)


def _strings(values: Any) -> Strings:
    return np.array(list(values), dtype=object)


def _names(frame: pl.DataFrame) -> tuple[Strings, Strings]:
    slug = pl.col("romanized").str.normalize("NFKD").str.to_lowercase().str.replace_all("[^a-z]", "")
    return _strings(frame["name"]), _strings(frame.select(slug.replace("", "customer")).to_series())


@lru_cache(1)
def read_lists() -> Lists:
    """Read the shipped data once a process."""
    names, phones = _csv("names", "names.csv"), _csv("phone-numbers", "example_numbers.csv")
    forms = ["e164", "international", "national", "rfc3966"]
    places = {}
    for row in _csv("country-codes", "countries.csv").iter_rows(named=True):
        own = names.filter(pl.col("Country") == row["names_from"])
        numbers = phones.filter(pl.col("region") == row["region"])
        mobile = numbers.filter(pl.col("type") == "MOBILE").head(1)
        digits = _free_digits(mobile["e164"][0])
        places[row["Country"]] = Place(
            region=row["region"],
            language=row["language"],
            cities=_strings(CITIES.get(row["region"], (row["capital"],))),
            zones=_strings(row["time_zones"].split()),
            forenames={part: _names(own.filter(pl.col("part") == part)) for part in ("M", "F")},
            surnames=_names(own.filter(pl.col("part") == "surname")),
            phones=_strings(_opened(number, digits) for number in _numbers(mobile, forms)),
            open_digits=digits,
            bad_phones=_numbers(numbers.filter(pl.col("valid") == "no"), forms),
        )
    return Lists(
        shop=pl.read_parquet(DATA / "online-retail" / "customers.parquet"),
        places=places,
        bad_emails=_bad_emails(),
        naughty=_strings(text for text in json.loads(_text("naughty-strings", "blns.json")) if "\0" not in text),
    )


def _numbers(frame: pl.DataFrame, forms: list[str]) -> Strings:
    return _strings(number for form in forms for number in frame[form] if number)


def _free_digits(e164: str) -> int:
    """How many of the last digits can be any, by the numbering plan; at least three."""
    for digits in (6, 5, 4):
        variants = (e164[:-digits] + f"{each * 7919 % 10**digits:0{digits}}" for each in range(12))
        if all(phonenumbers.is_valid_number(phonenumbers.parse(variant)) for variant in variants):
            return digits
    return 3


def _opened(number: str, digits: int) -> str:
    """`number` with its last digits as `{}`, whatever stands between them."""
    text = number
    for _ in range(digits):
        last = max(place for place, sign in enumerate(text) if sign.isdigit())
        text = f"{text[:last]}\0{text[last + 1 :]}"
    return text.replace("\0", "{}")


def _text(*path: str) -> str:
    return DATA.joinpath(*path).read_text(encoding="utf-8")


def _bad_emails() -> Strings:
    """The collection's invalid addresses, control characters put back; a text field cannot hold NUL."""
    # The file is ours, shipped with the package: nothing hostile can expand in it.
    tests = ET.fromstring(_text("email-validity", "tests.xml"))  # noqa: S314 - see above
    found = (
        test.findtext("address") or "" for test in tests.iter("test") if test.findtext("category") == "ISEMAIL_ERR"
    )
    pictures = {0x2400 + code: code for code in range(1, 0x20)}
    sound = (text.translate(pictures) for text in found if "\u2400" not in text)
    return _strings(text for text in sound if 0 < len(text) <= 255)


def load_customers(sandbox: CaspioSandbox, rows: int | None = None, seed: int = 1) -> int:
    """Create the Customers table and fill it.

    Args:
        sandbox: the account to load, without a Customers table.
        rows: how many customers to draw from the shop's; None for the shop's own 4,372, each once.
        seed: the same seed and number of rows give the same table, stamps apart.

    Returns:
        Rows loaded.
    """
    sandbox.create_table(TABLE, FIELDS)
    return sandbox.insert_frames(TABLE, draw_customers(rows, seed))


def draw_customers(rows: int | None = None, seed: int = 1) -> Iterator[pl.DataFrame]:
    """The customers in frames of at most CHUNK rows: the fields of FIELDS that can be written, lists as ids."""
    lists = read_lists()
    shop = lists.shop
    total = shop.height if rows is None else rows
    for start in range(0, total, CHUNK):
        # A stream of its own for every chunk: a table of two chunks begins like one of three.
        rng = np.random.default_rng([seed, start])
        size = min(CHUNK, total - start)
        if rows is None:
            bought = shop.slice(start, size)
        else:
            bought = _bought_anew(shop[rng.integers(0, shop.height, size)], start, rng)
        last = start + size == total
        yield soil(_people(bought, lists, rng), lists.bad_emails, lists.naughty, rng, duplicates=last)


def _bought_anew(shop: pl.DataFrame, start: int, rng: np.random.Generator) -> pl.DataFrame:
    number = pl.int_range(FIRST_DRAWN + start, FIRST_DRAWN + start + pl.len()).cast(pl.String)
    factor = pl.Series(rng.uniform(0.8, 1.25, shop.height))
    return shop.with_columns(number.alias("CustomerNo"), (pl.col("Spend") * factor).round(2))


def _people(bought: pl.DataFrame, lists: Lists, rng: np.random.Generator) -> pl.DataFrame:
    """Invent the person behind each customer number."""
    size = bought.height
    names = "FirstName LastName first last Phone City Language Gender TimeZone bad_phone"
    columns: dict[str, Strings] = {name: np.empty(size, dtype=object) for name in names.split()}
    countries = bought["Country"].to_numpy()
    for word, place in lists.places.items():
        where = np.flatnonzero(countries == word)
        if len(where):
            _settle(columns, where, place, rng)
            _ring(columns, where, place, bought["CustomerNo"], rng)
    interests = rng.random((size, len(INTERESTS))).argsort(axis=1)[:, :4] + 1
    kept = rng.integers(1, 5, size)
    born = rng.normal(1972, 14, size).clip(1921, 2008)
    days = ((born - 1970) * 365.25).astype(np.int64)
    frame = bought.with_columns(
        *(pl.Series(name, values.tolist(), dtype=pl.String) for name, values in columns.items())
    )
    return frame.with_columns(
        pl.Series("day", days).cast(pl.Int32).cast(pl.Date).dt.to_string("%Y-%m-%d").alias("BirthDate"),
        (pl.col("Spend") / pl.when(pl.col("Orders") > 0).then(pl.col("Orders"))).round(4).alias("AverageOrder"),
        pl.format("{}.{}{}@{}", "first", "last", "CustomerNo", pl.lit(pl.Series(rng.choice(DOMAINS, size)))).alias(
            "Email"
        ),
        pl.Series("Interests", interests).arr.to_list().list.head(pl.lit(pl.Series(kept))),
        pl.Series("EmailConsent", rng.choice(["yes", "double opt-in", "no", ""], size, p=[0.55, 0.2, 0.15, 0.1])),
        pl.Series("PushConsent", rng.choice(["yes", "no", ""], size, p=[0.3, 0.2, 0.5])),
        pl.Series("Newsletter", rng.random(size) < 0.6),
        pl.Series("SmsOffers", rng.random(size) < 0.25),
        pl.Series("Notes", np.where(rng.random(size) < 0.03, rng.choice(NOTES, size), "")),
    )


def _settle(columns: dict[str, Strings], where: npt.NDArray[np.int64], place: Place, rng: np.random.Generator) -> None:
    """Give the rows of one country their names, numbers and clocks."""
    size = len(where)

    def pick(values: Strings) -> npt.NDArray[np.int64]:
        return rng.integers(0, len(values), size)

    women = rng.random(size) < 0.6
    for gender, chosen in (("F", women), ("M", ~women)):
        names, slugs = place.forenames[gender]
        index = pick(names)[chosen]
        columns["FirstName"][where[chosen]] = names[index]
        columns["first"][where[chosen]] = slugs[index]
        columns["Gender"][where[chosen]] = gender
    index = pick(place.surnames[0])
    columns["LastName"][where] = place.surnames[0][index]
    columns["last"][where] = place.surnames[1][index]
    columns["bad_phone"][where] = place.bad_phones[pick(place.bad_phones)]
    columns["City"][where] = place.cities[pick(place.cities)]
    columns["TimeZone"][where] = place.zones[pick(place.zones)]
    columns["Language"][where] = place.language


def _ring(
    columns: dict[str, Strings],
    where: npt.NDArray[np.int64],
    place: Place,
    customers: pl.Series,
    rng: np.random.Generator,
) -> None:
    """Give the rows of one country a number of their own, in one of four forms: shared ones share SMS consent."""
    size = 10**place.open_digits
    own = [int(number) * 7919 % size for number in customers.gather(where).to_list()]
    forms = place.phones[rng.choice(len(place.phones), len(where), p=PHONE_FORMS)]
    columns["Phone"][where] = [
        form.format(*f"{number:0{place.open_digits}}") for form, number in zip(forms, own, strict=True)
    ]
