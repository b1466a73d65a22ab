"""The sandbox's product tables: a gift shop's Products, a Books table, and a grocer's Groceries on request.

All values are the published sets' own, dirt included (`data/NOTICE.md`; how a code's many prices and texts became one
row is said in `tests.build_sandbox_data.products`). Two columns are not: the set has no address (Url, on a reserved
domain) and names its currency in words only.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.data import DATA, LONDON, fields

PRODUCTS = "Products"
BOOKS = "Books"
GROCERIES = "Groceries"
AUTHOR_FIELDS = ("Author1", "Author2", "Author3", "Author4", "Author5")

# The shop's country words, as Products lists them.
MARKETS = (
    "Australia", "Austria", "Bahrain", "Belgium", "Brazil", "Canada", "Channel Islands", "Cyprus", "Czech Republic",
    "Denmark", "EIRE", "European Community", "Finland", "France", "Germany", "Greece", "Hong Kong", "Iceland", "Israel",
    "Italy", "Japan", "Lebanon", "Lithuania", "Malta", "Netherlands", "Norway", "Poland", "Portugal", "RSA",
    "Saudi Arabia", "Singapore", "Spain", "Sweden", "Switzerland", "USA", "United Arab Emirates", "United Kingdom",
    "Unspecified",
)  # fmt: skip

# A unique text field compares without case in Caspio, and this shop's codes come in two spellings: it cannot be unique.
PRODUCT_FIELDS: tuple[Mapping[str, Any], ...] = (
    *fields("STRING", "StockCode Name"),
    *fields("TEXT", "OtherNames Notes"),
    *fields("CURRENCY", "Price"),
    *fields("STRING", "Currency"),
    *fields("INTEGER", "Sold Orders"),
    *fields("DATE/TIME", "FirstSold LastSold"),
    {"Name": "Markets", "Type": "LIST-STRING", "ListField": list(MARKETS)},
    *fields("STRING", "Url"),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": LONDON},
)

# 5,841 authors are too many for a list field, which holds 1,000 values (Caspio, list data types): columns instead.
# Nothing is stamped: a table that is imported anew each time has no such field.
BOOK_FIELDS: tuple[Mapping[str, Any], ...] = (
    {"Name": "BookNo", "Type": "INTEGER", "Unique": True},
    *fields("STRING", "Title OriginalTitle"),
    *fields("TEXT", "Authors"),
    *fields("STRING", " ".join(AUTHOR_FIELDS)),
    *fields("NUMBER", "Year"),
    *fields("STRING", "Language Isbn Isbn13"),
    *fields("INTEGER", "Editions"),
    *fields("NUMBER", "Rating"),
    *fields("INTEGER", "Ratings"),
    *fields("STRING", "ImageUrl"),
)

GROCERY_FIELDS: tuple[Mapping[str, Any], ...] = (
    {"Name": "ProductNo", "Type": "STRING", "Unique": True},
    *fields("STRING", "Manufacturer Department Brand Category Kind PackageSize"),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
)


def load_products(sandbox: CaspioSandbox) -> int:
    """Create the Products table, 4,070 rows, and fill it; rows loaded."""
    sandbox.create_table(PRODUCTS, PRODUCT_FIELDS)
    return sandbox.insert_frames(PRODUCTS, [read_products()])


def load_books(sandbox: CaspioSandbox) -> int:
    """Create the Books table, 10,000 rows, and fill it; rows loaded."""
    sandbox.create_table(BOOKS, BOOK_FIELDS)
    return sandbox.insert_frames(BOOKS, [read_books()])


def load_groceries(sandbox: CaspioSandbox) -> int:
    """Create the Groceries table, 92,331 rows, and fill it; rows loaded."""
    sandbox.create_table(GROCERIES, GROCERY_FIELDS)
    return sandbox.insert_frames(GROCERIES, [read_groceries()])


def read_products() -> pl.DataFrame:
    """The fields of PRODUCT_FIELDS that can be written, lists as ids."""
    shop = pl.read_parquet(DATA / "online-retail" / "products.parquet")
    ids = {word: number for number, word in enumerate(MARKETS, start=1)}
    address = pl.col("StockCode").str.replace_all(" ", "%20", literal=True)
    return shop.with_columns(
        pl.lit("GBP").alias("Currency"),
        pl.col("Markets").list.eval(pl.element().replace_strict(list(ids), list(ids.values()), return_dtype=pl.Int64)),
        pl.concat_str(pl.lit("https://shop.example.com/products/"), address).alias("Url"),
    )


def read_books() -> pl.DataFrame:
    """The fields of BOOK_FIELDS: the line of authors as published, and its first five in fields of their own."""
    books = pl.read_parquet(DATA / "catalog-books" / "books.parquet")
    names = pl.col("authors").str.split(",").list.eval(pl.element().str.strip_chars())
    return books.select(
        pl.col("book_id").alias("BookNo"),
        pl.col("title").alias("Title"),
        pl.col("original_title").alias("OriginalTitle"),
        pl.col("authors").alias("Authors"),
        *(names.list.get(place, null_on_oob=True).alias(field) for place, field in enumerate(AUTHOR_FIELDS)),
        pl.col("original_publication_year").alias("Year"),
        pl.col("language_code").alias("Language"),
        pl.col("isbn").alias("Isbn"),
        pl.col("isbn13").alias("Isbn13"),
        pl.col("books_count").alias("Editions"),
        pl.col("average_rating").alias("Rating"),
        pl.col("ratings_count").alias("Ratings"),
        pl.col("image_url").alias("ImageUrl"),
    )


def read_groceries() -> pl.DataFrame:
    """The fields of GROCERY_FIELDS that can be written."""
    published = {
        "product_id": "ProductNo",
        "manufacturer_id": "Manufacturer",
        "department": "Department",
        "brand": "Brand",
        "product_category": "Category",
        "product_type": "Kind",
        "package_size": "PackageSize",
    }
    groceries = pl.read_parquet(DATA / "complete-journey" / "products.parquet")
    return groceries.select(pl.col(name).alias(field) for name, field in published.items())
