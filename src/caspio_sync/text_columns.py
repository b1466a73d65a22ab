"""What `characters` says of texts, for columns of a frame."""

import polars as pl

from caspio_sync.characters import BLANKS


def trimmed_values(text: pl.Expr) -> pl.Expr:
    """As `trimmed`, for a String expression."""
    return text.str.strip_chars(BLANKS)


def is_ascii(texts: pl.Series) -> bool:
    """Whether no text of a String series holds a sign beyond ASCII: a glance that saves searching each of them."""
    return bool(texts.str.len_bytes().sum() == texts.str.len_chars().sum())
