"""Builds what the sandbox's customers are drawn from, and its product tables, out of the published data sets.

    python -m tests.build_sandbox_data FOLDER

FOLDER holds one folder a data set, named as those in `sandbox/data/`; sources and licences stand in its `NOTICE.md`. The
output is committed: only a change of this file, or of a data set, asks for another run.
"""

import argparse
import shutil
from pathlib import Path

import polars as pl

from caspio_sync.sandbox.data import DATA

# The shop's country words that are no country's name, and the region whose customers they stand for.
COUNTRY_WORDS = {
    "United Kingdom": "GB",
    "EIRE": "IE",
    "RSA": "ZA",
    "USA": "US",
    "Channel Islands": "JE",
    "Czech Republic": "CZ",
    "European Community": "BE",
    "Unspecified": "GB",
}
# Regions without common names of their own in the data set, and where theirs are taken from.
NAMES_FROM = {
    "JE": "GB",
    "CY": "GR",
    "SG": "GB",
    "ZA": "GB",
    "LB": "FR",
    "AE": "TR",
    "BH": "TR",
    "SA": "TR",
    "PT": "BR",
    "SE": "DK",
}
# Where the first language of the data set is not the one that customers of a British shop would read.
LANGUAGES = {"SG": "en", "ZA": "en"}
PHONE_KINDS = ("FIXED_LINE", "MOBILE", "INVALID")
# Pieces an order from which a customer counts as a wholesaler.
WHOLESALE_PIECES = 300
LAST_WEEK = "2011-12-05"  # Monday to Friday; the set ends there
FOLDERS = (
    "online-retail",
    "catalog-books",
    "complete-journey",
    "names",
    "country-codes",
    "phone-numbers",
    "email-validity",
    "naughty-strings",
)
BOOKS = Path("catalog-books") / "books.parquet"
GROCERIES = Path("complete-journey") / "products.parquet"
# The columns of the book catalogue that a shop's table has.
BOOK_COLUMNS = {
    "book_id": pl.Int64,
    "isbn": pl.String,
    "isbn13": pl.String,
    "authors": pl.String,
    "original_publication_year": pl.Float64,
    "original_title": pl.String,
    "title": pl.String,
    "language_code": pl.String,
    "books_count": pl.Int64,
    "average_rating": pl.Float64,
    "ratings_count": pl.Int64,
    "image_url": pl.String,
}


def customers(transactions: pl.DataFrame) -> pl.DataFrame:
    """One row a customer, from the shop's invoice lines (all columns text, as published).

    Returns:
        CustomerNo, Country, Orders, Items, Spend, FirstOrder, LastOrder, FavouriteProduct, Wholesale. Cancellations
        subtract from Items and Spend and are no orders.
    """
    lines = transactions.filter(pl.col("CustomerID").is_not_null()).select(
        pl.col("CustomerID").str.strip_suffix(".0").alias("CustomerNo"),
        "Country",
        "InvoiceNo",
        "Description",
        pl.col("Quantity").cast(pl.Int64),
        pl.col("UnitPrice").cast(pl.Float64),
        pl.col("InvoiceDate").str.replace(" ", "T").alias("at"),
    )
    order = pl.col("InvoiceNo").filter(~pl.col("InvoiceNo").str.starts_with("C"))
    totals = lines.group_by("CustomerNo").agg(
        pl.col("Country").sort_by("at").last(),
        order.n_unique().alias("Orders"),
        pl.col("Quantity").sum().alias("Items"),
        (pl.col("Quantity") * pl.col("UnitPrice")).sum().round(2).alias("Spend"),
        pl.col("at").min().alias("FirstOrder"),
        pl.col("at").max().alias("LastOrder"),
    )
    favourites = (
        lines.group_by("CustomerNo", "Description")
        .agg(pl.col("Quantity").sum())
        .sort("CustomerNo", "Quantity", "Description", descending=[False, True, False])
        .group_by("CustomerNo", maintain_order=True)
        .agg(pl.col("Description").first().alias("FavouriteProduct"))
    )
    wholesale = (pl.col("Items") >= WHOLESALE_PIECES * pl.col("Orders")) & (pl.col("Orders") > 0)
    return totals.join(favourites, on="CustomerNo").with_columns(wholesale.alias("Wholesale")).sort("CustomerNo")


def products(transactions: pl.DataFrame) -> pl.DataFrame:
    """One row a stock code as it is spelled, from the shop's invoice lines (all columns text, as published).

    A sale is a line that is no cancellation and has pieces. Where a code has several of a thing, the most frequent
    counts, and of two as frequent the one seen last.

    Returns:
        StockCode; Name: the text most often keyed for the code, of those that once stood beside a price above 0, else
        of all, blanks as keyed; OtherNames: its other texts that once stood beside a price, one a line; Notes: those
        that never did, one a line; Price: most frequent price of a piece in its sales, in pounds sterling, null
        without a sale; Sold: pieces in sales, less those of cancellations; Orders: invoices with a sale of it;
        FirstSold, LastSold: local time of its first and last sale; Markets: country words of its sales. In the order
        in which the codes first appear.
    """
    lines = transactions.with_row_index("line").select(
        "line",
        "StockCode",
        "Country",
        "InvoiceNo",
        pl.col("Description").alias("text"),
        pl.col("Quantity").cast(pl.Int64),
        pl.col("UnitPrice").cast(pl.Float64).alias("Price"),
        pl.col("InvoiceDate").str.replace(" ", "T").alias("at"),
        pl.col("InvoiceNo").str.starts_with("C").alias("cancelled"),
    )
    sales = lines.filter(~pl.col("cancelled"), pl.col("Quantity") > 0)
    traded = lines.filter(pl.col("cancelled") | (pl.col("Quantity") > 0))
    sold = sales.group_by("StockCode").agg(
        pl.col("InvoiceNo").n_unique().alias("Orders"),
        pl.col("at").min().alias("FirstSold"),
        pl.col("at").max().alias("LastSold"),
        pl.col("Country").unique().sort().alias("Markets"),
    )
    found = lines.select("StockCode").unique(maintain_order=True)
    for part in (
        _texts(lines),
        _most_frequent(sales, "Price").group_by("StockCode", maintain_order=True).agg(pl.col("Price").first()),
        traded.group_by("StockCode").agg(pl.col("Quantity").sum().alias("Sold")),
        sold,
    ):
        found = found.join(part, on="StockCode", how="left", maintain_order="left")
    return found.with_columns(pl.col("Sold", "Orders").fill_null(0))


def order_lines(transactions: pl.DataFrame) -> pl.DataFrame:
    """The lines of the shop's last week, in the set's order: numbers as numbers, a customer as customers.parquet has it."""
    return transactions.filter(pl.col("InvoiceDate") >= LAST_WEEK).select(
        "InvoiceNo",
        "StockCode",
        "Description",
        pl.col("Quantity").cast(pl.Int64),
        pl.col("InvoiceDate").str.replace(" ", "T", literal=True),
        pl.col("UnitPrice").cast(pl.Float64),
        pl.col("CustomerID").str.strip_suffix(".0").alias("CustomerNo"),
        "Country",
    )


def _most_frequent(lines: pl.DataFrame, column: str) -> pl.DataFrame:
    """The values of a column by code, the most frequent first: StockCode, the column, priced."""
    return (
        lines.group_by("StockCode", column)
        .agg(pl.len(), pl.col("line").max(), (pl.col("Price") > 0).any().alias("priced"))
        .sort("StockCode", "len", "line", descending=[False, True, True])
        .select("StockCode", column, "priced")
    )


def _texts(lines: pl.DataFrame) -> pl.DataFrame:
    """StockCode, Name, OtherNames, Notes."""
    texts = _most_frequent(lines.filter(pl.col("text").is_not_null()), "text")
    named = texts.sort("StockCode", "priced", descending=[False, True], maintain_order=True)
    names = named.group_by("StockCode", maintain_order=True).agg(pl.col("text").first().alias("Name"))
    others = (
        texts.join(names, on="StockCode")
        .with_columns(pl.col("text", "Name").str.strip_chars())
        .filter(pl.col("text") != pl.col("Name"))
        .unique(["StockCode", "text"], keep="first", maintain_order=True)
    )
    listed = pl.col("text").str.join("\n")
    for column, chosen in (("OtherNames", pl.col("priced")), ("Notes", ~pl.col("priced"))):
        part = others.filter(chosen).group_by("StockCode", maintain_order=True).agg(listed.alias(column))
        names = names.join(part, on="StockCode", how="left")
    return names


def countries(words: pl.Series, codes: pl.DataFrame, zones: str) -> pl.DataFrame:
    """Country (the shop's word), region (alpha-2), names_from, language, capital, time_zones (joined by a blank)."""
    by_name = dict(zip(codes["CLDR display name"], codes["ISO3166-1-Alpha-2"], strict=True))
    facts = {row["ISO3166-1-Alpha-2"]: row for row in codes.iter_rows(named=True)}
    found = []
    for word in words.unique().sort():
        region = COUNTRY_WORDS.get(word) or by_name[word]
        language = LANGUAGES.get(region) or str(facts[region]["Languages"]).split(",")[0].split("-")[0]
        found.append(
            {
                "Country": word,
                "region": region,
                "names_from": NAMES_FROM.get(region, region),
                "language": language,
                "capital": facts[region]["Capital"],
                "time_zones": " ".join(zones_of(region, zones)),
            }
        )
    return pl.DataFrame(found)


def zones_of(region: str, zones: str) -> list[str]:
    """The IANA zones of a region, from zone1970.tab."""
    rows = [line.split("\t") for line in zones.splitlines() if line and not line.startswith("#")]
    own = [row[2] for row in rows if row[0].split(",")[0] == region]
    # A small country shares the clock of the larger one that stands first on the line.
    return own or [row[2] for row in rows if region in row[0].split(",")]


def names(folder: Path, regions: set[str]) -> pl.DataFrame:
    """Country, part ("M", "F" or "surname"), name, romanized."""
    shown = [
        pl.coalesce("Localized Name", "Romanized Name").alias("name"),
        pl.coalesce("Romanized Name", "Localized Name").alias("romanized"),
    ]
    fore = _read_csv(folder / "common-forenames-by-country.csv").select(
        "Country", pl.col("Gender").alias("part"), *shown
    )
    sur = _read_csv(folder / "common-surnames-by-country.csv").select(
        "Country", pl.lit("surname").alias("part"), *shown
    )
    both = pl.concat([fore, sur]).filter(pl.col("Country").is_in(list(regions)))
    return both.unique(maintain_order=True)


def _read_csv(path: Path) -> pl.DataFrame:
    # Every column as text, and nothing taken for missing but an empty field: Namibia's code is NA.
    return pl.read_csv(path, infer_schema=False)


def build(source: Path, target: Path) -> None:
    """Read the data sets below `source`, write what is shipped below `target`."""
    for folder in FOLDERS:
        (target / folder).mkdir(parents=True, exist_ok=True)
    transactions = pl.read_parquet(source / "online-retail" / "transactions.parquet")
    shop = customers(transactions)
    shop.write_parquet(target / "online-retail" / "customers.parquet", compression="zstd", statistics=False)
    _write(products(transactions), target / "online-retail" / "products.parquet")
    _write(order_lines(transactions), target / "online-retail" / "order_lines.parquet")
    books = pl.read_csv(source / "catalog-books" / "books.csv.gz", infer_schema=False)
    _write(books.select(pl.col(name).cast(dtype) for name, dtype in BOOK_COLUMNS.items()), target / BOOKS)
    shutil.copyfile(source / GROCERIES, target / GROCERIES)
    codes = _read_csv(source / "country-codes" / "country-codes.csv")
    zones = (source / "country-codes" / "zone1970.tab").read_text(encoding="utf-8")
    places = countries(shop["Country"], codes, zones)
    places.write_csv(target / "country-codes" / "countries.csv")
    names(source / "names", set(places["names_from"])).write_csv(target / "names" / "names.csv")
    phones = _read_csv(source / "phone-numbers" / "example_numbers.csv")
    wanted = pl.col("region").is_in(places["region"].to_list()) & pl.col("type").is_in(PHONE_KINDS)
    phones.filter(wanted).write_csv(target / "phone-numbers" / "example_numbers.csv")
    shutil.copyfile(source / "phone-numbers" / "LICENSE", target / "phone-numbers" / "LICENSE")
    shutil.copyfile(source / "email-validity" / "tests.xml", target / "email-validity" / "tests.xml")
    shutil.copyfile(source / "email-validity" / "license.md", target / "email-validity" / "LICENSE.md")
    shutil.copyfile(source / "naughty-strings" / "blns.json", target / "naughty-strings" / "blns.json")
    shutil.copyfile(source / "naughty-strings" / "LICENSE", target / "naughty-strings" / "LICENSE")


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=22, statistics=False)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Build the data the sandbox's customers are drawn from.")
    parser.add_argument("folder", type=Path, help="folder of the published data sets")
    build(parser.parse_args().folder, DATA)


if __name__ == "__main__":
    main()
