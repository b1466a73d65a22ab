"""Wall clocks of Caspio cells as the dates and times Braze reads (Braze, date and time formats)."""

import polars as pl

from caspio_sync.schemas import DATETIME

LAST_YEAR = 3000  # later years are stored as text, or not at all inside objects (Braze, custom attributes)
FIRST_BIRTH_YEAR = 1900
_ISO = "%Y-%m-%dT%H:%M:%S"
_DATE = "%Y-%m-%d"
_NAIVE_FORMS = (_ISO, "%Y-%m-%d %H:%M:%S", f"{_ISO}%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")


def date_text(moment: pl.Expr) -> pl.Expr:
    """YYYY-MM-DD of a wall clock."""
    return moment.cast(pl.Date).cast(pl.String)


def utc_text(moment: pl.Expr, zone: str) -> pl.Expr:
    """A wall clock of `zone` as ISO 8601 in UTC with a Z, in seconds.

    An hour that occurs twice is read as its first occurrence; one that never occurred, with the offset before the jump.
    """
    return _in_utc(moment, zone).dt.to_string(f"{_ISO}Z")


def date_of_text(text: pl.Expr) -> pl.Expr:
    """YYYY-MM-DD of text that holds a date, with or without a time; null for other text."""
    return date_text(_naive(text))


def utc_of_text(text: pl.Expr, zone: str) -> pl.Expr:
    """ISO 8601 in UTC of text that holds a time (with an offset, or of `zone`) or a bare date; null for other text."""
    with_offset = text.str.replace("Z$", "+00:00").str.to_datetime(
        f"{_ISO}%z", strict=False, time_unit="ms", time_zone="UTC"
    )
    return pl.coalesce(with_offset.dt.replace_time_zone(None), _in_utc(_naive(text), zone)).dt.to_string(f"{_ISO}Z")


def _naive(text: pl.Expr) -> pl.Expr:
    moments = [text.str.to_datetime(form, strict=False, time_unit="ms") for form in _NAIVE_FORMS]
    return pl.coalesce(*moments, text.str.to_date(_DATE, strict=False).cast(DATETIME))


def _in_utc(moment: pl.Expr, zone: str) -> pl.Expr:
    if zone == "UTC":
        return moment
    return moment.map_batches(
        lambda moments: _moments_in_utc(moments, zone), return_dtype=DATETIME, is_elementwise=True
    )


def _moments_in_utc(moments: pl.Series, zone: str) -> pl.Series:
    in_utc = _shifted(moments, zone)
    if in_utc.null_count() == moments.null_count():
        return in_utc
    # Some fell into a skipped hour. The day before has the offset that held before the jump.
    day = pl.duration(days=1)
    before = moments.to_frame("moment").select(pl.col("moment") - day).to_series()
    later = _shifted(before, zone).to_frame("moment").select(pl.col("moment") + day).to_series()
    return in_utc.zip_with(in_utc.is_not_null(), later)


def _shifted(moments: pl.Series, zone: str) -> pl.Series:
    aware = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
