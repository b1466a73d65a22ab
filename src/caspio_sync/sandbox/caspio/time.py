"""Wall clocks of the emulated account: Windows zone ids, the date forms the database reads, and what is stored."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# The zone ids a Timestamp field of the sandbox may name, as Windows spells them (Caspio, field's TimeZone; 2.4).
WINDOWS_ZONES = {
    "UTC": "UTC",
    "GMT Standard Time": "Europe/London",
    "Greenwich Standard Time": "Atlantic/Reykjavik",
    "W. Europe Standard Time": "Europe/Berlin",
    "Romance Standard Time": "Europe/Paris",
    "Central Europe Standard Time": "Europe/Budapest",
    "Central European Standard Time": "Europe/Warsaw",
    "E. Europe Standard Time": "Europe/Chisinau",
    "FLE Standard Time": "Europe/Kiev",
    "GTB Standard Time": "Europe/Bucharest",
    "Russian Standard Time": "Europe/Moscow",
    "Turkey Standard Time": "Europe/Istanbul",
    "Israel Standard Time": "Asia/Jerusalem",
    "South Africa Standard Time": "Africa/Johannesburg",
    "Arabian Standard Time": "Asia/Dubai",
    "India Standard Time": "Asia/Kolkata",
    "Singapore Standard Time": "Asia/Singapore",
    "China Standard Time": "Asia/Shanghai",
    "Tokyo Standard Time": "Asia/Tokyo",
    "AUS Eastern Standard Time": "Australia/Sydney",
    "New Zealand Standard Time": "Pacific/Auckland",
    "Newfoundland Standard Time": "America/St_Johns",
    "Atlantic Standard Time": "America/Halifax",
    "Eastern Standard Time": "America/New_York",
    "Central Standard Time": "America/Chicago",
    "Mountain Standard Time": "America/Denver",
    "US Mountain Standard Time": "America/Phoenix",
    "Pacific Standard Time": "America/Los_Angeles",
    "Alaskan Standard Time": "America/Anchorage",
    "Hawaiian Standard Time": "Pacific/Honolulu",
    "E. South America Standard Time": "America/Sao_Paulo",
    "SA Pacific Standard Time": "America/Bogota",
}

# The database below knows dates from 1753 to 9999 only.
FIRST_YEAR = 1753
SECONDS_CHARS = len("2026-01-31T00:00:00")

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?)?(Z|[+-]\d\d:?\d\d)?")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)")
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


def zone(name: str | None, account_time_zone: str) -> ZoneInfo:
    """The zone a field's TimeZone names; the account's where it names none."""
    return ZoneInfo(WINDOWS_ZONES[name]) if name else ZoneInfo(account_time_zone)


def wall_clock(now: datetime, where: ZoneInfo, *, milliseconds: bool = False) -> str:
    """The reading of a clock in `where` at the instant `now`, as it is stored."""
    local = now.astimezone(where).replace(tzinfo=None)
    return local.isoformat(timespec="milliseconds" if milliseconds else "seconds")


def read_written(text: str, account: ZoneInfo | None) -> str:
    """A Date/Time of a request body as it is stored.

    Args:
        text: an ISO date or date and time.
        account: zone into which a value with an offset is turned; None refuses offsets.

    Raises:
        ValueError: not a date in that form.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    millis = (fraction or "").ljust(3, "0")[:3]
    moment = datetime(  # noqa: DTZ001 - a Date/Time is a naive wall clock
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), int(millis) * 1000
    )
    if offset:
        if account is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(moment.isoformat() + offset).astimezone(account).replace(tzinfo=None)
    if moment.year < FIRST_YEAR:
        raise ValueError(text)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def read_literal(text: str) -> str:
    """A quoted date of a query, as the database's conversion reads it, in the stored form.

    Raises:
        ValueError: not a date, or one with an offset.
    """
    if match := _COMPACT.fullmatch(text):
        text = "-".join(match.groups())
    elif match := _SLASHED.fullmatch(text):
        month, day, year = match.groups()
        text = f"{year}-{int(month):02}-{int(day):02}"
    return read_written(text.strip(), None)


_UNITS = {
    "MILLISECOND": timedelta(milliseconds=1),
    "SECOND": timedelta(seconds=1),
    "MINUTE": timedelta(minutes=1),
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
    "WEEK": timedelta(weeks=1),
}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_LAST_DAY = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date_add(unit: str, number: float | None, date: str | None) -> str | None:
    """DATEADD over stored dates.

    Raises:
        ValueError: a unit the emulator does not know.
    """
    if number is None or date is None:
        return None
    moment = datetime.fromisoformat(date)
    if unit in _UNITS:
        moment += _UNITS[unit] * int(number)
    elif unit in _MONTHS:
        count = moment.year * 12 + moment.month - 1 + _MONTHS[unit] * int(number)
        year, month = divmod(count, 12)
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        last = 28 if month == 1 and not leap else _LAST_DAY[month]
        moment = moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    else:
        raise ValueError(unit)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
