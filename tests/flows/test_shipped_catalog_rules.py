"""The expectation that catalog flows are held against, itself held against what is known of the published sets."""

import re
from collections import Counter

import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.products import load_books, load_products
from tests.flows import shipped_catalog_rules as rules
from tests.virtual_clock import VirtualClock


@pytest.fixture(scope="module")
def account() -> CaspioSandbox:
    sandbox = CaspioSandbox(clock=VirtualClock())
    load_products(sandbox)
    load_books(sandbox)
    return sandbox


@pytest.fixture(scope="module")
def products(account: CaspioSandbox) -> rules.Expected:
    return rules.expected_products(account.rows("Products"))


@pytest.fixture(scope="module")
def books(account: CaspioSandbox) -> rules.Expected:
    return rules.expected_books(account.rows("Books"))


def test_every_product_is_an_item_or_is_held(products: rules.Expected) -> None:
    assert (len(products.items), len(products.held)) == (3784, 286)
    reasons = Counter(reason for held in products.held.values() for reason in held)
    assert reasons == {
        "id_taken": 112,
        "price_missing": 129,
        "name_missing": 112,
        "price_zero": 45,
        "price_negative": 1,
    }


def test_ids_are_such_as_braze_takes(products: rules.Expected, books: rules.Expected) -> None:
    for expected in (products, books):
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,250}", each) for each in expected.items)
        assert all(item["id"] == each for each, item in expected.items.items())


def test_the_spelling_that_came_first_has_the_item(products: rules.Expected) -> None:
    assert products.items["85123a"]["code"] == "85123A"
    assert products.items["bank-charges"]["code"] == "BANK CHARGES"


def test_no_item_has_a_clerk_s_note_for_a_name(products: rules.Expected) -> None:
    names = {item["name"] for item in products.items.values()}
    assert not names & {"check", "damages", "damaged", "found", "thrown away", "ebay", "?", "Unsaleable, destroyed."}
    assert not [name for name in names if not re.search("[A-Z]", name)]
    assert not [name for name in names if "?" in name]


def test_an_item_in_full(products: rules.Expected) -> None:
    item = products.items["22423"]
    assert item["name"] == "REGENCY CAKESTAND 3 TIER"
    assert (item["price"], item["currency"]) == (12.75, "GBP")
    assert item["first_sold"] == "2010-12-01T12:27:00Z"
    assert item["url"] == "https://shop.example.com/products/22423"
    assert "Ireland" in item["markets"]
    assert not {"EIRE", "Unspecified", "RSA"} & set(item["markets"])


def test_a_summer_sale_is_an_hour_earlier_in_utc() -> None:
    assert rules.in_utc("2011-07-01T12:00:00") == "2011-07-01T11:00:00Z"


def test_books_are_all_sent_and_without_placeholders(books: rules.Expected) -> None:
    assert len(books.items) == 10_000
    assert sum("image_url" not in item for item in books.items.values()) == 3332
    assert books.items["2"]["authors"] == ["J.K. Rowling", "Mary GrandPré"]
    languages = Counter(item.get("language") for item in books.items.values())
    assert (languages["en"], languages["tl"], languages[None]) == (8730, 2, 1085)
