"""Dates and times: as text of any form that can be read in one way alone, and in the forms that Braze reads.

One grammar wherever a moment is read from text:

    2024-05-01   2024/05/01   20240501
    2024-05-01T10:00   2024-05-01 10:00:00.123   20240501T100000   each also with Z, UTC, GMT, +02, +0200 or +02:00

The year leads: 05/01/2024 is May or January, and is read only where a sync file says which.
"""

import polars as pl

from caspio_sync.schemas import DATETIME

LAST_YEAR = 3000  # later years are stored as text, or not at all inside objects (Braze, custom attributes)
FIRST_BIRTH_YEAR = 1900
FORMS = "2024-05-31, 2024/05/31 or 20240531"

_ISO = "%Y-%m-%dT%H:%M:%S"
_OFFSET = pl.Duration("ms")
_HOUR, _SIXTY = "[01][0-9]|2[0-3]", "[0-5][0-9]"
_ZONE = rf" ?(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<ahead>{_HOUR}):?(?P<minutes>{_SIXTY})?)"
_TIME = rf"(?P<hour>{_HOUR}):(?P<minute>{_SIXTY})(?::(?P<second>{_SIXTY})(?:[.,](?P<fraction>[0-9]{{1,9}}))?)?"
_WRITTEN = (
    r"^(?P<year>[0-9]{4})[-/](?P<month>[0-9]{1,2})[-/](?P<day>[0-9]{1,2})" rf"(?:(?:[Tt]| +){_TIME}(?:{_ZONE})?)?$"
)
# Eight digits, and six behind a T: the same with the signs that set them apart.
_BASIC = r"^([0-9]{4})([0-9]{2})([0-9]{2})($|[Tt ])"
_BASIC_TIME = r"[Tt]([0-9]{2})([0-9]{2})([0-9]{2})"


_FIRST_YEAR_OF_FOUR_DIGITS = 1000


def date_text(moment: pl.Expr) -> pl.Expr:
    """YYYY-MM-DD of a wall clock."""
    return moment.cast(pl.Date).cast(pl.String)


def utc_text(moment: pl.Expr, zone: str) -> pl.Expr:
    """A wall clock of `zone` as ISO 8601 in UTC with a Z, in seconds.

    An hour that occurs twice is read as its first occurrence; one that never occurred, with the offset before the jump.
    """
    return _in_utc(moment, zone).dt.to_string(f"{_ISO}Z")


def date_of_text(text: pl.Expr, form: str | None = None) -> pl.Expr:
    """YYYY-MM-DD of text that holds a date, with or without a time and its offset: the day as it is written.

    Null for other text. With a `form` in the signs of strftime, of text in that form alone.
    """
    return date_text(_wall_clock_of(text, form))


def utc_of_text(text: pl.Expr, zone: str, form: str | None = None) -> pl.Expr:
    """ISO 8601 in UTC of text that holds a time (with an offset, or of `zone`) or a bare date; null for other text.

    With a `form` in the signs of strftime, of text in that form alone.
    """
    if form is not None:
        return utc_text(_wall_clock_of(text, form), zone)
    parts = _parts(text)
    wall, offset = parts.struct.field("wall"), parts.struct.field("offset")
    return pl.coalesce(wall - offset, _in_utc(wall, zone)).dt.to_string(f"{_ISO}Z")


def wall_clock_of_text(text: pl.Expr) -> pl.Expr:
    """The wall clock of text without an offset; null for text with one, and for other text."""
    parts = _parts(text)
    return pl.when(parts.struct.field("offset").is_null()).then(parts.struct.field("wall"))


def instant_of_text(text: pl.Expr) -> pl.Expr:
    """The instant of a text, in UTC unless it says otherwise; null for other text."""
    parts = _parts(text)
    wall, offset = parts.struct.field("wall"), parts.struct.field("offset")
    return (wall - offset.fill_null(pl.duration())).dt.replace_time_zone("UTC")


def _wall_clock_of(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is None:
        return _parts(text).struct.field("wall")
    if "%H" in form or "%I" in form:
        moment = text.str.to_datetime(form, strict=False, time_unit="ms")
    else:
        moment = text.str.to_date(form, strict=False).cast(DATETIME)
    # %Y takes fewer digits as well, and would read 1/3/99 as a day of the year 99.
    return pl.when(moment.dt.year() >= _FIRST_YEAR_OF_FOUR_DIGITS).then(moment)


def _parts(text: pl.Expr) -> pl.Expr:
    """`wall` (Datetime) and `offset` (Duration, null without one) of each text; null in both for what is no moment."""
    return text.map_batches(_parsed, return_dtype=pl.Struct({"wall": DATETIME, "offset": _OFFSET}), is_elementwise=True)


def _parsed(texts: pl.Series) -> pl.Series:
    """As `_parts`. Nearly all texts are in one of two forms, which take a tenth of the time."""
    time = texts.str.to_datetime(_ISO, strict=False, time_unit="ms")
    wall = time.fill_null(texts.str.to_date("%Y-%m-%d", strict=False).cast(DATETIME))
    written = wall.dt.to_string(_ISO)
    plain = ((written == texts) | (written.str.head(len("2024-05-01")) == texts)).fill_null(value=False)
    offset = pl.Series([None], dtype=_OFFSET).new_from_index(0, len(texts))
    rest = (~plain & texts.is_not_null()).arg_true()
    if not rest.is_empty():
        read = _grammar(texts.gather(rest))
        wall, offset = wall.scatter(rest, read["wall"]), offset.scatter(rest, read["offset"])
    return pl.DataFrame({"wall": wall, "offset": offset}).to_struct(texts.name)


def _grammar(texts: pl.Series) -> pl.DataFrame:
    """`wall` and `offset` of texts in any form."""
    signs = texts.str.replace(_BASIC, "$1-$2-$3$4").str.replace(_BASIC_TIME, "T$1:$2:$3")
    parts = signs.str.extract_groups(_WRITTEN).struct.unnest()
    date = pl.concat_str("year", pl.lit("-"), "month", pl.lit("-"), "day")
    time = pl.concat_str(
        pl.col("hour").fill_null("00"),
        pl.lit(":"),
        pl.col("minute").fill_null("00"),
        pl.lit(":"),
        pl.col("second").fill_null("00"),
        pl.lit("."),
        pl.col("fraction").fill_null("0"),
    )
    written = pl.concat_str(date, pl.lit("T"), time).str.to_datetime(f"{_ISO}%.f", strict=False, time_unit="ms")
    ahead = pl.duration(
        hours=pl.col("ahead").cast(pl.Int64), minutes=pl.col("minutes").fill_null("0").cast(pl.Int64), time_unit="ms"
    )
    offset = (
        pl.when(pl.col("utc").is_not_null())
        .then(pl.duration(time_unit="ms"))
        .when(pl.col("sign") == "-")
        .then(-ahead)
        .otherwise(ahead)
    )
    return parts.select(wall=written, offset=offset)


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
