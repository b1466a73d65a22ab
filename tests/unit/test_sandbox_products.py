"""The sandbox's product tables: the published sets' own dirt, counted as `/data` states it, and the same every time."""

from collections import Counter
from typing import Any

import polars as pl
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data import DATA
from caspio_sync.sandbox.products import (
    AUTHOR_FIELDS,
    BOOK_FIELDS,
    BOOKS,
    MARKETS,
    PRODUCT_FIELDS,
    PRODUCTS,
    load_books,
    load_groceries,
    load_products,
    read_books,
    read_groceries,
    read_products,
)
from caspio_sync.sandbox.shop import load_shop
from tests.build_sandbox_data import products
from tests.virtual_clock import VirtualClock

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def account() -> CaspioSandbox:
    sandbox = CaspioSandbox(clock=VirtualClock())
    load_products(sandbox)
    load_books(sandbox)
    return sandbox


@pytest.fixture(scope="module")
def shop(account: CaspioSandbox) -> Rows:
    return account.rows(PRODUCTS)


@pytest.fixture(scope="module")
def books(account: CaspioSandbox) -> Rows:
    return account.rows(BOOKS)


def count(rows: Rows, field: str, value: object) -> int:
    return sum(row[field] == value for row in rows)


def texts(row: dict[str, Any]) -> list[str]:
    """Every text that was keyed for a code, without the blanks around it."""
    listed = [row["Name"], *(row["OtherNames"] or "").split("\n"), *(row["Notes"] or "").split("\n")]
    return [text.strip() for text in listed if text]


def by_code(rows: Rows) -> dict[str, dict[str, Any]]:
    return {row["StockCode"]: row for row in rows}


def test_a_started_account_holds_the_shop() -> None:
    sandbox = CaspioSandbox(clock=VirtualClock())
    load_shop(sandbox, customers=5)
    assert {name: len(sandbox.rows(name)) for name in sandbox.tables()} == {
        "Customers": 5,
        "Products": 4070,
        "Books": 10_000,
        "Orders": 632,
        "OrderLines": 17_706,
        "SupportTickets": 400,
    }


def test_groceries_come_on_request() -> None:
    sandbox = CaspioSandbox(clock=VirtualClock())
    assert load_groceries(sandbox) == 92_331
    assert sandbox.tables() == ["Groceries"]


def test_records_have_the_declared_fields_in_the_types_that_rest_shows(shop: Rows, books: Rows) -> None:
    assert list(shop[0]) == ["PK_ID", *(field["Name"] for field in PRODUCT_FIELDS)]
    assert list(books[0]) == ["PK_ID", *(field["Name"] for field in BOOK_FIELDS)]
    heart = shop[0]
    assert (heart["StockCode"], heart["Price"], heart["Currency"], heart["Sold"]) == ("85123A", 2.95, "GBP", 39_086)
    assert (heart["FirstSold"], heart["Url"]) == ("2010-12-01T08:26:00", "https://shop.example.com/products/85123A")
    assert heart["Markets"]["37"] == "United Kingdom"
    assert (books[0]["BookNo"], books[0]["Year"], books[0]["Rating"]) == (1, 2008.0, 4.34)


def test_loading_by_frame_stores_what_inserting_row_by_row_stores(shop: Rows, books: Rows) -> None:
    sandbox = CaspioSandbox(clock=VirtualClock())
    sandbox.create_table(PRODUCTS, PRODUCT_FIELDS)
    sandbox.insert_rows(PRODUCTS, read_products().iter_rows(named=True))
    sandbox.create_table(BOOKS, BOOK_FIELDS)
    sandbox.insert_rows(BOOKS, read_books().iter_rows(named=True))
    assert sandbox.rows(PRODUCTS) == shop
    assert sandbox.rows(BOOKS) == books


def test_every_code_of_the_set_is_a_row_as_it_is_spelled(shop: Rows) -> None:
    assert len(shop) == len(by_code(shop)) == 4070
    odd = ("POST", "DOT", "BANK CHARGES", "AMAZONFEE", "gift_0001_20", "DCGSSGIRL", "PADS", "M", "m")
    assert set(odd) <= by_code(shop).keys()


def test_112_codes_are_spelled_in_two_cases(shop: Rows) -> None:
    spellings = Counter(code.lower() for code in by_code(shop))
    assert sorted(spellings.values())[-113:] == [1] + [2] * 112


def test_647_codes_have_several_texts_of_up_to_eight(shop: Rows) -> None:
    numbers = [len(texts(row)) for row in shop]
    assert (sum(number > 1 for number in numbers), max(numbers)) == (647, 8)
    assert all(len(texts(row)) == len(set(texts(row))) for row in shop)
    assert sum(number == 0 for number in numbers) == count(shop, "Name", None) == 112


def test_177_texts_stand_at_several_codes_and_check_at_146(shop: Rows) -> None:
    codes = Counter(text for row in shop for text in texts(row))
    assert sum(number > 1 for number in codes.values()) == 177
    assert codes["check"] == 146


def test_a_note_is_no_name_of_a_code_that_has_one(shop: Rows) -> None:
    owls = by_code(shop)["20713"]
    assert (owls["Name"], owls["OtherNames"]) == ("JUMBO BAG OWLS", None)
    assert len(owls["Notes"].split("\n")) == 7
    assert by_code(shop)["84611B"]["Name"] == "thrown away"


def test_names_keep_the_blanks_they_were_keyed_with(shop: Rows) -> None:
    names = [row["Name"] for row in shop if row["Name"]]
    assert sum(name != name.strip() for name in names) == 721
    assert sum("  " in name.strip() for name in names) == 153
    assert sum("£" in name for name in names) == 6


def test_prices_are_missing_zero_negative_and_under_a_penny(shop: Rows) -> None:
    prices = [row["Price"] for row in shop]
    assert (prices.count(None), prices.count(0)) == (129, 44)
    assert {row["StockCode"]: row["Price"] for row in shop if (row["Price"] or 0) < 0} == {"B": -11_062.06}
    assert {row["StockCode"] for row in shop if 0 < (row["Price"] or 0) < 0.01} == {"PADS"}


def test_a_code_without_a_sale_has_neither_price_nor_dates_nor_markets(shop: Rows) -> None:
    unsold = [row for row in shop if row["Orders"] == 0]
    assert len(unsold) == 129
    assert all(row[field] is None for row in unsold for field in ("Price", "FirstSold", "LastSold", "Markets"))
    assert sum(row["Sold"] < 0 for row in shop) == 24


def test_markets_are_the_shop_s_38_country_words(shop: Rows) -> None:
    sold_to = {word for row in shop for word in (row["Markets"] or {}).values()}
    assert sold_to == set(MARKETS)
    assert len(MARKETS) == 38
    assert max(len(row["Markets"] or {}) for row in shop) == 30


def test_books_carry_the_dirt_that_their_source_states(books: Rows) -> None:
    assert len({row["BookNo"] for row in books}) == len(books) == 10_000
    isbns = Counter(len(row["Isbn"] or "") for row in books)
    assert isbns == {0: 700, 7: 112, 8: 916, 9: 5573, 10: 2699}
    assert sum((row["Isbn"] or "").endswith("X") for row in books) == 814
    assert sum("e+" in (row["Isbn13"] or "") for row in books) == 9410
    assert len({row["Isbn13"] for row in books} - {None}) == 9153
    years = [row["Year"] for row in books if row["Year"] is not None]
    assert (len(books) - len(years), sum(year < 0 for year in years), min(years)) == (21, 31, -1750.0)
    languages = Counter(row["Language"] for row in books)
    assert (languages[None], languages["eng"], languages["en-US"], len(languages)) == (1084, 6341, 2070, 26)
    assert sum("nophoto" in row["ImageUrl"] for row in books) == 3332
    assert count(books, "OriginalTitle", None) == 585
    assert len(books) - len({row["Title"] for row in books}) == 36


def test_authors_stand_in_one_line_and_the_first_five_in_fields(books: Rows) -> None:
    assert sum(row["Author2"] is not None for row in books) == 2079
    assert max(len(row["Authors"]) for row in books) == 742
    for row in books:
        line = [name.strip() for name in row["Authors"].split(",")]
        assert [row[field] for field in AUTHOR_FIELDS if row[field] is not None] == line[:5]
    assert sum(row["Authors"].count(",") > 4 for row in books) == 53


def test_groceries_are_as_published() -> None:
    groceries = read_groceries()
    assert groceries["ProductNo"].n_unique() == groceries.height == 92_331
    empty = groceries.select("Category", "Kind", "PackageSize").null_count().row(0)
    assert empty == (540, 528, 30_586)
    # The set's own: a number that went through a program as a float.
    assert groceries.filter(~pl.col("ProductNo").str.contains(r"^\d+$"))["ProductNo"].to_list() == ["9e+05"]


def test_the_shared_alike_set_says_so() -> None:
    licence = (DATA / "catalog-books" / "LICENSE.md").read_text(encoding="utf-8")
    assert "Attribution-ShareAlike 4.0" in " ".join(licence.split())
    assert "CC0" in (DATA / "complete-journey" / "LICENSE.md").read_text(encoding="utf-8")


LINES: list[tuple[str, str, str | None, str, str, str]] = [
    # InvoiceNo, StockCode, Description, Quantity, UnitPrice, Country
    ("1", "A", "JAR ", "2", "1.5", "EIRE"),
    ("2", "A", "JAR ", "1", "1.5", "RSA"),
    ("3", "A", "JAR, RED", "5", "2.0", "EIRE"),
    ("C4", "A", "JAR ", "-3", "9.0", "EIRE"),
    ("5", "A", "damaged", "-100", "0.0", "USA"),
    ("6", "A", "damaged", "-1", "0.0", "USA"),
    ("7", "A", "damaged", "-1", "0.0", "USA"),
    ("8", "a", "found", "-2", "0.0", "USA"),
    ("9", "b", None, "4", "0.0", "USA"),
    ("9", "b", "BAG", "4", "3.0", "USA"),
]


def test_a_row_is_made_of_its_lines_by_the_stated_rules() -> None:
    names = ("InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "Country")
    lines = pl.DataFrame(LINES, schema=names, orient="row").with_columns(
        pl.format("2011-01-0{} 10:00:00", pl.int_range(1, 10).append(9)).alias("InvoiceDate")
    )
    at = "2011-01-0{}T10:00:00".format
    fields = ("StockCode", "Name", "OtherNames", "Notes", "Price", "Sold", "Orders", "FirstSold", "LastSold", "Markets")
    assert products(lines).select(fields).rows() == [
        ("A", "JAR ", "JAR, RED", "damaged", 1.5, 5, 3, at(1), at(3), ["EIRE", "RSA"]),
        ("a", "found", None, None, None, 0, 0, None, None, None),
        ("b", "BAG", None, None, 3.0, 8, 1, at(9), at(9), ["USA"]),
    ]
