"""Title case as people write names and streets: John's Office, O'Brien, 5th Avenue, Jean-Luc, 12B Baker Street."""

import polars as pl

_APOSTROPHES = "'\u2019\u02bc"
# What the plain rule, a capital behind everything that is no letter, gets wrong; hardly a text holds it.
_SPECIAL = rf"[{_APOSTROPHES}]|\p{{N}}\p{{L}}"
_BEHIND_DIGIT = r"\p{N}[\p{N}\p{L}\p{M}]*"
# One letter behind an apostrophe (John's, rock'n'roll), or the rest of they're, we've, we'll.
_ENDING = rf"[{_APOSTROPHES}](?:\p{{L}}|[rR][eE]|[vV][eE]|[lL]{{2}})\b"
_PIECES = rf"{_BEHIND_DIGIT}|{_ENDING}|[{_APOSTROPHES}]|[^\p{{N}}{_APOSTROPHES}]+"


def titled(text: pl.Expr) -> pl.Expr:
    """Each word with a capital and small letters behind it, for a String expression.

    Letters behind a digit stay as they are. Behind an apostrophe stands a capital where more than one letter follows,
    which are not the rest of they're, we've or we'll.
    """
    return text.map_batches(_titled, return_dtype=pl.String, is_elementwise=True)


def _titled(texts: pl.Series) -> pl.Series:
    places = texts.str.contains(_SPECIAL).fill_null(value=False).arg_true()
    titles = texts.str.to_titlecase()
    if places.is_empty():
        return titles
    piece = pl.element()
    made = (
        pl.when(piece.str.contains(rf"^{_BEHIND_DIGIT}$"))
        .then(piece)
        .when(piece.str.contains(rf"^{_ENDING}$"))
        .then(piece.str.to_lowercase())
        .otherwise(piece.str.to_titlecase())
    )
    special = texts.gather(places).to_frame("text")
    return titles.scatter(
        places, special.select(pl.col("text").str.extract_all(_PIECES).list.eval(made).list.join("")).to_series()
    )
