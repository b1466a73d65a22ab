"""The dirt in the sandbox's customers: the shares and kinds that a table kept by hand for years has."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

BAD_EMAILS = 0.015
BAD_PHONES = 0.02
MISSING_NAMES = 0.01
ODD_NAMES = 0.003
BAD_DATES = 0.001
BAD_ZONES = 0.003
NAUGHTY_NOTES = 0.005
ODD_LANGUAGES = 0.02
# Two rows more than these are needed for duplicates that leave their originals alone.
MIN_ROWS_FOR_DUPLICATES = 8

JUNK_PHONES = ("n/a", "000", "ring after six", "07???", "see notes", "+")
BAD_ZONE_NAMES = ("Europe/Lodnon", "London", "GMT+25", "Mars/Olympus_Mons")
ODD_DATES = ("2071-05-04", "2062-12-31", "1899-12-30", "1845-06-01", "1753-01-01")
# Zero-width space, no-break space, a blank behind, a right-to-left mark, a decomposed accent, a tab.
ODD_ENDINGS = ("\u200b", "\u00a0", "  ", "\u200f", "e\u0301", "\t")

Mask = pl.Series


def soil(
    clean: pl.DataFrame,
    bad_emails: npt.NDArray[np.object_],
    naughty: npt.NDArray[np.object_],
    rng: np.random.Generator,
    *,
    duplicates: bool,
) -> pl.DataFrame:
    """Soil a frame of customers and leave the fields of the table.

    Args:
        clean: customers, with `bad_phone`, and `first` and `last` that the e-mail addresses were made of.
        bad_emails: invalid addresses to draw from.
        naughty: hostile texts to draw notes from.
        rng: draws all of it.
        duplicates: whether this frame gets the table's few duplicates.
    """
    size = clean.height

    def some(share: float) -> Mask:
        return pl.Series(rng.random(size) < share)

    def drawn(values: Any) -> pl.Series:
        return pl.Series(list(values), dtype=pl.String).gather(rng.integers(0, len(values), size))

    def soiled(column: str, share: float, value: Any) -> pl.Expr:
        return pl.when(some(share)).then(value).otherwise(pl.col(column)).alias(column)

    junk = pl.when(some(0.3)).then(drawn(JUNK_PHONES)).otherwise(pl.col("bad_phone"))
    dirty = (
        clean.with_columns(
            soiled("Email", 0.03, pl.lit("")),
            soiled("Phone", 0.12, pl.lit("")),
            soiled("FirstName", ODD_NAMES, pl.col("FirstName") + drawn(ODD_ENDINGS)),
            soiled("LastName", MISSING_NAMES / 2, drawn(["", None])),
            soiled("Gender", 0.1, drawn(["", "x", "", "", "", "", "", ""])),
            soiled("BirthDate", 0.08, pl.lit(None, pl.String)),
            soiled("TimeZone", BAD_ZONES, drawn(BAD_ZONE_NAMES)),
            soiled("Language", 0.04, pl.lit("")),
            soiled("Notes", NAUGHTY_NOTES, drawn(naughty)),
        )
        .with_columns(
            soiled("Email", BAD_EMAILS, drawn(bad_emails)),
            soiled("Phone", BAD_PHONES, junk),
            soiled("FirstName", MISSING_NAMES / 2, drawn(["", None])),
            soiled("BirthDate", BAD_DATES, drawn(ODD_DATES)),
            soiled("Language", ODD_LANGUAGES, _misspelled(drawn)),
        )
        .drop("first", "last", "bad_phone")
    )
    return _duplicated(dirty) if duplicates and size >= MIN_ROWS_FOR_DUPLICATES else dirty


def _misspelled(drawn: Any) -> pl.Expr:
    upper = pl.col("Language").str.to_uppercase() + " "
    word = pl.when(pl.col("Language") == "en").then(pl.lit("English")).otherwise(upper)
    return pl.when(drawn(["word", "upper"]) == "word").then(word).otherwise(upper)


def _duplicated(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the last two rows the keys of the first two behind a blank, and the two before them addresses by case.

    A unique field ignores case and trailing blanks, so only a leading blank lets the same number in twice.
    """
    row = pl.int_range(pl.len())
    end = frame.height
    first_key, first_mail = frame["CustomerNo"][:2], frame["Email"][2:4].str.to_uppercase()
    key = pl.when(row == end - 2).then(pl.lit(" " + first_key[0])).when(row == end - 1).then(pl.lit(" " + first_key[1]))
    mail = pl.when(row == end - 4).then(pl.lit(first_mail[0])).when(row == end - 3).then(pl.lit(first_mail[1]))
    return frame.with_columns(
        key.otherwise(pl.col("CustomerNo")).alias("CustomerNo"), mail.otherwise(pl.col("Email")).alias("Email")
    )
